"""`ipa trace`: loads. A module for each command: info, synthesise, convert."""

import click

from ipa.studies.commands.group import LazyGroup


@click.group(
    cls=LazyGroup,
    package="ipa.studies.commands.trace",
    short_helps={
        "convert": "Write a load, or a part of it, to a new .csv or .parquet file.",
        "info": "Show the figures of a load: requests, mean rate, range and burstiness.",
        "synthesise": "Write a named synthetic load to a file.",
    },
)
def trace() -> None:
    """Inspect, generate and convert loads."""
