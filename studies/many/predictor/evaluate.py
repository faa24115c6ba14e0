"""All forecasts of a predictor on a load, made as a simulation makes them, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
import numpy.typing as npt

from ipa.policies import Predictor, in_time, plugins, reads
from ipa.policies.predictors import Outlook
from ipa.studies.many.predictor import scores
from ipa.studies.many.predictor.cases import Cases

Floats = npt.NDArray[np.float64]

AT_ONCE = 4096
"""How many forecasts are made at once."""

TIMED = 100
"""How many forecasts are timed."""


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What a predictor said at each moment; NaN where it had no forecast.

    `point_rps`: shape (moments,). `quantiles_rps`: at each of `levels`, shape (levels, moments); of a forecast without
    a distribution they are its point. `is_certain`: whether all of them are without one.
    """

    levels: tuple[float, ...]
    point_rps: Floats
    quantiles_rps: Floats
    is_certain: bool


@dataclass(frozen=True)
class Measured:
    """At which quantiles forecasts are scored, and how much of what comes should lie within the interval."""

    quantiles: tuple[float, ...] = (0.5, 0.95)
    interval: float = 0.9

    @property
    def ends(self) -> tuple[float, float]:
        """The levels of the interval's ends."""
        outside = (1.0 - self.interval) / 2.0
        return outside, 1.0 - outside

    @property
    def levels(self) -> tuple[float, ...]:
        """All the levels that are needed: the quantiles, then the interval's ends."""
        return (*self.quantiles, *self.ends)


@dataclass(frozen=True)
class Score:
    """What a predictor's forecasts were worth; of those that it made, `missing` of `moments` aside.

    `smape_percent`, `under_share`: of its point forecasts. `pinball_rps`, `quantile_under_share`: at each quantile.
    `coverage`: of the interval; None without a distribution. `forecast_ms`: what one forecast takes, made alone.
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
    predictor: Predictor, cases: Cases, levels: Sequence[float], on_share: Callable[[float], object] = lambda _: None
) -> Forecasts:
    """The predictor's forecasts at all moments. `on_share` is told the share that is done.

    PolicyError: what it gives is no forecast, or an error in a user's own file.
    """
    outlook = Outlook(predictor, horizon_s=cases.horizon_s)
    future, seasons = _seen_by(outlook.reads)
    point = np.empty(len(cases))
    quantiles = np.empty((len(levels), len(cases)))
    is_certain = True
    for first in range(0, len(cases), AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, len(cases)))
        observations = [cases.observation(number, future=future, seasons=seasons) for number in numbers]
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
    cases: Cases,
    measured: Measured,
    on_share: Callable[[float], object] = lambda _: None,
) -> Score:
    """The scores of a predictor on these moments, and the time that a forecast takes. Raises as `forecasts_of`."""
    forecasts = forecasts_of(predictor, cases, measured.levels, on_share)
    return scored(name, forecasts, cases.actual_rps, measured, forecast_ms(predictor, cases))


def scored(name: str, forecasts: Forecasts, actual_rps: Floats, measured: Measured, took_ms: float) -> Score:
    """The scores of forecasts at `measured.levels`, given what came."""
    made = ~np.isnan(forecasts.point_rps)
    actual, point = actual_rps[made], forecasts.point_rps[made]
    *quantiles, low, high = forecasts.quantiles_rps[:, made]
    at_levels = list(zip(quantiles, measured.quantiles, strict=True))
    return Score(
        name=name,
        moments=len(made),
        missing=int(len(made) - made.sum()),
        smape_percent=scores.smape_percent(actual, point),
        under_share=scores.under_share(actual, point),
        pinball_rps=tuple(scores.pinball_rps(actual, values, level) for values, level in at_levels),
        quantile_under_share=tuple(scores.under_share(actual, values) for values in quantiles),
        coverage=None if forecasts.is_certain else scores.coverage(actual, low, high),
        forecast_ms=took_ms,
    )


def forecast_ms(predictor: Predictor, cases: Cases) -> float:
    """The median time of a forecast made alone [ms], as a live controller makes it; over moments spread evenly."""
    future, seasons = _seen_by(reads(predictor))
    took_s = []
    for number in np.linspace(0, len(cases) - 1, min(TIMED, len(cases))).astype(int).tolist():
        observation = cases.observation(number, future=future, seasons=seasons)
        began_s = perf_counter()
        with plugins.blamed():
            predictor.forecast(observation, cases.horizon_s)
        took_s.append(perf_counter() - began_s)
    return 1000.0 * median(took_s)


def _seen_by(reads: Sequence[str]) -> tuple[bool, bool]:
    """Whether a predictor sees the future, and the seasons."""
    return "future_rps" in reads, "seasons_rps" in reads
