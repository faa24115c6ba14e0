"""The state of every policy in words, for the top of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ipa.studies.formatting import number
from ipa.studies.many import PolicyRuns
from ipa.studies.pages.colours import BAD, DOUBTFUL, GOOD
from ipa.studies.pages.document import Strong, Text
from ipa.studies.series import edges_of

if TYPE_CHECKING:
    from ipa.studies.runs import RunData

_COLOURS: dict[State, str] = {"stable": GOOD, "backlogged": DOUBTFUL, "overloaded": BAD}


def sentence(group: PolicyRuns) -> Text:
    """The state of a policy, which is that of its worst seed, and the reason."""
    standings = dict(zip(group.seeds, map(_standing, group.runs), strict=True))
    worst = max(standings, key=lambda seed: _badness(standings[seed]))
    state = standings[worst].state
    where = _where(standings, state)
    rest = f"{_kept(group)}{in_words(standings[worst], worst if where else None)}"
    lost = [run.loss for run in group.runs if run.loss]  # live runs that lost too many requests
    if lost:
        return [Strong(group.label), ": ", *(part for text in lost for part in (Strong(f"{text}.", BAD), " ")), rest]
    return [Strong(group.label), " is ", Strong(state, _COLOURS[state]), f"{where}. {rest}"]


def definitions(sentences: Sequence[Text]) -> str:
    """The definitions of the states in such sentences."""
    states = {part.text for text in sentences for part in text if isinstance(part, Strong)}
    return " ".join(DEFINED[state] for state in STATES if state in states)


def in_words(standing: Standing, seed: int | None = None) -> str:
    """The reason of a run's state; `seed`: name this seed."""
    of_time = "" if seed is None else f" with seed {seed}"
    if standing.state == "overloaded":
        share = _percent(standing.overloaded_share)
        return (
            f"During {share} of the time{of_time} more requests arrived than were completed, while at least a tenth as "
            "many were in the system for longer than the SLA."
        )
    if standing.backlogged_share == 0.0:
        return "No request was in the system for longer than the SLA."
    at_end = f"; {standing.late_at_end:,} of them at the end" if standing.late_at_end else ""
    share = _percent(standing.backlogged_share)
    return f"Requests were in the system for longer than the SLA during {share} of the time{of_time}{at_end}."


def _standing(run: RunData) -> Standing:
    edges_s = edges_of(run.tables, float(run.summary["duration_s"]))
    if "intervals" in run.tables:
        return standing_counted(run.tables["intervals"], run.tables["queues"], edges_s)
    return standing_of(run.tables["requests"], float(run.summary["sla_s"]), edges_s)


def _badness(standing: Standing) -> tuple[int, float, float]:
    return STATES.index(standing.state), standing.overloaded_share, standing.backlogged_share


def _where(standings: Mapping[int, Standing], state: State) -> str:
    """With how many seeds a policy is in this state; empty if with all."""
    seeds = [seed for seed, standing in standings.items() if standing.state == state]
    return "" if len(seeds) == len(standings) else f" with {len(seeds)} of {len(standings)} seeds"


def _kept(group: PolicyRuns) -> str:
    violations = group.estimate("sla_violation_rate")
    if violations is None or not any(run.summary["requests"] for run in group.runs):
        return "No request arrived. "
    return f"{_percent(1.0 - violations.mean)} of the requests were answered within the SLA. "


def _percent(share: float) -> str:
    return f"{number(100.0 * share, 1)} %"


# ---- the state of a run ----


State = Literal["stable", "backlogged", "overloaded"]

OVERLOADED = BACKLOGGED = 0.05
"""The share of the time from which a run counts as such."""

LATE_SHARE = 0.1
"""How many late requests, of as many as arrive, show that a load exceeds what can be served. Where answers take long, a
few are late by their own length, and whether more arrive than are completed is chance."""

STATES: tuple[State, ...] = ("stable", "backlogged", "overloaded")
"""From good to bad."""

DEFINED: Mapping[State, str] = {
    "stable": f"Stable: requests were in the system for longer than the SLA during less than {100 * BACKLOGGED:g} % of "
    "the time, and none at the end.",
    "backlogged": "Backlogged: requests were in the system for longer than the SLA during at least "
    f"{100 * BACKLOGGED:g} % of the time, or at the end.",
    "overloaded": f"Overloaded: during at least {100 * OVERLOADED:g} % of the time, more requests arrived than were "
    "completed, and at least a tenth as many were in the system for longer than the SLA.",
}
"""The meaning of each state; see `Standing.state`."""

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Standing:
    """The backlog of a run: shares of its time, and the number of late requests in the system at its end."""

    backlogged_share: float
    overloaded_share: float
    late_at_end: int

    @property
    def state(self) -> State:
        """The state, by the thresholds above."""
        if self.overloaded_share >= OVERLOADED:
            return "overloaded"
        return "backlogged" if self.backlogged_share >= BACKLOGGED or self.late_at_end else "stable"


def standing(arrived: Counts, completed: Counts, late: Counts, late_at_end: int) -> Standing:
    """The backlog of a run, from the requests of each bin of equal width.

    `late`: how many were in the system and late at some time of the bin; `late_at_end`: how many at the end of the run.
    """
    backlogged = late > 0
    overloaded = (arrived > completed) & (late >= LATE_SHARE * arrived)
    share = 1.0 / max(len(arrived), 1)
    return Standing(float(backlogged.sum()) * share, float(overloaded.sum()) * share, late_at_end)


def standing_counted(intervals: pd.DataFrame, queues: pd.DataFrame, edges_s: NDArray[np.float64]) -> Standing:
    """The backlog of a run, from its counts in intervals; each bin between `edges_s` holds whole intervals."""
    first = np.searchsorted(intervals["time_s"].to_numpy(float), edges_s[:-1])
    last_stage = queues[queues["stage"] == queues["stage"].iloc[-1]]
    answered = intervals["answered"] if "answered" in intervals else last_stage["finished"]
    late = intervals["late_waiting"].to_numpy()
    at_start = np.append(0, late)[first]
    return standing(
        np.add.reduceat(intervals["requests"].to_numpy(), first),
        np.add.reduceat(answered.to_numpy(), first),
        at_start + np.add.reduceat(intervals["became_late"].to_numpy(), first),
        int(late[-1]),
    )


def standing_of(requests: pd.DataFrame, sla_s: float, edges_s: NDArray[np.float64]) -> Standing:
    """The backlog of a run, from its table of requests; `edges_s`: those of the bins, the last one the run's end."""
    arrival_s = requests["arrival_s"].to_numpy(float)
    end_s = requests["end_s"].to_numpy(float)
    is_completed, is_unfinished = ((requests["outcome"] == name).to_numpy() for name in ("completed", "unfinished"))
    # The end of a failed request may be unknown.
    end_s = np.where(is_unfinished, np.inf, np.where(np.isnan(end_s), arrival_s, end_s))
    late_from_s = arrival_s + sla_s
    is_late = end_s > late_from_s
    late_from_s, late_to_s = late_from_s[is_late], end_s[is_late]
    duration_s = edges_s[-1]
    # Late in a bin: late before its end, and not gone by its start.
    late = np.searchsorted(np.sort(late_from_s), edges_s[1:]) - np.searchsorted(
        np.sort(late_to_s), edges_s[:-1], side="right"
    )
    return standing(
        np.histogram(arrival_s, edges_s)[0],
        np.histogram(end_s[is_completed], edges_s)[0],
        late,
        int(np.sum((late_from_s < duration_s) & (late_to_s > duration_s))),
    )
