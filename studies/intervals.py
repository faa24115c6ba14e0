"""Means over seeds with their intervals: Student's, of 95 % unless said otherwise, and bootstrapped ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf, isclose, isnan, nan, sqrt

import numpy as np

from ipa.sim import FloatArray

CONFIDENCE = 0.95

RESAMPLES = 9999
"""How often a sample is drawn anew for a bootstrapped interval."""

LEAST_FOR_BOOTSTRAP = 3
"""Of fewer values there is no bootstrapped interval."""


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


def student(values: FloatArray, confidence: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The mean of every row and the ends of its Student t interval, as `estimate`, of what is not NaN.

    The ends are NaN for a row of fewer than two values, the mean for a row of none. A confidence of 1 - 0.05 / m gives
    m intervals that all hold at a time in 95 % of all cases (Bonferroni).
    """
    from scipy.special import stdtrit

    known = np.isfinite(values)
    count = known.sum(axis=1)
    mean = np.where(count > 0, np.where(known, values, 0.0).sum(axis=1) / np.maximum(count, 1), nan)
    squares = np.where(known, (values - mean[:, None]) ** 2, 0.0).sum(axis=1)
    freedom = np.maximum(count - 1, 1)
    half = stdtrit(freedom, (1.0 + confidence) / 2.0) * np.sqrt(squares / freedom / np.maximum(count, 1))
    half = np.where(count > 1, half, nan)
    return mean, mean - half, mean + half


def bootstrapped(values: FloatArray, confidence: float, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """The ends of the bootstrap interval (BCa, `scipy.stats.bootstrap`) of the mean of every row, of what is not NaN.

    The ends lie between the least and the largest value of the row, so that those of a rate are never below 0. NaN for
    a row of fewer than three values; the value itself for a row of equal ones. The same seed gives the same ends.
    """
    from scipy.stats import bootstrap

    low, high = np.full(len(values), nan), np.full(len(values), nan)
    for place, row in enumerate(values):
        known = row[np.isfinite(row)]
        if len(known) < LEAST_FOR_BOOTSTRAP:
            continue
        if float(np.ptp(known)) <= 1e-12 * float(np.abs(known).max()):
            low[place] = high[place] = known.mean()
            continue
        found = bootstrap(
            (known,),
            np.mean,
            axis=-1,
            vectorized=True,
            confidence_level=confidence,
            n_resamples=RESAMPLES,
            random_state=np.random.default_rng(seed),
        )
        low[place], high[place] = found.confidence_interval
    return low, high


def paired_difference(one: Mapping[int, float | None], other: Mapping[int, float | None]) -> Estimate | None:
    """The mean of one - other over the seeds that both have, which met the same random draws."""
    return estimate(a - b for a, b in _pairs(one, other))


def paired_change_percent(one: Mapping[int, float | None], other: Mapping[int, float | None]) -> Estimate | None:
    """The mean of one / other - 1, in percent, over the seeds that both have; an other of zero is left out."""
    return estimate(100.0 * (a / b - 1.0) for a, b in _pairs(one, other) if b != 0.0)


def _pairs(one: Mapping[int, float | None], other: Mapping[int, float | None]) -> list[tuple[float, float]]:
    both = ((value, other.get(seed)) for seed, value in one.items())
    return [(a, b) for a, b in both if a is not None and b is not None]
