"""Shares of the variance over a full grid, in which every combination of the keys' values has been run.

    alone(k) = Var(E[y | k]) / Var(y)             total(k) = 1 - Var(E[y | all but k]) / Var(y)

These are Sobol's first and total indices (Saltelli et al., Global Sensitivity Analysis: The Primer, 2008) for keys that
take each of their values equally often. On a grid they are sums over it: nothing is estimated but the means of runs.
"""

from __future__ import annotations

import numpy as np

from ipa.sim import FloatArray, IntArray


def is_grid(codes: IntArray, levels: tuple[int, ...]) -> bool:
    """Whether every combination of so many levels of each key is there once. `codes`: shape (settings, keys)."""
    if len(codes) != np.prod(levels, dtype=np.float64) or (codes < 0).any():
        return False
    return len(np.unique(np.ravel_multi_index(tuple(codes.T), levels))) == len(codes)


def shares(codes: IntArray, levels: tuple[int, ...], outcome: FloatArray) -> tuple[FloatArray, FloatArray]:
    """By key, the share of the variance that it has alone, and that it has with all others together.

    `outcome`: one figure a setting of a grid; zeros where it does not vary.
    """
    cube = np.empty(levels)
    cube[tuple(codes.T)] = outcome
    variance = float(cube.var())
    if variance <= 1e-24 * max(float(np.abs(cube).max()) ** 2, 1e-300):
        return np.zeros(len(levels)), np.zeros(len(levels))
    axes = range(len(levels))
    alone = [float(cube.mean(axis=tuple(each for each in axes if each != axis)).var()) for axis in axes]
    rest = [float(cube.mean(axis=axis).var()) for axis in axes]
    return np.array(alone) / variance, 1.0 - np.array(rest) / variance
