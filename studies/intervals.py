"""Means over seeds with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf, isclose, isnan, nan, sqrt

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean and the ends of its 95 % interval; NaN where there was a single value, which gives none."""

    mean: float
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        """Whether there were enough values for an interval."""
        return not isnan(self.low)

    @property
    def is_cut_off(self) -> bool:
        """Whether the interval ends earlier below the mean than above it."""
        return self.has_interval and not isclose(self.mean - self.low, self.high - self.mean, rel_tol=1e-9)

    def text(self, digits: int) -> str:
        """The mean with half its interval, or with both ends where these are not as far: `0.10 ± 0.04`, `0.10 [0,
        0.25]`."""
        mean = f"{self.mean:.{digits}f}"
        if not self.has_interval:
            return mean
        if self.is_cut_off:
            low = f"{self.low:.{digits}f}" if self.low else "0"
            return f"{mean} [{low}, {self.high:.{digits}f}]"
        return f"{mean} ± {self.high - self.mean:.{digits}f}"


def as_columns(key: str, found: Estimate | None) -> dict[str, float]:
    """A figure in a row of a table: `KEY`, its mean, and `KEY_low` and `KEY_high`; NaN for what is not there."""
    mean, low, high = (nan, nan, nan) if found is None else (found.mean, found.low, found.high)
    return {key: mean, f"{key}_low": low, f"{key}_high": high}


def estimate(values: Iterable[float | None], at_least: float = -inf) -> Estimate | None:
    """The mean of the known values with its Student t interval; None where none is known.

    The interval is mean +- t(0.975, n - 1) s / sqrt(n), with s the sample's standard deviation. It is cut off at
    `at_least`, where a quantity such as a rate cannot be less.
    """
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    count = len(known)
    if count == 0:
        return None
    mean = float(known.mean())
    if count == 1:
        return Estimate(mean, nan, nan)
    from scipy.special import stdtrit

    half = float(stdtrit(count - 1, 0.975)) * float(known.std(ddof=1)) / sqrt(count)
    return Estimate(mean, max(mean - half, at_least), mean + half)


def paired_difference(one: Mapping[int, float | None], other: Mapping[int, float | None]) -> Estimate | None:
    """The mean of one - other over the seeds that both have, which met the same random draws."""
    return estimate(a - b for a, b in _pairs(one, other))


def paired_change_percent(one: Mapping[int, float | None], other: Mapping[int, float | None]) -> Estimate | None:
    """The mean of one / other - 1, in percent, over the seeds that both have; an other of zero is left out."""
    return estimate(100.0 * (a / b - 1.0) for a, b in _pairs(one, other) if b != 0.0)


def _pairs(one: Mapping[int, float | None], other: Mapping[int, float | None]) -> list[tuple[float, float]]:
    both = ((value, other.get(seed)) for seed, value in one.items())
    return [(a, b) for a, b in both if a is not None and b is not None]
