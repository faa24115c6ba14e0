"""Whether surges keep a clock: a period within which they come at the same times; found by folding, used if proven."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import comb
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

PERIODS_S = (*(60.0 * minutes for minutes in range(5, 61)), *(3600.0 * hours for hours in (2, 3, 4, 6, 8)))
"""What people set timers to: whole minutes up to an hour, and the hours that divide a day."""
WIDTH_S = 120.0
"""Surges at the same time of a period lie within so much."""
FEWEST = 3
"""So many surges have to come at the same time."""
CHANCE = 0.05
"""A period is proven if chance would bring so much agreement, at any of these periods, with less than this."""
ALIKE = 0.5
"""Periods that explain as many onsets up to this are alike, and the shortest is taken."""


def period_of(onsets_s: Sequence[float]) -> float | None:
    """The period [s] that the onsets keep; None if none is proven.

    Among n onsets without a clock, at least c fall into one window of the width w somewhere in a period P with a
    probability of at most n x P(B >= c - 1), B binomial of n - 1 and w / P: one is the first in it, and c - 1 others
    follow. That is to be below `CHANCE` by the number of periods tried (Bonferroni). Of the periods proven so, the one
    is taken that explains most beyond chance: the onsets that have company at their time of the period, less the share
    of the period that such times fill x n.
    """
    import numpy as np

    n = len(onsets_s)
    if n < FEWEST:
        return None
    best, most_explained = None, 0.0
    span_s = max(onsets_s) - min(onsets_s)
    for period_s in PERIODS_S:
        if span_s < (FEWEST - 1) * period_s:
            break  # nothing can have come back often enough
        most = _most_together(onsets_s, period_s)
        if most < FEWEST:
            continue
        share = min(1.0, WIDTH_S / period_s)
        tail = sum(comb(n - 1, k) * share**k * (1 - share) ** (n - 1 - k) for k in range(most - 1, n))
        if n * tail > CHANCE / len(PERIODS_S):
            continue
        times = np.array(onsets_s)
        together = times[company(times, times, period_s) >= FEWEST].tolist()
        explained = len(together) - n * _filled_s([onset % period_s for onset in together], period_s) / period_s
        if explained > most_explained + ALIKE:
            best, most_explained = period_s, explained
    return best


def company(onsets_s: Numbers, others_s: Numbers, period_s: float) -> npt.NDArray[np.int64]:
    """For each onset, how many of the others come at its time of the period, itself included if it is one of them."""
    apart = apart_s(onsets_s[:, None], others_s[None, :], period_s)
    found: npt.NDArray[np.int64] = (apart <= WIDTH_S / 2).sum(axis=1)
    return found


def _filled_s(phases: Sequence[float], period_s: float) -> float:
    """How much of the period lies within half a width of some phase [s]."""
    if not phases:
        return 0.0
    ordered = sorted(phases)
    gaps_s = (after - phase for phase, after in pairwise([*ordered, ordered[0] + period_s]))
    return sum(min(WIDTH_S, gap_s) for gap_s in gaps_s)


def _most_together(onsets_s: Sequence[float], period_s: float) -> int:
    """The most onsets within `WIDTH_S` of a period."""
    phases = sorted(onset % period_s for onset in onsets_s)
    phases += [phase + period_s for phase in phases]
    most, first = 0, 0
    for last, phase in enumerate(phases):
        while phase - phases[first] > WIDTH_S:
            first += 1
        most = max(most, last - first + 1)
    return min(most, len(onsets_s))


def apart_s(one_s: Any, other_s: Any, period_s: float) -> Any:
    """How far apart two times are within a period [s], from 0 to half a period; of numbers or of arrays."""
    return abs((one_s - other_s + period_s / 2) % period_s - period_s / 2)
