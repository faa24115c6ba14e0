"""The routes of a graph: its stages by position, and where served items go from each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from ipa.profiles import Edge, Graph, Join
from ipa.sim.graph import draws
from ipa.sim.interface import BoolArray
from ipa.sim.model import FloatArray, IntArray, RunInput

NO_EDGE = -1
"""The edge of an item that came by none: a request at an entry, or the result of a join."""


@dataclass(frozen=True)
class Way:
    """An edge that leads on from a stage.

    `child`: the position of the next stage. An item whose draw is in [`low`, `high`) takes the edge; edges with the
    same `drawn` share the draw.
    """

    number: int
    child: int
    drawn: int
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether every item takes it."""
        return self.low <= 0.0 and self.high >= 1.0


def parents_and_waits(routes: Routes | None, stages: int) -> tuple[Sequence[Sequence[int]], Sequence[float]]:
    """By stage: which stages lead to it, and how long its join waits [s]. `routes` None: a chain of so many stages."""
    if routes is None:
        return [[position - 1] if position else [] for position in range(stages)], [0.0] * stages
    return routes.parents, [0.0 if join is None else join.wait_s for join in routes.joins]


class StageAfter(NamedTuple):
    """A stage on a way from another one to an exit, see `ways_after`.

    `before` and `besides`: the places of the stages that lead to it, among the other one (0) and those after it (1, 2,
    ...). `wait_s`: how long its join waits.
    """

    stage: int
    before: int
    besides: tuple[int, ...]
    wait_s: float


def ways_after(stage: int, parents: Sequence[Sequence[int]], waits_s: Sequence[float]) -> list[StageAfter]:
    """The stages on all ways from one to the exits, in topological order, from those of `parents_and_waits`."""
    places = {stage: 0}
    after = []
    for position in range(stage + 1, len(parents)):
        if before := [places[parent] for parent in parents[position] if parent in places]:
            places[position] = len(places)
            after.append(StageAfter(position, before[0], tuple(before[1:]), waits_s[position]))
    return after


class Routes:
    """A graph of stages with the draws of a run. Stages are numbered by position, edges in the order of the file."""

    def __init__(
        self,
        graph: Graph,
        stages: Sequence[str],
        arrivals_s: FloatArray,
        seed: int,
        persistent: draws.Persistent = draws.persistent,
    ) -> None:
        """`stages`: their names in topological order. `persistent`: `draws.persistent` or an equivalent."""
        self._persistent = persistent
        self._seed = seed
        self._arrivals_s = arrivals_s
        self._places: dict[int, FloatArray] = {}
        self._numbers: dict[tuple[int, str], IntArray] = {}
        self.base_key = draws.base_key(seed)
        self.edges: tuple[Edge, ...] = graph.edges
        place = {name: position for position, name in enumerate(stages)}
        positions = range(len(stages))
        self.ways = tuple(tuple(_ways_from(graph, name, place)) for name in stages)
        self.carries_one = tuple(_carries_one(edge) for edge in graph.edges)
        self.asks_keys = any(not way.is_sure for ways in self.ways for way in ways)
        """Whether any draw depends on the keys of items."""
        self.parents = tuple(tuple(sorted({place[edge.parent] for edge in graph.into(name)})) for name in stages)
        self.joins: tuple[Join | None, ...] = tuple(graph.joins.get(name) for name in stages)
        self.upstream = tuple(frozenset(place[ancestor] for ancestor in graph.ancestors(name)) for name in stages)
        self.entries = tuple(position for position in positions if not self.parents[position])
        self.gathering = tuple(
            position for position, join in enumerate(self.joins) if join is not None and join.kind == "all"
        )
        """The stages that join all items; they need to know of every item that ends upstream."""
        self._forgives = tuple(edge.partial for edge in graph.edges)
        self._joined_forgives = tuple(
            bool(graph.into(name)) and all(edge.partial for edge in graph.into(name)) for name in stages
        )

    @classmethod
    def of(cls, run_input: RunInput, persistent: draws.Persistent = draws.persistent) -> Self | None:
        """Those of a run; None for a chain."""
        if run_input.graph is None:
            return None
        return cls(run_input.graph, run_input.names, run_input.arrivals_s, run_input.seed, persistent)

    def forgives(self, position: int, edge: int) -> bool:
        """Whether a request goes on if an item that came to a stage by an edge is dropped there.

        The result of a join may be missing if each edge into the stage allows it.
        """
        return self._joined_forgives[position] if edge == NO_EDGE else self._forgives[edge]

    def forgiven(self, position: int, edges: IntArray) -> BoolArray:
        """As `forgives`, for several items at one stage."""
        return np.array([*self._forgives, self._joined_forgives[position]], dtype=bool)[edges]

    def numbers(self, edge: int, variant: str) -> IntArray:
        """How many items of each request the edge carries per item served by the variant; shape (requests,)."""
        if (edge, variant) not in self._numbers:
            if edge not in self._places:
                persist_s = self.edges[edge].persist_s
                self._places[edge] = draws.latent_uniforms(
                    self._seed, edge, persist_s, self._arrivals_s, self._persistent
                )
            self._numbers[edge, variant] = draws.numbers_of_items(self.edges[edge], variant, self._places[edge])
        return self._numbers[edge, variant]

    def most_items(self, variants: Sequence[Sequence[str]]) -> list[IntArray]:
        """By stage, the most items of each request that can come there; shape (requests,). `variants`: by stage."""
        most = [np.ones(len(self._arrivals_s), dtype=np.int64)]
        for position in range(1, len(self.ways)):
            items = np.zeros(len(self._arrivals_s), dtype=np.int64)
            for parent in self.parents[position]:
                for way in self.ways[parent]:
                    if way.child == position:
                        carried = np.max([self.numbers(way.number, name) for name in variants[parent]], axis=0)
                        items += most[parent] * carried
            joins_or_enters = self.joins[position] is not None or not self.parents[position]
            most.append(np.ones_like(items) if joins_or_enters else items)
        return most

    def key(self, position: int, request: int) -> int:
        """The key of a request's only item at an entry or a joining stage."""
        return draws.key_of(draws.key_of(self.base_key, request), position)

    def keys(self, position: int, requests: IntArray) -> draws.Keys:
        """As `key`, for several requests; zeros if no draw depends on keys."""
        if not self.asks_keys:
            return np.zeros(len(requests), np.uint64)
        base = np.full(len(requests), self.base_key, np.uint64)
        return draws.keys_of(draws.keys_of(base, requests.astype(np.uint64)), position)


def _carries_one(edge: Edge) -> bool:
    """Whether every item that takes the edge becomes exactly one, whichever variant served it."""
    means = edge.items.values() if isinstance(edge.items, Mapping) else [edge.items]
    return not edge.counts and edge.spread == 0.0 and all(mean == 1.0 for mean in means)


def _ways_from(graph: Graph, stage: str, place: dict[str, int]) -> list[Way]:
    """The edges from a stage, as listed."""
    ways = []
    reached: dict[str, float] = {}
    first: dict[str, int] = {}
    count = len(graph.edges)
    for number, edge in enumerate(graph.edges):
        if edge.parent != stage:
            continue
        if not edge.switch:
            ways.append(Way(number, place[edge.child], count + number, 0.0, edge.share))
            continue
        low = reached.get(edge.switch, 0.0)
        reached[edge.switch] = high = low + edge.share
        drawn = count + first.setdefault(edge.switch, number)
        is_last = not any(later.parent == stage and later.switch == edge.switch for later in graph.edges[number + 1 :])
        ways.append(Way(number, place[edge.child], drawn, low, 1.0 if is_last else high))
    return ways
