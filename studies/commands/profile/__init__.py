"""`ipa profile`: pipelines. A module for its one command: show."""

import click

from ipa.studies.commands.group import LazyGroup


@click.group(
    cls=LazyGroup,
    package="ipa.studies.commands.profile",
    short_helps={
        "show": "Show accuracy, base cores, latency and throughput of every variant, and which of them are measured."
    },
)
def profile() -> None:
    """Inspect pipelines: variants, latencies and where each number comes from."""
