"""What a setting gains over the defaults: differences of the same windows and seeds, with intervals.

The runs of one window are averaged first, as they share its load; windows are what was drawn, both settings of a window
together. Intervals are those that suit the outcome (`ipa.studies.intervals`). The change in percent is that of the
means, not the mean of changes, which a window without violations would leave undefined; of few violations it is not
told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ipa.studies.intervals import CONFIDENCE, FEW_EVENTS, Estimate, differences, kind_of
from ipa.studies.many.tuning.racing import Columns

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gain:
    """An outcome with the defaults and with a setting: both means, and the change with its 95 % interval.

    `percent` is None where the defaults come to zero, or either rests on few events.
    """

    outcome: str
    defaults: float
    tuned: float
    change: Estimate
    percent: Estimate | None


def gains(outcomes: Sequence[str], tuned: Columns, defaults: Columns, seeds: int, window_s: float) -> list[Gain]:
    """The gains in outcomes; both columns are of the same cases, `seeds` of them for each window of `window_s`."""
    # Few violations in many requests: how many completed is near enough to how many came.
    completed = window_s * _by_window(
        defaults.get("throughput_rps", np.full(len(defaults[outcomes[0]]), np.nan)), seeds
    )
    found = []
    for name in outcomes:
        of = {"requests": completed, "duration_s": np.full(len(completed), window_s)}.get(kind_of(name).of or "")
        one, other = (_by_window(columns[name], seeds) for columns in (tuned, defaults))
        found.append(_gain(name, one, other, of, window_s * seeds))
    return found


def _gain(outcome: str, tuned: Values, defaults: Values, of: Values | None, span_s: float) -> Gain:
    known = ~(np.isnan(tuned) | np.isnan(defaults))
    one, other = tuned[known][None], defaults[known][None]
    if not one.size:
        return Gain(outcome, np.nan, np.nan, Estimate(np.nan, np.nan, np.nan), None)
    kind = kind_of(outcome)
    sizes = None if of is None else (of[known][None], np.full(one.shape, span_s))
    change = differences(kind, one, other, CONFIDENCE, *(sizes or ()))
    before, after = float(other.mean()), float(one.mean())
    percent = None
    if before and change.events[0] >= FEW_EVENTS:
        # What a window is off from the common ratio of both, by which the ratio of the means is off in its share.
        ratio = after / before
        off = differences(replace(kind, of=None), one / before, ratio * other / before, CONFIDENCE)
        ends = (max(100.0 * (ratio - 1.0 + float(end[0])), -100.0) for end in (off.low, off.high))
        percent = Estimate(100.0 * (ratio - 1.0), *ends)
    return Gain(outcome, before, after, Estimate(*(float(end[0]) for end in change[:3])), percent)


def _by_window(values: Values, seeds: int) -> Values:
    means: Values = values.reshape(-1, seeds).mean(axis=1)
    return means
