"""Surges: what has risen by half or more within seconds; when each began, from what level, and how it went on.

A surge begins where the mean of ten seconds is above that of the minute before by half of it, and by five deviations of
such a mean; it ends where that mean is back within a quarter above the level before, or after half an hour, when it is
the new level. Both are measured in the load's own level and noise, so that a load twice as large has the same surges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

from ipa.policies.foresight.level import LONG_S, MEDIUM_S, NORMAL

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]
    Truths = npt.NDArray[np.bool_]

RISE, BACK = 0.5, 0.25
"""By which share of the level a surge is above it, and below which it has ended."""
DEVIATIONS = 5.0
LONGEST_S = 1800
"""Of a surge; what lasts longer is the level."""
BIN_S = 5
BINS = 12
"""A surge is remembered by what has come beyond the level by the end of each of its first 12 x 5 s."""
MOST_KEPT = 64
DAY_S = 86_400.0
"""For how long a surge is remembered,"""
REMEMBERED_S = 3 * DAY_S
"""and for how long a large one is: what timers start may skip a day."""
AFTER_S = 120.0
"""For so long after a surge's end the next is likelier, or not: it is counted apart."""


@dataclass(frozen=True, slots=True)
class Surge:
    """A surge that has been seen: its onset on the policy's clock [s], the level before [rps], when it ended [s] (None:
    not yet), the requests beyond the level by the end of each bin, and whether one had ended shortly before."""

    onset_s: float
    base_rps: float
    end_s: float | None
    excess: tuple[float, ...]
    follows: bool

    @property
    def is_over(self) -> bool:
        """Whether the load has come back to about the level before, rather than stayed where it was."""
        return self.end_s is not None and self.end_s - self.onset_s < LONGEST_S

    @property
    def is_lasting(self) -> bool:
        """Whether it goes on. What has risen from nothing may be a load that is seen again, and counts as none."""
        return self.end_s is None and self.base_rps > 0

    @property
    def peak_rps(self) -> float:
        """The most that came beyond the level in ten of its first seconds [rps]."""
        return _peak_rps(self.excess)


@lru_cache(maxsize=16 * MOST_KEPT)
def _peak_rps(excess: tuple[float, ...]) -> float:
    sums = (0.0, 0.0, *excess)
    return max(b - a for a, b in zip(sums, sums[2:], strict=False)) / (2 * BIN_S) if excess else 0.0


def surges_in(counts_rps: Sequence[float], until_s: float, before: Sequence[Surge] = ()) -> list[Surge]:
    """The surges in counts of seconds whose last ends at `until_s` on the policy's clock, oldest first.

    Those in `before` are known already: what is found anew begins after them. Seconds without a sample take the mean
    of the minute before them.
    """
    import numpy as np

    counts, are_seen = _filled(np.asarray(counts_rps, dtype=np.float64))
    seconds = len(counts)
    if seconds <= LONG_S + MEDIUM_S:
        return [_at_last(surge, until_s) for surge in before]
    start_s = until_s - seconds
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    ends = np.arange(LONG_S + MEDIUM_S, seconds + 1)
    now = (sums[ends] - sums[ends - MEDIUM_S]) / MEDIUM_S
    base = (sums[ends - MEDIUM_S] - sums[ends - MEDIUM_S - LONG_S]) / LONG_S
    changes = np.abs(np.diff(counts, prepend=counts[0]))
    before_s, after_s = ends - MEDIUM_S - LONG_S, ends - MEDIUM_S
    pairs: Any = LONG_S
    if not are_seen.all():
        are_pairs = are_seen & np.roll(are_seen, 1)
        changes = are_pairs * changes
        by = np.concatenate([[0], np.cumsum(are_pairs)])
        pairs = np.maximum(by[after_s] - by[before_s], 1)
    steps = np.concatenate([[0.0], np.cumsum(changes)])
    noise = NORMAL * (steps[after_s] - steps[before_s]) / pairs
    rises = base + np.maximum(RISE * base, DEVIATIONS * noise / sqrt(MEDIUM_S))
    found = list(before)
    if found and found[-1].end_s is None:
        found[-1] = _followed(found[-1], counts, sums, start_s)
        at = len(ends) if found[-1].end_s is None else int(found[-1].end_s - start_s) - ends[0] + 1
    else:
        last_s = max((surge.end_s or surge.onset_s for surge in found), default=start_s)
        at = int(last_s - start_s) - ends[0] + 1
    at = max(at, 0)
    while at < len(ends):
        recent = found[-1] if found and found[-1].is_over else None
        limit = rises
        if recent is not None and recent.end_s is not None:
            # What was before the last surge is still the level shortly after it.
            soon = ends + start_s - recent.end_s <= AFTER_S
            lower = recent.base_rps + np.maximum(RISE * recent.base_rps, rises - base)
            limit = np.where(soon, np.minimum(rises, lower), rises)
        above = np.flatnonzero(now[at:] > limit[at:])
        if not len(above):
            break
        end = int(ends[at + above[0]])
        level = float(base[at + above[0]])
        follows = recent is not None and recent.end_s is not None and end + start_s - recent.end_s <= AFTER_S
        if follows and recent is not None:
            level = min(level, recent.base_rps)
        onset = end - MEDIUM_S + int(np.argmax(counts[end - MEDIUM_S : end] > (1 + BACK) * level))
        surge = _followed(Surge(start_s + onset, level, None, (), follows), counts, sums, start_s)
        found.append(surge)
        if surge.end_s is None:
            break
        at = max(int(surge.end_s - start_s) - int(ends[0]) + 1, at + int(above[0]) + 1)
    large_s = set(large_onsets_s(found, until_s - REMEMBERED_S))
    kept = [surge for surge in found if surge.onset_s >= until_s - DAY_S or surge.onset_s in large_s]
    return kept[-MOST_KEPT:]


