"""`ipa models`: real models. A module for each command: check, fetch, list, make, measure, pages, push, read."""

import click

from ipa.studies.commands.group import LazyGroup


@click.group(
    cls=LazyGroup,
    package="ipa.studies.commands.models",
    short_helps={
        "check": "Compare the answers of a live run with the models run alone.",
        "fetch": "Fetch models from an object store to a folder.",
        "list": "List the models in a folder or an object store, with their checksums.",
        "make": "Make a folder of the models that an extra brings.",
        "measure": "Measure the accuracy of models, of each stage and of every pair.",
        "pages": "Write pages whose text is known, to read.",
        "push": "Put a folder of models into an object store.",
        "read": "Send a picture to a running pipeline and print its text.",
    },
)
def models() -> None:
    """Make, measure, list, publish and fetch real models, and read a picture with them."""
