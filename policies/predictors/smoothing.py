"""Exponential smoothing of the maxima of windows, with a distribution from its own errors within the history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from ipa.policies import checks
from ipa.policies.forecast import DEFAULT_HORIZON_S, LEVELS, Forecast, missing, spread
from ipa.policies.interface import Observation
from ipa.policies.predictors.shipped import Shipped
from ipa.policies.predictors.windows import window_loads

_NORMAL = tuple(NormalDist().inv_cdf(level) for level in LEVELS)


@dataclass(frozen=True)
class Ewma(Shipped):
    """The exponentially weighted mean of the maxima of the last windows; the newest has the weight `weight`.

    The history's one-step errors give the spread, as of a normal distribution.
    """

    weight: float = 0.4
    windows: int = 12
    window_s: int = 10

    def __post_init__(self) -> None:
        checks.number("weight", self.weight, above=0, at_most=1)
        checks.integer("windows", self.windows)
        checks.integer("window_s", self.window_s)

    def forecast(self, observation: Observation, horizon_s: float = DEFAULT_HORIZON_S) -> Forecast:
        """As `Shipped.forecast`."""
        return self.after(observation.load_rps, horizon_s)

    def after(self, load_rps: Sequence[float], horizon_s: float) -> Forecast:
        """The forecast after the seconds of a load [rps], newest last."""
        loads = window_loads(load_rps, self.windows, self.window_s, "max")[::-1]
        return _with_errors(_ewma(loads, self.weight), loads, horizon_s)


@dataclass(frozen=True)
class Holt(Shipped):
    """Holt's linear method with a damped trend on the maxima of the last windows (Gardner and McKenzie, 1985).

        level' = weight x load + (1 - weight) x (level + damping x trend)
        trend' = trend_weight x (level' - level) + (1 - trend_weight) x damping x trend

    The forecast is level + (damping + ... + damping^h) x trend, h being the windows that the horizon reaches into. The
    spread is as in `Ewma`.
    """

    weight: float = 0.5
    trend_weight: float = 0.2
    damping: float = 0.8
    windows: int = 12
    window_s: int = 10

    def __post_init__(self) -> None:
        checks.number("weight", self.weight, above=0, at_most=1)
        checks.number("trend_weight", self.trend_weight, at_least=0, at_most=1)
        checks.number("damping", self.damping, at_least=0, at_most=1)
        checks.integer("windows", self.windows)
        checks.integer("window_s", self.window_s)

    def forecast(self, observation: Observation, horizon_s: float = DEFAULT_HORIZON_S) -> Forecast:
        """As `Shipped.forecast`."""
        loads = window_loads(observation.load_rps, self.windows, self.window_s, "max")[::-1]
        ahead = max(1, round(horizon_s / self.window_s))
        return _with_errors(self._forecasts(loads, ahead), loads, horizon_s)

    def _forecasts(self, loads: Sequence[float], ahead: int) -> Iterator[float]:
        """After each load, the forecast of the next one; after the last, of the one `ahead`."""
        reach = sum(self.damping**step for step in range(1, ahead + 1))
        level, trend = 0.0, 0.0
        for place, load in enumerate(loads):
            if place == 0:
                level = load
            else:
                damped = self.damping * trend
                before, level = level, self.weight * load + (1 - self.weight) * (level + damped)
                trend = self.trend_weight * (level - before) + (1 - self.trend_weight) * damped
            yield max(0.0, level + (reach if place == len(loads) - 1 else self.damping) * trend)


def _ewma(loads: Sequence[float], weight: float) -> Iterator[float]:
    """After each load, the forecast of the next one."""
    level = 0.0
    for place, load in enumerate(loads):
        level = load if place == 0 else weight * load + (1 - weight) * level
        yield level


def _with_errors(forecasts: Iterator[float], loads: Sequence[float], horizon_s: float) -> Forecast:
    """The last of the forecasts, with the spread of the errors of those before; missing where there are no loads."""
    made = list(forecasts)
    if not made:
        return missing(horizon_s)
    errors = [load - forecast for forecast, load in zip(made, loads[1:], strict=False)]
    deviation = sqrt(sum(error * error for error in errors) / len(errors)) if errors else sqrt(made[-1])
    return spread(made[-1], (made[-1] + z * deviation for z in _NORMAL), horizon_s)
