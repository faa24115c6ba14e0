"""The memory of a graph's items: what queues at its stages, what is on the way, and what its joins still wait for.

Only graphs have it. A chain's items are its requests, with the same numbers, and go on batch by batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipa.sim.compiled.jit import direct, entry
from ipa.sim.compiled.memory import KernelMemory, RecordArray, ReplicaKinds, extended, record
from ipa.sim.graph import NO_EDGE, Routes, Way, draws
from ipa.sim.model import FloatArray

ITEM = record(key="u8", enqueue_s="f8", request="i4", edge="i4")
"""`enqueue_s`: also of an item that is still on the way, unless its join has to come first."""

COMING = record(moment_s="f8", number="i4")
"""What enters a stage next. `number`: the end of the items that come together; where requests join at a moment of
their own (`IS_TIMED`), one of these requests."""

INTO = record(
    join="i8",  # one of the below
    wait_s="f8",
    sent="u4",  # items that have been sent here: the numbers of those that came are below `tail`
    before="u4",  # `sent` before the batch that is being passed on
    expected="u4",  # the entries of `coming`, and how many of them have entered
    delivered="u4",
    is_forgiven="?",  # whether a request goes on without what a join here has made of it
)
EACH, ANY, WAIT, ALL = range(4)
"""How the items of a request enter a stage: each by itself, or joined."""

WAY = record(
    step="u8",  # from an item's key to the key of the items that it puts on the edge, before mixing
    drawn="u8",  # from an item's key to the key of its draw, before mixing
    low="f8",
    high="f8",
    child="i8",
    edge="i4",
    place="i8",  # the place of its numbers of items in `numbers`
    most="i8",  # the largest of the numbers filled in
    is_sure="?",
    carries_one="?",
)
GATHERED = record(last_s="f8", left="i4", is_lost="?")
"""Of a request, before a stage that joins all: when the latest item ended upstream, how many are left there, and
whether one was lost without which the request does not go on."""


class GraphMemory(NamedTuple):
    """The arrays: S stages, E edges, N requests, C places for items at each stage."""

    items: RecordArray  # ITEM (S, C), by number: in order of coming
    coming: RecordArray  # COMING (S, C): in order of moment
    into: RecordArray  # INTO (S,)
    ways: RecordArray  # WAY (E,): by the stage from which they lead, then as in the file
    first_way: npt.NDArray[np.int64]  # (S + 1,): the first way from each stage
    leads: npt.NDArray[np.bool_]  # (S, S): whether an edge leads from one stage to the other
    first_variant: npt.NDArray[np.int64]  # (S,): the first variant of each stage among those of all stages
    forgives: npt.NDArray[np.bool_]  # (E,): whether a request goes on without an item that came by the edge
    numbers: npt.NDArray[np.uint32]  # (edges with drawn numbers, variants, N): the items put on the edge
    is_known: npt.NDArray[np.bool_]  # (edges with drawn numbers, variants): whether these are filled in
    joined: npt.NDArray[np.bool_]  # (S, N): whether the request has come to a stage that joins by `any` or `wait`
    gathering: npt.NDArray[np.int64]  # (G,): the stages that join all
    upstream: npt.NDArray[np.bool_]  # (G, S): whether the stage is upstream of one of these
    gathered: RecordArray  # GATHERED (G, N)
    base_key: npt.NDArray[np.uint64]  # (1,)
    asks_keys: npt.NDArray[np.bool_]  # (1,): whether any draw depends on keys

    def with_capacity(self, items: int) -> GraphMemory:
        """The same with so many places for items at each stage."""
        return self._replace(items=extended(self.items, items), coming=extended(self.coming, items))

    def fill_in(self, memory: KernelMemory, layout: ReplicaKinds, routes: Routes) -> bool:
        """Fill in the numbers of items for the variants that stages have replicas of; whether any were missing."""
        was_missing = False
        for stage, first in enumerate(self.first_way[:-1].tolist()):
            options = memory.replicas["option"][stage, : memory.stages[stage]["replicas"]]
            for variant, name in _variants_of(set(options.tolist()), stage, layout):
                for way in self.ways[first : self.first_way[stage + 1]]:
                    place = int(way["place"])
                    if way["carries_one"] or self.is_known[place, variant]:
                        continue
                    was_missing = self.is_known[place, variant] = True
                    self.numbers[place, variant] = numbers = routes.numbers(int(way["edge"]), name)
                    way["most"] = max(int(way["most"]), int(numbers.max(initial=0)))
        return was_missing


def _variants_of(options: set[int], stage: int, layout: ReplicaKinds) -> list[tuple[int, str]]:
    """The variants of some options of a stage: each with its place among those of the stage."""
    names = {layout.options[option].variant for option in options}
    return [(layout.variant_numbers[stage][name] - layout.first_variants[stage], name) for name in sorted(names)]


def allocate_graph(routes: Routes, layout: ReplicaKinds, arrivals_s: FloatArray, capacity: int) -> GraphMemory:
    """The memory of a graph at the start: each request is an item at each entry."""
    stages, requests = len(routes.ways), len(arrivals_s)
    drawn = [number for number, carries_one in enumerate(routes.carries_one) if not carries_one]
    ways = [_row_of(way, routes, drawn) for of_stage in routes.ways for way in of_stage]
    most_variants = max(map(len, layout.variant_numbers))
    leads = np.zeros((stages, stages), dtype=bool)
    for position, parents in enumerate(routes.parents):
        leads[list(parents), position] = True
    graph = GraphMemory(
        items=np.empty((stages, capacity), ITEM),
        coming=np.empty((stages, capacity), COMING),
        into=np.zeros(stages, INTO),
        ways=np.array(ways, WAY),
        first_way=np.cumsum([0, *map(len, routes.ways)]),
        leads=leads,
        first_variant=np.array(layout.first_variants, dtype=np.int64),
        forgives=np.array([edge.partial for edge in routes.edges], dtype=bool),
        numbers=np.zeros((len(drawn), most_variants, requests), np.uint32),
        is_known=np.zeros((len(drawn), most_variants), dtype=bool),
        joined=np.zeros((stages, requests), dtype=bool),
        gathering=np.array(routes.gathering, dtype=np.int64),
        upstream=np.array(
            [[stage in routes.upstream[joining] for stage in range(stages)] for joining in routes.gathering], dtype=bool
        ).reshape(-1, stages),
        gathered=np.zeros((len(routes.gathering), requests), GATHERED),
        base_key=np.array([routes.base_key], np.uint64),
        asks_keys=np.array([routes.asks_keys]),
    )
    for into, position, join in zip(graph.into, range(stages), routes.joins, strict=True):
        into["is_forgiven"] = routes.forgives(position, NO_EDGE)
        if join is not None:
            into["join"], into["wait_s"] = {"any": ANY, "wait": WAIT, "all": ALL}[join.kind], join.wait_s
    for number, joining in enumerate(routes.gathering):
        graph.gathered["left"][number] = sum(stage in routes.upstream[joining] for stage in routes.entries)
    for position in routes.entries:
        items = graph.items[position, :requests]
        items["enqueue_s"], items["edge"] = arrivals_s, NO_EDGE
        items["request"] = np.arange(requests)
        items["key"] = routes.keys(position, np.arange(requests))
        graph.into["sent"][position] = requests
    return graph


def _row_of(way: Way, routes: Routes, drawn: Sequence[int]) -> tuple[float, ...]:
    """The fields of a WAY record. `drawn`: the edges whose numbers of items are drawn."""
    carries_one = routes.carries_one[way.number]
    steps = (draws.step(way.number), draws.step(way.drawn))
    place, most = (0, 1) if carries_one else (drawn.index(way.number), 0)
    return (*steps, way.low, way.high, way.child, way.number, place, most, way.is_sure, carries_one)


_persist: Any = entry(draws.persist)


def persist(normals: FloatArray, apart_s: FloatArray, persist_s: float) -> FloatArray:
    """As `draws.persistent`."""
    direct(_persist, normals, apart_s, persist_s)(normals, apart_s, persist_s)
    return normals
