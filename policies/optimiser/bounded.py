"""Merging with bounds: partial picks that cannot become the best are dropped on the way.

Each pass is wider than the one before. A narrow pass keeps only the few most promising partial picks of each stage; it
finds a good pick, and is enough if nothing promising had to be dropped. The last pass drops only what cannot beat the
pick found. Picks are compared in whole numbers; floats serve only as bounds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from heapq import nsmallest
from math import inf, prod
from operator import itemgetter
from typing import NamedTuple

from ipa.policies.optimiser.fronts import Matters, Point, unbeaten
from ipa.policies.optimiser.relaxation import Envelope, Option, Relaxation, Relaxed

WIDTHS: tuple[int | None, ...] = (8, 64, None)

Partial = tuple[int, int, int, int, tuple[int, ...], float, float, float]
"""A point, then its bound, and its cost and accuracy in shares."""

Stage = list[tuple[Point, Option]]
"""A stage's options in both forms, by falling accuracy, with latency and cores above the stage's least."""


class Bound(NamedTuple):
    """A relaxation as one stage needs it: the best that may follow, and the most that a pick may cost."""

    prices: tuple[float, float]
    limit_price: float
    following: Envelope
    most: float


def best_of_many(
    fronts: Sequence[Sequence[Point]], most_ns: float, most_cores: float, reward: int, matters: Matters
) -> tuple[int, tuple[int, ...]] | None:
    """The least loss - reward x product of accuracies within the limits, and its picks; None if there are none.

    There is one front for each stage; limits that do not matter are infinite.
    """
    reduced = _reduced(fronts, most_ns, most_cores)
    if reduced is None:
        return None
    points, limits = reduced
    highest = prod(stage[0][3] for stage in points)
    unit = max(1, reward * highest, *(max(stage)[0] - min(stage)[0] for stage in points))
    share = reward * highest / unit
    options = [_in_shares(stage, unit) for stage in points]
    stages = [list(zip(*both, strict=True)) for both in zip(points, options, strict=True)]
    relaxed = Relaxed(options, share, limits, (matters.sla, matters.cores))
    cost = relaxed.cost
    for width in WIDTHS:
        found, complete = _merged(stages, relaxed.tried, limits, cost, width, matters)
        if complete:
            break
        cost = min([cost, *(partial[6] - share * partial[7] for partial in found)])
    # No two picks have the same loss, since their places in the order are part of it.
    return min(
        ((loss - reward * accuracy, picks) for loss, _, _, accuracy, picks, *_ in found),
        default=None,
    )


def _reduced(
    fronts: Sequence[Sequence[Point]], most_ns: float, most_cores: float
) -> tuple[list[list[Point]], tuple[int, int]] | None:
    """The options that can be within the limits, by falling accuracy, and the limits, both above the stages' least."""
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


def _merged(
    stages: Sequence[Stage],
    relaxations: Sequence[Relaxation],
    limits: tuple[int, int],
    cost: float,
    width: int | None,
    matters: Matters,
) -> tuple[list[Partial], bool]:
    """The picks that may cost as little as `cost`, and whether none was dropped because of the width."""
    merged: list[Partial] = [(0, 0, 0, 1, (), 0.0, 0.0, 1.0)]
    complete = True
    for k, stage in enumerate(stages, start=1):
        bounds = [Bound(each.prices, each.limit_price, each.envelopes[k], cost + each.margin) for each in relaxations]
        merged = list(_grown(merged, stage, bounds, limits))
        if k < len(stages):
            merged = unbeaten(merged, matters)
            if width is not None and len(merged) > width:
                merged, complete = nsmallest(width, merged, key=itemgetter(5)), False
    return merged, complete


def _grown(
    merged: Sequence[Partial], stage: Stage, bounds: Sequence[Bound], limits: tuple[int, int]
) -> Iterator[Partial]:
    """Every partial pick with every option of the next stage, as far as limits and bounds allow."""
    most_ns, most_cores = limits
    for loss, latency, used, accuracy, picks, _, spent, rate in merged:
        for (more, wait, extra, factor, pick), (cost, _, share) in stage:
            late, large = latency + wait, used + extra
            if late > most_ns or large > most_cores:
                continue
            bound, total, product = -inf, spent + cost, rate * share
            for (price_ns, price_core), limit_price, (lines, cuts), most in bounds:
                value, slope, _ = lines[bisect_left(cuts, product)]
                here = total + price_ns * late + price_core * large - limit_price + value - slope * product
                if here > most:
                    break
                if here > bound:
                    bound = here
            else:
                yield loss + more, late, large, accuracy * factor, picks + pick, bound, total, product
