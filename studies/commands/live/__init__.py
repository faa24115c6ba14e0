"""`ipa live`: real servers. A module for each command: run, recover, load; and on a Kubernetes cluster up, status,
down, manifests, with `cluster` for what those four share."""

import click

from ipa.live import logs
from ipa.studies.commands.group import LazyGroup


@click.group(
    cls=LazyGroup,
    package="ipa.studies.commands.live",
    short_helps={
        "down": "Delete a deployed pipeline: everything that carries its labels, and nothing else.",
        "load": "Send a load to any server of the Open Inference Protocol V2.",
        "manifests": "Print the objects that `ipa live up` would apply, as YAML, without asking a cluster.",
        "recover": "Write the results of a run that was killed.",
        "run": "Run one policy on one load, with real processes in real time.",
        "status": "Show the state of a deployed pipeline: stages, replicas and what delays them.",
        "up": "Deploy a pipeline on a cluster, or bring a deployed one up to date.",
    },
)
def live() -> None:
    """Run pipelines on real servers, on this machine or on a cluster.

    The policies and the controller are the same as in simulations.
    """
    logs.lines_to_stderr()
