"""The bins of time that requests and events are counted in."""

from __future__ import annotations

from math import ceil, floor, log10

import numpy as np

from ipa.sim.model import FloatArray, IntArray

MOST_INTERVALS = 1500
"""How many intervals a run has at most."""


def interval_s(duration_s: float) -> float:
    """The width of the intervals of a run: 1 s up to 25 minutes, else the least of 2, 5, 10, ... that suffices."""
    return round_up(max(1.0, duration_s / MOST_INTERVALS))


def round_up(value: float) -> float:
    """The least of 1, 2, 5 x 10^k that is at least the value."""
    power = 10.0 ** floor(log10(value))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value * (1 - 1e-9))


def bin_edges(duration_s: float, width_s: float) -> FloatArray:
    """The edges of bins over the duration; the last bin may be narrower."""
    inner = np.arange(ceil(duration_s / width_s - 1e-9)) * width_s
    return np.append(inner, duration_s)


def bin_numbers(time_s: FloatArray, edges_s: FloatArray) -> IntArray:
    """The number of the bin of each moment; the last bin includes its end."""
    return np.clip(np.searchsorted(edges_s, time_s, side="right") - 1, 0, len(edges_s) - 2)
