"""`ipa profile`: measures profiles."""

import click

from ipa.studies.commands.group import Group
from ipa.studies.commands.profile_fit import fit
from ipa.studies.commands.profile_run import run


@click.group(cls=Group)
def profile() -> None:
    """Measure the latencies of models, and write them into a file."""


profile.add_command(run)
profile.add_command(fit)
