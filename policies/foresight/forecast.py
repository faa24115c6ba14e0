"""The risk ahead: the share of requests that past decisions like this one would have made late, by planned multiple.

Had a past decision planned for `c` times its level, some of the requests that arrived before the next decision's
replicas could help would have been late. For each `c` that number is known soon after: the decision's curve. The mean
curve of decisions like this one estimates the risk of planning for `c` now; the plan is for the least `c` that keeps
the risk. Decisions are alike if the load is rising, if it has fallen, or if it is steady. Steady decisions that met a
burst are kept one by one: periodic bursts count at their phase of the period, others at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, comb
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.policies.foresight.memory import Burst, Curve, Remembered, Tally

Numbers = npt.NDArray[np.float64]

GRID: Numbers = np.asarray(1.08 ** np.arange(-9, 26), np.float64)
"""The multiples of the level that are tried: from 0.5 to 6.8, in steps of 8 %."""
SHORT_S, MEDIUM_S, LONG_S, SLOW_S, USUAL_S = 3, 10, 60, 600, 3600
"""Windows of the mean loads [s]: the latest, the level, the level before, that before a fall, and the usual load."""
UNLIKE = 1.5
"""The ratio of two loads from which the load is rising, has fallen or bursts, ..."""
DEVIATIONS = 3.0
"""... if they also differ by this many standard deviations of a mean of Poisson counts: small counts vary by chance."""
NOTICED_S = 2
"""How long after new replicas serve arrivals still count for the decision before them."""
DAY_S = 86_400.0
REMEMBERED_S = 3 * DAY_S
"""How long a burst is kept; timers may skip a day."""
MOST_BURSTS = 64
SHRINK = 60.0
"""Weight of the mean steady curve among rising or falling decisions, as a number of decisions (shrinkage)."""
STEADY, RISING, FALLING = range(3)

PERIODS_S = (*(60.0 * minutes for minutes in range(5, 61)), *(3600.0 * hours for hours in (2, 3, 4, 6, 8)))
"""Usual periods of timers: whole minutes up to an hour, and hours that divide a day."""
WIDTH_S = 120.0
"""Bursts within this time of each other have the same phase of a period."""
FEWEST = 3
"""Fewest bursts at one phase that make a period."""
CHANCE = 0.05
"""Significance level of a period, over all periods tried."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a decision reaches: the time to the next decision, the time until its replicas serve, and the longest
    wait of a request [s]; and whether a waiting request stays with its replica (eager dispatch)."""

    step_s: float
    lead_s: float
    wait_s: float
    is_eager: bool = False

    @property
    def ahead_s(self) -> int:
        """The time until the replicas of the next decision help [s]."""
        return ceil(self.step_s + self.lead_s) + NOTICED_S

    def curves(self, ahead: Numbers) -> Numbers:
        """For each multiple of the level, the late requests, as a share of an interval's requests at the level; shape
        (decisions, multiples). `ahead`: the arrivals in each of `ahead_s` seconds, in units of the level.

        Arrivals by t are late unless served by t + wait_s. What is still waiting then is served by the next decision's
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
    """The load [rps]: the level, of which plans are multiples, the means of three, ten and sixty seconds; and whether
    it is steady, rising or falling."""

    level_rps: float
    short_rps: float
    medium_rps: float
    long_rps: float
    kind: int

    def grown_rps(self, seconds: float) -> float:
        """The mean of ten seconds, grown for so long as in the last minute."""
        growth = max(0.0, self.medium_rps - self.long_rps) / ((LONG_S - MEDIUM_S) / 2)
        return self.medium_rps + growth * max(0.0, seconds)

    @property
    def coming_rps(self) -> float:
        """The load of the coming seconds, extrapolated from the latest means."""
        return max(self.level_rps, self.short_rps, 2 * self.short_rps - self.medium_rps)


def mean(load: Numbers, seconds: int) -> float:
    """The mean of the last seconds that have a sample; 0 without any."""
    last = load[-seconds:]
    last = last[np.isfinite(last)]
    return float(last.mean()) if len(last) else 0.0


def levels(load: Numbers, ends: Any, slow_rps: float | None = None) -> tuple[Numbers, npt.NDArray[np.int64]]:
    """The levels at these ends of the load [rps], and the kinds of decisions; `slow_rps`: the usual level, if the load
    is too short to tell."""
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
    short_rps, medium_rps, long_rps = (mean(load, seconds) for seconds in (SHORT_S, MEDIUM_S, LONG_S))
    return Level(float(level[0]), short_rps, medium_rps, long_rps, int(kinds[0]))


# ---- learning from past decisions ----


