"""The options and partial picks that no other one dominates: the Pareto fronts of loss, latency, cores and accuracy."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from ipa.policies.optimiser.problem import Knapsack, StageOptions

Point = tuple[int, int, int, int, tuple[int, ...]]
"""Loss, latency [ns], cores, accuracy, picks; a criterion that does not matter is 0 (accuracy: 1)."""

T = TypeVar("T")
P = TypeVar("P", bound=tuple[Any, ...])


class Matters(NamedTuple):
    """The criteria besides the loss."""

    sla: bool
    cores: bool
    accuracy: bool

    @classmethod
    def of(cls, knapsack: Knapsack) -> Matters:
        """The criteria of a knapsack."""
        return cls(
            knapsack.sla_ns is not None,
            knapsack.limit_cores is not None,
            knapsack.reward > 0 or knapsack.least_accuracy > 0,
        )


def front(stage: StageOptions, matters: Matters, places: Sequence[int] | None = None) -> list[Point]:
    """The options of a stage that no other one dominates in the criteria, by rising loss; `places`: only of these."""
    among = range(len(stage.loss)) if places is None else places
    loss, nothing = stage.loss, [0] * len(stage.loss)
    latency_ns = stage.latency_ns if matters.sla else nothing
    cores = stage.cores if matters.cores else nothing
    accuracy = stage.accuracy if matters.accuracy else [1] * len(loss)
    if not any(matters):
        best = min(among, key=loss.__getitem__)
        return [(loss[best], 0, 0, 1, (best,))]
    order = sorted(among, key=loss.__getitem__)
    if sum(matters) == 1:
        costs = latency_ns if matters.sla else cores if matters.cores else [-value for value in accuracy]
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
    unbeaten_points, least = [], None
    for cost, point in zip(costs, points, strict=True):
        if least is None or cost < least:
            unbeaten_points.append(point)
            least = cost
    return unbeaten_points


def _in_two(costs: Sequence[tuple[int, int]], points: Sequence[P]) -> list[P]:
    """Keep a staircase of points, along which the first cost rises and the second falls."""
    unbeaten_points: list[P] = []
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
        unbeaten_points.append(point)
    return unbeaten_points


def _in_three(points: Sequence[P]) -> list[P]:
    unbeaten_points: list[P] = []
    for point in points:
        _, latency, cores, accuracy, *_ = point
        if not any(p[1] <= latency and p[2] <= cores and p[3] >= accuracy for p in unbeaten_points):
            unbeaten_points.append(point)
    return unbeaten_points
