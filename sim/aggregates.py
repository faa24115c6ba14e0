"""Quantiles and exact sums of very many values, in any order, in bounded memory.

Quantiles come from counts in buckets of equal width on a log scale (Masson, Rim and Lee, DDSketch, VLDB 2019), sums
from whole numbers of small units.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, exp, fsum, log, log1p

import numpy as np

from ipa.sim.model import FloatArray, IntArray

RELATIVE_ERROR = 0.001
"""The largest relative error of a quantile."""

LEAST = 1e-6
"""Smaller values count as this: 1 microsecond, for latencies."""

MOST = 1e9


class Buckets:
    """Buckets from `LEAST` to `MOST`, by number; every value is within `relative_error` of its bucket's middle."""

    def __init__(self, relative_error: float) -> None:
        # A little less, for the rounding of the logarithm.
        error = relative_error * (1.0 - 1e-9)
        self._width = log1p(error) - log1p(-error)
        # The ratio of a bucket's middle to its lower end. The middle is at the same relative distance from both ends.
        self._middle = 2.0 * exp(self._width) / (1.0 + exp(self._width))
        self.count = ceil(log(MOST / LEAST) / self._width) + 1

    def numbers(self, values: FloatArray) -> IntArray:
        """The bucket of each value."""
        buckets = np.log(np.clip(values, LEAST, MOST) / LEAST)
        buckets /= self._width
        return buckets.astype(np.int64)  # rounds down, as there is nothing below 0

    def middles(self, numbers: IntArray) -> FloatArray:
        """The middles of buckets."""
        return np.asarray(LEAST * np.exp(numbers * self._width) * self._middle)


class Histogram:
    """Counts of values; each quantile is within `RELATIVE_ERROR` of the exact one."""

    def __init__(self) -> None:
        self._buckets = Buckets(RELATIVE_ERROR)
        self._counts = np.zeros(self._buckets.count, dtype=np.int64)

    def add(self, values: FloatArray) -> None:
        """Count the values, shape (n,)."""
        self._counts += np.bincount(self._buckets.numbers(values), minlength=len(self._counts))

    def quantiles(self, shares: Sequence[float]) -> tuple[float, ...] | None:
        """The quantiles at these shares, each from 0 to 1; None if nothing has been counted."""
        (used,) = np.nonzero(self._counts)
        if not len(used):
            return None
        return tuple(counted_quantiles(self._buckets.middles(used), self._counts[used], shares).tolist())


def counted_quantiles(values: FloatArray, counts: IntArray, shares: Sequence[float]) -> FloatArray:
    """The quantiles that `numpy.quantile` gives if each value is repeated `counts` times.

    `values` are ascending. `values` and `counts` have shape (n,), n at least 1. Each share is from 0 to 1.
    """
    up_to = np.cumsum(counts)
    place = np.asarray(shares) * (up_to[-1] - 1)
    below = np.floor(place)
    low, high = (values[np.searchsorted(up_to, rank, side="right")] for rank in (below, np.ceil(place)))
    return np.asarray(low + (high - low) * (place - below))


_UNITS = (2.0**-22, 2.0**-52, 2.0**-82)
_FINER = (2.0**30, 2.0**30, 2.0**30)  # how many of the next unit each one is


class ExactSum:
    """The sum of values from 0 to `MOST`, as `math.fsum` gives it, in bounded memory.

    Each value is split into whole numbers of ever smaller units, which are added as integers. A double of at least
    2^-30 (1 ns) has no digits below the last unit.
    """

    def __init__(self) -> None:
        self._counts = [0] * len(_UNITS)

    def add(self, values: FloatArray) -> None:
        """Add the values, shape (n,)."""
        rest = values / _UNITS[0]
        for place, finer in enumerate(_FINER):
            whole = np.floor(rest)
            total = whole.sum()
            # A sum of whole numbers below 2^53 is exact in doubles; larger ones are rare.
            self._counts[place] += int(total) if total < 2.0**53 else sum(map(int, whole.tolist()))
            rest -= whole
            rest *= finer

    def value(self) -> float:
        """The sum."""
        return float(sum(count * Fraction(unit) for count, unit in zip(self._counts, _UNITS, strict=True)))


LEAST_EXACT = 2.0**-30


def exact_sum(values: FloatArray) -> float:
    """The sum of values of at least 0, shape (n,), rounded once: equal to `math.fsum`, in a fifth of the time."""
    if not len(values) or (values.min() < LEAST_EXACT and np.any((values > 0.0) & (values < LEAST_EXACT))):
        return fsum(values)
    total = ExactSum()
    total.add(values)
    return total.value()
