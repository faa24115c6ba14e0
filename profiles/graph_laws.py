"""The laws of a graph of stages: what is wrong with its edges, joins and accuracies, where, and in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ipa.profiles.errors import did_you_mean, listed
from ipa.profiles.graph import JOINS, Edge, Graph, in_order

Variants = Mapping[str, Sequence[str]]
"""Stage -> its variants, in the pipeline's order."""

MOST_ITEMS = 10_000
"""That one item may put on an edge, on average or as measured."""


class GraphProblem(NamedTuple):
    """`part`: "edges", "joins", "exits" or "accuracies"; `at`: the number of the edge or the name of the stage; `key`:
    which of its values is wrong, empty for all of it."""

    part: str
    at: int | str
    key: str
    text: str

    def place(self, graph: Graph) -> str:
        """Where it is in a graph that was made in code."""
        place = f"{self.part}.{self.at}"
        if self.part == "edges" and isinstance(self.at, int):
            place = f"{graph.edges[self.at].parent} -> {graph.edges[self.at].child}"
        return f"{place}: {self.key}" if self.key else place


def graph_problem(graph: Graph, variants: Variants) -> GraphProblem | None:
    """The first thing that is wrong with a graph of these stages; None if all is well."""
    laws = (_edges, _circle, _switches, _joins, _exits, _accuracies)
    return next((problem for law in laws for problem in law(graph, variants)), None)


def idle_join(graph: Graph, variants: Variants) -> GraphProblem | None:
    """The first join of a lawful graph that has nothing to join: a slip of the pen in a file, and harmless where
    variants have been left out since.
    """
    several = _may_get_several(graph, variants)
    text = "there is nothing to join: {} comes after fewer than two stages, and gets one item at most"
    idle = (stage for stage in graph.joins if not several[stage])
    return next((GraphProblem("joins", stage, "", text.format(stage)) for stage in idle), None)


# ---- edges ----


def _edges(graph: Graph, variants: Variants) -> Iterator[GraphProblem]:
    pairs: set[tuple[str, str]] = set()
    for number, edge in enumerate(graph.edges):
        for key, stage in (("stage", edge.parent), ("child", edge.child)):
            if stage not in variants:
                hint = did_you_mean(stage, variants)
                yield GraphProblem(
                    "edges", number, key, f"no stage is called {stage!r}{hint}; stages: {listed(variants)}"
                )
                return
        if edge.parent == edge.child:
            yield GraphProblem("edges", number, "stage", f"{edge.parent} cannot come after itself")
        if (edge.parent, edge.child) in pairs:
            yield GraphProblem(
                "edges", number, "stage", f"{edge.child} is after {edge.parent} already; one edge is enough"
            )
        pairs.add((edge.parent, edge.child))
        yield from (GraphProblem("edges", number, *fault) for fault in _numbers(edge))
        yield from (GraphProblem("edges", number, *fault) for fault in _by_variant(edge, variants[edge.parent]))


def _numbers(edge: Edge) -> Iterator[tuple[str, str]]:
    means = edge.items.values() if isinstance(edge.items, Mapping) else (edge.items,)
    for key, values in (("items", means), ("spread", (edge.spread,)), ("persist_s", (edge.persist_s,))):
        for value in values:
            if not (math.isfinite(value) and value >= 0):
                yield key, f"should be finite and at least 0; given {value!r}"
            elif key == "items" and value > MOST_ITEMS:
                yield key, f"should be at most {MOST_ITEMS}; given {value!r}"
    if not 0 < edge.share <= 1:
        yield "share", f"should be above 0 and at most 1; given {edge.share!r}"
    if edge.when is not None and edge.when.problem:
        yield "when", edge.when.problem
    if edge.switch and edge.items_from:
        yield "items_from", "each row goes its own way, but of a switch an item takes one: leave out switch, or this"
    for variant, counts in edge.counts.items():
        if not counts or min(counts) < 0 or max(counts) > MOST_ITEMS:
            yield "counts", f"{variant} should have at least one number, and all from 0 to {MOST_ITEMS}"


