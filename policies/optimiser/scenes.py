"""One scene of a graph (see `graphs`): its bound, and the search for its best pick.

The remaining constraints are the SLA on every path, the cores and the accuracy. Stages are picked in topological order,
and a partial pick is pruned if it cannot beat the best.

*The cost of a pick.* Let M be the highest accuracies of the stages. A pick's accuracy is exactly that of all M, minus
`before` x `worth` x (M - own) at each stage, where `before` depends on earlier picks and `worth` on the M of later
stages. So a pick's cost is a sum over the stages, in which only `before` depends on earlier picks, and the least
`before` gives a bound for the remaining stages.

*A bound for the remaining stages.* Each stage is considered reachable from its first parent only, which makes the graph
a forest. There, the least cost from a stage on is a function of the time left (dynamic programming backwards, on a grid
of times rounded down). Likewise, the least cost of all remaining stages is a function of the cores left. The higher of
the two bounds counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ipa.policies.optimiser.flows import Combinations, StageFlow, Ways
from ipa.policies.optimiser.problem import Cheapest, Knapsack, Pick, SolverError, StageOptions

SLOTS = 8
"""The number of slots for each stage in the grids of times and of cores."""
MOST_STEPS = 3_000_000
"""The most steps of a search; so many take half a minute or more."""


class SceneOption(NamedTuple):
    """An option: its loss, latency [ns], cores and accuracy (as in a `fronts.Point`), its variant, and its index among
    the options of its stage."""

    loss: int
    latency_ns: int
    cores: int
    accuracy: int
    variant: str
    place: int


class SceneSearch:
    """A scene: the options of all `stages` at its inflows, and `options`, those of them that are not dominated.

    If it `is_open`, there may be picks, none of which is below `bound`.
    """

    def __init__(self, problem: Knapsack, stages: Sequence[StageOptions], options: Sequence[list[SceneOption]]) -> None:
        self.problem, self.flow, self.stages, self.options = problem, problem.flow, stages, options
        self.bound = 0
        self.is_open = all(options)
        if self.is_open:
            self._leave_out_the_slow()
        if self.is_open:
            self._bound()

    def _leave_out_the_slow(self) -> None:
        """Keep the options that keep the SLA if all other stages are at their quickest."""
        self.limit_ns = 0 if self.problem.sla_ns is None else self.problem.sla_ns
        quickest_ns = [min([option.latency_ns for option in options]) for options in self.options]
        before_ns, self.after_ns = beside(self.flow, quickest_ns)
        self.options = [
            [option for option in options if before + option.latency_ns + after <= self.limit_ns]
            for options, before, after in zip(self.options, before_ns, self.after_ns, strict=True)
        ]
        self.fewest = [min([option.cores for option in options], default=0) for options in self.options]
        self.spare_cores = 0 if self.problem.limit_cores is None else self.problem.limit_cores - sum(self.fewest)
        self.is_open = all(self.options) and self.spare_cores >= 0

    def _bound(self) -> None:
        """Compute the least cost of each stage and its descendants by time left, and of later stages by cores left."""
        self.costs = Costs(self.problem, self.options)
        least = [self.costs.least(k, options) for k, options in enumerate(self.options)]
        # An upper bound for all picks: an accuracy is never negative.
        self.worst = 1 + sum([max([option.loss for option in options]) for options in self.options])
        never = self.worst - self.costs.base + 1 + 2 * sum([max(map(abs, options)) for options in least])
        size = len(self.options)
        slots = SLOTS * size
        self.unit_ns = self.limit_ns // slots + 1
        self.unit_cores = self.spare_cores // slots + 1
        self.in_time: list[list[int]] = [[]] * size
        self.on_cores: list[list[int]] = [[]] * size + [[0] * (self.spare_cores // self.unit_cores + 1)]
        self.heirs = [[j for j in self.flow.children[k] if self.flow.parents[j][0] == k] for k in range(size)]
        for k in reversed(range(size)):
            after = [self.in_time[j] for j in self.heirs[k]]
            following = [sum(costs) for costs in zip(*after, strict=True)] or [0] * (self.limit_ns // self.unit_ns + 1)
            units = [option.latency_ns // self.unit_ns for option in self.options[k]]
            self.in_time[k] = _least_costs(units, least[k], following, never)
            if self.problem.limit_cores is not None:
                units = [(option.cores - self.fewest[k]) // self.unit_cores for option in self.options[k]]
                self.on_cores[k] = _least_costs(units, least[k], self.on_cores[k + 1], never)
        self.rest = sum([self.in_time[k][-1] for k in range(size) if not self.flow.parents[k]])
        on_cores = self.rest if self.problem.limit_cores is None else self.on_cores[0][-1]
        self.bound = self.costs.base + max(self.rest, on_cores)

    def best(self, pick: Pick | None) -> Pick | None:
        """The best pick of a scene, if it is better than the `pick` at hand; else that one."""
        self.pick, self.steps = pick, 0
        self.worst = self.worst if pick is None else min(self.worst, pick.loss)
        self.picked: list[SceneOption] = []
        self.finished_ns, self.through = [0] * len(self.options), [0] * len(self.options)
        self._visit(0, self.costs.base, self.costs.highest, self.rest, self.spare_cores)
        return self.pick

    def _visit(self, k: int, total: int, top: int, rest: int, spare: int) -> None:
        """Search the picks from stage k on.

        `total`: the cost of the picks so far; `top`: the highest accuracy still possible; `rest`: a bound of the
        remaining stages' cost; `spare`: the cores left above each stage's fewest.
        """
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise SolverError(
                f"{MOST_STEPS:,} steps are not enough for an answer for {len(self.options)} stages that form a graph; "
                "leave some variants out of candidates"
            )
        if k == len(self.options):
            self.worst = total
            self.pick = Pick(self.stages, tuple([option.place for option in self.picked]), total)
            return
        before = self.costs.before(k, self.through)
        for bound, then, top_then, after, spare_after, option in self._next(k, total, top, rest, spare, before):
            if bound >= self.worst:
                return
            self.picked.append(option)
            self.through[k] = before * option.accuracy
            self.finished_ns[k] = self._start_ns(k) + option.latency_ns
            self._visit(k + 1, then, top_then, after, spare_after)
            self.picked.pop()

    def _next(
        self, k: int, total: int, top: int, rest: int, spare: int, before: int
    ) -> list[tuple[int, int, int, int, int, SceneOption]]:
        """The options of stage k that can still lead to the best pick, the most promising one first.

        Each with its bound, followed by the arguments of `_visit`.
        """
        start_ns, parents = self._start_ns(k), self.flow.parents[k]
        reached_ns = self.finished_ns[parents[0]] if parents else 0
        rest -= self.in_time[k][(self.limit_ns - reached_ns) // self.unit_ns]
        latest_ns = self.limit_ns - self.after_ns[k] - start_ns
        is_limited, least_top = self.problem.limit_cores is not None, self.problem.least_accuracy
        promising = []
        options = self.options[k]
        for option, drop in zip(options, self.costs.drops(k, options, self.picked, before), strict=True):
            spare_after = spare - option.cores + self.fewest[k] if is_limited else 0
            if option.latency_ns > latest_ns or spare_after < 0 or top - drop < least_top:
                continue
            then = total + option.loss + self.problem.reward * drop
            slot = (self.limit_ns - start_ns - option.latency_ns) // self.unit_ns
            after = rest + sum([self.in_time[j][slot] for j in self.heirs[k]])
            bound = (
                then + max(after, self.on_cores[k + 1][spare_after // self.unit_cores]) if is_limited else then + after
            )
            if bound < self.worst:
                promising.append((bound, then, top - drop, after, spare_after, option))
        return sorted(promising)

    def _start_ns(self, k: int) -> int:
        return max([self.finished_ns[i] for i in self.flow.parents[k]], default=0)


class Costs:
    """The cost of picks: `base`, and a further cost at each stage.

    Accuracy counts if there is a reward for it or a required accuracy; else it costs nothing.
    """

    def __init__(self, problem: Knapsack, options: Sequence[Sequence[SceneOption | Cheapest]]) -> None:
        joint = problem.flow.joint if problem.reward or problem.least_accuracy else None
        self.reward = problem.reward
        self.along = joint if isinstance(joint, Ways) else None
        self.together = joint if isinstance(joint, Combinations) else None
        self.highest = 0
        if self.along is not None:
            self.most = [max([option.accuracy for option in stage_options]) for stage_options in options]
            self.least_drops: list[int] = []
            self.worths = self.along.worths(self.most)
            through: list[int] = []
            for k, stage_options in enumerate(options):
                before = self.along.before(k, through)
                self.least_drops.append(before * self.worths[k])
                through.append(before * min([option.accuracy for option in stage_options]))
            self.highest = self.along.accuracy(self.most, ())
        elif self.together is not None:
            self.highest = self.together.highest[()]
        self.base = -self.reward * self.highest

    def least(self, k: int, options: Sequence[SceneOption | Cheapest]) -> list[int]:
        """The least cost of each option of stage k, over all earlier picks."""
        if self.along is None:
            return [option.loss for option in options]
        worth, most = self.reward * self.least_drops[k], self.most[k]
        return [option.loss + worth * (most - option.accuracy) for option in options]

    def before(self, k: int, through: Sequence[int]) -> int:
        """The accuracy accumulated before stage k (see `Ways.before`); 0 if accuracies are not over paths."""
        return 0 if self.along is None else self.along.before(k, through)

    def drops(self, k: int, options: Sequence[SceneOption], picked: Sequence[SceneOption], before: int) -> list[int]:
        """The drop of the highest accuracy with each option of stage k, after the earlier picks."""
        if self.along is not None:
            return [before * self.worths[k] * (self.most[k] - option.accuracy) for option in options]
        if self.together is not None:
            start = tuple([option.variant for option in picked])
            highest = self.together.highest
            return [highest[start] - highest[*start, option.variant] for option in options]
        return [0] * len(options)


def _least_costs(units_taken: Sequence[int], costs: Sequence[int], following: Sequence[int], never: int) -> list[int]:
    """The least of an option's cost plus `following`, by what is left of a limit; `units_taken`: of each option."""
    least_costs = [never] * len(following)
    lowest: int | None = None
    for units, cost in sorted(zip(units_taken, costs, strict=True)):
        if units >= len(following):
            break
        if lowest is not None and cost >= lowest:
            continue
        lowest = cost
        for slot, rest in enumerate(following[: len(following) - units], units):
            if cost + rest < least_costs[slot]:
                least_costs[slot] = cost + rest
    return least_costs


def beside(flow: StageFlow, least_ns: Sequence[int]) -> tuple[list[int], list[int]]:
    """The least time [ns] before each stage, and after it, on the slowest path."""
    before_ns: list[int] = []
    for parents in flow.parents:
        before_ns.append(max([before_ns[i] + least_ns[i] for i in parents], default=0))
    after_ns = [0] * len(least_ns)
    for k in reversed(range(len(least_ns))):
        after_ns[k] = max([least_ns[j] + after_ns[j] for j in flow.children[k]], default=0)
    return before_ns, after_ns
