"""The optimum of a multiple-choice knapsack by merging Pareto fronts, for any number of stages.

Every stage picks one option. Options are merged stage by stage; of the partial picks only those
stay that no other one beats in all of loss, latency, cores and accuracy, as far as these matter. A
constraint is left out until an answer breaks it: an optimum without it that happens to keep it is
the optimum, and its fronts are far smaller. Losses are whole numbers of which no two sums are equal
(see `scales`), so the answer is the one that enumeration finds, ties included.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from policies.optimiser.options import StageOptions

Point = tuple[int, int, int, int, tuple[int, ...]]
"""Loss, latency [ns], cores, accuracy, picks; what does not matter stands at 0 (accuracy: 1)."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One option per stage by index, its loss (reward taken off), the constraints that shaped it.

    A constraint that is not in `held` was not needed: without it the answer is the same.
    """

    indices: tuple[int, ...]
    loss: int
    held: tuple[str, ...] = ()


def exact(stages: Sequence[StageOptions], sla_ns: int | None, limit_cores: int | None, reward: int) -> Pick | None:
    """The pick of least loss - reward x product of accuracies within SLA and cores, or None."""
    if not all(stage.rows for stage in stages):
        return None
    if sla_ns is not None and sum(min(stage.latency_ns) for stage in stages) > sla_ns:
        return None
    if limit_cores is not None and sum(min(stage.cores) for stage in stages) > limit_cores:
        return None
    held: tuple[str, ...] = ()
    while True:
        sla = sla_ns if "sla" in held else None
        limit = limit_cores if "cores" in held else None
        found = _search(stages, sla, limit, reward)
        if found is None:
            return None
        loss, indices = found
        broken = _broken(stages, indices, sla_ns, limit_cores)
        if not broken:
            return Pick(indices, loss, held)
        held = tuple(name for name in ("sla", "cores") if name in held or name in broken)


def front(stage: StageOptions, sla: bool, cores: bool, reward: bool) -> list[Point]:
    """A stage's options that none of its others beats in what matters, by rising loss."""
    points: list[Point] = [
        (
            loss,
            stage.latency_ns[i] if sla else 0,
            stage.cores[i] if cores else 0,
            stage.accuracy[i] if reward else 1,
            (i,),
        )
        for i, loss in enumerate(stage.loss)
    ]
    return _unbeaten(points, sla, cores, reward)


def _search(
    stages: Sequence[StageOptions], sla_ns: int | None, limit_cores: int | None, reward: int
) -> tuple[int, tuple[int, ...]] | None:
    matters = (sla_ns is not None, limit_cores is not None, reward > 0)
    most_ns = inf if sla_ns is None else sla_ns
    most_cores = inf if limit_cores is None else limit_cores
    fronts = [front(stage, *matters) for stage in stages]
    merged: list[Point] = [(0, 0, 0, 1, ())]
    for k, following in enumerate(fronts[:-1]):
        left_ns = most_ns - sum(min(p[1] for p in later) for later in fronts[k + 1 :])
        left_cores = most_cores - sum(min(p[2] for p in later) for later in fronts[k + 1 :])
        crossed = [
            (loss + more, spent_ns, spent_cores, accuracy * factor, picks + pick)
            for loss, latency, used, accuracy, picks in merged
            for more, wait, extra, factor, pick in following
            if (spent_ns := latency + wait) <= left_ns and (spent_cores := used + extra) <= left_cores
        ]
        merged = _unbeaten(crossed, *matters) if k else sorted(crossed)
    return _best_of(merged, fronts[-1], most_ns, most_cores, reward)


def _best_of(
    merged: list[Point], last: list[Point], most_ns: float, most_cores: float, reward: int
) -> tuple[int, tuple[int, ...]] | None:
    """The best completion of `merged` by one of `last`; losses rise: the search ends early."""
    best: tuple[int, tuple[int, ...]] | None = None
    highest = reward * max((point[3] for point in last), default=0)
    for loss, latency, used, accuracy, picks in merged:
        for more, wait, extra, factor, pick in last:
            total = loss + more
            if best is not None and total - highest * accuracy >= best[0]:
                break
            if latency + wait > most_ns or used + extra > most_cores:
                continue
            total -= reward * accuracy * factor
            if best is None or total < best[0]:
                best = (total, picks + pick)
            if not reward:
                break
    return best


def _unbeaten(points: list[Point], sla: bool, cores: bool, reward: bool) -> list[Point]:
    """By rising loss, the points that no point of less loss equals or beats in all that matters."""
    points.sort()
    if not points or not (sla or cores or reward):
        return points[:1]
    if sla and cores and reward:
        return _unbeaten_in_three(points)
    if sla and cores:
        return _unbeaten_in_two([(p[1], p[2]) for p in points], points)
    if reward and (sla or cores):
        return _unbeaten_in_two([(p[1] if sla else p[2], -p[3]) for p in points], points)
    return _unbeaten_in_one([p[1] if sla else p[2] if cores else -p[3] for p in points], points)


def _unbeaten_in_one(costs: list[int], points: list[Point]) -> list[Point]:
    kept, least = [], None
    for cost, point in zip(costs, points, strict=True):
        if least is None or cost < least:
            kept.append(point)
            least = cost
    return kept


def _unbeaten_in_two(costs: list[tuple[int, int]], points: list[Point]) -> list[Point]:
    """A staircase of what is kept so far: the first cost rises, the second falls."""
    kept: list[Point] = []
    firsts: list[int] = []
    seconds: list[int] = []
    for (first, second), point in zip(costs, points, strict=True):
        place = bisect_right(firsts, first)
        if place and seconds[place - 1] <= second:
            continue
        end = place
        while end < len(seconds) and seconds[end] >= second:
            end += 1
        firsts[place:end] = [first]
        seconds[place:end] = [second]
        kept.append(point)
    return kept


def _unbeaten_in_three(points: list[Point]) -> list[Point]:
    kept: list[Point] = []
    for point in points:
        _, latency, cores, accuracy, _ = point
        if not any(p[1] <= latency and p[2] <= cores and p[3] >= accuracy for p in kept):
            kept.append(point)
    return kept


def _broken(stages: Sequence[StageOptions], indices: Sequence[int], sla_ns: int | None, limit: int | None) -> list[str]:
    """The constraints that a pick does not keep."""
    chosen = list(zip(stages, indices, strict=True))
    late = sla_ns is not None and sum(stage.latency_ns[i] for stage, i in chosen) > sla_ns
    large = limit is not None and sum(stage.cores[i] for stage, i in chosen) > limit
    return ["sla"] * late + ["cores"] * large
