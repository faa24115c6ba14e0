"""The items that arrive at the stages of a pipeline, and the accuracy of a graph, as functions of the variants.

How many items a served item sends to the next stages may depend on its variant. So the *inflow* of a stage depends on
the variants of some stages before it, the *deciding* ones. While some of these are open, a stage has a *range* of
inflows, from the least to the most that the open variants allow; once all are chosen, it has one. A chain is a graph
with an edge between neighbours: no stage decides, and every inflow is one item.

The inflow has two figures. The *factor* is the mean number of items per request. The *burst* is the number of items
that a request sends there at once, about the 95 % quantile. Along each edge it is the product of two numbers, each
rounded up: how many of the parent's items take the edge (binomial: mean + 1.645 standard deviations, at most all), and
how many items one sends (mean + 1.645 standard deviations, or the 95 % quantile of measured counts). Edges add up. This
is cautious, as if all numbers were high at once. The burst of a stage that joins is one item.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ipa.profiles import Edge, Graph

DEVIATIONS = 1.645
"""The 95 % quantile of a normal distribution, in standard deviations above the mean."""
SHARE_BELOW = 0.95
ROUNDING = 1e-9


class Inflow(NamedTuple):
    """The items that arrive at a stage: the mean per request, and the most at once."""

    factor: float
    burst: int


class Inflows(NamedTuple):
    """The range of the inflows that a stage may have, both figures from `least` to `most`."""

    least: Inflow
    most: Inflow


ONE_ITEM = Inflows(Inflow(1.0, 1), Inflow(1.0, 1))


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The items that come to a stage from one parent (a position), by the parent's variant.

    `factors`: items per item of the parent; `share`: the part of these that takes the edge; `at_once`: how many items
    one then sends, at its burst.
    """

    parent: int
    factors: Mapping[str, float]
    share: float
    at_once: Mapping[str, int]


@dataclass(frozen=True)
class StageFlow:
    """A pipeline with stages as positions in topological order, for some variants of each.

    `arrivals`: those of each stage from which its inflow follows; none for entries and for stages that join all items.
    `is_joining`: whether a stage makes one item of those that come. `parents`: those of each stage. `deciding`: the
    deciding stages. `joint`: the accuracy of a graph, if that is neither a sum nor an average over the stages.
    """

    names: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]
    arrivals: tuple[tuple[Arrivals, ...], ...]
    is_joining: tuple[bool, ...]
    deciding: tuple[int, ...] = ()
    joint: Ways | Combinations | None = None

    @classmethod
    def of_chain(cls, names: Sequence[str]) -> StageFlow:
        """The flow of a chain of these stages."""
        parents = tuple([(k - 1,) if k else () for k in range(len(names))])
        return cls(tuple(names), parents, ((),) * len(names), (False,) * len(names))

    @cached_property
    def is_chain(self) -> bool:
        """Whether there is a single way, on which inflows are fixed, and accuracies multiply or add up."""
        return self.joint is None and not self.deciding and _are_neighbours(self.parents)

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """The stages without children."""
        return tuple(k for k, children in enumerate(self.children) if not children)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """The children of each stage."""
        every = range(len(self.parents))
        return tuple(tuple(j for j in every if k in self.parents[j]) for k in every)

    def inflows(
        self, variants: Sequence[Collection[str]], first_inflows: Sequence[Inflows] = ()
    ) -> tuple[Inflows, ...]:
        """The inflows of every stage; `variants`: those that each stage may still have.

        `known`: those of the first stages, if they are known.
        """
        if not self.deciding:
            return self._fixed_inflows
        return self._inflows(variants, first_inflows)

    @cached_property
    def _fixed_inflows(self) -> tuple[Inflows, ...]:
        """Those that do not depend on variants."""
        sources = {arrival.parent: tuple(arrival.factors) for arrivals in self.arrivals for arrival in arrivals}
        return self._inflows([sources.get(k, ()) for k in range(len(self.names))], ())

    def _inflows(self, variants: Sequence[Collection[str]], first_inflows: Sequence[Inflows]) -> tuple[Inflows, ...]:
        ranges = list(first_inflows)
        for k in range(len(first_inflows), len(self.arrivals)):
            arrivals, is_joining = self.arrivals[k], self.is_joining[k]
            if not arrivals:
                ranges.append(ONE_ITEM)
                continue
            ranges.append(
                Inflows(
                    _inflow(
                        arrivals, [ranges[arrival.parent].least for arrival in arrivals], variants, min, is_joining
                    ),
                    _inflow(arrivals, [ranges[arrival.parent].most for arrival in arrivals], variants, max, is_joining),
                )
            )
        return tuple(ranges)

    def latency_ns(self, latencies_ns: Sequence[int]) -> int:
        """The latency [ns] of the slowest path, from those of the stages."""
        finished_ns: list[int] = []
        for latency_ns, parents in zip(latencies_ns, self.parents, strict=True):
            finished_ns.append(latency_ns + max([finished_ns[i] for i in parents], default=0))
        return max([finished_ns[k] for k in self.ends])

    def longest_way(self, latency_ns: Sequence[int]) -> tuple[int, tuple[str, ...]]:
        """The latency [ns] of the slowest path and its stages; among equals, by the parents listed first."""
        ways: list[tuple[int, tuple[str, ...]]] = []
        for k, parents in enumerate(self.parents):
            before: tuple[int, tuple[str, ...]] = (0, ())
            if parents:
                before = max((ways[i] for i in parents), key=lambda way: way[0])
            ways.append((before[0] + latency_ns[k], (*before[1], self.names[k])))
        return max([ways[k] for k in self.ends], key=lambda way: way[0])


