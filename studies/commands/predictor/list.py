"""`ipa predictor list`: the predictors by name."""

from __future__ import annotations

from dataclasses import asdict

import click

from ipa import studies
from ipa.studies.commands import printing
from ipa.studies.commands.options import output_options


@click.command("list")
@output_options
def list_(as_json: bool) -> None:
    """List the predictors that are built in or installed, with their parameters."""
    found = studies.many.predictor.manuals()
    if as_json:
        printing.print_json([asdict(each) for each in found])
        return
    table = printing.new_table("", "predictor", "what it forecasts", "parameters", names=3, folds_names=True)
    for each in found:
        parameters = (f"{name}={default}" if default else name for name, default in each.parameters.items())
        table.add_row(each.name, each.summary, ", ".join(parameters))
    printing.print_table(table)
