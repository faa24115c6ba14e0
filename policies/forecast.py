"""A forecast: the distribution of the load of the busiest second to come."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
"""The quantiles that the shipped predictors give."""

DEFAULT_HORIZON_S = 20.0
"""How far ahead a forecast looks unless a policy says otherwise: as published, two intervals of 10 s. It covers the
interval, and the 8 s in which the replicas of the next decision start."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the load of the busiest of the next `horizon_s` seconds may be [rps].

    `values_rps` are its quantiles at `levels`: these rise and lie between 0 and 1, those never fall. `point_rps` is the
    predictor's best single number; of a distribution, usually its median. NaN: there is no forecast.
    """

    horizon_s: float
    point_rps: float
    levels: tuple[float, ...] = ()
    values_rps: tuple[float, ...] = ()

    @property
    def is_missing(self) -> bool:
        """Whether there is no forecast."""
        return self.point_rps != self.point_rps

    @property
    def is_certain(self) -> bool:
        """Whether it is a single number, of whose errors the predictor says nothing."""
        return not self.levels

    def covers(self, level: float) -> bool:
        """Whether some given quantile is at that level or above."""
        return bool(self.levels) and level <= self.levels[-1]

    def at(self, level: float) -> float:
        """The quantile at a level [rps]: a straight line between given ones, the outermost ones beyond them.

        That of a forecast without a distribution is its point.
        """
        if self.is_missing or not self.levels:
            return self.point_rps
        return between(self.levels, self.values_rps, level)


V = TypeVar("V", float, "npt.NDArray[np.float64]")


def between(levels: Sequence[float], values: Sequence[V], level: float) -> V:
    """What stands at a level, given what stands at others: numbers, or arrays of a shape; as in `Forecast.at`."""
    place = bisect_left(levels, level)
    if place == 0:
        return values[0]
    if place == len(levels):
        return values[-1]
    share = (level - levels[place - 1]) / (levels[place] - levels[place - 1])
    return values[place - 1] + share * (values[place] - values[place - 1])


def certain(rps: float, horizon_s: float) -> Forecast:
    """A forecast of a single number."""
    return Forecast(horizon_s, rps)


def missing(horizon_s: float) -> Forecast:
    """No forecast."""
    return Forecast(horizon_s, nan)


def spread(point_rps: float, values_rps: Iterable[float], horizon_s: float) -> Forecast:
    """A forecast with quantiles at `LEVELS`; sorted, and none below zero."""
    return Forecast(horizon_s, point_rps, LEVELS, tuple(sorted(max(float(value), 0.0) for value in values_rps)))
