"""The optimum of a knapsack whose stages form a graph: by scenes, then by branch and bound within a scene.

In a scene (see `flows`) every stage has one list of options; the remaining constraints are the SLA on every path, the
cores and the accuracy. Scenes are searched in the order of their lower bounds, until none can beat the best pick found.
In a scene, stages are picked in topological order, and a partial pick is pruned if it cannot beat the best.

*The cost of a pick.* Let M be the highest accuracies of the stages. A pick's accuracy is exactly that of all M, minus
`before` x `worth` x (M - own) at each stage, where `before` depends on earlier picks and `worth` on the M of later
stages. So a pick's cost is a sum over the stages, in which only `before` depends on earlier picks, and the least
`before` gives a bound for the remaining stages.

*A bound for the remaining stages.* Each stage is considered reachable from its first parent only, which makes the graph
a forest. There, the least cost from a stage on is a function of the time left (dynamic programming backwards, on a grid
of times rounded down). Likewise, the least cost of all remaining stages is a function of the cores left. The higher of
the two bounds counts.

Losses are whole numbers (see `scales`), so the answer is the one that enumeration would find, ties included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ipa.policies.optimiser.flows import Combinations, Flow, Ways
from ipa.policies.optimiser.problem import Knapsack, StageOptions

SLOTS = 64
"""The number of slots in the grids of times and of cores."""


class Point(NamedTuple):
    """An option: its loss, latency [ns] and cores (0 if not limited), accuracy and variant, and its index among the
    options of its stage."""

    loss: int
    latency_ns: int
    cores: int
    accuracy: int
    variant: str
    place: int


Found = tuple[int, tuple[int, ...]]
"""A loss, less the reward, and the picks."""


def best(asked: Knapsack) -> Found | None:
    """The best pick within the limits; None if there is none."""
    flow = asked.flow
    assert flow is not None
    offered = [_by_inflow(stage, asked.sla_ns is not None, asked.limit_cores is not None) for stage in asked.stages]
    every = [[point for points in of.values() for point in points] for of in offered]
    if not all(every):
        return None
    bounds = _Costs(asked, flow, every)
    found: Found | None = None
    for least, points in sorted(_scenes(flow, offered, bounds), key=lambda scene: scene[0]):
        if found is not None and least >= found[0]:
            break
        search = _Search(asked, flow, points, found)
        if search.is_open:
            costs = search.costs
            search.visit(0, costs.base, costs.highest, search.rest, search.spare_cores)
            found = search.found
    return found


def least_latency_ns(asked: Knapsack) -> int:
    """The least latency [ns] of any pick, whatever its cores. Some scene must have options at every stage."""
    flow = asked.flow
    assert flow is not None
    offered = [_by_inflow(stage, True, False) for stage in asked.stages]
    every = [[point for points in of.values() for point in points] for of in offered]
    return min(
        flow.longest_way([min(point.latency_ns for point in of) for of in points])[0]
        for _, points in _scenes(flow, offered, _Costs(asked, flow, every))
    )


Offered = dict[tuple[int, str], list[Point]]
"""(Inflow, variant) -> the options of a stage that are not dominated."""


def _by_inflow(stage: StageOptions, is_timed: bool, is_limited: bool) -> Offered:
    """For each inflow and variant, the options that are not dominated in loss and limited resources."""
    found: Offered = {}
    for i in sorted(range(len(stage.rows)), key=stage.loss.__getitem__):
        latency_ns, cores = stage.latency_ns[i] if is_timed else 0, stage.cores[i] if is_limited else 0
        variant = stage.rows[i].variant
        kept = found.setdefault((stage.inflow[i], variant), [])
        if is_timed and is_limited:
            is_beaten = any(each.latency_ns <= latency_ns and each.cores <= cores for each in kept)
        else:
            is_beaten = bool(kept) and kept[-1].latency_ns + kept[-1].cores <= latency_ns + cores
        if not is_beaten:
            kept.append(Point(stage.loss[i], latency_ns, cores, stage.accuracy[i], variant, i))
    return found


def _scenes(flow: Flow, offered: Sequence[Offered], costs: _Costs) -> Iterator[tuple[int, list[list[Point]]]]:
    """The scenes in which every stage has options: the least cost of a pick, and each stage's options."""
    variants = [dict.fromkeys(name for _, name in of) for of in offered]
    known: dict[tuple[int, int, str], tuple[int, list[Point]]] = {}
    for scene in flow.scenes:
        fixed = dict(zip(flow.deciding, scene.variants, strict=True))
        least, points = costs.base, []
        for k, inflow in enumerate(scene.inflows):
            name = fixed.get(k, "")
            if (k, inflow, name) not in known:
                names = [name] if name else variants[k]
                found = [point for each in names for point in offered[k].get((inflow, each), ())]
                known[k, inflow, name] = min((costs.least(k, point) for point in found), default=0), found
            cost, found = known[k, inflow, name]
            least += cost
            points.append(found)
        if all(points):
            yield least, points