def learnt(before: Remembered | None, load: Numbers, past: Numbers, now_s: float, reach: Reach) -> Remembered:
    """The memory after this step: the first step learns from all of the past, later ones from the decision whose
    outcome is known."""
    if before is None:
        load = np.concatenate([past, load])[-int(REMEMBERED_S) :]
        seen_s, slow_rps, usual_rps = float(np.isfinite(load).sum()), mean(load, SLOW_S), mean(load, USUAL_S)
        remembered = Remembered(now_s=now_s, seen_s=seen_s, slow_rps=slow_rps, usual_rps=usual_rps)
        ends = np.arange(LONG_S, len(load) - reach.ahead_s, max(1, round(reach.step_s)))
    else:
        slow_rps = before.slow_rps + (mean(load, MEDIUM_S) - before.slow_rps) * (1 - 0.5 ** (2 * reach.step_s / SLOW_S))
        seen_s = min(before.seen_s + reach.step_s, REMEMBERED_S)
        newest_rps = mean(load, max(1, round(reach.step_s)))
        usual_rps = before.usual_rps + (newest_rps - before.usual_rps) * min(1.0, reach.step_s / USUAL_S)
        remembered = replace(before, now_s=now_s, seen_s=seen_s, slow_rps=slow_rps, usual_rps=usual_rps)
        ends = np.array([len(load) - reach.ahead_s])
    if not len(ends) or ends[0] < MEDIUM_S:
        return remembered
    level_rps, kinds = levels(load, ends, None if before is None else slow_rps)
    ahead = np.lib.stride_tricks.sliding_window_view(load, reach.ahead_s)[ends]
    good = np.isfinite(ahead).all(axis=1) & (level_rps > 0)
    curves = reach.curves(ahead[good] / level_rps[good, None])
    kinds, times_s = kinds[good], now_s - (len(load) - ends[good])
    unlike = int(np.searchsorted(GRID, UNLIKE))
    is_burst = (kinds == STEADY) & (curves[:, unlike] > 0)
    share_kept = 0.5 ** (reach.step_s / DAY_S) if before is not None else 1.0
    steady, rising, falling = (
        _added(tally, curves[(kinds == kind) & ~is_burst], share_kept) for kind, tally in enumerate(remembered.tallies)
    )
    bursts = list(remembered.bursts)
    for at_s, curve in zip(times_s[is_burst].tolist(), curves[is_burst], strict=True):
        if bursts and at_s - bursts[-1].at_s <= reach.ahead_s:
            bursts[-1] = Burst(bursts[-1].at_s, _curve(_full(bursts[-1].late) + curve))
        else:
            bursts.append(Burst(at_s, _curve(curve)))
    latest = tuple(burst for burst in bursts if burst.at_s > now_s - REMEMBERED_S)[-MOST_BURSTS:]
    remembered = replace(remembered, tallies=(steady, rising, falling), bursts=latest)
    return (
        remembered if not is_burst.any() else replace(remembered, period_s=period_of([burst.at_s for burst in latest]))
    )


def _added(tally: Tally, curves: Numbers, share_kept: float) -> Tally:
    return Tally(
        _curve(share_kept * _full(tally.late) + curves.sum(axis=0)), share_kept * tally.decisions + len(curves)
    )


def _curve(full: Numbers) -> Curve:
    """A curve rounded for the memory: more digits would dominate the size of a journal."""
    return tuple(np.trim_zeros(full.round(4), "b").tolist())


def _full(curve: Curve) -> Numbers:
    full = np.zeros(len(GRID))
    full[: len(curve)] = curve
    return full


# ---- the multiple to plan for ----


@dataclass(frozen=True, slots=True)
class Prior:
    """The risk assumed before the load is known: a sudden rise by the factor `rise`, once in `every_s` seconds;
    `worth_s` of evidence without one halves it."""

    rise: float
    every_s: float
    worth_s: float


def multiple(remembered: Remembered, kind: int, reach: Reach, risk: float, prior: Prior, risen: float = 1.0) -> float:
    """The least multiple of the level at which decisions like this one make no more than the risk late. `risen`: the
    factor by which bursts, and the rise that is assumed, have risen already.

    Between the multiples that are tried, the share is interpolated: it is convex, so that it is never underrated."""
    steady, rare = remembered.tallies[STEADY], _rare_share(remembered, reach, prior)
    places = np.arange(len(GRID)) + round(float(np.log(risen) / np.log(GRID[1] / GRID[0])))
    share = _full(steady.late) / max(steady.decisions, 1.0) + rare[np.minimum(places, len(GRID) - 1)]
    if kind != STEADY:
        tally = remembered.tallies[kind]
        share = (_full(tally.late) + SHRINK * share) / (tally.decisions + SHRINK)
    within = np.flatnonzero(share <= risk)
    if not len(within):
        return float(GRID[-1])
    if (first := int(within[0])) == 0:
        return float(GRID[0])
    part = (share[first - 1] - risk) / (share[first - 1] - share[first])
    return float(GRID[first - 1] + part * (GRID[first] - GRID[first - 1]))


