"""PAWN: how far the distribution of an outcome moves where a key's value is known (Pianosi and Wagener, 2018).

A key's values are put into slides of equally many settings. The index is the median over the slides of the
Kolmogorov-Smirnov distance between the outcome's distribution in the slide and over all settings: from 0 to 1. Even a
key without effect has an index above 0, as a slide is a sample; `noise` says how far above.

SALib has the index as well (the tests compare the two), but neither an interval nor values that are text.
"""

from __future__ import annotations

import numpy as np

from ipa.sim import FloatArray, IntArray

LEAST = 100
"""Fewer settings than this have too few in a slide."""

SLIDES = 10
RESAMPLES = 200


def slides(codes: IntArray) -> IntArray:
    """The slide of every setting, by a key's codes: a slide per value or, of many values, of equally many settings."""
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
    """The index, and the ends of a 95 % interval for what samples of this size have on average.

    The index plus and minus 1.96 times its standard deviation over samples drawn anew from this one, within 0 and 1.
    The quantiles of those would not do: a sample drawn anew has a larger index than the one it is drawn from.
    """
    order, last = _sorted(outcome)
    found = index(slide, outcome)
    count = len(outcome)
    times = random.multinomial(count, np.full(count, 1.0 / count), RESAMPLES).astype(np.float64)
    half = 1.96 * float(_medians(slide[order], last, times).std())
    return found, max(found - half, 0.0), min(found + half, 1.0)


def noise(slide: IntArray, outcome: FloatArray, random: np.random.Generator) -> float:
    """What a key without effect has at most in 95 % of all cases: the index of its values dealt out anew."""
    order, last = _sorted(outcome)
    found = [_medians(random.permutation(slide)[order], last, np.ones((1, len(slide))))[0] for _ in range(RESAMPLES)]
    return float(np.quantile(found, 0.95))


def _sorted(outcome: FloatArray) -> tuple[IntArray, IntArray]:
    """The order of the outcome, and the places in it after which it grows: between equal ones there is no distance."""
    order = np.argsort(outcome, kind="stable")
    ordered = outcome[order]
    return order, np.flatnonzero(np.append(np.diff(ordered) > 0.0, True))


def _medians(slide: IntArray, last: IntArray, times: FloatArray) -> FloatArray:
    """The index in each of some samples, which have every setting so many times; settings by their outcome."""
    whole = np.cumsum(times, axis=1)[:, last]
    whole /= whole[:, -1:]
    distances = []
    for each in range(int(slide.max()) + 1):
        within = np.cumsum(np.where(slide == each, times, 0.0), axis=1)[:, last]
        total = within[:, -1:]
        distance = np.abs(within / np.maximum(total, 1.0) - whole).max(axis=1)
        distances.append(np.where(total[:, 0] > 0.0, distance, np.nan))
    return np.asarray(np.nanmedian(distances, axis=0))