# ---- the cost of a pick ----


class _Costs:
    """The cost of picks: `base`, and a further cost at each stage.

    Accuracy counts if there is a reward for it or a required accuracy; else it costs nothing.
    """

    def __init__(self, asked: Knapsack, flow: Flow, points: Sequence[Sequence[Point]]) -> None:
        joint = flow.joint if asked.reward or asked.least_accuracy else None
        self.reward = asked.reward
        self.along = joint if isinstance(joint, Ways) else None
        self.together = joint if isinstance(joint, Combinations) else None
        self.most = [max(point.accuracy for point in of) for of in points]
        self.highest = 0
        self.least_drops = [0] * len(points)
        if self.along is not None:
            self.worths = self.along.worths(self.most)
            through: list[int] = []
            for k, of in enumerate(points):
                before = self.along.before(k, through)
                self.least_drops[k] = before * self.worths[k]
                through.append(before * min(point.accuracy for point in of))
            self.highest = self.along.accuracy(self.most, ())
        elif self.together is not None:
            self.highest = self.together.highest[()]
        self.base = -self.reward * self.highest

    def least(self, k: int, point: Point) -> int:
        """The least cost of an option at stage k, over all earlier picks."""
        return point.loss + self.reward * self.least_drops[k] * (self.most[k] - point.accuracy)

    def before(self, k: int, through: Sequence[int]) -> int:
        """The accuracy accumulated before stage k (see `Ways.before`); 0 if accuracies are not over paths."""
        return 0 if self.along is None else self.along.before(k, through)

    def drops(self, k: int, points: Sequence[Point], picked: Sequence[Point], before: int) -> list[int]:
        """The drop of the highest accuracy with each option of stage k, after the earlier picks."""
        if self.along is not None:
            return [before * self.worths[k] * (self.most[k] - point.accuracy) for point in points]
        if self.together is not None:
            start = tuple([point.variant for point in picked])
            highest = self.together.highest
            return [highest[start] - highest[*start, point.variant] for point in points]
        return [0] * len(points)


# ---- one scene ----


