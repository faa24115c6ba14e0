"""Increments of counters from the samples that a Prometheus server keeps, however regular its scrapes were.

A series is a list of (time_s, value) with rising times. A value below the one before means that the counter was reset
and has counted from zero since. A silence of more than a few scrapes is a gap: what happened in it, and when, is
unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import floor, inf, isfinite, nan
from statistics import median

from ipa.policies import NO_LATENCY, LatencyQuantiles

Samples = Sequence[tuple[float, float]]

SCRAPES_TO_A_GAP = 2.5
"""A silence longer than so many times the usual interval between scrapes is a gap."""


def clean(samples: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The samples that are numbers."""
    return [(time_s, value) for time_s, value in samples if isfinite(value)]


def increase(before: float, after: float) -> float:
    """By how much a counter has grown from one sample to the next."""
    return after - before if after >= before else after


def increase_since(samples: Samples, after_s: float) -> float:
    """By how much a counter has grown since a moment, not counting anything before the first known sample."""
    return sum(increase(one, other) for (_, one), (time_s, other) in pairwise(samples) if time_s > after_s)


def per_second(samples: Samples, end_s: float, seconds: int) -> list[float]:
    """The increments of the whole seconds [end - k, end - k + 1), newest last, shape (seconds,).

    The increment between two samples is spread evenly over the time between them. A second that no pair of samples
    covers, or that a gap touches, is NaN.
    """
    counts, covered_s = [0.0] * seconds, [0.0] * seconds
    start_s = end_s - seconds
    longest_s = SCRAPES_TO_A_GAP * median(b - a for (a, _), (b, _) in pairwise(samples)) if len(samples) > 1 else 0.0
    for (from_s, before), (until_s, after) in pairwise(samples):
        lasting_s = until_s - from_s
        if not 0.0 < lasting_s <= longest_s:
            continue
        rate = increase(before, after) / lasting_s
        for second in range(max(floor(from_s - start_s), 0), min(floor(until_s - start_s) + 1, seconds)):
            opens_s = start_s + second
            overlap_s = min(until_s, opens_s + 1.0) - max(from_s, opens_s)
            if overlap_s > 0.0:
                counts[second] += rate * overlap_s
                covered_s[second] += overlap_s
    return [count if covered > 1.0 - 1e-6 else nan for count, covered in zip(counts, covered_s, strict=True)]


def added(series: Sequence[Sequence[float]], seconds: int) -> tuple[float, ...]:
    """The sum of several series of per-second counts; where only some have a sample, the others count as 0."""
    if not series:
        return (nan,) * seconds
    columns = ([value for value in column if value == value] for column in zip(*series, strict=True))
    return tuple(sum(column) if column else nan for column in columns)


def quantiles(buckets: Mapping[float, float], shares: Sequence[float] = (0.5, 0.95, 0.99)) -> LatencyQuantiles:
    """Quantiles of a histogram's increments (upper bound -> how many up to it), linear within a bucket.

    Values above the last finite bound count as that bound, as in Prometheus's `histogram_quantile`.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0.0:
        return NO_LATENCY
    return LatencyQuantiles(*(_quantile(buckets, bounds, share * total) for share in shares))


def _quantile(buckets: Mapping[float, float], bounds: Sequence[float], rank: float) -> float:
    lower, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if bound == inf:
                return lower
            inside = buckets[bound] - below
            return bound if inside <= 0.0 else lower + (bound - lower) * (rank - below) / inside
        lower, below = bound, buckets[bound]
    return lower