def _by_variant(edge: Edge, variant_names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is wrong with numbers that are given by variant of the parent."""
    if edge.counts and (edge.items != 1.0 or edge.spread != 0.0):
        yield "counts", "say how many items, and how they vary: leave out items and spread"
    for key in ("items", "counts"):
        values = getattr(edge, key)
        if not isinstance(values, Mapping) or (key == "counts" and not values):
            continue
        for name in values:
            if name not in variant_names:
                hint = did_you_mean(name, variant_names)
                yield key, f"{edge.parent} has no variant {name!r}{hint}; variants: {listed(variant_names)}"
        for name in variant_names:
            if name not in values:
                yield key, f"{edge.parent} has the variant {name!r} too: give it its number"


def _circle(graph: Graph, variants: Variants) -> Iterator[GraphProblem]:
    """A way that leads back to where it began."""
    in_circles = set(variants)
    while free := {stage for stage in in_circles if not any(edge.parent in in_circles for edge in graph.into(stage))}:
        in_circles -= free
    if not in_circles:
        return
    way = [next(stage for stage in variants if stage in in_circles)]
    while way[-1] not in way[:-1]:  # every stage that is left has a parent that is left
        way.append(next(edge.parent for edge in graph.into(way[-1]) if edge.parent in in_circles))
    circle = way[way.index(way[-1]) + 1 :][::-1]
    listed_at = list(variants).index
    last = max(range(len(circle)), key=lambda place: listed_at(circle[place]))
    named_circle = [*circle[last:], *circle[:last], circle[last]]  # from the stage listed last, to one listed before it
    closing = [(edge.parent, edge.child) for edge in graph.edges].index((named_circle[0], named_circle[1]))
    yield GraphProblem("edges", closing, "stage", f"a circle: {' -> '.join(named_circle)}")


def _switches(graph: Graph, variants: Variants) -> Iterator[GraphProblem]:
    for number, edge in enumerate(graph.edges):
        if edge.switch:
            of_switch = [option for option in graph.out_of(edge.parent) if option.switch == edge.switch]
            total = math.fsum(option.share for option in of_switch)
            if abs(total - 1.0) > 1e-9:
                text = f"the shares of switch {edge.switch!r} should sum to 1; they sum to {total:g}"
                yield GraphProblem("edges", number, "share", text)
            if edge.when is None and edge is not of_switch[-1] and any(option.when for option in of_switch):
                text = (
                    f"of the edges of switch {edge.switch!r}, the last one alone may have no `when`: it takes the rest"
                )
                yield GraphProblem("edges", number, "when", text)


# ---- joins ----


def _joins(graph: Graph, variants: Variants) -> Iterator[GraphProblem]:
    for stage, join in graph.joins.items():
        if stage not in variants:
            hint = did_you_mean(stage, variants)
            yield GraphProblem("joins", stage, "", f"no stage is called {stage!r}{hint}; stages: {listed(variants)}")
        elif join.kind not in JOINS:
            yield GraphProblem("joins", stage, "", f"should be {' or '.join(JOINS)}; given {join.kind!r}")
        elif join.kind == "wait" and not (math.isfinite(join.wait_s) and join.wait_s > 0):
            yield GraphProblem("joins", stage, "wait_s", f"should be finite and above 0; given {join.wait_s!r}")


def _may_get_several(graph: Graph, variants: Variants) -> dict[str, bool]:
    """Stage -> whether several items of a request may be on their way to it, before it joins them."""
    gets_several: dict[str, bool] = {}
    for stage in in_order(list(variants), graph.edges):
        edges = graph.into(stage)
        gets_several[stage] = len(edges) > 1 or any(
            edge.may_carry_several or (gets_several[edge.parent] and edge.parent not in graph.joins) for edge in edges
        )
    return gets_several


# ---- accuracies ----


def _exits(graph: Graph, variants: Variants) -> Iterator[GraphProblem]:
    ends = graph.ends(list(variants))
    for stage, weight in graph.exits.items():
        if stage not in ends:
            text = f"{stage} is no exit{did_you_mean(stage, ends)}; exits: {listed(ends)}"
            yield GraphProblem("exits", stage, "", text)
        elif not (math.isfinite(weight) and weight > 0):
            yield GraphProblem("exits", stage, "", f"should be finite and above 0; given {weight!r}")


def _accuracies(graph: Graph, variants: Variants) -> Iterator[GraphProblem]:
    """What is wrong with measured accuracies; either none or every combination has one."""
    variants = {stage: variants[stage] for stage in in_order(list(variants), graph.edges)}
    for number, (names, accuracy) in enumerate(graph.accuracies.items()):
        if len(names) != len(variants) or any(
            name not in of_stage for name, of_stage in zip(names, variants.values(), strict=False)
        ):
            yield GraphProblem(
                "accuracies", number, "", f"{listed(names)} is no variant of each stage: {listed(variants)}"
            )
        elif not 0 <= accuracy <= 1:
            yield GraphProblem("accuracies", number, "value", f"should be from 0 to 1; given {accuracy!r}")
    combinations = math.prod(map(len, variants.values()))
    if graph.accuracies and len(graph.accuracies) < combinations:
        text = f"every combination of variants needs its accuracy: {combinations}; given {len(graph.accuracies)}"
        yield GraphProblem("accuracies", 0, "", text)
