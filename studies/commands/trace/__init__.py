"""`ipa trace`: loads. A module for each command: list, info, synthesise, convert, from_prometheus."""

import click

from ipa.studies.commands.group import LazyGroup


@click.group(
    cls=LazyGroup,
    package="ipa.studies.commands.trace",
    short_helps={
        "convert": "Write a load, or a part of it, to a new .csv or .parquet file.",
        "from-prometheus": "Write the load that a Prometheus server has recorded to a file.",
        "list": "List the loads that have a name, with the figures of the synthetic ones.",
        "info": "Show the figures of a load: requests, mean rate, range, burstiness, day and week, largest rises.",
        "synthesise": "Write a named synthetic load to a file.",
    },
)
def trace() -> None:
    """Inspect, generate, fetch and convert loads."""
