"""What a setting gains over the defaults: differences of the same windows and seeds, with intervals.

The runs of one window are averaged first, as they share its load; windows are what was drawn. Intervals are percentile
bootstraps over windows (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13), both settings of a
window drawn together: outcomes such as violations are far from normal, being zero on most windows. The change in
percent is that of the means, not the mean of changes, which a window without violations would leave undefined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ipa.studies.intervals import Estimate
from ipa.studies.tuning.racing import Columns

DRAWS = 10_000

_SEED = 15
"""Of the bootstrap: the same runs have the same intervals."""


@dataclass(frozen=True)
class Gain:
    """An outcome with the defaults and with a setting: both means, and the change with its 95 % interval.

    `percent` is None where the defaults come to zero.
    """

    outcome: str
    defaults: float
    tuned: float
    change: Estimate
    percent: Estimate | None


def gains(outcomes: Sequence[str], tuned: Columns, defaults: Columns, seeds: int) -> list[Gain]:
    """The gains in outcomes; both columns are of the same cases, `seeds` of them for each window."""
    return [_gain(name, _by_window(tuned[name], seeds), _by_window(defaults[name], seeds)) for name in outcomes]


def _gain(outcome: str, tuned: npt.NDArray[np.float64], defaults: npt.NDArray[np.float64]) -> Gain:
    known = ~(np.isnan(tuned) | np.isnan(defaults))
    tuned, defaults = tuned[known], defaults[known]
    windows = len(tuned)
    if windows == 0:
        return Gain(outcome, np.nan, np.nan, Estimate(np.nan, np.nan, np.nan), None)
    before, after = float(defaults.mean()), float(tuned.mean())
    drawn = np.random.default_rng(_SEED).integers(windows, size=(DRAWS if windows > 1 else 0, windows))
    befores, afters = defaults[drawn].mean(axis=1), tuned[drawn].mean(axis=1)
    percent = None
    if before:
        with np.errstate(divide="ignore", invalid="ignore"):
            changes = 100.0 * (afters / befores - 1.0)
        percent = _estimate(100.0 * (after / before - 1.0), changes[np.isfinite(changes)])
    return Gain(outcome, before, after, _estimate(after - before, afters - befores), percent)


def _estimate(mean: float, drawn: npt.NDArray[np.float64]) -> Estimate:
    if not len(drawn):
        return Estimate(mean, np.nan, np.nan)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(mean, float(low), float(high))


def _by_window(values: npt.NDArray[np.float64], seeds: int) -> npt.NDArray[np.float64]:
    means: npt.NDArray[np.float64] = values.reshape(-1, seeds).mean(axis=1)
    return means