def _rare_share(remembered: Remembered, reach: Reach, prior: Prior) -> Numbers:
    """What bursts, and the rise assumed before they are known, add to the mean curve of steady decisions now."""
    unseen = _rise_at_once(reach, prior.rise)
    share: Numbers = unseen * reach.step_s * (prior.worth_s / prior.every_s) / (remembered.seen_s + prior.worth_s)
    times_s = np.array([burst.at_s for burst in remembered.bursts])
    # If older bursts were evicted, the remaining ones span less than the time observed.
    within_s = (
        remembered.seen_s if len(times_s) < MOST_BURSTS else min(remembered.seen_s, remembered.now_s - times_s[0])
    )
    any_time, at_its_time = reach.step_s / (within_s + prior.worth_s), 0.0
    alone, keeps = np.ones(len(times_s)), np.zeros(len(times_s))
    if remembered.period_s is not None and len(times_s):
        visits = max(1.0, within_s / remembered.period_s) * max(1.0, WIDTH_S / reach.step_s)
        at_its_time = 1.0 / visits
        is_kept = company(times_s, remembered.period_s) >= FEWEST
        keeps_share = is_kept.sum() / (len(times_s) + 1)
        is_now = apart_s(times_s, remembered.now_s, remembered.period_s) <= WIDTH_S / 2
        alone = np.where(is_kept, 0.0, 1.0 - keeps_share)
        keeps = is_now * np.where(is_kept, 1.0, keeps_share)
    for burst, uniform, timed in zip(remembered.bursts, alone * any_time, keeps * at_its_time, strict=True):
        if uniform + timed > 0:
            share += (uniform + timed) * _full(burst.late)
    return share


@lru_cache(maxsize=64)
def _rise_at_once(reach: Reach, rise: float) -> Numbers:
    """The curve of a decision after which the load is `rise` times the level at once."""
    curve: Numbers = reach.curves(np.full((1, reach.ahead_s), rise))[0]
    return curve


# ---- periods of bursts ----


def period_of(times_s: Sequence[float]) -> float | None:
    """The period [s] of bursts at these times; None if none is significant.

    Among n bursts without a period, at least m fall into one window of the width w somewhere in a period P with a
    probability of at most n x P(B >= m - 1), B binomial of n - 1 and w / P: one is the first in it, and m - 1 others
    follow. That is to be below `CHANCE` by the number of periods tried (Bonferroni). Of the periods proven so, the one
    is taken that explains most beyond chance: the bursts that have company at their time of the period, less what
    chance would bring there. Of equal ones the shortest is taken.
    """
    n, times = len(times_s), np.array(times_s)
    best, most_explained = None, 0.0
    for period_s in PERIODS_S:
        if n < FEWEST or times.max() - times.min() < (FEWEST - 1) * period_s:
            break  # too short for enough repetitions
        phases = np.sort(times % period_s)
        together = np.searchsorted(np.concatenate([phases, phases + period_s]), phases + WIDTH_S, "right")
        most = min(int((together - np.arange(n)).max()), n)
        share = min(1.0, WIDTH_S / period_s)
        chance = n * sum(comb(n - 1, k) * share**k * (1 - share) ** (n - 1 - k) for k in range(most - 1, n))
        if most < FEWEST or chance > CHANCE / len(PERIODS_S):
            continue
        phases_kept = np.sort(times[company(times, period_s) >= FEWEST] % period_s)
        filled_s = np.minimum(np.diff(phases_kept, append=phases_kept[0] + period_s), WIDTH_S).sum()
        explained = len(phases_kept) - n * filled_s / period_s
        if explained > most_explained + 0.5:
            best, most_explained = period_s, explained
    return best


def company(times_s: Numbers, period_s: float) -> npt.NDArray[np.int64]:
    """For each burst, the number of bursts at its phase of the period, itself included."""
    counts: npt.NDArray[np.int64] = (apart_s(times_s[:, None], times_s, period_s) <= WIDTH_S / 2).sum(axis=1)
    return counts


def apart_s(one_s: Any, other_s: Any, period_s: float) -> Any:
    """The distance of two times in phase [s], from 0 to half a period; numbers or arrays."""
    return abs((one_s - other_s + period_s / 2) % period_s - period_s / 2)
