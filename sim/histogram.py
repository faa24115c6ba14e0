"""Quantiles of very many values in bounded memory: a histogram with bins of equal width on a log scale."""

from __future__ import annotations

from math import ceil, floor, log, log1p

import numpy as np

from ipa.sim.model import FloatArray

RELATIVE_ERROR = 0.001
"""By how much a quantile may differ from the exact one, relative to it."""

LEAST = 1e-6
"""Smaller values count as this; for latencies it is a microsecond."""

MOST = 1e9

# Every value of a bin is within a factor of 1 - e to 1 + e of its middle, less a little for the logarithm's rounding.
_WIDTH = log1p(RELATIVE_ERROR * (1.0 - 1e-9)) - log1p(-RELATIVE_ERROR * (1.0 - 1e-9))
_BINS = ceil(log(MOST / LEAST) / _WIDTH) + 1


class Histogram:
    """Counts of values from `LEAST` to `MOST`.

    Quantiles are those of `numpy.quantile` (linear between the two nearest values), with the middle of a bin in place
    of its values, so each is within `RELATIVE_ERROR` of the exact one.

    Source of the bins: Masson, Rim and Lee, DDSketch, VLDB 2019.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, dtype=np.int64)

    def add(self, values: FloatArray) -> None:
        """Count the values, shape (n,)."""
        bins = np.log(np.clip(values, LEAST, MOST) / LEAST)
        bins /= _WIDTH
        # Truncation rounds down, as there is nothing below 0.
        self._counts += np.bincount(bins.astype(np.int64), minlength=_BINS)

    def quantiles(self, shares: tuple[float, ...]) -> tuple[float, ...] | None:
        """The quantiles at these shares, each from 0 to 1; None if nothing has been counted."""
        up_to = np.cumsum(self._counts)
        total = int(up_to[-1])
        if total == 0:
            return None

        def ranked(rank: int) -> float:
            """Approximately the value with `rank` values below it."""
            position = int(np.searchsorted(up_to, rank, side="right"))
            return float(LEAST * np.exp(position * _WIDTH) * _MIDDLE)

        found = []
        for share in shares:
            place = share * (total - 1)
            below, above = ranked(floor(place)), ranked(ceil(place))
            found.append(below + (above - below) * (place - floor(place)))
        return tuple(found)


_MIDDLE = 2.0 * np.exp(_WIDTH) / (1.0 + np.exp(_WIDTH))
"""A bin's middle over its lower edge; its relative distance from both edges is the same."""
