"""Permutation importance in a surrogate: how much worse an outcome is predicted once a key's values are shuffled.

The surrogate is a ridge regression on powers of a numeric key's rank (up to the third), on an indicator for each value
of a text key, and on the products of any two keys. It is cross-validated: each fold of the settings is predicted by a
fit to the others. The importance of a key is the mean growth of the squared error, as a share of the outcome's variance
(Fisher, Rudin and Dominici, JMLR 20, 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ipa.sim import FloatArray, IntArray

FOLDS, SHUFFLES = 5, 10
LEAST = 10
"""The fewest settings to fit the surrogate on."""

PENALTIES = (1e-6, 1e-4, 1e-2, 1.0, 10.0, 100.0)
MOST_COLUMNS = 300
"""The most columns; the products are left out if there would be more."""


def importances(
    codes: IntArray, numeric: Sequence[bool], outcome: FloatArray, random: np.random.Generator
) -> tuple[float, FloatArray]:
    """The share of the variance that the surrogate explains in unseen settings; and for each setting the growth of its
    squared error over the variance, shape (keys, settings). Zeros if the outcome does not vary."""
    count, keys = codes.shape
    variance = float(outcome.var())
    if variance == 0.0:
        return 0.0, np.zeros((keys, count))
    fold = random.permutation(np.arange(count) % FOLDS)
    columns = _columns(codes, codes, numeric)
    errors = []
    for penalty in PENALTIES:
        error = [
            np.square(
                _Fit(columns[fold != each], outcome[fold != each], penalty)(columns[fold == each])
                - outcome[fold == each]
            )
            for each in range(FOLDS)
        ]
        errors.append(float(np.concatenate(error).mean()))
    penalty = PENALTIES[int(np.argmin(errors))]
    growth = np.zeros((keys, count))
    for each in range(FOLDS):
        test = np.flatnonzero(fold == each)
        predict = _Fit(columns[fold != each], outcome[fold != each], penalty)
        before = np.square(predict(columns[test]) - outcome[test])
        for key in range(keys):
            for _ in range(SHUFFLES):
                shuffled = codes[test].copy()
                shuffled[:, key] = random.permutation(shuffled[:, key])
                after = np.square(predict(_columns(shuffled, codes, numeric)) - outcome[test])
                growth[key, test] += (after - before) / (SHUFFLES * variance)
    return max(1.0 - min(errors) / variance, 0.0), growth


class _Fit:
    """A ridge regression on standardised columns."""

    def __init__(self, columns: FloatArray, outcome: FloatArray, penalty: float) -> None:
        self._middle, spread = columns.mean(axis=0), columns.std(axis=0)
        self._spread = np.where(spread > 1e-12, spread, np.inf)
        self._mean = float(outcome.mean())
        scaled = (columns - self._middle) / self._spread
        square = scaled.T @ scaled / len(scaled) + penalty * np.eye(scaled.shape[1])
        self._weights = np.linalg.lstsq(square, scaled.T @ (outcome - self._mean) / len(scaled), rcond=None)[0]

    def __call__(self, columns: FloatArray) -> FloatArray:
        scaled: FloatArray = (columns - self._middle) / self._spread
        return np.asarray(scaled @ self._weights + self._mean, dtype=np.float64)


def _columns(codes: IntArray, among: IntArray, numeric: Sequence[bool]) -> FloatArray:
    """The surrogate's inputs for some settings; `among`: all settings, which define the ranks of numbers."""
    by_key = [_of_key(codes[:, key], among[:, key], is_number) for key, is_number in enumerate(numeric)]
    firsts = [part[:, :1] if is_number else part for part, is_number in zip(by_key, numeric, strict=True)]
    products = [(one[:, :, None] * other[:, None, :]).reshape(len(codes), -1) for one, other in combinations(firsts, 2)]
    wide = sum(part.shape[1] for part in (*by_key, *products))
    return np.concatenate([*by_key, *(products if wide <= MOST_COLUMNS else ())], axis=1)


def _of_key(codes: IntArray, among: IntArray, is_number: bool) -> FloatArray:
    kinds = np.unique(among)
    if not is_number or kinds[0] < 0 or len(kinds) == 1:
        return np.asarray(codes[:, None] == kinds[None, 1:], dtype=np.float64)
    rank = 2.0 * np.searchsorted(kinds, codes) / (len(kinds) - 1) - 1.0
    return np.stack([rank**power for power in range(1, min(len(kinds), 4))], axis=1)