class _Search:
    """The search of one scene; `found` is the best pick so far, `is_open` whether there is anything to search."""

    def __init__(self, asked: Knapsack, flow: Flow, points: Sequence[list[Point]], found: Found | None) -> None:
        self.asked, self.flow, self.found = asked, flow, found
        self.limit_ns = 0 if asked.sla_ns is None else asked.sla_ns
        heads, self.tails = _beside(flow, [min(point.latency_ns for point in of) for of in points])
        self.points = [
            [point for point in of if head + point.latency_ns + tail <= self.limit_ns]
            for of, head, tail in zip(points, heads, self.tails, strict=True)
        ]
        self.fewest = [min((point.cores for point in of), default=0) for of in self.points]
        self.spare_cores = 0 if asked.limit_cores is None else asked.limit_cores - sum(self.fewest)
        self.is_open = all(self.points) and self.spare_cores >= 0
        if self.is_open:
            self.costs = _Costs(asked, flow, self.points)
            self.picked: list[Point] = []
            self.finished_ns, self.through = [0] * len(points), [0] * len(points)
            # An upper bound for all picks: an accuracy is never negative.
            self.worst = found[0] if found else 1 + sum(max(point.loss for point in of) for of in self.points)
            self._bound_the_rest()

    def _bound_the_rest(self) -> None:
        """Compute the least cost of each stage and its descendants by time left, and of later stages by cores left."""
        least = [[self.costs.least(k, point) for point in of] for k, of in enumerate(self.points)]
        never = self.worst - self.costs.base + 1 + 2 * sum(max(map(abs, of)) for of in least)
        size = len(self.points)
        self.unit_ns = self.limit_ns // SLOTS + 1
        self.unit_cores = self.spare_cores // SLOTS + 1
        self.in_time: list[list[int]] = [[]] * size
        self.on_cores: list[list[int]] = [[]] * size + [[0] * (self.spare_cores // self.unit_cores + 1)]
        self.heirs = [[j for j in self.flow.children[k] if self.flow.parents[j][0] == k] for k in range(size)]
        for k in reversed(range(size)):
            after = [self.in_time[j] for j in self.heirs[k]]
            following = [sum(costs) for costs in zip(*after, strict=True)] or [0] * (self.limit_ns // self.unit_ns + 1)
            taken = [point.latency_ns // self.unit_ns for point in self.points[k]]
            self.in_time[k] = _least_costs(taken, least[k], following, never)
            if self.asked.limit_cores is not None:
                taken = [(point.cores - self.fewest[k]) // self.unit_cores for point in self.points[k]]
                self.on_cores[k] = _least_costs(taken, least[k], self.on_cores[k + 1], never)
        self.rest = sum(self.in_time[k][-1] for k in range(size) if not self.flow.parents[k])

    def visit(self, k: int, total: int, top: int, rest: int, spare: int) -> None:
        """Search the picks from stage k on.

        `total`: the cost of the picks so far; `top`: the highest accuracy still possible; `rest`: a bound of the
        remaining stages' cost; `spare`: the cores left above each stage's fewest.
        """
        if k == len(self.points):
            self.worst = total
            self.found = total, tuple([point.place for point in self.picked])
            return
        before = self.costs.before(k, self.through)
        for bound, then, top_then, after, left, point in self._next(k, total, top, rest, spare, before):
            if bound >= self.worst:
                return
            self.picked.append(point)
            self.through[k] = before * point.accuracy
            self.finished_ns[k] = self._start_ns(k) + point.latency_ns
            self.visit(k + 1, then, top_then, after, left)
            self.picked.pop()

    def _next(
        self, k: int, total: int, top: int, rest: int, spare: int, before: int
    ) -> list[tuple[int, int, int, int, int, Point]]:
        """The options of stage k that can still lead to the best pick, the most promising one first.

        Each with its bound, followed by the arguments of `visit`.
        """
        start_ns, parents = self._start_ns(k), self.flow.parents[k]
        reached_ns = self.finished_ns[parents[0]] if parents else 0
        rest -= self.in_time[k][(self.limit_ns - reached_ns) // self.unit_ns]
        latest_ns = self.limit_ns - self.tails[k] - start_ns
        is_limited, least_top = self.asked.limit_cores is not None, self.asked.least_accuracy
        found = []
        points = self.points[k]
        for point, drop in zip(points, self.costs.drops(k, points, self.picked, before), strict=True):
            left = spare - point.cores + self.fewest[k] if is_limited else 0
            if point.latency_ns > latest_ns or left < 0 or top - drop < least_top:
                continue
            then = total + point.loss + self.asked.reward * drop
            slot = (self.limit_ns - start_ns - point.latency_ns) // self.unit_ns
            after = rest + sum([self.in_time[j][slot] for j in self.heirs[k]])
            bound = then + max(after, self.on_cores[k + 1][left // self.unit_cores]) if is_limited else then + after
            if bound < self.worst:
                found.append((bound, then, top - drop, after, left, point))
        return sorted(found)

    def _start_ns(self, k: int) -> int:
        return max([self.finished_ns[i] for i in self.flow.parents[k]], default=0)


def _least_costs(taken: Sequence[int], costs: Sequence[int], following: Sequence[int], never: int) -> list[int]:
    """The least of an option's cost plus `following`, by what is left of a limit; `taken`: each option's use of it."""
    found = [never] * len(following)
    lowest: int | None = None
    for units, cost in sorted(zip(taken, costs, strict=True)):
        if units >= len(following):
            break
        if lowest is not None and cost >= lowest:
            continue
        lowest = cost
        for slot, rest in enumerate(following[: len(following) - units], units):
            if cost + rest < found[slot]:
                found[slot] = cost + rest
    return found


def _beside(flow: Flow, least_ns: Sequence[int]) -> tuple[list[int], list[int]]:
    """The least time [ns] before each stage, and after it, on the slowest path."""
    heads: list[int] = []
    for parents in flow.parents:
        heads.append(max([heads[i] + least_ns[i] for i in parents], default=0))
    tails = [0] * len(least_ns)
    for k in reversed(range(len(least_ns))):
        tails[k] = max([least_ns[j] + tails[j] for j in flow.children[k]], default=0)
    return heads, tails
