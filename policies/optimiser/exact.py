"""The optimum of a multiple-choice knapsack by merging Pareto fronts, for any number of stages.

A pick has one option of every stage. Options are merged stage by stage. Partial picks are kept only if no other one
dominates them in loss, latency, cores and accuracy, as far as these matter. If there are many, each also has an
optimistic bound (see `relaxation`), and is pruned if that is worse than a pick already found. A limit is ignored until
an answer breaks it: an optimum that keeps it anyway is the optimum, and its fronts are far smaller. Losses are whole
numbers of which no two sums are equal (see `scales`), so the answer is the one that enumeration would find, ties
included; floats serve only as bounds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from heapq import nsmallest
from math import inf, prod
from operator import itemgetter
from typing import NamedTuple

from ipa.policies.optimiser import graphs
from ipa.policies.optimiser.fronts import Matters, Point, front, unbeaten
from ipa.policies.optimiser.problem import LIMITS, Knapsack, Pick
from ipa.policies.optimiser.relaxation import Envelope, Relaxed, ScaledOption

# Up to this many combinations of options, bounds cost more time than they save.
FEW = 2000

WIDTHS = (8, 64, None)
"""How many partial picks a pass keeps at each stage (None: all); a narrow one finds picks that prune the next."""

Partial = tuple[int, int, int, int, tuple[int, ...], float, float, float]
"""A point, followed by its cost and accuracy as shares, and its bound."""

Best = tuple[int, tuple[int, ...]]
"""A loss, less the reward, and the picks."""


def exact(knapsack: Knapsack) -> Pick | None:
    """The best pick of a knapsack; None if none keeps the limits. Limits are added only when a pick breaks them."""
    if knapsack.is_hopeless():
        return None
    # `graphs.best` finds the same for a single way, in up to four times the time.
    best = _best if knapsack.flow.is_chain else graphs.best
    binding = () if knapsack.bounded is None else knapsack.bounded.binding
    free_loss: int | None = None
    while True:
        pick = best(knapsack.without(*(name for name in LIMITS if name not in binding)))
        if pick is None:
            return None
        free_loss = pick.loss if free_loss is None else free_loss
        broken = knapsack.broken(pick)
        if not broken:
            return replace(pick, binding=binding, free_loss=free_loss)
        binding = tuple(name for name in LIMITS if name in binding or name in broken)


def _best(knapsack: Knapsack) -> Pick | None:
    matters = Matters.of(knapsack)
    fronts = [front(stage, matters) for stage in knapsack.stages]
    search = _best_of_many if prod(map(len, fronts)) > FEW else _best_of_few
    best = search(fronts, knapsack, matters)
    return None if best is None else Pick(knapsack.stages, best[1], best[0])


# ---- plain merging ----


def _best_of_few(fronts: Sequence[list[Point]], knapsack: Knapsack, matters: Matters) -> Best | None:
    merged: list[Point] = [(0, 0, 0, 1, ())]
    least_ns = [min([point[1] for point in points]) for points in fronts]
    least_cores = [min([point[2] for point in points]) for points in fronts]
    most_ns = inf if knapsack.sla_ns is None else knapsack.sla_ns
    most_cores = inf if knapsack.limit_cores is None else knapsack.limit_cores
    left_ns, left_cores = most_ns - sum(least_ns), most_cores - sum(least_cores)
    for k, following in enumerate(fronts[:-1]):
        left_ns += least_ns[k]
        left_cores += least_cores[k]
        crossed = [
            (loss + next_loss, spent_ns, spent_cores, accuracy * factor, picks + pick)
            for loss, latency, used, accuracy, picks in merged
            for next_loss, wait, extra, factor, pick in following
            if (spent_ns := latency + wait) <= left_ns and (spent_cores := used + extra) <= left_cores
        ]
        merged = unbeaten(crossed, matters) if k else sorted(crossed)
    return _completed(merged, fronts[-1], (most_ns, most_cores, knapsack.least_accuracy), knapsack.reward)


def _completed(merged: list[Point], last: list[Point], limits: tuple[float, float, int], reward: int) -> Best | None:
    """The best completion of `merged` by one of `last`; losses rise, so the search ends early."""
    best: Best | None = None
    most_ns, most_cores, least_accuracy = limits
    highest = reward * max((point[3] for point in last), default=0)
    for loss, latency, used, accuracy, picks in merged:
        for last_loss, wait, extra, factor, pick in last:
            total = loss + last_loss
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


def _best_of_many(fronts: Sequence[Sequence[Point]], knapsack: Knapsack, matters: Matters) -> Best | None:
    reduced = _reduced(fronts, knapsack)
    if reduced is None:
        return None
    points, limits = reduced
    highest = prod(stage[0][3] for stage in points)
    unit = max(1, knapsack.reward * highest, *(max(stage)[0] - min(stage)[0] for stage in points))
    share = knapsack.reward * highest / unit
    options = [_in_shares(stage, unit) for stage in points]
    # A pick found during the search for prices counts only if it is accurate enough despite rounding.
    least_share = knapsack.least_accuracy / highest * (1 + 1e-9) if knapsack.least_accuracy else 0.0
    relaxed = Relaxed(options, share, limits, (matters.sla, matters.cores), least_share)
    stages = [list(zip(*stage, strict=True)) for stage in zip(points, options, strict=True)]
    rests = [prod(later[0][3] for later in points[k:]) for k in range(1, len(points) + 1)]
    least = [-(-knapsack.least_accuracy // rest) if rest else knapsack.least_accuracy for rest in rests]
    cost = relaxed.cost
    for width in WIDTHS:
        merged: list[Partial] = [(0, 0, 0, 1, (), 0.0, 1.0, 0.0)]
        is_complete = True
        for k, stage in enumerate(stages):
            bounds = [
                Bound(relaxation.prices, relaxation.limit_price, relaxation.envelopes[k + 1], cost + relaxation.margin)
                for relaxation in relaxed.tried
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
        ((loss - knapsack.reward * accuracy, picks) for loss, _, _, accuracy, picks, *_ in merged),
        default=None,
    )


def _reduced(fronts: Sequence[Sequence[Point]], knapsack: Knapsack) -> tuple[list[list[Point]], tuple[int, int]] | None:
    """The options that can keep the limits, by falling accuracy, and the limits; both above the least spending."""
    most_ns = inf if knapsack.sla_ns is None else knapsack.sla_ns
    most_cores = inf if knapsack.limit_cores is None else knapsack.limit_cores
    while True:
        least = [(min(point[1] for point in front), min(point[2] for point in front)) for front in fronts]
        left_ns = most_ns - sum(ns for ns, _ in least)
        left_cores = most_cores - sum(cores for _, cores in least)
        fitting = [
            [point for point in front if point[1] - ns <= left_ns and point[2] - cores <= left_cores]
            for front, (ns, cores) in zip(fronts, least, strict=True)
        ]
        if min(left_ns, left_cores) < 0 or not all(fitting):
            return None
        if sum(map(len, fitting)) == sum(map(len, fronts)):
            break
        fronts = fitting
    points = [
        [(point[0], point[1] - ns, point[2] - cores, point[3], point[4]) for point in front]
        for front, (ns, cores) in zip(fitting, least, strict=True)
    ]
    limits = (0 if left_ns == inf else int(left_ns), 0 if left_cores == inf else int(left_cores))
    return [sorted(stage, key=itemgetter(3), reverse=True) for stage in points], limits


def _in_shares(points: Sequence[Point], unit: int) -> list[ScaledOption]:
    least, highest = min(points)[0], max(points[0][3], 1)
    return [
        ScaledOption((loss - least) / unit, (ns, cores), accuracy / highest) for loss, ns, cores, accuracy, _ in points
    ]


def _grown(
    merged: Sequence[Partial],
    stage: Sequence[tuple[Point, ScaledOption]],
    bounds: Sequence[Bound],
    limits: tuple[int, int, int],
) -> Iterator[Partial]:
    """Every partial pick extended by every option of the next stage, if limits and bounds allow."""
    most_ns, most_cores, least_accuracy = limits
    for loss, latency, used, accuracy, picks, spent, rate, _ in merged:
        for (stage_loss, wait, extra, factor, pick), (cost, _, share) in stage:
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
                yield loss + stage_loss, late, large, combined, picks + pick, total, product, bound