def flow_of(
    names: Sequence[str], graph: Graph | None, variants: Sequence[Sequence[str]], joint: Ways | Combinations | None
) -> StageFlow:
    """The flow of a pipeline; None for its graph: a chain. `variants`: the candidates of each stage."""
    if graph is None:
        return replace(StageFlow.of_chain(names), joint=joint)
    parents = tuple(tuple(dict.fromkeys(names.index(edge.parent) for edge in graph.into(name))) for name in names)
    joining_all = {name for name, join in graph.joins.items() if join.kind == "all"}
    arrivals = tuple(
        () if name in joining_all else tuple(_arrivals(names, edge, variants) for edge in graph.into(name))
        for name in names
    )
    on_edges = [arrival for of_stage in arrivals for arrival in of_stage]
    deciding = tuple(k for k in range(len(names)) if any(_decides(arrival, k) for arrival in on_edges))
    is_product = isinstance(joint, Ways) and not deciding and _are_neighbours(parents)
    return StageFlow(
        names=tuple(names),
        parents=parents,
        arrivals=arrivals,
        is_joining=tuple(name in graph.joins for name in names),
        deciding=deciding,
        joint=None if is_product else joint,
    )


def _are_neighbours(parents: Sequence[Sequence[int]]) -> bool:
    """Whether each stage has one parent, the one before it."""
    return all(tuple(stage_parents) == ((k - 1,) if k else ()) for k, stage_parents in enumerate(parents))


def _arrivals(names: Sequence[str], edge: Edge, variants: Sequence[Sequence[str]]) -> Arrivals:
    parent = names.index(edge.parent)
    return Arrivals(
        parent=parent,
        factors={name: edge.factor(name) for name in variants[parent]},
        share=edge.share,
        at_once={name: _at_once(edge, name) for name in variants[parent]},
    )


def _decides(arrivals: Arrivals, k: int) -> bool:
    """Whether these arrivals depend on the variant of stage k."""
    one_by_one = zip(arrivals.factors.values(), arrivals.at_once.values(), strict=True)
    return arrivals.parent == k and len(set(one_by_one)) > 1


def _inflow(
    arrivals: Sequence[Arrivals],
    before: Sequence[Inflow],
    variants: Sequence[Collection[str]],
    extreme: Callable[..., Any],
    is_joining: bool,
) -> Inflow:
    """The least or the greatest inflow (`extreme`: min or max), from those of the parents, one for each arrival."""
    factors, bursts = [], []
    for arrival, (factor, burst) in zip(arrivals, before, strict=True):
        names = variants[arrival.parent]
        factors.append(factor * extreme([arrival.factors[name] for name in names]))
        taking = burst if arrival.share == 1.0 else _taking(burst, arrival.share)
        bursts.append(taking * extreme([arrival.at_once[name] for name in names]))
    if is_joining:
        return Inflow(min(math.fsum(factors), 1.0), 1)
    return Inflow(math.fsum(factors), max(1, sum(bursts)))


