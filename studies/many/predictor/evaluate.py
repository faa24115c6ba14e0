"""A predictor's forecasts on a load, made as in a simulation, their scores, and the scores as rows of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import numpy.typing as npt

from ipa.policies import Predictor, in_time, plugins, reads
from ipa.policies.predictors import Outlook
from ipa.studies.many.predictor.cases import ForecastCases
from ipa.studies.many.predictor.choice import Chosen
from ipa.studies.many.predictor.options import MeasuredOptions
from ipa.studies.runs.results import check_writable, write_text
from ipa.studies.scenario import ScenarioError

Floats = npt.NDArray[np.float64]

AT_ONCE = 4096
"""How many forecasts are made at once."""

TIMED = 100
"""How many forecasts are timed."""


@dataclass(frozen=True, eq=False)
class Forecasts:
    """A predictor's forecasts at all moments; NaN without a forecast.

    `point_rps`: shape (moments,). `quantiles_rps`: at each of `levels`, shape (levels, moments); for a forecast without
    a distribution, its point. `is_certain`: whether no forecast has a distribution.
    """

    levels: tuple[float, ...]
    point_rps: Floats
    quantiles_rps: Floats
    is_certain: bool


@dataclass(frozen=True)
class ForecastScore:
    """The scores of a predictor's forecasts, without the `missing` ones of `moments`.

    `smape_percent`, `under_share`: of its point forecasts. `pinball_rps`, `quantile_under_share`: at each quantile.
    `coverage`: of the interval; None without a distribution. `forecast_ms`: the time of a single forecast.
    """

    name: str
    moments: int
    missing: int
    smape_percent: float
    under_share: float
    pinball_rps: tuple[float, ...]
    quantile_under_share: tuple[float, ...]
    coverage: float | None
    forecast_ms: float


def forecasts_of(
    predictor: Predictor,
    cases: ForecastCases,
    levels: Sequence[float],
    on_share: Callable[[float], object] = lambda _: None,
) -> Forecasts:
    """The predictor's forecasts at all moments. `on_share` is called with the share that is done.

    Raises PolicyError for an invalid forecast, or an error in a user's own file.
    """
    outlook = Outlook(predictor, horizon_s=cases.horizon_s)
    future = "future_rps" in outlook.reads
    point = np.empty(len(cases))
    quantiles = np.empty((len(levels), len(cases)))
    is_certain = True
    for first in range(0, len(cases), AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, len(cases)))
        observations = [cases.observation(number, future=future) for number in numbers]
        with plugins.blamed():
            outlook.compute_ahead(observation.load_rps for observation in observations)
            for number, observation in zip(numbers, observations, strict=True):
                with in_time("forecast"):
                    forecast = outlook.forecast(observation)
                is_certain = is_certain and forecast.is_certain
                point[number] = forecast.point_rps
                quantiles[:, number] = [forecast.at(level) for level in levels]
        on_share((numbers.stop) / len(cases))
    return Forecasts(tuple(levels), point, quantiles, is_certain)


def score_of(
    name: str,
    predictor: Predictor,
    cases: ForecastCases,
    measured: MeasuredOptions,
    on_share: Callable[[float], object] = lambda _: None,
) -> ForecastScore:
    """The scores of a predictor at these moments, with the time of a forecast. Raises as `forecasts_of`."""
    forecasts = forecasts_of(predictor, cases, measured.levels, on_share)
    return scored(name, forecasts, cases.actual_rps, measured, forecast_ms(predictor, cases))


def scores_of(
    chosen: Sequence[Chosen],
    cases: ForecastCases,
    measured: MeasuredOptions,
    on_share: Callable[[float], object] = lambda _: None,
) -> list[ForecastScore]:
    """The scores of predictors on the same moments. Raises as `forecasts_of`.

    They are computed one after the other, not on all cores, so that the times of forecasts are of an idle machine.
    """
    count = len(chosen)

    def score(place: int, predictor: Chosen) -> ForecastScore:
        return score_of(
            predictor.name, predictor.predictor, cases, measured, lambda share: on_share((place + share) / count)
        )

    return [score(place, predictor) for place, predictor in enumerate(chosen)]


def scored(
    name: str, forecasts: Forecasts, actual_rps: Floats, measured: MeasuredOptions, took_ms: float
) -> ForecastScore:
    """The scores of forecasts at `measured.levels`, given the actual load."""
    is_made = ~np.isnan(forecasts.point_rps)
    actual, point = actual_rps[is_made], forecasts.point_rps[is_made]
    *quantiles, low, high = forecasts.quantiles_rps[:, is_made]
    at_levels = list(zip(quantiles, measured.quantiles, strict=True))
    return ForecastScore(
        name=name,
        moments=len(is_made),
        missing=int(len(is_made) - is_made.sum()),
        smape_percent=smape_percent(actual, point),
        under_share=under_share(actual, point),
        pinball_rps=tuple(pinball_rps(actual, values, level) for values, level in at_levels),
        quantile_under_share=tuple(under_share(actual, values) for values in quantiles),
        coverage=None if forecasts.is_certain else coverage(actual, low, high),
        forecast_ms=took_ms,
    )


def forecast_ms(predictor: Predictor, cases: ForecastCases) -> float:
    """The median time of a single forecast [ms], as in a live controller; over evenly spaced moments."""
    future = "future_rps" in reads(predictor)
    took_s = []
    for number in np.linspace(0, len(cases) - 1, min(TIMED, len(cases))).astype(int).tolist():
        observation = cases.observation(number, future=future)
        began_s = perf_counter()
        with plugins.blamed():
            predictor.forecast(observation, cases.horizon_s)
        took_s.append(perf_counter() - began_s)
    return 1000.0 * median(took_s)


# Scores of forecasts against the actual load: pure functions of arrays of the same shape, in requests per second.
#
# Each is a mean over the forecasts; NaN if there are none.


def smape_percent(actual_rps: Floats, forecast_rps: Floats) -> float:
    """The symmetric mean absolute percentage error, from 0 to 200: the mean of 200 |f - a| / (|a| + |f|).

    As in the M3 competition (Makridakis and Hibon, 2000, International Journal of Forecasting 16). A forecast of 0 for
    a load of 0 has no error.
    """
    size = np.abs(actual_rps) + np.abs(forecast_rps)
    apart = np.abs(forecast_rps - actual_rps)
    return _mean(200.0 * np.divide(apart, size, out=np.zeros_like(size), where=size > 0))


def pinball_rps(actual_rps: Floats, quantile_rps: Floats, level: float) -> float:
    """The pinball loss of a forecast quantile q: the mean of level (a - q) where a > q, else of (1 - level) (q - a).

    It is least for the true quantile (Koenker and Bassett, 1978, Econometrica 46). At the level 0.5 it is half the mean
    absolute error.
    """
    short = actual_rps - quantile_rps
    return _mean(np.maximum(level * short, (level - 1.0) * short))


def under_share(actual_rps: Floats, forecast_rps: Floats) -> float:
    """The share of forecasts below the actual load; about 1 - level for a true quantile."""
    return _mean(np.asarray(actual_rps > forecast_rps, dtype=np.float64))


def coverage(actual_rps: Floats, low_rps: Floats, high_rps: Floats) -> float:
    """The share of actual loads within an interval, ends included; 0.9 between the true quantiles at 0.05 and 0.95."""
    return _mean(np.asarray((low_rps <= actual_rps) & (actual_rps <= high_rps), dtype=np.float64))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


# Scores as rows of text, and as a file of them.


NONE = "-"


def columns(measured: MeasuredOptions) -> list[str]:
    """The column headings, with units."""
    return [
        "predictor",
        "SMAPE %",
        "under %",
        *(f"pinball {level:g}, rps" for level in measured.quantiles),
        *(f"under {level:g}, %" for level in measured.quantiles),
        f"within {100 * measured.interval:g} %, %",
        "ms",
    ]


def row(score: ForecastScore) -> list[str]:
    """The cells of a predictor; `-` without a score; missing forecasts are noted beside the name."""
    missing = f" (no forecast at {score.missing} of {score.moments})" if score.missing else ""
    return [
        score.name + missing,
        _figure(score.smape_percent, 2),
        _figure(100 * score.under_share, 1),
        *(_figure(loss, 3) for loss in score.pinball_rps),
        *(_figure(100 * share, 1) for share in score.quantile_under_share),
        NONE if score.coverage is None else _figure(100 * score.coverage, 1),
        _figure(score.forecast_ms, 3),
    ]


def check_file(path: Path) -> None:
    """Raise ScenarioError, before anything is scored, if the table could not be written to this path as a new file."""
    if path.suffix not in _MAKERS:
        raise ScenarioError(f"{path}: a table is written as {' or '.join(_MAKERS)}")
    if path.exists():
        raise ScenarioError(f"{path}: already exists; give a new file")
    check_writable(path.parent, str(path))


def write_table(scores: Sequence[ForecastScore], measured: MeasuredOptions, path: Path) -> None:
    """Write the table to a new file; its folder is created if need be. Raises as `check_file`."""
    check_file(path)
    write_text(_MAKERS[path.suffix]([columns(measured), *map(row, scores)]), path)


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    first, *others = (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" for cells in rows)
    return "\n".join([first, f"|---|{'--:|' * (len(rows[0]) - 1)}", *others, ""])


_MAKERS = {".csv": _csv, ".md": _markdown}


def _figure(value: float, digits: int) -> str:
    return NONE if value != value else f"{value:.{digits}f}"
