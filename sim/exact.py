"""The sum of very many values, rounded once: it does not depend on the order in which they come."""

from __future__ import annotations

from fractions import Fraction
from math import fsum

import numpy as np

from ipa.sim.model import FloatArray

_UNITS = (2.0**-22, 2.0**-52, 2.0**-82)
_FINER = (2.0**30, 2.0**30, 2.0**30)  # how many of the next unit each one is


class ExactSum:
    """The sum of values from 0 to `histogram.MOST`, as `math.fsum` gives it, in bounded memory.

    Each value is a whole number of the first unit, the rest one of the second, and so on. These whole numbers are added
    up as such. A double from 2^-30 on (1 ns) has no digits below the last unit.
    """

    def __init__(self) -> None:
        self._counts = [0] * len(_UNITS)

    def add(self, values: FloatArray) -> None:
        """Add the values, shape (n,)."""
        rest = values / _UNITS[0]
        for place, finer in enumerate(_FINER):
            whole = np.floor(rest)
            total = whole.sum()
            # A sum of whole numbers is exact in doubles while it is small enough; larger ones are rare.
            self._counts[place] += int(total) if total < 2.0**53 else sum(map(int, whole.tolist()))
            rest -= whole
            rest *= finer

    def value(self) -> float:
        """The sum."""
        return float(sum(count * Fraction(unit) for count, unit in zip(self._counts, _UNITS, strict=True)))


LEAST = 2.0**-30


def exact_sum(values: FloatArray) -> float:
    """The sum of values of at least 0, rounded once: as `math.fsum` gives it, in a fifth of the time; shape (n,)."""
    if not len(values) or (values.min() < LEAST and np.any((values > 0.0) & (values < LEAST))):
        return fsum(values)
    total = ExactSum()
    total.add(values)
    return total.value()
