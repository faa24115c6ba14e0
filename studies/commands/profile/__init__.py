"""`ipa profile`: pipelines. A module for each command: list, show."""

import click

from ipa.studies.commands.group import LazyGroup


@click.group(
    cls=LazyGroup,
    package="ipa.studies.commands.profile",
    short_helps={
        "list": "List the shipped pipelines with their stages, variants and SLAs.",
        "show": "Show accuracy, base cores, latency and throughput of every variant, and which of them are measured.",
    },
)
def profile() -> None:
    """Inspect pipelines: variants, latencies and where each number comes from."""