def _taking(items: int, share: float) -> int:
    """How many of `items` take an edge, at its burst."""
    return min(items, _up(items * share + DEVIATIONS * math.sqrt(items * share * (1 - share))))


def _at_once(edge: Edge, variant: str) -> int:
    """How many items one item sends along an edge that it takes, at its burst."""
    if edge.counts:
        counts = sorted(edge.counts[variant])
        return counts[min(len(counts) - 1, _up(SHARE_BELOW * len(counts)) - 1)]
    mean = edge.mean(variant)
    return _up(mean + DEVIATIONS * math.sqrt(edge.spread * mean))


def _up(number: float) -> int:
    return math.ceil(number - ROUNDING)


# ---- accuracy ----


@dataclass(frozen=True)
class Ways:
    """The accuracy of a graph: the weighted mean over exits of the mean over paths to the exit of the product of
    accuracies.

    In whole numbers: for each stage its parents with a multiplier each, as paths differ in length, and its weight,
    which is 0 except for exits.
    """

    parents: tuple[tuple[tuple[int, int], ...], ...]
    weights: tuple[int, ...]
    unit: int

    @classmethod
    def of(cls, graph: Graph, names: Sequence[str], denominator: int) -> Ways:
        """For stages' accuracies in units of 1 / `denominator`; the graph's are in units of 1 / `unit`."""
        parents = [tuple(dict.fromkeys(names.index(edge.parent) for edge in graph.into(name))) for name in names]
        depths: list[int] = []
        ways: list[int] = []
        for before in parents:
            depths.append(1 + max((depths[i] for i in before), default=0))
            ways.append(sum(ways[i] for i in before) or 1)
        exits = graph.exits or dict.fromkeys(graph.ends(names), 1.0)
        of_exit = {name: Fraction(str(weight)) for name, weight in exits.items()}
        total = sum(of_exit.values())
        shares = [of_exit.get(name, Fraction(0)) / total / ways[k] for k, name in enumerate(names)]
        common, longest = math.lcm(*(share.denominator for share in shares)), max(depths)
        return cls(
            parents=tuple(
                tuple((i, denominator ** (depths[k] - 1 - depths[i])) for i in before)
                for k, before in enumerate(parents)
            ),
            weights=tuple(
                int(share * common) * denominator ** (longest - depth)
                for share, depth in zip(shares, depths, strict=True)
            ),
            unit=common * denominator**longest,
        )

    def before(self, k: int, through: Sequence[int]) -> int:
        """The accuracy accumulated before stage k; `through`: for each earlier stage, that accumulated through it."""
        return sum([through[i] * multiplier for i, multiplier in self.parents[k]]) if self.parents[k] else 1

    def accuracy(self, terms: Sequence[int], _: Sequence[str]) -> int:
        """The graph's accuracy, from that of each stage."""
        through: list[int] = []
        for k, term in enumerate(terms):
            through.append(term * self.before(k, through))
        return sum(weight * term_through for weight, term_through in zip(self.weights, through, strict=True))

    @cached_property
    def children(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """The children of each stage with their multipliers."""
        return tuple(
            tuple((j, multiplier) for j, parents in enumerate(self.parents) for i, multiplier in parents if i == k)
            for k in range(len(self.parents))
        )

    def worths(self, terms: Sequence[int]) -> list[int]:
        """For each stage, the graph's gain from a unit of accuracy there, if later stages have these accuracies."""
        worths = [0] * len(terms)
        for k in reversed(range(len(terms))):
            worths[k] = self.weights[k] + sum(terms[j] * worths[j] * multiplier for j, multiplier in self.children[k])
        return worths


@dataclass(frozen=True)
class Combinations:
    """Measured accuracies of combinations of one variant for each stage, in units of 1 / `unit`."""

    table: Mapping[tuple[str, ...], int]
    unit: int

    def accuracy(self, _: Sequence[int], variants: Sequence[str]) -> int:
        """The graph's accuracy, for one variant of each stage."""
        return self.table[tuple(variants)]

    @cached_property
    def highest(self) -> Mapping[tuple[str, ...], int]:
        """Variants of the first stages -> the highest accuracy of all combinations that begin with them."""
        highest: dict[tuple[str, ...], int] = {}
        for variants, accuracy in self.table.items():
            for start in accumulate(((name,) for name in variants), initial=()):
                highest[start] = max(accuracy, highest.get(start, 0))
        return highest
