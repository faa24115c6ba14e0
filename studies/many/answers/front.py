"""The Pareto front of two or three outcomes, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ipa.sim import FloatArray, IntArray
from ipa.studies.many.answers.outcome import Outcome
from ipa.studies.many.answers.settings import Settings

LEAST_FOR_BOOTSTRAP = 3
"""Of fewer seeds it is not said how sure the front is."""

RESAMPLES = 400
"""How often the seeds are drawn anew."""


@dataclass(frozen=True, eq=False)
class Front:
    """Which settings no other one betters, by their means; by setting.

    `share`: of draws of the seeds, with replacement and the same for all settings, those in which a setting is on the
    front; None where there are too few seeds.
    """

    outcomes: tuple[Outcome, ...]
    is_on: NDArray[np.bool_]
    share: FloatArray | None

    @property
    def places(self) -> IntArray:
        """The settings on the front."""
        return np.flatnonzero(self.is_on)


def front(settings: Settings, outcomes: Sequence[Outcome], seed: int = 0) -> Front:
    """The front of some outcomes. A setting betters another if it is no worse in any outcome and better in one."""
    is_on = on_front(np.column_stack([each.sign * settings.means[each.column] for each in outcomes]))
    return Front(tuple(outcomes), is_on, _shares(settings, outcomes, seed))


def _shares(settings: Settings, outcomes: Sequence[Outcome], seed: int) -> FloatArray | None:
    seeds = len(settings.seeds)
    if seeds < LEAST_FOR_BOOTSTRAP:
        return None
    times = np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1.0 / seeds), RESAMPLES).astype(np.float64)
    # Means by draw and setting, of the seeds that a setting has.
    means = []
    for outcome in outcomes:
        values = settings.values[outcome.column]
        known = np.isfinite(values)
        count = times @ known.T
        total = times @ np.where(known, values, 0.0).T
        means.append(outcome.sign * np.where(count > 0.0, total / np.maximum(count, 1.0), np.nan))
    on = sum(on_front(np.column_stack(draw)).astype(np.float64) for draw in zip(*means, strict=True))
    return np.asarray(on / RESAMPLES)


def on_front(points: FloatArray) -> NDArray[np.bool_]:
    """Which points, of shape (points, outcomes), no other betters; less is better. One with a NaN is none of them."""
    there = np.flatnonzero(np.isfinite(points).all(axis=1))
    ordered = there[np.lexsort(points[there].T[::-1])]
    found = np.zeros(len(points), dtype=bool)
    while len(ordered):
        # The first by its first outcome, then the second and so on, is bettered by none; what it betters goes.
        first = points[ordered[0]]
        left = points[ordered]
        equal = (left == first).all(axis=1)
        found[ordered[equal]] = True
        ordered = ordered[(left < first).any(axis=1)]
    return found
