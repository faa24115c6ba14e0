"""`ipa predictor`: forecasts of the load. A module for each command: evaluate, list, show, train.

options: what evaluate and show have in common
"""

import click

from ipa.studies.commands.group import LazyGroup


@click.group(
    cls=LazyGroup,
    package="ipa.studies.commands.predictor",
    short_helps={
        "evaluate": "Score predictors on a load, side by side.",
        "list": "List the predictors that are built in or installed, with their parameters.",
        "show": "Draw forecasts over the load as one HTML page.",
        "train": "Train a predictor on a load.",
    },
)
def predictor() -> None:
    """Forecast loads, and see what forecasts are worth."""
