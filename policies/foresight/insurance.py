"""Insurance: the least rate of service with which a surge that begins now makes no more requests late than the risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, inf
from typing import TYPE_CHECKING, NamedTuple

from ipa.policies.foresight.clock import FEWEST, apart_s, company
from ipa.policies.foresight.surges import AFTER_S, BIN_S, BINS, DAY_S, MOST_KEPT, Surge

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

UNSEEN = 0.5
"""How many surges of a kind not yet seen are reckoned with (Jeffreys' half), each of which doubles the load at once,"""
UNSEEN_IN_S = 43_200.0
"""in the time seen and this: one a day, as long as nothing has been seen."""
DUE_S = 30.0
"""A surge is due from so long before until so long after the time of the period at which it came."""
NOTICED_S = 2.0
"""A surge that is younger at a decision is not noticed by it."""
RELAPSE_S = 450.0
"""For so long after its end, a surge may come back, and is then not to make too many late, however seldom one does."""
AT_ONCE_STUCK_S = AFTER_S
"""Where requests are stuck, one that comes back is taken to be at its height at once only for so long after its end."""
ONSETS = 4
"""At so many moments between two decisions a surge is taken to begin."""
GRID = 48
"""Rates that are tried."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When things happen [s]: between decisions, from a decision until its replicas serve, and how long requests may
    wait. With `is_stuck`, requests that wait stay with the replicas at hand (eager dispatch)."""

    step_s: float
    lead_s: float
    wait_s: float
    is_stuck: bool = False

    @property
    def answered_s(self) -> float:
        """When replicas serve for what comes from now on and is noticed: halfway between the soonest and the latest."""
        return self.lead_s + NOTICED_S + self.step_s / 2

    @property
    def unrescued_s(self) -> float:
        """For how long requests come that those replicas do not serve in time: 0 or less if they serve all."""
        return self.answered_s if self.is_stuck else self.answered_s - self.wait_s

    @property
    def ahead_s(self) -> float:
        """From now to the middle of the time for which a decision is made."""
        return (self.step_s + self.lead_s) / 2


class Allowed(NamedTuple):
    """How many requests may be late by surges that begin in a step: expected; by any single one whose time it is or
    that may come back; and by one that has just ended, comes back and is at its height at once."""

    expected: float
    by_one: float = inf
    at_once: float = inf


def are_due(now_s: float, surges: Sequence[Surge], period_s: float | None, timing: Timing) -> npt.NDArray[np.bool_]:
    """Of which surges it is the time of the period, from when replicas for them have to be started."""
    import numpy as np

    if period_s is None:
        return np.zeros(len(surges), dtype=bool)
    within_s, at_s = DUE_S + timing.ahead_s, now_s + timing.ahead_s
    follow, onsets_s = _follow(surges), np.array([surge.onset_s for surge in surges])
    is_due: npt.NDArray[np.bool_] = ~follow & (apart_s(at_s, onsets_s, period_s) <= within_s)
    return is_due


def may_come_back(now_s: float, surges: Sequence[Surge]) -> list[bool]:
    """Which of the surges ended a short while ago, with the load back at about the level before."""
    return [surge.end_s is not None and surge.is_over and 0 <= now_s - surge.end_s <= RELAPSE_S for surge in surges]


def intensities(
    now_s: float, surges: Sequence[Surge], period_s: float | None, seen_s: float, timing: Timing
) -> npt.NDArray[np.float64]:
    """How likely each of the surges seen comes again about now [1/s], as often as each has.

    One that followed another: within `AFTER_S` of an end. One that keeps the clock: at its time of the period. One with
    fewer than `FEWEST` at its time keeps the clock as likely as the others do (q = those that do / (all + 1)), and else
    comes at any time. Any other: at any time. Large ones count over all the time seen, others over a day.
    """
    import numpy as np

    ends = [surge.end_s for surge in surges if surge.end_s is not None and surge.end_s >= now_s - DAY_S]
    is_after = any(now_s - end_s <= AFTER_S for end_s in ends)
    after = 1 / (AFTER_S * max(len(ends), 1)) if is_after else 0.0
    if len(surges) >= MOST_KEPT:
        seen_s = min(seen_s, now_s - surges[0].onset_s)  # older ones are forgotten
    follow, peaks_rps = _follow(surges), np.array([surge.peak_rps for surge in surges])
    is_large = peaks_rps >= peaks_rps.max(initial=0.0) / 2
    known_s = np.where(is_large, seen_s, min(seen_s, DAY_S))
    any_time = 1 / np.maximum(known_s, 1.0)
    if period_s is None:
        return np.where(follow, after, any_time)
    onsets_s = np.array([surge.onset_s for surge in surges])
    is_proven = ~follow & (company(onsets_s, onsets_s[~follow], period_s) >= FEWEST)
    kept = is_proven.sum() / ((~follow).sum() + 1)
    # Within DUE_S of its time, in each of the periods seen.
    times = known_s / period_s * 2 * (DUE_S + timing.ahead_s)
    at_its_time = np.where(are_due(now_s, surges, period_s, timing), 1 / np.maximum(times, 1.0), 0.0)
    share = np.where(is_proven, 1.0, kept)
    return np.where(follow, after, share * at_its_time + (1 - share) * any_time)


def _follow(surges: Sequence[Surge]) -> npt.NDArray[np.bool_]:
    import numpy as np

    return np.array([surge.follows for surge in surges], dtype=bool)


def late_by_rate(
    rates_rps: npt.NDArray[np.float64], level_rps: float, surges: Sequence[Surge], timing: Timing
) -> npt.NDArray[np.float64]:
    """How many requests are late with each rate in each surge, were it to begin between this decision and the next.

    Shape (surges + 1, rates), of ascending rates; the last surge is one not yet seen, which doubles the load at once.
    The next decision that notices it is answered R after the onset, R from lead + 2 s to one step later. Until then the
    rate c serves the A(t) requests that have come by t; those of t are late if A(t) > c (t + wait). Those that still
    wait at R are served by what has started by then, unless they are stuck; so only those from before R - wait count.
    """
    import numpy as np

    longest_s = min(float(BINS * BIN_S), timing.lead_s + NOTICED_S + timing.step_s)
    seconds = np.arange(0.0, ceil(longest_s) + 1.0)
    beyond = np.array([*(_beyond(surge.excess, len(seconds)) for surge in surges), level_rps * seconds])
    arrived = level_rps * seconds + beyond
    needed = arrived / (seconds + timing.wait_s)
    late = np.zeros((len(surges) + 1, len(rates_rps)))
    # The first second whose requests are late, for each surge and rate: as many are served as the rate is enough for.
    enough = np.searchsorted(rates_rps, np.maximum.accumulate(needed, axis=1))
    places = enough + (len(rates_rps) + 1) * np.arange(len(surges) + 1)[:, None]
    served = np.bincount(places.ravel(), minlength=late.size + len(late)).reshape(len(late), -1)
    first = served[:, :-1].cumsum(axis=1)
    before = np.take_along_axis(arrived, np.minimum(first, len(seconds) - 1), axis=1)
    for offset in range(ONSETS):
        answered_s = timing.lead_s + NOTICED_S + timing.step_s * (offset + 0.5) / ONSETS
        last_s = answered_s if timing.is_stuck else answered_s - timing.wait_s
        count = int(min(last_s, seconds[-1])) + 1 if last_s > 0 else 0
        if count >= 1:
            late += np.where(first < count, arrived[:, count - 1, None] - before, 0.0)
    return late / ONSETS


@lru_cache(maxsize=16 * MOST_KEPT)
def _beyond(excess: tuple[float, ...], seconds: int) -> npt.NDArray[np.float64]:
    """How much has come beyond the level by each second of a surge; it goes on as in the last bin that is known."""
    import numpy as np

    if not excess:
        return np.zeros(seconds)
    known = (0.0, *excess)
    last = (known[-1] - known[-2]) / BIN_S
    known = (*known, *(known[-1] + last * BIN_S * (k + 1) for k in range(BINS + 1 - len(known))))
    found = np.interp(np.arange(0.0, seconds), BIN_S * np.arange(BINS + 1.0), known)
    return np.maximum.accumulate(np.maximum(found, 0.0))


def insured_rps(
    now_s: float,
    level_rps: float,
    surges: Sequence[Surge],
    period_s: float | None,
    seen_s: float,
    timing: Timing,
    allowed: Sequence[Allowed],
) -> list[float]:
    """For each of `allowed` the least rate [rps] with which no more requests are late by a surge that begins in a step.

    Expected late requests: step x sum over surges of intensity x late; `level_rps` if that rate is enough.
    """
    import numpy as np

    chances = timing.step_s * np.append(
        intensities(now_s, surges, period_s, seen_s, timing), UNSEEN / (seen_s + UNSEEN_IN_S)
    )
    back = may_come_back(now_s, surges)
    at_once_s = AT_ONCE_STUCK_S if timing.is_stuck else RELAPSE_S
    returned = [
        _at_once(level_rps, surge.base_rps + surge.peak_rps)
        for surge, is_back in zip(surges, back, strict=True)
        if is_back and surge.end_s is not None and now_s - surge.end_s <= at_once_s
    ]
    peak = max([level_rps, *(surge.peak_rps for surge in (*returned, *surges))])
    rates = level_rps + np.linspace(0.0, 1.0, GRID + 1) * peak
    late = late_by_rate(rates, level_rps, [*returned, *surges], timing)
    at_once, late = late[: len(returned)].max(axis=0, initial=0.0), late[len(returned) :]
    expected = chances @ late
    feared = are_due(now_s, surges, period_s, timing) | np.array(back, dtype=bool)
    most = late[:-1][feared].max(axis=0, initial=0.0)
    return [
        _least(
            rates,
            (expected <= each.expected) & (most <= each.by_one) & (at_once <= each.at_once),
        )
        for each in allowed
    ]


def return_rps(level_rps: float, height_rps: float, timing: Timing, most_late: float) -> float:
    """The least rate [rps] with which a load that has fallen makes no more than so many late if it is back at a height
    at once."""
    import numpy as np

    rates = np.linspace(level_rps, max(level_rps, height_rps), GRID + 1)
    late = late_by_rate(rates, level_rps, [_at_once(level_rps, height_rps)], timing)[0]
    return _least(rates, late <= most_late)


def _at_once(level_rps: float, height_rps: float) -> Surge:
    """A surge that is at its height from its first second on."""
    more = BIN_S * max(height_rps - level_rps, 0.0)
    return Surge(0.0, level_rps, None, tuple(more * bins for bins in range(1, BINS + 1)), True)


def _least(rates_rps: npt.NDArray[np.float64], are_enough: npt.NDArray[np.bool_]) -> float:
    """The first rate that is enough, or the last."""
    import numpy as np

    enough = np.flatnonzero(are_enough)
    return float(rates_rps[enough[0]] if len(enough) else rates_rps[-1])
