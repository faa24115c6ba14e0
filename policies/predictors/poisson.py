"""Counts have a known spread: the busiest of some seconds, if requests come at random at the present rate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from statistics import NormalDist

from ipa.policies import checks
from ipa.policies.forecast import DEFAULT_HORIZON_S, LEVELS, Forecast, missing, spread
from ipa.policies.interface import Observation
from ipa.policies.predictors.shipped import Shipped
from ipa.policies.predictors.windows import load_of


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

    def __post_init__(self) -> None:
        checks.integer("window_s", self.window_s)
        checks.number("k", self.k, at_least=0)

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
