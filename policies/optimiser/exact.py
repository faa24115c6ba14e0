"""The optimum of a multiple-choice knapsack by merging Pareto fronts, for any number of stages.

A pick has one option of every stage. Options are merged stage by stage. Partial picks are kept only if no other one
dominates them in loss, latency, cores and accuracy, as far as these matter. If there are many, each also has an
optimistic bound (see `relaxation`), and is pruned if that is worse than a pick already found. A limit is ignored until
an answer breaks it: an optimum that keeps it anyway is the optimum, and its fronts are far smaller. Losses are whole
numbers of which no two sums are equal (see `scales`), so the answer is the one that enumeration would find, ties
included; floats serve only as bounds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from heapq import nsmallest
from math import inf, prod
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from ipa.policies.optimiser import graphs
from ipa.policies.optimiser.graphs import Found
from ipa.policies.optimiser.problem import LIMITS, Knapsack, Pick, StageOptions
from ipa.policies.optimiser.relaxation import Envelope, Option, Relaxed

# Up to this many combinations of options, bounds cost more time than they save.
FEW = 2000

WIDTHS = (8, 64, None)
"""How many partial picks a pass keeps at each stage (None: all); a narrow one finds picks that prune the next."""

Partial = tuple[int, int, int, int, tuple[int, ...], float, float, float]
"""A point, followed by its cost and accuracy as shares, and its bound."""

Point = tuple[int, int, int, int, tuple[int, ...]]
"""Loss, latency [ns], cores, accuracy, picks; a criterion that does not matter is 0 (accuracy: 1)."""

T = TypeVar("T")
P = TypeVar("P", bound=tuple[Any, ...])


def exact(asked: Knapsack) -> Pick | None:
    """The best pick of a knapsack; None if none keeps the limits."""
    if asked.flow is not None:
        return _by_limits(asked, graphs.best)
    return None if asked.is_hopeless() else _by_limits(asked, _best)


def _by_limits(asked: Knapsack, best: Callable[[Knapsack], Found | None]) -> Pick | None:
    """The best pick; limits are added only when a pick breaks them."""
    held: tuple[str, ...] = ()
    free_loss: int | None = None
    while True:
        found = best(asked.without(*(name for name in LIMITS if name not in held)))
        if found is None:
            return None
        loss, indices = found
        free_loss = loss if free_loss is None else free_loss
        broken = asked.broken(indices)
        if not broken:
            return Pick(indices, loss, held, free_loss)
        held = tuple(name for name in LIMITS if name in held or name in broken)


def _best(asked: Knapsack) -> Found | None:
    matters = Matters.of(asked)
    fronts = [front(stage, matters) for stage in asked.stages]
    if prod(map(len, fronts)) > FEW:
        return _best_of_many(fronts, asked, matters)
    return _best_of_few(fronts, asked, matters)


# ---- plain merging ----


def _best_of_few(fronts: Sequence[list[Point]], asked: Knapsack, matters: Matters) -> Found | None:
    merged: list[Point] = [(0, 0, 0, 1, ())]
    least_ns = [min([point[1] for point in points]) for points in fronts]
    least_cores = [min([point[2] for point in points]) for points in fronts]
    most_ns = inf if asked.sla_ns is None else asked.sla_ns
    most_cores = inf if asked.limit_cores is None else asked.limit_cores
    left_ns, left_cores = most_ns - sum(least_ns), most_cores - sum(least_cores)
    for k, following in enumerate(fronts[:-1]):
        left_ns += least_ns[k]
        left_cores += least_cores[k]
        crossed = [
            (loss + more, spent_ns, spent_cores, accuracy * factor, picks + pick)
            for loss, latency, used, accuracy, picks in merged
            for more, wait, extra, factor, pick in following
            if (spent_ns := latency + wait) <= left_ns and (spent_cores := used + extra) <= left_cores
        ]
        merged = unbeaten(crossed, matters) if k else sorted(crossed)
    return _completed(merged, fronts[-1], (most_ns, most_cores, asked.least_accuracy), asked.reward)


def _completed(merged: list[Point], last: list[Point], limits: tuple[float, float, int], reward: int) -> Found | None:
    """The best completion of `merged` by one of `last`; losses rise, so the search ends early."""
    best: Found | None = None
    most_ns, most_cores, least_accuracy = limits
    highest = reward * max((point[3] for point in last), default=0)
    for loss, latency, used, accuracy, picks in merged:
        for more, wait, extra, factor, pick in last:
            total = loss + more
            if best is not None and total - highest * accuracy >= best[0]:
                break
            if latency + wait > most_ns or used + extra > most_cores or accuracy * factor < least_accuracy:
                continue
            total -= reward * accuracy * factor
            if best is None or total < best[0]:
                best = (total, picks + pick)
            if not reward:
                break
    return best


# ---- merging with bounds ----


class Bound(NamedTuple):
    """A relaxation for one stage: a bound of what may follow, and the highest cost that a pick may have."""

    prices: tuple[float, float]
    limit_price: float
    following: Envelope
    most: float


def _best_of_many(fronts: Sequence[Sequence[Point]], asked: Knapsack, matters: Matters) -> Found | None:
    reduced = _reduced(fronts, asked)
    if reduced is None:
        return None
    points, limits = reduced
    highest = prod(stage[0][3] for stage in points)
    unit = max(1, asked.reward * highest, *(max(stage)[0] - min(stage)[0] for stage in points))
    share = asked.reward * highest / unit
    options = [_in_shares(stage, unit) for stage in points]
    # A pick found during the search for prices counts only if it is accurate enough despite rounding.
    least_share = asked.least_accuracy / highest * (1 + 1e-9) if asked.least_accuracy else 0.0
    relaxed = Relaxed(options, share, limits, (matters.sla, matters.cores), least_share)
    stages = [list(zip(*stage, strict=True)) for stage in zip(points, options, strict=True)]
    rests = [prod(later[0][3] for later in points[k:]) for k in range(1, len(points) + 1)]
    least = [-(-asked.least_accuracy // rest) if rest else asked.least_accuracy for rest in rests]
    cost = relaxed.cost
    for width in WIDTHS:
        merged: list[Partial] = [(0, 0, 0, 1, (), 0.0, 1.0, 0.0)]
        is_complete = True
        for k, stage in enumerate(stages):
            bounds = [
                Bound(each.prices, each.limit_price, each.envelopes[k + 1], cost + each.margin)
                for each in relaxed.tried
            ]
            merged = list(_grown(merged, stage, bounds, (*limits, least[k])))
            if k < len(stages) - 1:
                merged = unbeaten(merged, matters)
                if width is not None and len(merged) > width:
                    merged, is_complete = nsmallest(width, merged, key=itemgetter(7)), False
        if is_complete:
            break
        cost = min([cost, *(spent - share * rate for *_, spent, rate, _ in merged)])
    # No two picks have the same loss, since it includes their place in the order.
    return min(
        ((loss - asked.reward * accuracy, picks) for loss, _, _, accuracy, picks, *_ in merged),
        default=None,
    )


def _reduced(fronts: Sequence[Sequence[Point]], asked: Knapsack) -> tuple[list[list[Point]], tuple[int, int]] | None:
    """The options that can keep the limits, by falling accuracy, and the limits; both above the least spending."""
    most_ns = inf if asked.sla_ns is None else asked.sla_ns
    most_cores = inf if asked.limit_cores is None else asked.limit_cores
    while True:
        least = [(min(point[1] for point in front), min(point[2] for point in front)) for front in fronts]
        left_ns = most_ns - sum(ns for ns, _ in least)
        left_cores = most_cores - sum(cores for _, cores in least)
        kept = [
            [point for point in front if point[1] - ns <= left_ns and point[2] - cores <= left_cores]
            for front, (ns, cores) in zip(fronts, least, strict=True)
        ]
        if min(left_ns, left_cores) < 0 or not all(kept):
            return None
        if sum(map(len, kept)) == sum(map(len, fronts)):
            break
        fronts = kept
    points = [
        [(point[0], point[1] - ns, point[2] - cores, point[3], point[4]) for point in front]
        for front, (ns, cores) in zip(kept, least, strict=True)
    ]
    limits = (0 if left_ns == inf else int(left_ns), 0 if left_cores == inf else int(left_cores))
    return [sorted(stage, key=itemgetter(3), reverse=True) for stage in points], limits


def _in_shares(points: Sequence[Point], unit: int) -> list[Option]:
    least, highest = min(points)[0], max(points[0][3], 1)
    return [Option((loss - least) / unit, (ns, cores), each / highest) for loss, ns, cores, each, _ in points]


def _grown(
    merged: Sequence[Partial],
    stage: Sequence[tuple[Point, Option]],
    bounds: Sequence[Bound],
    limits: tuple[int, int, int],
) -> Iterator[Partial]:
    """Every partial pick extended by every option of the next stage, if limits and bounds allow."""
    most_ns, most_cores, least_accuracy = limits
    for loss, latency, used, accuracy, picks, spent, rate, _ in merged:
        for (more, wait, extra, factor, pick), (cost, _, share) in stage:
            late, large, combined = latency + wait, used + extra, accuracy * factor
            if late > most_ns or large > most_cores or combined < least_accuracy:
                continue
            total, product, bound = spent + cost, rate * share, -inf
            for (price_ns, price_core), limit_price, (lines, cuts), most in bounds:
                value, slope, _ = lines[bisect_left(cuts, product)]
                here = total + price_ns * late + price_core * large - limit_price + value - slope * product
                if here > most:
                    break
                if here > bound:
                    bound = here
            else:
                yield loss + more, late, large, combined, picks + pick, total, product, bound


# ---- dominance ----


class Matters(NamedTuple):
    """The criteria besides the loss."""

    sla: bool
    cores: bool
    accuracy: bool

    @classmethod
    def of(cls, asked: Knapsack) -> Matters:
        """The criteria of a knapsack."""
        return cls(
            asked.sla_ns is not None, asked.limit_cores is not None, asked.reward > 0 or asked.least_accuracy > 0
        )


def front(stage: StageOptions, matters: Matters) -> list[Point]:
    """The options of a stage that no other one dominates in the criteria, by rising loss."""
    loss, nothing = stage.loss, [0] * len(stage.loss)
    latency_ns = stage.latency_ns if matters.sla else nothing
    cores = stage.cores if matters.cores else nothing
    accuracy = stage.accuracy if matters.accuracy else [1] * len(loss)
    if not any(matters):
        best = min(range(len(loss)), key=loss.__getitem__)
        return [(loss[best], 0, 0, 1, (best,))]
    order = sorted(range(len(loss)), key=loss.__getitem__)
    if sum(matters) == 1:
        costs = latency_ns if matters.sla else cores if matters.cores else [-each for each in accuracy]
        order = _in_one([costs[i] for i in order], order)
        return [(loss[i], latency_ns[i], cores[i], accuracy[i], (i,)) for i in order]
    return unbeaten([(loss[i], latency_ns[i], cores[i], accuracy[i], (i,)) for i in order], matters)


def unbeaten(points: list[P], matters: Matters) -> list[P]:
    """The points, by rising loss, that no point with less loss equals or beats in all criteria (the Pareto front).

    Points are tuples that begin like `Point`. The given list is sorted in place.
    """
    points.sort()
    sla, cores, by_accuracy = matters
    if not points or not any(matters):
        return points[:1]
    if sla and cores and by_accuracy:
        return _in_three(points)
    if sla and cores:
        return _in_two([(p[1], p[2]) for p in points], points)
    if by_accuracy and (sla or cores):
        return _in_two([(p[1] if sla else p[2], -p[3]) for p in points], points)
    return _in_one([p[1] if sla else p[2] if cores else -p[3] for p in points], points)


def _in_one(costs: Sequence[int], points: Sequence[T]) -> list[T]:
    kept, least = [], None
    for cost, point in zip(costs, points, strict=True):
        if least is None or cost < least:
            kept.append(point)
            least = cost
    return kept


def _in_two(costs: Sequence[tuple[int, int]], points: Sequence[P]) -> list[P]:
    """Keep a staircase of points, along which the first cost rises and the second falls."""
    kept: list[P] = []
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


def _in_three(points: Sequence[P]) -> list[P]:
    kept: list[P] = []
    for point in points:
        _, latency, cores, accuracy, *_ = point
        if not any(p[1] <= latency and p[2] <= cores and p[3] >= accuracy for p in kept):
            kept.append(point)
    return kept
