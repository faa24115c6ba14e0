"""How stages hang together where they are no chain: edges with their factors, joins, exits; and what follows from that.

What queues, batches and is served at a stage of a graph is an *item*: a request is one item at each entry, and each
item puts items on the edges to the stages after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TypeVar

from ipa.profiles.conditions import Condition
from ipa.profiles.errors import ProfileError, listed

T = TypeVar("T")


@dataclass(frozen=True)
class Edge:
    """From a stage to one after it.

    `items`: how many items one item of the parent puts into the child on average: for all of the parent's variants, or
    by variant. `spread`: the variance of that number over its mean; 0: the mean's floor or ceiling, 1: Poisson (see
    `spread_of`).
    `persist_s`: how fast numbers of successive requests become independent: the correlation of their normal quantiles
    is exp(-time between them / persist_s); 0: at once. `counts`: measured numbers by variant, in place of mean and
    spread. `share`: the probability that an item takes the edge at all. `switch`: of the edges of one parent with the
    same switch, each item takes exactly one; their shares sum to 1. `partial`: whether a request goes on, if without
    the item, where an item that came by this edge is dropped. `source` names the entry of the provenance that the
    numbers come from.

    In live mode, real models say what is planned for here. `items_from`: the output of the parent of which each row is
    an item; empty: as many items as are drawn. `when`: what an item's outputs must say for it to take the edge, of
    its row if there is `items_from`; None: as is drawn. Of the edges of a switch it takes the first.
    """

    parent: str
    child: str
    items: float | Mapping[str, float] = field(default=1.0, hash=False)
    spread: float = 0.0
    persist_s: float = 0.0
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False, repr=False)
    share: float = 1.0
    switch: str = ""
    partial: bool = False
    source: str = ""
    items_from: str = ""
    when: Condition | None = None

    def mean(self, variant: str) -> float:
        """How many items an item served by that variant of the parent puts on the edge, where it takes it."""
        if self.counts:
            return math.fsum(self.counts[variant]) / len(self.counts[variant])
        return self.items if isinstance(self.items, (int, float)) else self.items[variant]

    def factor(self, variant: str) -> float:
        """Items into the child per item of the parent that the variant serves: the mean times the share."""
        return self.mean(variant) * self.share

    def spread_of(self, variant: str) -> float:
        """The variance of the number of items over its mean: near to `spread` where the mean allows; 0 of no items."""
        mean = self.mean(variant)
        if mean == 0.0:
            return 0.0
        if self.counts:
            return math.fsum((count - mean) ** 2 for count in self.counts[variant]) / len(self.counts[variant]) / mean
        if self.spread == 0.0:
            return (mean - math.floor(mean)) * (math.ceil(mean) - mean) / mean
        return self.spread if self.spread >= 1.0 else 1.0 - mean / trials_of(mean, self.spread)

    @property
    def is_plain(self) -> bool:
        """Whether each item puts exactly one into the child, as in a chain."""
        means = self.items.values() if isinstance(self.items, Mapping) else (self.items,)
        is_one = not self.counts and self.spread == 0.0 and all(mean == 1.0 for mean in means)
        is_sure = self.share == 1.0 and self.when is None and not self.items_from
        return is_one and is_sure and not self.partial

    @property
    def may_carry_several(self) -> bool:
        """Whether one item of the parent may put more than one on the edge."""
        if self.items_from:
            return True
        if self.counts:
            return any(max(counts) > 1 for counts in self.counts.values())
        means = self.items.values() if isinstance(self.items, Mapping) else (self.items,)
        return any(mean > 1.0 or (mean > 0.0 and self.spread > 0.0) for mean in means)

    @property
    def may_carry_none(self) -> bool:
        """Whether one item of the parent may put none on the edge, or none that gets through."""
        if self.items_from or self.when is not None or self.share < 1.0 or self.switch or self.partial:
            return True
        if self.counts:
            return any(min(counts) < 1 for counts in self.counts.values())
        means = self.items.values() if isinstance(self.items, Mapping) else (self.items,)
        return self.spread > 0.0 or any(mean < 1.0 for mean in means)


def trials_of(mean: float, spread: float) -> int:
    """The trials of the binomial number with this mean above 0 that comes nearest to a spread from 0 to below 1."""
    return max(math.ceil(mean), round(mean / (1.0 - spread)))


@dataclass(frozen=True)
class Join:
    """When a stage gets the one item that a request's items on their way to it become.

    `kind`: "all": when all of them have come, and at once where a request has none; "any": when the first has;
    "wait": `wait_s` after the first, with those that have come by then.
    """

    kind: str
    wait_s: float = 0.0


JOINS = ("all", "any", "wait")


@dataclass(frozen=True)
class Graph:
    """The edges of a pipeline in the order of the file, its joins, and what its accuracy is made of.

    `joins`: stage -> join; a stage without one gets every item by itself. `sla_s`: the end-to-end SLA. `exits`: stage
    -> weight of its accuracy, positive; empty: all exits weigh the same. `accuracies`: measured accuracies of
    combinations, as (variants in the order of the pipeline's stages) -> a fraction; empty: nobody measured any.
    `accuracies_from` names an entry of the provenance. `assumes_product`: whether the file says that accuracies along a
    way multiply.
    """

    edges: tuple[Edge, ...]
    sla_s: float
    joins: Mapping[str, Join] = field(default_factory=dict, hash=False)
    exits: Mapping[str, float] = field(default_factory=dict, hash=False)
    accuracies: Mapping[tuple[str, ...], float] = field(default_factory=dict, hash=False, repr=False)
    accuracies_from: str = ""
    assumes_product: bool = False

    def into(self, stage: str) -> tuple[Edge, ...]:
        """The edges that lead to a stage."""
        return self._into.get(stage, ())

    def out_of(self, stage: str) -> tuple[Edge, ...]:
        """The edges that lead on from a stage."""
        return self._out_of.get(stage, ())

    @cached_property
    def _into(self) -> Mapping[str, tuple[Edge, ...]]:
        return _by(self.edges, lambda edge: edge.child)

    @cached_property
    def _out_of(self) -> Mapping[str, tuple[Edge, ...]]:
        return _by(self.edges, lambda edge: edge.parent)

    def wait_s(self, stage: str) -> float:
        """How long a stage waits after the first of the items that it joins."""
        return self.joins[stage].wait_s if stage in self.joins else 0.0

    def entries(self, stages: Sequence[str]) -> tuple[str, ...]:
        """The stages to which no edge leads."""
        return tuple(stage for stage in stages if not self.into(stage))

    def ends(self, stages: Sequence[str]) -> tuple[str, ...]:
        """The stages from which no edge leads on."""
        return tuple(stage for stage in stages if not self.out_of(stage))

    @cached_property
    def _children(self) -> Mapping[str, tuple[str, ...]]:
        return {parent: tuple(dict.fromkeys(edge.child for edge in edges)) for parent, edges in self._out_of.items()}

    def ways(self, weights: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
        """Every way from an entry to an exit, as the stages on it, the largest sum of weights first.

        `weights`: stage -> weight, in topological order. Found by A*; of equals the one begun last goes on, so that the
        next way never takes going all of them.
        """
        onward: dict[str, float] = {}  # the largest sum from a stage to an exit
        for stage, weight in reversed(list(weights.items())):
            onward[stage] = weight + max((onward[child] for child in self._children.get(stage, ())), default=0.0)
        numbers = count(0, -1)
        entries = reversed(self.entries(list(weights)))
        begun: list[tuple[float, int, float, tuple[str, ...]]]
        begun = [(-onward[entry], next(numbers), 0.0, (entry,)) for entry in entries]
        heapify(begun)
        while begun:
            _, _, before, way = heappop(begun)
            children = self._children.get(way[-1], ())
            if not children:
                yield way
            here = before + weights[way[-1]]
            for child in reversed(children):
                heappush(begun, (-(here + onward[child]), next(numbers), here, (*way, child)))

    def longest_way(self, weights: Mapping[str, float]) -> tuple[str, ...]:
        """The way with the largest sum of weights; of equals the first.

        `weights`: stage -> weight, in topological order; all at least 0.
        """
        best: dict[str, tuple[float, tuple[str, ...]]] = {}
        for stage, weight in weights.items():
            before = max((best[edge.parent] for edge in self.into(stage)), key=lambda way: way[0], default=(0.0, ()))
            best[stage] = (before[0] + weight, (*before[1], stage))
        return max(best.values(), key=lambda way: way[0])[1]

    def accuracy(self, accuracies: Mapping[str, float]) -> float:
        """What the exits reach: the weighted mean of the means over their ways of the products along these.

        `accuracies`: stage -> that of its variant, for all stages in topological order.
        """
        ways: dict[str, int] = {}
        means: dict[str, float] = {}
        for stage, own in accuracies.items():  # there may be too many ways to go one by one
            before = dict.fromkeys(edge.parent for edge in self.into(stage))
            ways[stage] = sum(ways[parent] for parent in before) or 1
            came = math.fsum(means[parent] * (ways[parent] / ways[stage]) for parent in before)
            means[stage] = own * (came if before else 1.0)
        weights = self.exits or dict.fromkeys(self.ends(list(accuracies)), 1.0)
        return math.fsum(weight * means[end] for end, weight in weights.items()) / math.fsum(weights.values())

    def within(self, variants: Mapping[str, Sequence[str]]) -> Graph:
        """The graph where stages have these variants left; `variants`: stage -> names, in the pipeline's order."""

        def kept(values: Mapping[str, T], stage: str) -> dict[str, T]:
            return {variant: value for variant, value in values.items() if variant in variants[stage]}

        edges = tuple(
            replace(
                edge,
                items=kept(edge.items, edge.parent) if isinstance(edge.items, Mapping) else edge.items,
                counts=kept(edge.counts, edge.parent),
            )
            for edge in self.edges
        )
        accuracies = {
            names: accuracy
            for names, accuracy in self.accuracies.items()
            if all(name in names_left for name, names_left in zip(names, variants.values(), strict=True))
        }
        return replace(self, edges=edges, accuracies=accuracies)

    def ancestors(self, stage: str) -> frozenset[str]:
        """All stages from which a way leads to this one."""
        upstream: set[str] = set()
        to_visit = [stage]
        while to_visit:
            parents = {edge.parent for edge in self.into(to_visit.pop())} - upstream
            upstream |= parents
            to_visit += parents
        return frozenset(upstream)

    def factors(self, stages: Sequence[str], variants: Mapping[str, str]) -> Mapping[str, float]:
        """Items per request at each stage, on average, for one variant at each.

        `stages` in topological order. A stage with a join gets one item of a request if it joins all, and otherwise as
        many as come, one at most (an upper bound where several items may come and none may).
        """
        items_at: dict[str, float] = {}
        for stage in stages:
            edges = self.into(stage)
            came = math.fsum(items_at[edge.parent] * edge.factor(variants[edge.parent]) for edge in edges)
            join = self.joins.get(stage)
            if not edges or (join and join.kind == "all"):
                items_at[stage] = 1.0
            else:
                items_at[stage] = min(came, 1.0) if join else came
        return items_at

    def onward(self, stages: Sequence[str], variants: Mapping[str, str], source: str) -> Mapping[str, float]:
        """Items at each stage, on average, that one item at `source` becomes; 1 there.

        `stages` in topological order. A stage with a join gets one item of a request, of however many it is made.
        """
        most = 1.0 / max(self.factors(stages, variants)[source], 1.0)
        items_at: dict[str, float] = {}
        for stage in stages:
            came = math.fsum(items_at[edge.parent] * edge.factor(variants[edge.parent]) for edge in self.into(stage))
            items_at[stage] = 1.0 if stage == source else min(came, most) if stage in self.joins else came
        return items_at


def _by(edges: Sequence[Edge], stage_of: Callable[[Edge], str]) -> Mapping[str, tuple[Edge, ...]]:
    """The edges by one of their stages, in their order."""
    edges_of: dict[str, list[Edge]] = {}
    for edge in edges:
        edges_of.setdefault(stage_of(edge), []).append(edge)
    return {stage: tuple(those) for stage, those in edges_of.items()}


def in_order(stages: Sequence[str], edges: Sequence[Edge]) -> tuple[str, ...]:
    """The stages, every one after its parents and otherwise as listed. ProfileError: a circle."""
    parents = {stage: {edge.parent for edge in edges if edge.child == stage} for stage in stages}
    order: dict[str, None] = {}
    unordered = list(stages)
    while unordered:
        free = next((candidate for candidate in unordered if parents[candidate] <= order.keys()), None)
        if free is None:
            raise ProfileError(f"a circle: no order of {listed(unordered)} puts each after those that lead to it")
        order[free] = None
        unordered.remove(free)
    return tuple(order)
