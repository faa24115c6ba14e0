"""`ipa pipeline`: pipelines of one's own. A module for each command: new, check."""

import click

from ipa.studies.commands.group import LazyGroup


@click.group(
    cls=LazyGroup,
    package="ipa.studies.commands.pipeline",
    short_helps={
        "check": "Check a pipeline file, and show what it can serve and what is by rule.",
        "new": "Write a pipeline file from a CSV table of measured latencies.",
    },
)
def pipeline() -> None:
    """Make a pipeline file of your own from measured latencies, and check it."""
