"""The effect of a key, or of two, on an outcome: means over all settings with the same values."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ipa.sim import FloatArray, IntArray
from ipa.studies.intervals import CONFIDENCE, bounds
from ipa.studies.many.answers.outcome import Outcome
from ipa.studies.many.answers.settings import ComparedSettings, Key, row_means

MOST_LEVELS = 12
"""A numeric key with more values than this is binned."""

BINS = 10


@dataclass(frozen=True, eq=False)
class Bins:
    """The values of a key, binned if they are many numbers: `bin` by setting (-1: not set), `names` by bin.

    `numbers`: the middle of every bin of a numeric key.
    """

    key: Key
    bin: IntArray
    names: tuple[str, ...]
    numbers: FloatArray | None

    @property
    def is_binned(self) -> bool:
        """Whether a bin holds several values."""
        return len(self.names) < len(self.key.levels)


@dataclass(frozen=True, eq=False)
class Effect:
    """An outcome's mean, in its unit, in every bin of a key, with 95 % intervals over the seeds (NaN for one seed)."""

    outcome: Outcome
    bins: Bins
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    settings: IntArray


@dataclass(frozen=True, eq=False)
class MeansPlane:
    """An outcome's mean, in its unit, and the number of settings by the bins of two keys; NaN without settings."""

    outcome: Outcome
    across: Bins
    up: Bins
    mean: FloatArray
    settings: IntArray


def bins(settings: ComparedSettings, place: int, most: int = MOST_LEVELS, count: int = BINS) -> Bins:
    """The bins of a key: its values or, for more than `most` numbers, about `count` bins with equally many settings."""
    key, codes = settings.keys[place], settings.codes[:, place]
    if len(key.levels) <= most or not key.is_number:
        numbers = np.array(key.levels, dtype=np.float64) if key.is_number else None
        return Bins(key, codes, tuple(key.text(code) for code in range(len(key.levels))), numbers)
    values = settings.numbers_of(place)
    edges = np.unique(np.nanquantile(values, np.linspace(0.0, 1.0, count + 1)))
    number = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    number = np.where(codes < 0, -1, number)
    middle = np.array([values[number == bin_number].mean() for bin_number in range(len(edges) - 1)])
    names = tuple(f"{low:.3g} to {high:.3g}".replace("-", "−") for low, high in pairwise(edges))
    return Bins(key, number, names, middle)


def effect(settings: ComparedSettings, outcome: Outcome, place: int) -> Effect:
    """The effect of a key. The interval is that of the mean over settings, over the seeds that all settings have."""
    bins_of_key = bins(settings, place)
    values = outcome.factor * settings.values[outcome.column]
    is_counted = np.isfinite(values).any(axis=1) & (bins_of_key.bin >= 0)
    whole = np.isfinite(values[is_counted]).all(axis=0)
    count = len(bins_of_key.names)
    inside = bins_of_key.bin[is_counted][None, :] == np.arange(count)[:, None]
    in_bin = inside.sum(axis=1)
    weights = inside / np.maximum(in_bin, 1)[:, None]
    mean = np.where(in_bin > 0, weights @ row_means(values[is_counted]), np.nan)
    middle, low, high = mean, *(np.full(count, np.nan),) * 2
    if whole.any():
        kind, *rest = settings.given(outcome)
        by_seed, sizes, span_s = (weights @ values_of[is_counted][:, whole] for values_of in rest)
        middle, low, high, _ = settings.in_unit(bounds(kind, by_seed, CONFIDENCE, sizes, span_s), kind, outcome)
    low = np.maximum(low - middle + mean, 0.0 if outcome.is_rate else -np.inf)
    return Effect(outcome, bins_of_key, mean, low, high - middle + mean, in_bin)


def plane(settings: ComparedSettings, outcome: Outcome, across: int, up: int) -> MeansPlane:
    """The outcome over two keys, averaged over all other keys."""
    of_x, of_y = (bins(settings, place, count=8) for place in (across, up))
    means = outcome.factor * settings.means[outcome.column]
    is_counted = np.isfinite(means) & (of_x.bin >= 0) & (of_y.bin >= 0)
    shape = (len(of_y.names), len(of_x.names))
    cell = of_y.bin[is_counted] * shape[1] + of_x.bin[is_counted]
    count = np.bincount(cell, minlength=shape[0] * shape[1])
    total = np.bincount(cell, weights=means[is_counted], minlength=shape[0] * shape[1])
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return MeansPlane(outcome, of_x, of_y, mean.reshape(shape), count.reshape(shape))
