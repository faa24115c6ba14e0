"""Options of the commands that make forecasts on a load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ipa import studies
from ipa.studies.commands.amounts import Whole
from ipa.studies.commands.options import scale_option, together, workload_seed_option
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from ipa.studies.many.predictor import Cases
    from ipa.traces import Trace

WHOLE_SECONDS = Whole(min=1)

predictors_option = click.option(
    "--predictor",
    "names",
    multiple=True,
    metavar="NAME|FILE:CLASS",
    help="Predictor to use, with its parameters if any: 'poisson k=1.2'. Repeatable. Default: all that are built in, "
    "without the oracle.",
)

cases_options = together(
    click.option(
        "--trace",
        "name",
        default="bursty",
        help="Load to forecast: a named workload, a window of the real trace (twitter:bursty) or a file. "
        "Default: bursty.",
    ),
    click.option(
        "--windows",
        multiple=True,
        metavar="START:END",
        help="Seconds of the trace to forecast; what is seen may lie before. Several are separated by commas. "
        "Default: all.",
    ),
    scale_option,
    workload_seed_option,
    click.option(
        "--interval",
        "interval_s",
        type=WHOLE_SECONDS,
        default=10,
        help="Seconds from one forecast to the next; longer ones take a sample. Default: 10.",
    ),
    click.option(
        "--horizon",
        "horizon_s",
        type=WHOLE_SECONDS,
        default=20,
        help="Seconds of whose busiest the load is forecast. Default: 20.",
    ),
    click.option(
        "--history",
        "history_s",
        type=WHOLE_SECONDS,
        default=120,
        help="Seconds of the load that a predictor sees. Default: 120.",
    ),
    click.option(
        "--without-zeros",
        is_flag=True,
        help="Remove seconds without a request first: gaps of the recording, as published.",
    ),
)
"""The options that say which forecasts are made."""


def trace_of(name: str, scale: float | None, seed: int) -> Trace:
    """The whole load that the options describe. Raises TraceError or ScenarioError."""
    return studies.Load.given(name, None, scale, seed).trace()


def cases_of(trace: Trace, windows: Sequence[str], **options: object) -> Cases:
    """The moments of forecasts that the options describe. Raises ScenarioError."""
    try:
        spans = studies.parse_windows(",".join(windows)) if windows else None
    except ValueError as error:
        raise ScenarioError(f"--windows {','.join(windows)}: {error}") from None
    return studies.many.predictor.cases_of(trace, spans, **options)  # type: ignore[arg-type]
