"""The items that arrive at the stages of a graph, and its accuracy, as functions of the variants.

How many items a served item sends to the next stages may depend on its variant. So the *inflow* of a stage depends on
the variants of some stages before it, the *deciding* ones. A *scene* is one variant for each deciding stage; within a
scene every inflow is known, and each stage can be planned by itself.

The inflow has two figures. The *factor* is the mean number of items per request. The *burst* is the number of items
that a request sends there at once, about the 95 % quantile. Along each edge it is the product of two numbers, each
rounded up: how many of the parent's items take the edge (binomial: mean + 1.645 standard deviations, at most all), and
how many items one sends (mean + 1.645 standard deviations, or the 95 % quantile of measured counts). Edges add up. This
is cautious, as if all numbers were high at once. The burst of a stage that joins is one item.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, product
from typing import TYPE_CHECKING, NamedTuple

from ipa.policies.interface import PolicyError

if TYPE_CHECKING:
    from ipa.profiles import Edge, Graph

MOST_SCENES = 2_000
"""The most scenes; a decision takes about a second with so many."""
DEVIATIONS = 1.645
"""The 95 % quantile of a normal distribution, in standard deviations above the mean."""
SHARE_BELOW = 0.95
ROUNDING = 1e-9


class Inflow(NamedTuple):
    """The items that arrive at a stage: the mean per request, and the most at once."""

    factor: float
    burst: int


class Scene(NamedTuple):
    """A variant for each deciding stage, and the inflow of every stage, as an index into that stage's inflows."""

    variants: tuple[str, ...]
    inflows: tuple[int, ...]


@dataclass(frozen=True)
class Flow:
    """A graph with stages as positions in topological order, for some variants of each.

    `parents`: those of each stage. `deciding`: the deciding stages. `inflows`: the distinct ones of each stage.
    `joint`: the graph's accuracy, if that is neither a sum nor an average over the stages.
    """

    names: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]
    deciding: tuple[int, ...]
    inflows: tuple[tuple[Inflow, ...], ...]
    scenes: tuple[Scene, ...]
    joint: Ways | Combinations | None

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """The children of each stage."""
        every = range(len(self.parents))
        return tuple(tuple(j for j in every if k in self.parents[j]) for k in every)

    def longest_way(self, latency_ns: Sequence[int]) -> tuple[int, tuple[str, ...]]:
        """The latency [ns] of the slowest path and its stages; among equals, by the parents listed first."""
        found: list[tuple[int, tuple[str, ...]]] = []
        for k, parents in enumerate(self.parents):
            before: tuple[int, tuple[str, ...]] = (0, ())
            if parents:
                before = max((found[i] for i in parents), key=lambda way: way[0])
            found.append((before[0] + latency_ns[k], (*before[1], self.names[k])))
        ends = [found[k] for k, children in enumerate(self.children) if not children]
        return max(ends, key=lambda way: way[0])


def flow_of(graph: Graph, variants: Mapping[str, Sequence[str]], joint: Ways | Combinations | None) -> Flow:
    """The flow of a graph; `variants`: stage -> its candidates, stages in topological order.

    Raises PolicyError if there are more than `MOST_SCENES` scenes.
    """
    names = tuple(variants)
    parents = tuple(tuple(dict.fromkeys(names.index(edge.parent) for edge in graph.into(name))) for name in names)
    deciding = tuple(k for k, name in enumerate(names) if _decides(graph, name, variants[name]))
    choices = [variants[names[k]] for k in deciding]
    if math.prod(map(len, choices)) > MOST_SCENES:
        raise PolicyError(
            f"the number of items depends on {math.prod(map(len, choices)):,} combinations of variants of "
            f"{', '.join(names[k] for k in deciding)}; allowed: at most {MOST_SCENES:,}; leave some out of candidates"
        )
    known: list[dict[Inflow, int]] = [{} for _ in names]
    scenes = []
    for chosen in product(*choices):
        scene = {name: offered[0] for name, offered in variants.items()}
        scene |= {names[k]: variant for k, variant in zip(deciding, chosen, strict=True)}
        factors, bursts = graph.factors(names, scene), _bursts(graph, names, scene)
        found = [Inflow(factors[name], bursts[name]) for name in names]
        places = tuple(of.setdefault(inflow, len(of)) for of, inflow in zip(known, found, strict=True))
        scenes.append(Scene(tuple(chosen), places))
    return Flow(names, parents, deciding, tuple(map(tuple, known)), tuple(scenes), joint)


def _decides(graph: Graph, stage: str, variants: Sequence[str]) -> bool:
    """Whether the variant of a stage affects the inflow of later stages."""
    joined = {name for name, join in graph.joins.items() if join.kind == "all"}
    edges = [edge for edge in graph.out_of(stage) if edge.child not in joined]
    return len({tuple((edge.factor(name), _at_once(edge, name)) for edge in edges) for name in variants}) > 1


def _bursts(graph: Graph, stages: Sequence[str], variants: Mapping[str, str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for stage in stages:
        edges = graph.into(stage)
        came = sum(_taking(found[edge.parent], edge.share) * _at_once(edge, variants[edge.parent]) for edge in edges)
        found[stage] = 1 if stage in graph.joins or not edges else max(1, came)
    return found


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
        given = graph.exits or dict.fromkeys(graph.ends(names), 1.0)
        of_exit = {name: Fraction(str(weight)) for name, weight in given.items()}
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
        return sum(weight * each for weight, each in zip(self.weights, through, strict=True))

    @cached_property
    def children(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """The children of each stage with their multipliers."""
        return tuple(
            tuple((j, multiplier) for j, parents in enumerate(self.parents) for i, multiplier in parents if i == k)
            for k in range(len(self.parents))
        )

    def worths(self, terms: Sequence[int]) -> list[int]:
        """For each stage, the graph's gain from a unit of accuracy there, if later stages have these accuracies."""
        found = [0] * len(terms)
        for k in reversed(range(len(terms))):
            found[k] = self.weights[k] + sum(terms[j] * found[j] * multiplier for j, multiplier in self.children[k])
        return found


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
        found: dict[tuple[str, ...], int] = {}
        for variants, accuracy in self.table.items():
            for start in accumulate(((name,) for name in variants), initial=()):
                found[start] = max(accuracy, found.get(start, 0))
        return found
