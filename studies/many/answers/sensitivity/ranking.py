"""The ranking of keys by their importance for an outcome.

The method is the first of these that the settings allow; the answer names it.

    variance      the settings are a full grid: shares of the variance, exact but for the error of the means
    Sobol         they are a sample of Saltelli's, and SALib is installed
    PAWN          they are at least 100
    permutation   they are at least 10
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ipa.sim import FloatArray
from ipa.studies.intervals import PLAIN, bounds
from ipa.studies.many.answers.outcome import Outcome
from ipa.studies.many.answers.sensitivity import grid, pawn, sobol, surrogate
from ipa.studies.many.answers.settings import Key, Settings

Method = Literal["variance", "Sobol", "PAWN", "permutation"]

LEAST_SEEDS = 5
"""The fewest seeds for intervals of the shares of the variance."""

RESAMPLES = 400


@dataclass(frozen=True)
class Importance:
    """A key's index with its 95 % interval, NaN without one; `alone`: its share without the other keys."""

    key: Key
    value: float
    low: float
    high: float
    alone: float

    @property
    def figures(self) -> tuple[float, float, float]:
        """The index and the ends of its interval."""
        return self.value, self.low, self.high


@dataclass(frozen=True)
class Ranking:
    """The keys, the most important first. `noise`: the index that a key without effect may have; NaN if unknown.
    `chance`: the first key's p-value by permutation; NaN for other methods.

    `explained`: the share of the variance that the surrogate explains; NaN for other methods.
    """

    outcome: Outcome
    method: Method
    keys: tuple[Importance, ...]
    noise: float = float("nan")
    explained: float = float("nan")
    chance: float = float("nan")

    @property
    def is_noise(self) -> bool:
        """Whether even the first key may have no effect."""
        first = self.keys[0]
        return (np.isfinite(self.noise) and first.low <= self.noise) or self.chance > 0.05 / len(self.keys)

    @property
    def measure(self) -> str:
        """The name of the index, for an axis."""
        return {
            "variance": "share of the variance",
            "Sobol": "Sobol's total index",
            "PAWN": "PAWN index",
            "permutation": "growth of the error / variance",
        }[self.method]

    @property
    def first(self) -> Importance | None:
        """The key that is shown to matter most: its interval is above those of all others and above the noise. None if
        there is no such key or there are no intervals."""
        first, *others = self.keys
        return first if first.low > max([0.0, *(other.high for other in others)]) and not self.is_noise else None


def rank(settings: Settings, outcome: Outcome, seed: int = 0) -> Ranking | None:
    """The ranking of the keys; None for fewer than two keys, too few settings, or an outcome equal in all of them."""
    whole = np.isfinite(settings.means[outcome.column])
    codes, means = settings.codes[whole], settings.means[outcome.column][whole]
    values = settings.values[outcome.column][whole]
    keys = settings.keys
    if len(keys) < 2 or len(means) < 4 or np.ptp(means) <= 1e-12 * np.abs(means).max():
        return None
    random = np.random.default_rng(seed)
    levels = tuple(len(key.levels) for key in keys)
    if grid.is_grid(codes, levels):
        alone, total = grid.shares(codes, levels, means, grid.error_of_mean(_whole_seeds(values)))
        low, high = _over_seeds(settings, codes, levels, values, random)
        chance = float("nan")
        if len(settings.seeds) > 1:
            chance = grid.chance(codes, levels, _whole_seeds(values), int(np.argmax(total)), random)
        return Ranking(outcome, "variance", _ranked(settings, total, low, high, alone), chance=chance)
    if sobol.is_saltelli(codes) and sobol.is_installed():
        first, total, half = sobol.indices(codes, means)
        return Ranking(outcome, "Sobol", _ranked(settings, total, np.maximum(total - half, 0.0), total + half, first))
    none = np.full(len(keys), np.nan)
    if len(means) >= pawn.LEAST:
        slides = [pawn.slides(codes[:, place]) for place in range(len(keys))]
        found = np.array([pawn.interval(slide, means, random) for slide in slides])
        noise = max(pawn.noise(slide, means, random) for slide in slides)
        return Ranking(outcome, "PAWN", _ranked(settings, *found.T, none), noise)
    if len(means) < surrogate.LEAST:
        return None
    explained, growth = surrogate.importances(codes, [key.is_number for key in keys], means, random)
    mean, low, high, _ = bounds(PLAIN, growth, 0.95)
    return Ranking(outcome, "permutation", _ranked(settings, mean, low, high, none), explained=explained)


def _whole_seeds(values: FloatArray) -> FloatArray:
    """The columns of the seeds that all settings have."""
    return values[:, np.isfinite(values).all(axis=0)]


def _over_seeds(
    settings: Settings, codes: np.ndarray, levels: tuple[int, ...], values: FloatArray, random: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """The intervals of the shares of the variance, by a bootstrap over the seeds, the same draws for all settings."""
    values = _whole_seeds(values)
    seeds = values.shape[1]
    if seeds < LEAST_SEEDS:
        none = np.full(len(settings.keys), np.nan)
        return none, none
    times = random.multinomial(seeds, np.full(seeds, 1.0 / seeds), RESAMPLES) / seeds
    error = 2.0 * grid.error_of_mean(values)  # of the seeds and of the bootstrap draw
    drawn = [grid.shares(codes, levels, values @ weights, error)[1] for weights in times]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return low, high


def _ranked(settings: Settings, *figures: FloatArray) -> tuple[Importance, ...]:
    """The keys by their index, the largest first; `figures`, by key: index, ends of its interval, and `alone`."""
    found = [Importance(key, *map(float, each)) for key, *each in zip(settings.keys, *figures, strict=True)]
    return tuple(sorted(found, key=lambda each: -each.value))
