"""Shares of the variance over a full grid, in which every combination of the keys' values has been run.

    alone(k) = Var(E[y | k]) / Var(y)             total(k) = 1 - Var(E[y | all but k]) / Var(y)

These are Sobol's first and total indices (Saltelli et al., Global Sensitivity Analysis: The Primer, 2008) for keys that
take each of their values equally often. On a grid they are exact sums; only the means of runs are estimated.

These means have an error; the more levels a key has, the larger its share of it. With several seeds the error's
variance is known and removed: sums of squares are reduced by their degrees of freedom times it, as in adjusted R².
Whether a key matters at all is tested by permuting its values, separately for each seed and each value of the others.
"""

from __future__ import annotations

import numpy as np

from ipa.sim import FloatArray, IntArray

PERMUTATIONS = 999


def is_grid(codes: IntArray, levels: tuple[int, ...]) -> bool:
    """Whether every combination of the keys' levels occurs exactly once. `codes`: shape (settings, keys)."""
    if len(codes) != np.prod(levels, dtype=np.float64) or (codes < 0).any():
        return False
    return len(np.unique(np.ravel_multi_index(tuple(codes.T), levels))) == len(codes)


def shares(
    codes: IntArray, levels: tuple[int, ...], outcome: FloatArray, error: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """For each key, its share of the variance alone, and its share together with all others.

    `outcome`: one figure for each setting of a grid; `error`: the variance of its random error. Zeros if it does not
    vary.
    """
    cube = np.empty(levels)
    cube[tuple(codes.T)] = outcome
    whole = cube.size * float(cube.var()) - (cube.size - 1) * error
    if whole <= 1e-24 * cube.size * max(float(np.abs(cube).max()) ** 2, 1e-300):
        return np.zeros(len(levels)), np.zeros(len(levels))
    axes = range(len(levels))
    means = (cube.mean(axis=tuple(each for each in axes if each != axis)) for axis in axes)
    alone = [cube.size * float(each.var()) - (len(each) - 1) * error for each in means]
    freedom = [cube.size - cube.size // len_of for len_of in levels]
    together = [cube.size * float(cube.var(axis=axis).mean()) - freedom[axis] * error for axis in axes]
    return np.clip(np.array(alone) / whole, 0.0, 1.0), np.clip(np.array(together) / whole, 0.0, 1.0)


def error_of_mean(values: FloatArray) -> float:
    """The error variance of a setting's mean over seeds, from the interaction of settings and seeds. `values`: shape
    (settings, seeds). 0 for a single seed, where it is unknown."""
    settings, seeds = values.shape
    if seeds < 2:
        return 0.0
    left = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return float((left**2).sum() / ((settings - 1) * (seeds - 1) * seeds))


def chance(
    codes: IntArray, levels: tuple[int, ...], values: FloatArray, key: int, random: np.random.Generator
) -> float:
    """The p-value of a key by permutation: how often a key without effect looks at least as important.

    `values`: shape (settings, seeds).
    """
    cube = np.empty((*levels, values.shape[1]))
    cube[tuple(codes.T)] = values

    def effect(each: FloatArray) -> float:
        return float(np.mean(each.mean(axis=-1).var(axis=key)))

    least = effect(cube) * (1.0 - 1e-12)
    return (1 + sum(effect(random.permuted(cube, axis=key)) >= least for _ in range(PERMUTATIONS))) / (PERMUTATIONS + 1)
