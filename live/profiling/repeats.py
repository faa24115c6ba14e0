"""How sure a mean and a p99 of measured latencies are, and when that is enough: functions of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, inf, sqrt
from statistics import NormalDist, fmean, quantiles, stdev

BLOCKS = 20
FEWEST = 20
"""With fewer values nothing is said of how sure they are."""
_Z = NormalDist().inv_cdf(0.975)
TAIL = 0.01
FAR_OUT = 3.0
"""An outlier is this many interquartile ranges above the third quartile (Tukey's "far out")."""


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; infinite: too few were measured to bound it."""

    value: float
    low: float
    high: float

    @property
    def within(self) -> float:
        """The larger half of the interval, as a share of the value."""
        return max(self.value - self.low, self.high - self.value) / self.value


def mean_of(values: Sequence[float]) -> Estimate:
    """The mean, with the interval of the means of BLOCKS consecutive blocks (of n / 2, where that is less).

    Blocks, because latencies that follow each other are alike: a machine is slow for a while. (Batch means: Law and
    Kelton, Simulation Modeling and Analysis.)
    """
    mean = fmean(values)
    if len(values) < FEWEST:
        return Estimate(mean, -inf, inf)
    count = min(BLOCKS, len(values) // 2)
    size = len(values) / count
    blocks = [fmean(values[round(n * size) : round((n + 1) * size)]) for n in range(count)]
    half = _t_95(count - 1) * stdev(blocks) / sqrt(count)
    return Estimate(mean, mean - half, mean + half)


def _t_95(degrees: int) -> float:
    """The 97.5 % quantile of Student's t, by its expansion in 1 / degrees (Abramowitz and Stegun, 26.7.5)."""
    z, n = _Z, degrees
    return z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)


def p99_of(values: Sequence[float]) -> Estimate:
    """The p99 (nearest rank), with the interval that its order statistics give; no distribution is assumed.

    So many of n values lie above the true p99 as a binomial (n, 0.01) says. The interval is unbounded above with fewer
    than 368 values.
    """
    ordered, n = sorted(values), len(values)
    value = ordered[ceil((1 - TAIL) * n) - 1]
    fewest, most = _tail_counts(n)
    low = ordered[n - 1 - most] if most < n else -inf
    high = ordered[n - fewest] if fewest > 0 else inf
    return Estimate(value, low, high)


def _tail_counts(n: int) -> tuple[int, int]:
    """The least and the most of `n` values that lie above the p99, with 2.5 % beyond each."""
    chance, total, fewest = (1 - TAIL) ** n, 0.0, -1
    for count in range(n + 1):
        total += chance
        if fewest < 0 and total > 0.025:
            fewest = count
        if total >= 0.975:
            return fewest, count
        chance *= (n - count) / (count + 1) * TAIL / (1 - TAIL)
    return max(fewest, 0), n


LOOKED_AT = 1.25
"""Values are looked at whenever there are so many times more of them."""


@dataclass
class Stopping:
    """When measured values are enough: the intervals of all `of` are within a share at two looks in succession.

    At a single one of many looks an interval is narrow by chance, and then holds the truth in 91 to 93 of 100 cases in
    place of 95; at two in succession, in 94 to 95.
    """

    within: float
    of: tuple[Callable[[Sequence[float]], Estimate], ...] = (mean_of, p99_of)
    look_at: int = 100
    was_enough: bool = False

    def is_over(self, values: Sequence[float]) -> bool:
        """Whether these are enough, asked after each further value."""
        if len(values) < self.look_at:
            return False
        self.look_at = int(len(values) * LOOKED_AT) + 1
        is_enough = all(each(values).within <= self.within for each in self.of)
        before, self.was_enough = self.was_enough, is_enough
        return before and is_enough


def outliers_in(values: Sequence[float]) -> int:
    """How many latencies are far out. They are counted, and stay."""
    if len(values) < 4:
        return 0
    first, _, third = quantiles(values, n=4)
    return sum(value > third + FAR_OUT * (third - first) for value in values)
