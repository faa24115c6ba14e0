"""The optimum of a knapsack whose stages form a graph: by scenes, then by branch and bound within a scene.

A *scene* is one variant for each deciding stage (see `flows`); in it, every stage has one inflow, and so one list of
options. Scenes are the leaves of a tree that branches over the deciding stages in topological order. At a node, stages
have ranges of inflows; the least costs of all stages at their best inflows add up to a bound of all scenes below. What
has the least bound is opened next, until none can beat the best pick. So options are made only for the scenes that may
have it, which `scenes` then searches.

Losses are whole numbers (see `scales`), so the answer is the one that enumeration would find, ties included.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from heapq import heappop, heappush

from ipa.policies.optimiser.flows import Combinations, Inflows
from ipa.policies.optimiser.fronts import Matters, front
from ipa.policies.optimiser.problem import ANY_TIME_NS, Cheapest, Knapsack, Pick, SolverError, StageOptions
from ipa.policies.optimiser.scenes import Costs, SceneOption, SceneSearch, beside

MOST_NODES = 20_000
"""The most nodes that are opened; so many take some seconds."""


def best(problem: Knapsack) -> Pick | None:
    """The best pick within the limits; None if there is none.

    Raises SolverError if it is not found in `MOST_NODES` nodes, or a scene takes too many steps.
    """
    return _Search(problem).best()


class _Search:
    """The search of the tree. `pick` is the best so far, `waiting` what is to be opened: bounds and steps."""

    def __init__(self, problem: Knapsack) -> None:
        self.problem, self.flow = problem, problem.flow
        self.pick = problem.bounded
        self.waiting: list[tuple[int, int, Callable[[], None]]] = []
        self.pushed = self.opened = 0
        self.within_ns = [ANY_TIME_NS] * len(problem.stages)
        if problem.sla_ns is not None:
            ways_ns = zip(*beside(self.flow, [min(stage.latency_ns) for stage in problem.stages]), strict=True)
            self.within_ns = [problem.sla_ns - before_ns - after_ns for before_ns, after_ns in ways_ns]
        self.matters = Matters.of(problem)
        self.tells_variants = self.matters.accuracy and isinstance(self.flow.joint, Combinations)
        self.cheapest, self.out_of_bounds = cache(self._cheapest), cache(self._out_of_bounds)
        self.at, self.options = cache(self._at), cache(self._options)
        self.variants = _variants(problem)

    def best(self) -> Pick | None:
        """The best pick of the tree."""
        self._open((), ())
        while self.waiting:
            bound, _, step = heappop(self.waiting)
            if self.pick is not None and bound >= self.pick.loss:
                break
            step()
        return self.pick

    def _push(self, bound: int, step: Callable[[], None]) -> None:
        self.pushed += 1
        heappush(self.waiting, (bound, self.pushed, step))

    def _open(self, chosen: tuple[str, ...], first_inflows: Sequence[Inflows]) -> None:
        """Bound the picks with these variants of the first deciding stages; `known`: the inflows of the first stages.

        What comes next waits for its turn: the node's scene, or the nodes below.
        """
        problem, deciding = self.problem, self.flow.deciding
        self.opened += 1
        if self.opened > MOST_NODES:
            raise SolverError(
                f"{MOST_NODES:,} combinations of variants of the stages on which the number of items depends "
                f"({', '.join(self.flow.names[k] for k in deciding)}) are not enough for an answer; leave some "
                "variants out of candidates"
            )
        variants = list(self.variants)
        for k, variant in zip(deciding, chosen, strict=False):
            variants[k] = (variant,)
        inflows = self.flow.inflows(variants, first_inflows)
        cheapest = [self.cheapest(k, inflows[k], names) for k, names in enumerate(variants)]
        if not all(cheapest):
            return
        costs = Costs(problem, cheapest)
        if problem.limit_cores is not None and sum(map(_fewest_cores, cheapest)) > problem.limit_cores:
            return
        least = [costs.least(k, options) for k, options in enumerate(cheapest)]
        bound = costs.base + sum(map(min, least))
        if problem.bounded is not None:
            excluded = [self.out_of_bounds(k, inflows[k], names) for k, names in enumerate(variants)]
            extras = [min(costs.least(k, options)) - min(least[k]) for k, options in enumerate(excluded) if options]
            if not extras or bound + min(extras) >= problem.bounded.loss:
                return
        if len(chosen) == len(deciding):
            self._push(bound, partial(self._open_scene, variants, inflows))
            return
        k = deciding[len(chosen)]
        for option, cost in zip(cheapest[k], least[k], strict=True):
            self._push(bound - min(least[k]) + cost, partial(self._open, (*chosen, option.variant), inflows[: k + 1]))

    def _open_scene(self, variants: Sequence[tuple[str, ...]], inflows: Sequence[Inflows]) -> None:
        """Bound the picks of a scene more closely; it is searched when it is its turn."""
        stages = [self.at(k, inflows[k]) for k in range(len(variants))]
        scene = SceneSearch(
            self.problem, stages, [self.options(k, inflows[k], names) for k, names in enumerate(variants)]
        )
        if scene.is_open:
            self._push(scene.bound, partial(self._search, scene))

    def _search(self, scene: SceneSearch) -> None:
        self.pick = scene.best(self.pick)

    def _cheapest(self, k: int, inflows: Inflows, variants: tuple[str, ...]) -> list[Cheapest]:
        cheapest = self.problem.stages[k].cheapest(inflows, self.within_ns[k])
        return [cheapest[variant] for variant in variants if variant in cheapest]

    def _out_of_bounds(self, k: int, inflows: Inflows, variants: tuple[str, ...]) -> list[Cheapest]:
        excluded = self.problem.stages[k].out_of_bounds(inflows, self.within_ns[k])
        return [excluded[variant] for variant in variants if variant in excluded]

    def _at(self, k: int, inflows: Inflows) -> StageOptions:
        return self.problem.stages[k].at(inflows, self.within_ns[k])

    def _options(self, k: int, inflows: Inflows, variants: tuple[str, ...]) -> list[SceneOption]:
        """The options of a stage that no other one dominates, for each variant if it matters which one it is."""
        stage = self.at(k, inflows)
        groups = [(variant,) for variant in variants] if self.tells_variants else [variants]
        options = []
        for group in groups:
            places = [
                i
                for i, row in enumerate(stage.rows)
                if row.variant in group and stage.latency_ns[i] <= self.within_ns[k]
            ]
            for loss, latency_ns, cores, accuracy, (i,) in front(stage, self.matters, places) if places else ():
                options.append(SceneOption(loss, latency_ns, cores, accuracy, stage.rows[i].variant, i))
        return options


def _fewest_cores(options: Sequence[Cheapest]) -> int:
    return min([option.cores for option in options])


def _variants(problem: Knapsack) -> list[tuple[str, ...]]:
    """The variants of each stage."""
    return [tuple(dict.fromkeys([row.variant for row in stage.rows])) for stage in problem.stages]


def least_latency_ns(problem: Knapsack) -> int | None:
    """The least latency [ns] of any pick, whatever its cores; None if there is none."""
    flow = problem.flow
    least_ns: int | None = None

    def visit(chosen: tuple[str, ...]) -> None:
        nonlocal least_ns
        variants = _variants(problem)
        for k, variant in zip(flow.deciding, chosen, strict=False):
            variants[k] = (variant,)
        stages = [stage.at(inflows) for stage, inflows in zip(problem.stages, flow.inflows(variants), strict=True)]
        quickest = [_quickest_ns(stage, names) for stage, names in zip(stages, variants, strict=True)]
        bound_ns = flow.latency_ns([min(by_variant.values()) for by_variant in quickest]) if all(quickest) else None
        if bound_ns is None or (least_ns is not None and bound_ns >= least_ns):
            return
        if len(chosen) == len(flow.deciding):
            least_ns = bound_ns
            return
        of_variants = quickest[flow.deciding[len(chosen)]]
        for variant in sorted(of_variants, key=of_variants.__getitem__):
            visit((*chosen, variant))

    if all(stage.rows for stage in problem.stages):
        visit(())
    return least_ns


def _quickest_ns(stage: StageOptions, variants: Collection[str]) -> dict[str, int]:
    """Variant -> the least latency of its options [ns]."""
    quickest: dict[str, int] = {}
    for row, latency_ns in zip(stage.rows, stage.latency_ns, strict=True):
        if row.variant in variants:
            quickest[row.variant] = min(latency_ns, quickest.get(row.variant, latency_ns))
    return quickest
