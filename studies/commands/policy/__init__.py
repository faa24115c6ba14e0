"""`ipa policy`: policies. A module for each command: list, show."""

import click

from ipa.studies.commands.group import LazyGroup


@click.group(
    cls=LazyGroup,
    package="ipa.studies.commands.policy",
    short_helps={
        "list": "List the policies that are built in or installed.",
        "show": "Show a policy's parameters: types, defaults and meanings.",
    },
)
def policy() -> None:
    """List policies and their parameters."""
