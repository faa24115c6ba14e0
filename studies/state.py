"""The state of a run: whether it kept up with its load, by a stated rule.

A request is late in the system once it has been there for longer than the SLA. A bin of time is backlogged if a request
was late in the system during it: the pipeline then served as fast as it could, and what it completed is its capacity.
The bin is overloaded if, besides, more requests arrived in it than were completed. A run is

overloaded   if at least `OVERLOADED` of its bins are overloaded
backlogged   if not, and at least `BACKLOGGED` of its bins are backlogged, or a request is late at its end
stable       otherwise
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

State = Literal["stable", "backlogged", "overloaded"]

OVERLOADED = BACKLOGGED = 0.05
"""The share of the time from which on a run is called so."""

STATES: tuple[State, ...] = ("stable", "backlogged", "overloaded")
"""From good to bad."""

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Standing:
    """How a run stood: shares of its time, and how many requests were late in the system at its end."""

    backlogged_share: float
    overloaded_share: float
    late_at_end: int

    @property
    def state(self) -> State:
        """The state by the rule."""
        if self.overloaded_share >= OVERLOADED:
            return "overloaded"
        return "backlogged" if self.backlogged_share >= BACKLOGGED or self.late_at_end else "stable"


def standing(arrived: Counts, completed: Counts, late: Counts, late_at_end: int) -> Standing:
    """How a run stood, from the requests of each bin of equal width.

    `late`: how many were late in the system at some time of it; `late_at_end`: how many at the end of the run.
    """
    backlogged = late > 0
    overloaded = backlogged & (arrived > completed)
    share = 1.0 / max(len(arrived), 1)
    return Standing(float(backlogged.sum()) * share, float(overloaded.sum()) * share, late_at_end)


def standing_counted(intervals: pd.DataFrame, queues: pd.DataFrame, edges_s: NDArray[np.float64]) -> Standing:
    """How a run stood, from its counts in intervals; each bin between `edges_s` holds whole intervals."""
    first = np.searchsorted(intervals["time_s"].to_numpy(float), edges_s[:-1])
    last_stage = queues[queues["stage"] == queues["stage"].iloc[-1]]
    late = intervals["late_waiting"].to_numpy()
    at_start = np.append(0, late)[first]
    return standing(
        np.add.reduceat(intervals["requests"].to_numpy(), first),
        np.add.reduceat(last_stage["finished"].to_numpy(), first),
        at_start + np.add.reduceat(intervals["became_late"].to_numpy(), first),
        int(late[-1]),
    )


def standing_of(requests: pd.DataFrame, sla_s: float, edges_s: NDArray[np.float64]) -> Standing:
    """How a run stood, from its table of requests; `edges_s`: the edges of the bins, the last one the run's end."""
    arrival_s = requests["arrival_s"].to_numpy(float)
    end_s = requests["end_s"].to_numpy(float)
    is_completed, is_unfinished = ((requests["outcome"] == name).to_numpy() for name in ("completed", "unfinished"))
    # Of a request that failed no end may be known.
    end_s = np.where(is_unfinished, np.inf, np.where(np.isnan(end_s), arrival_s, end_s))
    late_from_s = arrival_s + sla_s
    is_late = end_s > late_from_s
    late_from_s, late_to_s = late_from_s[is_late], end_s[is_late]
    duration_s = edges_s[-1]
    # Late in a bin: those late before its end, without those that were gone by its start.
    late = np.searchsorted(np.sort(late_from_s), edges_s[1:]) - np.searchsorted(
        np.sort(late_to_s), edges_s[:-1], side="right"
    )
    return standing(
        np.histogram(arrival_s, edges_s)[0],
        np.histogram(end_s[is_completed], edges_s)[0],
        late,
        int(np.sum((late_from_s < duration_s) & (late_to_s > duration_s))),
    )
