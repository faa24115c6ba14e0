"""`ipa predictor show`: forecasts over the load, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ipa import studies
from ipa.studies.commands import printing
from ipa.studies.commands.amounts import SHARE
from ipa.studies.commands.options import NEW_FILE, output_options
from ipa.studies.commands.predictor.options import cases_of, cases_options, predictors_option, trace_of


@click.command()
@predictors_option
@cases_options
@click.option(
    "--within", type=SHARE, default=0.9, help="Share of the loads that the drawn interval should hold. Default: 0.9."
)
@click.option("--to", type=NEW_FILE, required=True, help="HTML file to write.")
@output_options
def show(
    names: Sequence[str],
    name: str,
    windows: Sequence[str],
    scale: float | None,
    seed: int,
    within: float,
    to: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Draw forecasts over the load as one HTML page.

    A panel for each predictor shows the load of each second, the busiest second to come at each moment, and the
    forecast that was made then, with its interval.
    """
    studies.displayed.check_plotly("--to")
    chosen = [studies.many.predictor.choose(text) for text in names or studies.many.predictor.NAMES]
    trace = trace_of(name, scale, seed)
    ends = studies.many.predictor.Measured(interval=within).ends
    studies.pages.predictor.write(trace, cases_of(trace, windows, **options), chosen, ends, to)
    printing.print_made(to, as_json)