def _at_last(surge: Surge, until_s: float) -> Surge:
    """The surge, ended if it has lasted for as long as one may."""
    is_long = surge.end_s is None and until_s - surge.onset_s >= LONGEST_S
    return replace(surge, end_s=surge.onset_s + LONGEST_S) if is_long else surge


def large_onsets_s(surges: Sequence[Surge], since_s: float = -inf) -> list[float]:
    """When those surges began, from a time on, that rose in their first minute by at least half as much as the greatest
    of all and followed no other at once [s]."""
    peaks_rps = [surge.peak_rps for surge in surges]
    least_rps = max(peaks_rps, default=0.0) / 2
    return [
        surge.onset_s
        for surge, peak_rps in zip(surges, peaks_rps, strict=True)
        if surge.onset_s >= since_s and peak_rps >= least_rps and not surge.follows
    ]


def _followed(surge: Surge, counts: Numbers, sums: Numbers, start_s: float) -> Surge:
    """The surge as far as the counts show it."""
    import numpy as np

    onset, seconds = round(surge.onset_s - start_s), len(counts)
    excess = surge.excess
    if onset >= 0:
        edges = onset + BIN_S * np.arange(1, BINS + 1)
        edges = edges[edges <= seconds]
        # In millionths, as more digits would be most of what a journal holds.
        excess = tuple((sums[edges] - sums[onset] - surge.base_rps * (edges - onset)).round(6).tolist())
    ends = np.arange(max(onset, 0) + 2 * MEDIUM_S, min(seconds, max(onset, 0) + LONGEST_S + 2 * MEDIUM_S) + 1)
    means = (sums[ends] - sums[ends - MEDIUM_S]) / MEDIUM_S
    back = np.flatnonzero((means < (1 + BACK) * surge.base_rps) | (ends + start_s - surge.onset_s >= LONGEST_S))
    end_s = start_s + float(ends[back[0]]) if len(back) else None
    return Surge(surge.onset_s, surge.base_rps, end_s, excess, surge.follows)


def _filled(counts: Numbers) -> tuple[Numbers, Truths]:
    """The counts from the first sample on, those without one filled; and which have a sample. What is before a gap in
    which nothing is known of the level, as it is too short, is left out."""
    import numpy as np

    are_seen = counts == counts
    if are_seen.all():
        return counts, are_seen
    edges = np.flatnonzero(np.diff(~are_seen, prepend=False, append=False))
    gaps = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    begin = 0
    while gaps and gaps[0][0] - begin < MEDIUM_S:
        begin = gaps.pop(0)[1]
    found = counts[begin:].copy()
    for first, end in gaps:
        found[first - begin : end - begin] = found[max(0, first - begin - LONG_S) : first - begin].mean()
    return found, are_seen[begin:]


def later(surges: Sequence[Surge], by_s: float) -> list[Surge]:
    """The surges, all so much later on the clock."""
    return [
        replace(each, onset_s=each.onset_s + by_s, end_s=None if each.end_s is None else each.end_s + by_s)
        for each in surges
    ]


def to_memory(surges: Sequence[Surge]) -> list[list[Any]]:
    """Surges as JSON."""
    return [[s.onset_s, s.base_rps, s.end_s, list(s.excess), s.follows] for s in surges]


def from_memory(kept: Sequence[Sequence[Any]]) -> list[Surge]:
    """Surges from JSON."""
    return [Surge(onset, base, end, tuple(excess), follows) for onset, base, end, excess, follows in kept]
