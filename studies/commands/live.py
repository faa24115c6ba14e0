"""`ipa live`: real servers, on this machine and on a cluster."""

import click

from ipa.live import logs
from ipa.studies.commands.group import Group
from ipa.studies.commands.live_cluster import down, manifests, status, up
from ipa.studies.commands.live_run import run


@click.group(cls=Group)
def live() -> None:
    """Run pipelines on real servers, on this machine or on a cluster.

    The policies and the controller are the same as in simulations.
    """
    logs.lines_to_stderr()


for _command in (down, manifests, run, status, up):
    live.add_command(_command)
