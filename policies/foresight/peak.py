"""The load to come: the level, and in the first minute of a surge what such surges have come to."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from ipa.policies.foresight.level import SHORT_S, Level
from ipa.policies.foresight.surges import BIN_S, BINS, DEVIATIONS, RISE, Surge

BAND = 0.3
"""Planned is a share of the mean of ten seconds + BAND x the deviation of a second: a queue evens seconds out."""


def peak_of(level: Level, surges: Sequence[Surge], now_s: float) -> float:
    """The load to come [rps]: the level, and in the first minute of a surge what such surges have come to."""
    peak_rps = level.m10_rps + BAND * level.deviation_rps
    if not surges or surges[-1].end_s is not None:
        risen_rps = level.m3_rps - level.m60_rps
        beyond = risen_rps > max(RISE * level.m60_rps, DEVIATIONS * level.deviation_rps / sqrt(SHORT_S))
        peaks = sorted(surge.peak_rps for surge in surges)
        if not beyond or not peaks:
            return peak_rps
        return max(peak_rps, level.m3_rps, level.m60_rps + peaks[(3 * len(peaks)) // 4])
    if now_s - surges[-1].onset_s > BIN_S * BINS:
        return peak_rps
    surge = surges[-1]
    age = len(surge.excess)
    noise = 3 * level.deviation_rps * sqrt(BIN_S * max(age, 1))
    alike = [each for each in surges[:-1] if is_alike(each.excess[:age], surge.excess, noise)]
    peaks = sorted(each.peak_rps for each in alike)
    if peaks:
        beyond_rps = peaks[(3 * len(peaks)) // 4]
    else:
        # It goes on as it has begun, for as long again.
        risen_rps = max(level.m3_rps - surge.base_rps, 0.0)
        beyond_rps = risen_rps + max(level.m3_rps - level.m10_rps, 0.0)
    return max(peak_rps, level.m3_rps, surge.base_rps + beyond_rps)


def is_alike(one: Sequence[float], other: Sequence[float], noise: float) -> bool:
    """Whether two surges have brought about as much so far: within a factor of two, or of the noise."""
    if len(one) < len(other):
        return False
    if not other:
        return True
    return one[-1] / 2 - noise <= other[-1] <= 2 * one[-1] + noise
