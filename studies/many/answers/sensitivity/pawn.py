"""PAWN: how far the distribution of an outcome moves if a key's value is known (Pianosi and Wagener, 2018).

A key's values are divided into slides with equally many settings. The index, from 0 to 1, is the median over the slides
of the Kolmogorov-Smirnov distance between the outcome's distribution in the slide and over all settings. Even a key
without effect has an index above 0, as a slide is a sample; `noise` says how far above.

SALib has the index too (the tests compare them), but no interval and no text values.
"""

from __future__ import annotations

import numpy as np

from ipa.sim import FloatArray, IntArray

LEAST = 100
"""The fewest settings, so that slides are large enough."""

SLIDES = 10
RESAMPLES = 200


def slides(codes: IntArray) -> IntArray:
    """The slide of every setting by a key's codes: one per value or, for many values, of equally many settings."""
    kinds, number = np.unique(codes, return_inverse=True)
    if len(kinds) <= SLIDES:
        return np.asarray(number.reshape(-1), dtype=np.int64)
    edges = np.quantile(codes, np.linspace(0.0, 1.0, SLIDES + 1)[1:-1])
    return np.searchsorted(edges, codes, side="right")


def index(slide: IntArray, outcome: FloatArray) -> float:
    """The index of a key."""
    order, last = _sorted(outcome)
    return float(_medians(slide[order], last, np.ones((1, len(outcome))))[0])


def interval(slide: IntArray, outcome: FloatArray, random: np.random.Generator) -> tuple[float, float, float]:
    """The index, and the ends of a 95 % interval for its mean over samples of this size.

    The interval is the index plus and minus 1.96 bootstrap standard deviations, within 0 and 1. Bootstrap quantiles
    would be biased: a resample has a larger index than the sample.
    """
    order, last = _sorted(outcome)
    found = index(slide, outcome)
    count = len(outcome)
    times = random.multinomial(count, np.full(count, 1.0 / count), RESAMPLES).astype(np.float64)
    half = 1.96 * float(_medians(slide[order], last, times).std())
    return found, max(found - half, 0.0), min(found + half, 1.0)


def noise(slide: IntArray, outcome: FloatArray, random: np.random.Generator) -> float:
    """The 95 % quantile of the index of a key without effect, by permutation of its values."""
    order, last = _sorted(outcome)
    found = [_medians(random.permutation(slide)[order], last, np.ones((1, len(slide))))[0] for _ in range(RESAMPLES)]
    return float(np.quantile(found, 0.95))


def _sorted(outcome: FloatArray) -> tuple[IntArray, IntArray]:
    """The order of the outcome, and the places in it after which it grows: equal values are counted together."""
    order = np.argsort(outcome, kind="stable")
    ordered = outcome[order]
    return order, np.flatnonzero(np.append(np.diff(ordered) > 0.0, True))


def _medians(slide: IntArray, last: IntArray, times: FloatArray) -> FloatArray:
    """The index in each of several samples. `times`: how often each has every setting, in order of the outcome."""
    whole = np.cumsum(times, axis=1)[:, last]
    whole /= whole[:, -1:]
    distances = []
    for each in range(int(slide.max()) + 1):
        within = np.cumsum(np.where(slide == each, times, 0.0), axis=1)[:, last]
        total = within[:, -1:]
        distance = np.abs(within / np.maximum(total, 1.0) - whole).max(axis=1)
        distances.append(np.where(total[:, 0] > 0.0, distance, np.nan))
    return np.asarray(np.nanmedian(distances, axis=0))
