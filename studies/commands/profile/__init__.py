"""`ipa profile`: profiles of pipelines. A module for each command: list, show, run, compare."""

import click

from ipa.studies.commands.group import LazyGroup


@click.group(
    cls=LazyGroup,
    package="ipa.studies.commands.profile",
    short_helps={
        "compare": "Say what became worse from pipeline A to B, such as profiles of two builds of a model.",
        "list": "List the shipped pipelines with their stages, variants and SLAs.",
        "run": "Measure what variants take, and write a pipeline file of it.",
        "show": "Show accuracy, base cores, latency and throughput of every variant, and which of them are measured.",
    },
)
def profile() -> None:
    """Measure, inspect and compare profiles: variants, latencies, and where each number comes from."""
