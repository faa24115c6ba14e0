"""Predictors without training: the last windows, exponential smoothing, Poisson counts, the true future."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from math import ceil, nan, sqrt
from statistics import NormalDist
from typing import Any, ClassVar

from ipa.policies import checks
from ipa.policies.forecast import DEFAULT_HORIZON_S, LEVELS, Forecast, certain, missing, spread
from ipa.policies.interface import Observation, PolicyError

OF = ("max", "mean")
"""What the load of a window is: that of its busiest second, which the published system forecasts, or its mean."""

SHARE = partial(checks.number, at_least=0, at_most=1)
CHECKS: Mapping[str, Callable[[str, Any], object]] = {
    "window_s": checks.integer,
    "windows": checks.integer,
    "horizon_s": lambda key, value: value is None or checks.integer(key, value),
    "of": partial(checks.choice, allowed=OF),
    "factor": partial(checks.number, above=0),
    "k": partial(checks.number, at_least=0),
    "weight": partial(checks.number, above=0, at_most=1),
    "trend_weight": SHARE,
    "damping": SHARE,
    "margin": SHARE,
}
"""What the fields of the predictors here may be, by name."""


class Shipped(ABC):
    """A predictor that reads no costly field, unless it says so. PolicyError: a field that `CHECKS` does not allow."""

    reads: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for parameter in fields(self):  # type: ignore[arg-type]  # every one of them is a dataclass
            if parameter.name in CHECKS:
                CHECKS[parameter.name](parameter.name, getattr(self, parameter.name))

    @abstractmethod
    def forecast(self, observation: Observation, horizon_s: float = DEFAULT_HORIZON_S) -> Forecast:
        """The distribution of the load of the busiest of the next `horizon_s` seconds; missing without a sample."""

    def predict(self, observation: Observation) -> float:
        """The point forecast [rps] for the default horizon; NaN without a sample."""
        return self.forecast(observation).point_rps


def load_of(seconds: Sequence[float], statistic: str) -> float:
    """The load of some seconds [rps]: of the busiest one, or the mean; NaN without a sample."""
    total = sum(seconds)
    samples = seconds if total == total else [count for count in seconds if count == count]
    if not samples:
        return nan
    return max(samples) if statistic == "max" else sum(samples) / len(samples)


def window_loads(load_rps: Sequence[float], windows: int, window_s: int, statistic: str) -> list[float]:
    """The loads of the last windows, newest first; windows without a sample are left out."""
    ends = range(len(load_rps), max(0, len(load_rps) - windows * window_s), -window_s)
    loads = [load_of(load_rps[max(0, end - window_s) : end], statistic) for end in ends]
    return [load for load in loads if load == load]


@dataclass(frozen=True)
class Reactive(Shipped):
    """The load of the last window."""

    window_s: int = 10
    of: str = "max"

    def forecast(self, observation: Observation, horizon_s: float = DEFAULT_HORIZON_S) -> Forecast:
        """As `Shipped.forecast`."""
        return certain(load_of(observation.load_rps[-self.window_s :], self.of), horizon_s)


@dataclass(frozen=True)
class Max(Shipped):
    """The greatest load of the last windows; by default they are 2 minutes, the published history."""

    windows: int = 12
    window_s: int = 10
    of: str = "max"

    def forecast(self, observation: Observation, horizon_s: float = DEFAULT_HORIZON_S) -> Forecast:
        """As `Shipped.forecast`."""
        if self.of == "max":  # of windows one after the other, as much as of all their seconds
            return certain(load_of(observation.load_rps[-self.windows * self.window_s :], self.of), horizon_s)
        loads = window_loads(observation.load_rps, self.windows, self.window_s, self.of)
        return certain(max(loads, default=nan), horizon_s)


@dataclass(frozen=True)
class Mean(Shipped):
    """`factor` x the mean load of the last windows.

    The default is 1.04 x the mean of the last four 10 s maxima. As a forecast, every 10 s, of the busiest of the next
    20 s, it has a SMAPE of 7.6 % on the Twitter stream of 2018-04 after its first 14 days; the last maximum alone has
    9.5 %.
    """

    windows: int = 4
    factor: float = 1.04
    window_s: int = 10
    of: str = "max"

    def forecast(self, observation: Observation, horizon_s: float = DEFAULT_HORIZON_S) -> Forecast:
        """As `Shipped.forecast`."""
        loads = window_loads(observation.load_rps, self.windows, self.window_s, self.of)
        return certain(self.factor * sum(loads) / len(loads) if loads else nan, horizon_s)


@dataclass(frozen=True)
class Poisson(Shipped):
    """The mean rate of the last seconds, and the spread of a Poisson process around it.

    Counts of a second with the mean m are about normal with the deviation sqrt(m), and the greatest of n of them is
    below x with the n-th power of the probability that one is. So the quantile q of the busiest second of n is

        m + k x z(q^(1/n)) x sqrt(m)        z: quantiles of the standard normal distribution

    `k` is 1 for requests that come independently of each other, more where they come in bursts.
    """

    window_s: int = 30
    k: float = 1.0

    def forecast(self, observation: Observation, horizon_s: float = DEFAULT_HORIZON_S) -> Forecast:
        """As `Shipped.forecast`."""
        level = load_of(observation.load_rps[-self.window_s :], "mean")
        if level != level:
            return missing(horizon_s)
        deviation = self.k * sqrt(level)
        point, *values = (level + z * deviation for z in _of_the_greatest(max(1, round(horizon_s))))
        return spread(max(point, 0.0), values, horizon_s)


@lru_cache(maxsize=64)
def _of_the_greatest(count: int) -> tuple[float, ...]:
    """The median of the greatest of so many standard normal numbers, then its quantiles at `LEVELS`."""
    return tuple(NormalDist().inv_cdf(level ** (1 / count)) for level in (0.5, *LEVELS))


_NORMAL = tuple(NormalDist().inv_cdf(level) for level in LEVELS)


@dataclass(frozen=True)
class Ewma(Shipped):
    """The exponentially weighted mean of the maxima of the last windows; the newest has the weight `weight`.

    The history's one-step errors give the spread, as of a normal distribution.
    """

    weight: float = 0.4
    windows: int = 12
    window_s: int = 10

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
    made_forecasts = list(forecasts)
    if not made_forecasts:
        return missing(horizon_s)
    errors = [load - forecast for forecast, load in zip(made_forecasts, loads[1:], strict=False)]
    deviation = sqrt(sum(error * error for error in errors) / len(errors)) if errors else sqrt(made_forecasts[-1])
    return spread(made_forecasts[-1], (made_forecasts[-1] + z * deviation for z in _NORMAL), horizon_s)


@dataclass(frozen=True)
class Oracle(Shipped):
    """The true load of the next `horizon_s` seconds; None: of the horizon that the policy asks for."""

    horizon_s: int | None = None
    of: str = "max"
    reads: ClassVar[tuple[str, ...]] = ("future_rps",)

    def forecast(self, observation: Observation, horizon_s: float = DEFAULT_HORIZON_S) -> Forecast:
        """As `Shipped.forecast`; missing at the end of the load. PolicyError: no future in the observation."""
        if observation.future_rps is None:
            raise PolicyError("the predictor 'oracle' needs future_rps, which only a simulation has")
        seconds = ceil(horizon_s) if self.horizon_s is None else self.horizon_s
        return certain(load_of(observation.future_rps[:seconds], self.of), float(seconds))
