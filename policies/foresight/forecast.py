"""What may come: how many requests past decisions like this one would have made late, at each multiple of the level.

Had a past decision planned for `c` times its level, then until replicas of the next decision could have helped, some of
the requests that came would have been late. That number is known for each `c` once the time is over: the decision's
curve. The mean of the curves of decisions like this one is what planning for `c` costs now, and the least `c` at which
it is within the risk is planned for. Decisions are alike if the load is rising, if it has fallen, or if it is steady.
Of steady ones, those that a surge took by surprise are remembered one by one: surges that keep a period count at
their time of it, others at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, comb
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.policies.foresight.memory import Curve, Remembered, Surge, Tally

Numbers = npt.NDArray[np.float64]

GRID: Numbers = np.asarray(1.08 ** np.arange(-9, 26), np.float64)
"""The multiples of the level that are tried: from 0.5 to 6.8, in steps of 8 %."""
SHORT_S, MEDIUM_S, LONG_S, SLOW_S = 3, 10, 60, 600
"""The seconds of which means are taken: what has just begun, the level, the level of before, and its usual height."""
UNLIKE = 1.5
"""A load that is so many times another is no longer like it: it is rising, or has fallen, or there is a surge."""
DEVIATIONS = 3.0
"""... and by so many deviations of a mean of Poisson counts, as few requests vary by chance."""
NOTICED_S = 2
"""What comes within so much of new replicas is seen too late to be helped by them."""
DAY_S = 86_400.0
REMEMBERED_S = 3 * DAY_S
"""For how long a surge is remembered. What timers start may skip a day."""
MOST_SURGES = 64
SHRINK = 60.0
"""Decisions: what is known of steady ones counts for as many of those that are rising or falling."""
STEADY, RISING, FALLING = range(3)

PERIODS_S = (*(60.0 * minutes for minutes in range(5, 61)), *(3600.0 * hours for hours in (2, 3, 4, 6, 8)))
"""What people set timers to: whole minutes up to an hour, and the hours that divide a day."""
WIDTH_S = 120.0
"""Surges at the same time of a period lie within so much."""
FEWEST = 3
"""So many surges have to come at the same time of a period."""
CHANCE = 0.05
"""A period is proven if chance would bring so much agreement, at any of these periods, with less than this."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a decision reaches: the time until the next one, and from a decision until its replicas serve [s]; how
    long a request may wait [s]; and whether what waits stays with its replica."""

    step_s: float
    lead_s: float
    wait_s: float
    is_eager: bool = False

    @property
    def ahead_s(self) -> int:
        """How long it takes until the replicas of the next decision serve [s]."""
        return ceil(self.step_s + self.lead_s) + NOTICED_S

    def curves(self, ahead: Numbers) -> Numbers:
        """For each multiple of the level, how many requests come too late, as a share of those of an interval at the
        level; shape (decisions, multiples). `ahead`: what comes in each of `ahead_s` seconds, in units of the level.

        What comes by t is served by t + wait_s or late, and what then still waits is served by the next decision's
        replicas, unless it stays with its replica.
        """
        helped_s = ahead.shape[1] - (0.0 if self.is_eager else self.wait_s)
        late = np.zeros((len(ahead), len(GRID)))
        came = np.cumsum(ahead, axis=1)
        for by_s in range(1, int(helped_s) + 1):
            np.maximum(late, came[:, by_s - 1, None] - GRID * (by_s + self.wait_s), out=late)
        return late / self.step_s


@dataclass(frozen=True, slots=True)
class Level:
    """How high the load is [rps]: the level that plans are multiples of, what it has just begun to be, the mean of ten
    seconds; and whether it is steady, rising or falling."""

    level_rps: float
    short_rps: float
    medium_rps: float
    kind: int

    @property
    def coming_rps(self) -> float:
        """The load of the seconds to come, if it goes on as it has begun."""
        return max(self.level_rps, self.short_rps, 2 * self.short_rps - self.medium_rps)


def mean(load: Numbers, seconds: int) -> float:
    """The mean of the last seconds that have a sample; 0 without any."""
    last = load[-seconds:]
    last = last[np.isfinite(last)]
    return float(last.mean()) if len(last) else 0.0


def levels(load: Numbers, ends: Any, slow_rps: float | None = None) -> tuple[Numbers, npt.NDArray[np.int64]]:
    """The levels after the seconds before these ends [rps], and the kinds of decisions; `slow_rps`: the usual height of
    the load, if the load is too short to tell."""
    sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num(load))])
    counts = np.concatenate([[0], np.cumsum(np.isfinite(load))])
    starts = (np.maximum(ends - seconds, 0) for seconds in (SHORT_S, MEDIUM_S, LONG_S, SLOW_S))
    short, medium, long, slow = (
        (sums[ends] - sums[start]) / np.maximum(counts[ends] - counts[start], 1) for start in starts
    )
    slow = slow if slow_rps is None else np.full(len(ends), slow_rps)
    is_rising = _is_unlike(medium, long)
    is_falling = ~is_rising & _is_unlike(slow, medium)
    level = np.where(is_rising, np.maximum(short, medium), np.where(is_falling, slow, medium))
    return level, np.where(is_rising, RISING, np.where(is_falling, FALLING, STEADY))


def _is_unlike(high_rps: Numbers, low_rps: Numbers) -> Any:
    noise_rps = np.sqrt(np.maximum(high_rps, low_rps) / MEDIUM_S)
    return (high_rps > UNLIKE * low_rps) & (high_rps - low_rps > DEVIATIONS * noise_rps)


def level_now(load: Numbers, slow_rps: float) -> Level:
    """The level after all of the load."""
    level, kinds = levels(load, np.array([len(load)]), slow_rps)
    return Level(float(level[0]), mean(load, SHORT_S), mean(load, MEDIUM_S), int(kinds[0]))


# ---- what decisions teach ----


def learnt(before: Remembered | None, load: Numbers, past: Numbers, now_s: float, reach: Reach) -> Remembered:
    """What is remembered from now on: the first time of all the past, later of the one decision that is over now."""
    if before is None:
        load = np.concatenate([past, load])[-int(REMEMBERED_S) :]
        found = Remembered(now_s=now_s, seen_s=float(np.isfinite(load).sum()), slow_rps=mean(load, SLOW_S))
        ends = np.arange(LONG_S, len(load) - reach.ahead_s, max(1, round(reach.step_s)))
        slow_rps = None
    else:
        slow_rps = before.slow_rps + (mean(load, MEDIUM_S) - before.slow_rps) * (1 - 0.5 ** (2 * reach.step_s / SLOW_S))
        seen_s = min(before.seen_s + reach.step_s, REMEMBERED_S)
        found = replace(before, now_s=now_s, seen_s=seen_s, slow_rps=slow_rps)
        ends = np.array([len(load) - reach.ahead_s])
    if not len(ends) or ends[0] < MEDIUM_S:
        return found
    level_rps, kinds = levels(load, ends, slow_rps)
    ahead = np.lib.stride_tricks.sliding_window_view(load, reach.ahead_s)[ends]
    good = np.isfinite(ahead).all(axis=1) & (level_rps > 0)
    curves = reach.curves(ahead[good] / level_rps[good, None])
    kinds, times_s = kinds[good], now_s - (len(load) - ends[good])
    unlike = int(np.searchsorted(GRID, UNLIKE))
    is_surge = (kinds == STEADY) & (curves[:, unlike] > 0)
    kept = 0.5 ** (reach.step_s / DAY_S) if before is not None else 1.0
    steady, rising, falling = (
        _added(tally, curves[(kinds == kind) & ~is_surge], kept) for kind, tally in enumerate(found.tallies)
    )
    surges = list(found.surges)
    for at_s, curve in zip(times_s[is_surge].tolist(), curves[is_surge], strict=True):
        if surges and at_s - surges[-1].at_s <= reach.ahead_s:
            surges[-1] = Surge(surges[-1].at_s, _curve(_full(surges[-1].late) + curve))
        else:
            surges.append(Surge(at_s, _curve(curve)))
    latest = tuple(each for each in surges if each.at_s > now_s - REMEMBERED_S)[-MOST_SURGES:]
    found = replace(found, tallies=(steady, rising, falling), surges=latest)
    return found if not is_surge.any() else replace(found, period_s=period_of([each.at_s for each in latest]))


def _added(tally: Tally, curves: Numbers, kept: float) -> Tally:
    return Tally(_curve(kept * _full(tally.late) + curves.sum(axis=0)), kept * tally.decisions + len(curves))


def _curve(full: Numbers) -> Curve:
    """A curve as it is remembered: more digits would be most of what a journal holds."""
    return tuple(np.trim_zeros(full.round(4), "b").tolist())


def _full(curve: Curve) -> Numbers:
    full = np.zeros(len(GRID))
    full[: len(curve)] = curve
    return full


# ---- what they say ----


@dataclass(frozen=True, slots=True)
class Prior:
    """What is reckoned with before anything is known: a load `rise` times as high at once, one in `every_s` seconds;
    `worth_s` of evidence without one halves that."""

    rise: float
    every_s: float
    worth_s: float


def multiple(seen: Remembered, kind: int, reach: Reach, risk: float, prior: Prior) -> float:
    """The least multiple of the level at which decisions like this one make no more than the risk late.

    Between the multiples that are tried, the share is interpolated: it is convex, so that it is never underrated."""
    share = _steady_share(seen, reach, prior)
    if kind != STEADY:
        tally = seen.tallies[kind]
        share = (_full(tally.late) + SHRINK * share) / (tally.decisions + SHRINK)
    within = np.flatnonzero(share <= risk)
    if not len(within):
        return float(GRID[-1])
    if (first := int(within[0])) == 0:
        return float(GRID[0])
    part = (share[first - 1] - risk) / (share[first - 1] - share[first])
    return float(GRID[first - 1] + part * (GRID[first] - GRID[first - 1]))


def _steady_share(seen: Remembered, reach: Reach, prior: Prior) -> Numbers:
    """The mean curve of steady decisions at this time."""
    steady = seen.tallies[STEADY]
    unseen = _rise_at_once(reach, prior.rise)
    share: Numbers = _full(steady.late) / max(steady.decisions, 1.0)
    share += unseen * reach.step_s * (prior.worth_s / prior.every_s) / (seen.seen_s + prior.worth_s)
    times_s = np.array([each.at_s for each in seen.surges])
    # Where older surges had to give way, those that are left came in less than the time seen.
    within_s = seen.seen_s if len(times_s) < MOST_SURGES else min(seen.seen_s, seen.now_s - times_s[0])
    any_time, at_its_time = reach.step_s / (within_s + prior.worth_s), 0.0
    alone, keeps = np.ones(len(times_s)), np.zeros(len(times_s))
    if seen.period_s is not None and len(times_s):
        visits = max(1.0, within_s / seen.period_s) * max(1.0, WIDTH_S / reach.step_s)
        at_its_time = 1.0 / visits
        is_kept = company(times_s, seen.period_s) >= FEWEST
        keeps_share = is_kept.sum() / (len(times_s) + 1)
        is_now = apart_s(times_s, seen.now_s, seen.period_s) <= WIDTH_S / 2
        alone = np.where(is_kept, 0.0, 1.0 - keeps_share)
        keeps = is_now * np.where(is_kept, 1.0, keeps_share)
    for surge, uniform, timed in zip(seen.surges, alone * any_time, keeps * at_its_time, strict=True):
        if uniform + timed > 0:
            share += (uniform + timed) * _full(surge.late)
    return share


@lru_cache(maxsize=64)
def _rise_at_once(reach: Reach, rise: float) -> Numbers:
    """The curve of a decision after which the load is `rise` times the level at once."""
    curve: Numbers = reach.curves(np.full((1, reach.ahead_s), rise))[0]
    return curve


# ---- whether surges keep a period ----


def period_of(times_s: Sequence[float]) -> float | None:
    """The period [s] that surges at these times keep; None if none is proven.

    Among n surges without a period, at least m fall into one window of the width w somewhere in a period P with a
    probability of at most n x P(B >= m - 1), B binomial of n - 1 and w / P: one is the first in it, and m - 1 others
    follow. That is to be below `CHANCE` by the number of periods tried (Bonferroni). Of the periods proven so, the one
    is taken that explains most beyond chance: the surges that have company at their time of the period, less what
    chance would bring there. Of equal ones the shortest is taken.
    """
    n, times = len(times_s), np.array(times_s)
    best, most_explained = None, 0.0
    for period_s in PERIODS_S:
        if n < FEWEST or times.max() - times.min() < (FEWEST - 1) * period_s:
            break  # nothing can have come back often enough
        phases = np.sort(times % period_s)
        together = np.searchsorted(np.concatenate([phases, phases + period_s]), phases + WIDTH_S, "right")
        most = min(int((together - np.arange(n)).max()), n)
        share = min(1.0, WIDTH_S / period_s)
        chance = n * sum(comb(n - 1, k) * share**k * (1 - share) ** (n - 1 - k) for k in range(most - 1, n))
        if most < FEWEST or chance > CHANCE / len(PERIODS_S):
            continue
        kept = np.sort(times[company(times, period_s) >= FEWEST] % period_s)
        filled_s = np.minimum(np.diff(kept, append=kept[0] + period_s), WIDTH_S).sum()
        explained = len(kept) - n * filled_s / period_s
        if explained > most_explained + 0.5:
            best, most_explained = period_s, explained
    return best


def company(times_s: Numbers, period_s: float) -> npt.NDArray[np.int64]:
    """For each surge, how many come at its time of the period, itself included."""
    found: npt.NDArray[np.int64] = (apart_s(times_s[:, None], times_s, period_s) <= WIDTH_S / 2).sum(axis=1)
    return found


def apart_s(one_s: Any, other_s: Any, period_s: float) -> Any:
    """How far apart two times are within a period [s], from 0 to half a period; of numbers or of arrays."""
    return abs((one_s - other_s + period_s / 2) % period_s - period_s / 2)
