"""`ipa doctor`: what this machine has."""

from __future__ import annotations

import click

from ipa import studies
from ipa.studies.commands import printing
from ipa.studies.commands.options import output_options


@click.command()
@output_options
def doctor(as_json: bool) -> None:
    """Check this machine: engines, solvers and licences, optional extras, programs and files."""
    found = studies.doctor.doctor()
    if as_json:
        printing.print_json(found)
        return
    for line in studies.doctor.lines(found):
        click.echo(line)
