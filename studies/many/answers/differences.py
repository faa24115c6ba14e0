"""Differences between settings, seed by seed, and whether one of them wins.

Settings with the same seed have the same arrivals and draws, so they are compared by their differences for each seed.
The setting with the best mean wins an outcome only if it is shown to be better than every other one: the interval of
each difference must lie on its side of zero.

With m others, each interval has 100 - 5 / m % (Bonferroni), and the whole claim is wrong in at most 5 % of all cases,
although the best was chosen by the same runs. For a wrong claim, some setting must look better than the truly best one
(m cases), or that one better than its equal (one more). Each happens in at most half of 5 / m % of all cases, as only
one end of the interval can err.

Dominated settings are many claims at once: any setting may be said to be worse than any other, in any outcome. So each
interval has 100 - 5 / n %, for n = pairs of settings x outcomes, and some claim is wrong in at most 5 % of all cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ipa.sim import FloatArray, IntArray
from ipa.studies.intervals import CONFIDENCE
from ipa.studies.many.answers.outcome import Outcome
from ipa.studies.many.answers.settings import ComparedSettings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Differences:
    """The differences of all settings from the one at `against`, in the outcome's unit; arrays are by setting.

    `confidence` is that of each interval. Those of all `others` together hold in 95 % of all cases, unless
    `differences` was told to widen them for more.
    """

    outcome: Outcome
    against: int
    others: int
    confidence: float
    mean: FloatArray
    low: FloatArray
    high: FloatArray

    @property
    def is_worse(self) -> NDArray[np.bool_]:
        """Which settings are shown to be worse than the one compared with."""
        return self._is_shown(1.0)

    @property
    def is_better(self) -> NDArray[np.bool_]:
        """Which settings are shown to be better than the one compared with."""
        return self._is_shown(-1.0)

    def _is_shown(self, side: float) -> NDArray[np.bool_]:
        sign = side * self.outcome.sign
        return np.asarray(sign * (self.low if sign > 0 else self.high) > 0.0)

    @property
    def equals(self) -> IntArray:
        """The other settings that are not shown to be worse, the nearest first."""
        candidates = np.isfinite(self.mean) & ~self.is_worse
        candidates[self.against] = False
        places = np.flatnonzero(candidates)
        return places[np.argsort(self.outcome.sign * self.mean[places], kind="stable")]

    @property
    def is_won(self) -> bool:
        """Whether the setting compared with is shown to be better than every other one."""
        return self.others > 0 and not len(self.equals)


def differences(
    settings: ComparedSettings, outcome: Outcome, against: int, intervals: int | None = None
) -> Differences:
    """The differences of all settings from one of them, over the seeds that both have.

    `intervals`: how many are to hold together in 95 % of all cases; by default those of the other settings.
    """
    values = settings.values[outcome.column]
    is_compared = np.isfinite(values - values[against]).any(axis=1)
    is_compared[against] = False
    others = int(is_compared.sum())
    confidence = 1.0 - (1.0 - CONFIDENCE) / max(intervals or others, 1)
    mean, low, high, _ = settings.differences(outcome, against, confidence)
    return Differences(outcome, against, others, confidence, mean, low, high)


def best(settings: ComparedSettings, outcome: Outcome) -> int | None:
    """The setting with the best mean, the first of equal ones; None if no setting has the figure."""
    means = outcome.sign * settings.means[outcome.column]
    return int(np.nanargmin(means)) if np.isfinite(means).any() else None


def tied(settings: ComparedSettings, outcome: Outcome, place: int | None) -> list[int]:
    """The settings that are not shown to be worse than the one at `place`, the nearest first; for a single seed, those
    that are equal to it."""
    if place is None:
        return []
    from_first = differences(settings, outcome, place)
    equals = (
        from_first.equals if len(settings.seeds) > 1 else from_first.equals[from_first.mean[from_first.equals] == 0.0]
    )
    places: list[int] = equals.tolist()
    return places


def dominated(settings: ComparedSettings, outcomes: Sequence[Outcome]) -> dict[int, int]:
    """Dominated setting -> the one on the front that dominates it: no worse in any outcome, and shown to be better in
    one; of several, the best in the first outcome. Of all these claims one is wrong in at most 5 % of all cases."""
    means = [outcome.sign * settings.means[outcome.column] for outcome in outcomes]
    front = np.flatnonzero(on_front(np.column_stack(means)))
    intervals = comb(len(settings), 2) * len(outcomes)
    dominator: dict[int, int] = {}
    for place in front[np.argsort(means[0][front], kind="stable")].tolist():
        no_better, worse = np.ones(len(settings), dtype=bool), np.zeros(len(settings), dtype=bool)
        for outcome, mean in zip(outcomes, means, strict=True):
            no_better &= mean >= mean[place]
            worse |= _is_worse(settings, outcome, place, intervals)
        dominator |= {
            setting: place for setting in np.flatnonzero(no_better & worse).tolist() if setting not in dominator
        }
    return dict(sorted(dominator.items()))


def _is_worse(settings: ComparedSettings, outcome: Outcome, place: int, intervals: int) -> NDArray[np.bool_]:
    """Which settings are shown to be worse than the one at `place`; for a single seed, which ones are worse."""
    from_setting = differences(settings, outcome, place, intervals)
    return from_setting.is_worse if len(settings.seeds) > 1 else np.asarray(outcome.sign * from_setting.mean > 0.0)


def as_table(settings: ComparedSettings, from_setting: Differences) -> pd.DataFrame:
    """One row a setting: its keys, its mean, its difference with its interval, and what is shown."""
    import pandas as pd

    levels = {
        key.name: [None if code < 0 else key.levels[code] for code in settings.codes[:, at].tolist()]
        for at, key in enumerate(settings.keys)
    }
    shown = np.where(from_setting.is_worse, "worse", np.where(from_setting.is_better, "better", "not shown")).astype(
        object
    )
    shown[from_setting.against] = "compared with"
    return pd.DataFrame(
        {
            **levels,
            "mean": from_setting.outcome.factor * settings.means[from_setting.outcome.column],
            "difference": from_setting.mean,
            "low": from_setting.low,
            "high": from_setting.high,
            "shown": shown,
        }
    )


# The Pareto front of two or three outcomes, and its certainty.


LEAST_FOR_BOOTSTRAP = 3
"""The fewest seeds for a bootstrap of the front."""

RESAMPLES = 400
"""The number of bootstrap draws of the seeds."""


@dataclass(frozen=True, eq=False)
class Front:
    """The Pareto front by the settings' means; arrays are by setting.

    `share`: the share of bootstrap draws of the seeds, the same for all settings, in which a setting is on the front;
    None for too few seeds.
    """

    outcomes: tuple[Outcome, ...]
    is_on: NDArray[np.bool_]
    share: FloatArray | None

    @property
    def places(self) -> IntArray:
        """The settings on the front."""
        return np.flatnonzero(self.is_on)


def front(settings: ComparedSettings, outcomes: Sequence[Outcome], seed: int = 0) -> Front:
    """The Pareto front of some outcomes: a setting dominates another if it is worse in none and better in one."""
    is_on = on_front(np.column_stack([outcome.sign * settings.means[outcome.column] for outcome in outcomes]))
    return Front(tuple(outcomes), is_on, _shares(settings, outcomes, seed))


def _shares(settings: ComparedSettings, outcomes: Sequence[Outcome], seed: int) -> FloatArray | None:
    seeds = len(settings.seeds)
    if seeds < LEAST_FOR_BOOTSTRAP:
        return None
    times = np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1.0 / seeds), RESAMPLES).astype(np.float64)
    # Means by draw and setting, over the seeds that a setting has.
    means = []
    for outcome in outcomes:
        values = settings.values[outcome.column]
        is_measured = np.isfinite(values)
        count = times @ is_measured.T
        total = times @ np.where(is_measured, values, 0.0).T
        means.append(outcome.sign * np.where(count > 0.0, total / np.maximum(count, 1.0), np.nan))
    on = sum(on_front(np.column_stack(draw)).astype(np.float64) for draw in zip(*means, strict=True))
    return np.asarray(on / RESAMPLES)


def on_front(points: FloatArray) -> NDArray[np.bool_]:
    """Which points, shape (points, outcomes), no other dominates; less is better. A point with a NaN is not on it."""
    measured = np.flatnonzero(np.isfinite(points).all(axis=1))
    ordered = measured[np.lexsort(points[measured].T[::-1])]
    is_on = np.zeros(len(points), dtype=bool)
    while len(ordered):
        # The first in lexicographic order is dominated by none; remove what it dominates.
        first = points[ordered[0]]
        rest = points[ordered]
        equal = (rest == first).all(axis=1)
        is_on[ordered[equal]] = True
        ordered = ordered[(rest < first).any(axis=1)]
    return is_on
