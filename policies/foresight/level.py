"""How high the load is and how much it varies from second to second, from its latest seconds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

SHORT_S, MEDIUM_S, LONG_S = 3, 10, 60
"""The seconds of which means are taken."""

NORMAL = sqrt(3.141592653589793) / 2
"""Of a normal variable, deviation = NORMAL x the mean of the differences of independent pairs."""


@dataclass(frozen=True, slots=True)
class Level:
    """Means of the last 3, 10 and 60 seconds [rps], and the deviation of single seconds [rps].

    The deviation is that of the differences between neighbouring seconds, so that a change of the level counts little.
    """

    m3_rps: float
    m10_rps: float
    m60_rps: float
    deviation_rps: float


def level_of(load_rps: Sequence[float]) -> Level | None:
    """The level after the seconds of `load_rps` (newest last, NaN: no sample); None without a sample."""
    last = load_rps[-LONG_S:]
    if mean(last) != mean(last):
        return None
    pairs = [abs(b - a) for a, b in itertools.pairwise(last) if a == a and b == b]
    deviation_rps = NORMAL * sum(pairs) / len(pairs) if pairs else 0.0
    m60_rps = mean(last)
    m10_rps = mean(last[-MEDIUM_S:])
    m10_rps = m60_rps if m10_rps != m10_rps else m10_rps
    m3_rps = mean(last[-SHORT_S:])
    return Level(m10_rps if m3_rps != m3_rps else m3_rps, m10_rps, m60_rps, deviation_rps)


def highest_rps(load_rps: Sequence[float], within_s: float) -> float:
    """The highest mean of ten samples in a row within the last `within_s` seconds [rps]; 0 with fewer than ten."""
    samples = [count for count in load_rps[-round(within_s) :] if count == count]
    sums = [0.0, *itertools.accumulate(samples)]
    return max((b - a for a, b in zip(sums, sums[MEDIUM_S:], strict=False)), default=0.0) / MEDIUM_S


def mean(counts: Sequence[float]) -> float:
    """The mean of the seconds that have a sample; NaN without any."""
    total = sum(counts)
    if total == total:
        return total / len(counts) if counts else nan
    samples = [count for count in counts if count == count]
    return sum(samples) / len(samples) if samples else nan
