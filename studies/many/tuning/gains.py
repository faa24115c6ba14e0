"""The gains of a setting over the defaults: differences on the same windows and seeds, with intervals.

The runs of one window are averaged first, as they share its load; the windows are the sample, paired between both
settings. Intervals are of the kind that suits the outcome (`ipa.studies.intervals`). The change in percent is that of
the means, not the mean of changes, which is undefined for a window without violations; it is not given for few
violations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np
import numpy.typing as npt

from ipa.studies.intervals import CONFIDENCE, FEW_EVENTS, Estimate, differences, kind_of

Columns = Mapping[str, npt.NDArray[np.float64]]
"""Outcome -> one value for each run, in the order of the cases; NaN if a run has none."""

Rows = list[dict[str, float | None]]
"""For each run, its outcomes by name; None if it has none."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gain:
    """An outcome with the defaults and with a setting: both means, and the change with its 95 % interval.

    `percent` is None if the defaults' mean is zero, or there are few events.
    """

    outcome: str
    defaults: float
    tuned: float
    change: Estimate
    percent: Estimate | None


def gains(outcomes: Sequence[str], tuned: Columns, defaults: Columns, seeds: int, window_s: float) -> list[Gain]:
    """The gains in outcomes; both columns are of the same cases, `seeds` of them for each window of `window_s`."""
    # With few violations in many requests, the completed ones approximate the arrivals.
    completed = window_s * by_window(defaults.get("throughput_rps", np.full(len(defaults[outcomes[0]]), np.nan)), seeds)
    of_outcomes = []
    for name in outcomes:
        size = {"requests": completed, "duration_s": np.full(len(completed), window_s)}.get(kind_of(name).of or "")
        of_tuned, of_defaults = (by_window(columns[name], seeds) for columns in (tuned, defaults))
        of_outcomes.append(_gain(name, of_tuned, of_defaults, size, window_s * seeds))
    return of_outcomes


def _gain(outcome: str, tuned: Floats, defaults: Floats, size: Floats | None, span_s: float) -> Gain:
    is_paired = ~(np.isnan(tuned) | np.isnan(defaults))
    of_tuned, of_defaults = tuned[is_paired][None], defaults[is_paired][None]
    if not of_tuned.size:
        return Gain(outcome, np.nan, np.nan, Estimate(np.nan, np.nan, np.nan), None)
    kind = kind_of(outcome)
    sizes = None if size is None else (size[is_paired][None], np.full(of_tuned.shape, span_s))
    change = differences(kind, of_tuned, of_defaults, CONFIDENCE, *(sizes or ()))
    before, after = float(of_defaults.mean()), float(of_tuned.mean())
    percent = None
    if before and change.events[0] >= FEW_EVENTS:
        # Each window's deviation from the common ratio; their mean is the error of the ratio of the means.
        ratio = after / before
        off = differences(replace(kind, of=None), of_tuned / before, ratio * of_defaults / before, CONFIDENCE)
        ends = (max(100.0 * (ratio - 1.0 + float(end[0])), -100.0) for end in (off.low, off.high))
        percent = Estimate(100.0 * (ratio - 1.0), *ends)
    return Gain(outcome, before, after, Estimate(*(float(end[0]) for end in change[:3])), percent)


def by_window(values: Floats, seeds: int) -> Floats:
    """The mean over the seeds of each window."""
    means: Floats = values.reshape(-1, seeds).mean(axis=1)
    return means


def columns_of(rows: Rows) -> Columns:
    """The outcomes of runs, by name."""
    values = {name: [row[name] for row in rows] for name in rows[0]}
    return {
        name: np.array([nan if value is None else value for value in of_name], np.float64)
        for name, of_name in values.items()
    }


def means_of(columns: Columns) -> dict[str, float]:
    """The mean of each outcome over the runs; NaN, for unknown, if a run does not have it."""
    return {name: float(values.mean()) for name, values in columns.items()}
