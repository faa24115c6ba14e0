"""The draws of the routes and numbers of items, keyed by seed, edge and request, never by policy.

An item has a 64-bit key, derived from its request and the edges by which it came, whichever replica served it and when.
All keys come from SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
"""

from __future__ import annotations

from collections.abc import Callable, MutableSequence, Sequence
from functools import lru_cache
from math import ceil, exp, floor, log, log1p, sqrt

import numpy as np
import numpy.typing as npt

from ipa.profiles import Edge, trials_of
from ipa.sim import streams
from ipa.sim.model import FloatArray, IntArray

Keys = npt.NDArray[np.uint64]

_MASK = 2**64 - 1
STEP = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def base_key(seed: int) -> int:
    """The key from which all keys of a run with this seed are derived."""
    sequence = np.random.SeedSequence(seed, spawn_key=(streams.PURPOSES["items"],))
    return int(sequence.generate_state(1, np.uint64)[0])


def key_of(key: int, number: int) -> int:
    """The key of part `number`, from 0, of the thing with this key."""
    key = (key + step(number)) & _MASK
    key = ((key ^ (key >> 30)) * _FIRST) & _MASK
    key = ((key ^ (key >> 27)) * _SECOND) & _MASK
    return key ^ (key >> 31)


def keys_of(keys: Keys, numbers: Keys | int) -> Keys:
    """As `key_of`, for an array of keys and a number or an array of numbers; arrays are `numpy.uint64`."""
    if isinstance(numbers, int):
        return mixed(keys + np.uint64(step(numbers)))
    return mixed(keys + (numbers + np.uint64(1)) * np.uint64(STEP))


def step(number: int) -> int:
    """What is added to a key for its part `number`, before mixing."""
    return (number + 1) * STEP & _MASK


def mixed(keys: Keys) -> Keys:
    """SplitMix64's mixing of an array of keys or, compiled, of one key."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(_FIRST)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(_SECOND)
    return keys ^ (keys >> np.uint64(31))


def uniform(key: int) -> float:
    """The uniform draw of a key, in [0, 1), a multiple of 2^-53."""
    return (key >> 11) * 2.0**-53


def persist(normals: MutableSequence[float], apart_s: Sequence[float], persist_s: float) -> None:
    """Give each number, in place, the correlation exp(-apart_s / persist_s) with the one before."""
    for i in range(1, len(normals)):
        correlation = exp(-apart_s[i - 1] / persist_s)
        normals[i] = correlation * normals[i - 1] + sqrt(1.0 - correlation * correlation) * normals[i]


def persistent(normals: FloatArray, apart_s: FloatArray, persist_s: float) -> FloatArray:
    """As `persist`, for arrays; returns a new one."""
    levels = normals.tolist()
    persist(levels, apart_s.tolist(), persist_s)
    return np.array(levels)


Persistent = Callable[[FloatArray, FloatArray, float], FloatArray]


def latent_uniforms(
    seed: int, number: int, persist_s: float, arrivals_s: FloatArray, persistent: Persistent = persistent
) -> FloatArray:
    """A quantile level, from 0 to 1, for each request's number of items on edge `number`; shape (requests,).

    As standard normals, the levels of successive requests have the correlation exp(-time between / persist_s).
    """
    places = streams.stream(seed, "items", number).random(len(arrivals_s))
    if persist_s == 0.0 or not len(places):
        return places
    from scipy.special import ndtr, ndtri

    normals = np.asarray(ndtri(np.maximum(places, streams.SMALLEST_UNIFORM)), dtype=np.float64)
    return np.asarray(ndtr(persistent(normals, np.diff(arrivals_s), persist_s)))


class Places:
    """As `latent_uniforms`, request by request, where arrivals are not known in advance."""

    def __init__(self, seed: int, number: int, persist_s: float) -> None:
        self._uniforms = streams.IndexedUniforms(streams.stream(seed, "items", number))
        self._persist_s = persist_s
        self.restart()

    def restart(self) -> None:
        """Start again at the first request."""
        self._count, self._normal, self._arrival_s = 0, 0.0, 0.0

    def next(self, arrival_s: float) -> float:
        """The quantile level of the next request."""
        place = self._uniforms[self._count]
        self._count += 1
        if self._persist_s == 0.0:
            return place
        from scipy.special import ndtr, ndtri

        normals = [self._normal, float(ndtri(max(place, streams.SMALLEST_UNIFORM)))]
        if self._count > 1:
            persist(normals, [arrival_s - self._arrival_s], self._persist_s)
        self._normal, self._arrival_s = normals[1], arrival_s
        return float(ndtr(normals[1]))


def numbers_of_items(edge: Edge, variant: str, places: FloatArray) -> IntArray:
    """How many items an item served by the variant puts on the edge, at these quantile levels from 0 to 1."""
    if edge.counts:
        measured = np.sort(np.array(edge.counts[variant], dtype=np.int64))
        return measured[np.minimum((places * len(measured)).astype(np.int64), len(measured) - 1)]
    mean = edge.mean(variant)
    if edge.spread == 0.0:
        least = floor(mean)
        return least + (places > 1.0 - (mean - least)).astype(np.int64)
    return np.searchsorted(_cumulative(mean, edge.spread), places).astype(np.int64)


@lru_cache(maxsize=256)
def _cumulative(mean: float, spread: float) -> FloatArray:
    """The probabilities of at most 0, 1, 2, ... items, up to nearly 1.

    The law is binomial for a spread below 1, with the number of trials that comes nearest to it; Poisson at 1; negative
    binomial above. All are in Panjer's class (a, b, 0): successive probabilities have the ratio a + b / k.
    """
    if mean == 0.0:
        return np.ones(1)
    most = ceil(mean + 40.0 * sqrt(spread * mean) + 40.0 * spread + 40.0)
    if spread < 1.0:
        trials = trials_of(mean, spread)
        most = min(trials, most)
        chance = mean / trials
        if chance == 1.0:
            return np.append(np.zeros(trials), 1.0)
        a, b = -chance / (1.0 - chance), (trials + 1) * chance / (1.0 - chance)
        log_first = trials * log1p(-chance)
    elif spread == 1.0:
        a, b, log_first = 0.0, mean, -mean
    else:
        size = mean / (spread - 1.0)
        a = 1.0 - 1.0 / spread
        b, log_first = (size - 1.0) * a, -size * log(spread)
    ratios = a + b / np.arange(1, most + 1)
    with np.errstate(divide="ignore"):  # the ratios are 0 if the mean is tiny
        return np.cumsum(np.exp(log_first + np.append(0.0, np.cumsum(np.log(ratios)))))
