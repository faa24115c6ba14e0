"""Items of a graph in the kernel: from the finished batches of a stage onto its edges and into the next stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ipa.sim.compiled.dispatch import begin_of
from ipa.sim.compiled.jit import direct, entry, small
from ipa.sim.compiled.memory import Memory, RecordArray, record
from ipa.sim.graph import NO_EDGE, Routes, Way, draws
from ipa.sim.model import FloatArray, IntArray

ITEM = record(key="u8", request="i4", edge="i4")
COMING = record(key="u8", request="i4", edge="i4", moment_s="f8", group="i8")
"""An item on its way to a stage. Consecutive items with the same `moment_s` and `group` are delivered together."""
WAY = record(
    step="u8",  # from an item's key to the key of the items that it puts on the edge, before mixing
    drawn="u8",  # from an item's key to the key of its draw, before mixing
    low="f8",
    high="f8",
    edge="i4",
    is_sure="?",
    carries_one="?",
    asks_keys="?",
)

_SPARE_ROOM = 64
"""Room for more items than expected; unused room costs no time."""

_STEP: Any = np.uint64(draws.STEP)
_mixed = small(draws.mixed)
_persist = entry(draws.persist)


class Fork:
    """The edges from a stage to one of its next stages."""

    def __init__(self, routes: Routes, position: int, child: int, variants: Sequence[str], requests: int) -> None:
        self._routes = routes
        self._variants = variants
        self._group = (position, len(routes.ways))
        ways = [way for way in routes.ways[position] if way.child == child]
        self._edges = [way.number for way in ways]
        self._ways = np.array([_row_of(way, routes) for way in ways], WAY)
        self.counts = not self._ways["carries_one"].all()  # whether numbers of items are drawn
        places = requests if self.counts else 0
        self._numbers = np.empty((len(self._edges), len(variants), places), np.uint32)
        self._per_batch = 1.0  # items a batch, as of the latest call
        self._known: set[int] = set()  # the variants whose numbers of items are filled in

    def send(self, over: IntArray, variants: IntArray, row: int, memory: Memory, items: RecordArray) -> RecordArray:
        """The items (COMING) that the finished batches `over` of a row put on these edges, when each batch ends.

        `variants`: the position of each batch's variant, used if `counts`. `items`: ITEM by number.
        """
        if self.counts:
            for place in set(variants.tolist()) - self._known:
                self._known.add(place)
                for way, edge in enumerate(self._edges):
                    self._numbers[way, place] = self._routes.numbers(edge, self._variants[place])
        count = int(1.5 * self._per_batch * len(over)) + _SPARE_ROOM
        while True:
            coming = np.empty(count, COMING)
            given = (over, variants, row, memory, items, self._ways, self._numbers, *self._group, coming)
            count = direct(_send, *given)(*given)
            if count <= len(coming):
                self._per_batch = count / len(over)
                return coming[:count]


def _row_of(way: Way, routes: Routes) -> tuple[float, ...]:
    """The fields of a WAY record."""
    steps, one = (draws.step(way.number), draws.step(way.drawn)), routes.carries_one[way.number]
    return (*steps, way.low, way.high, way.number, way.is_sure, one, routes.asks_keys)


@entry
def _send(
    over: IntArray,
    variants: IntArray,
    row: int,
    memory: Memory,
    items: RecordArray,
    ways: RecordArray,
    numbers: IntArray,
    position: int,
    stages: int,
    coming: RecordArray,
) -> int:
    """Fill in `coming` and return the number of items; those beyond its length are left out."""
    count = 0
    for i in range(len(over)):
        batch = memory.batches[row, over[i]]
        for place in range(begin_of(row, over[i], memory), np.int64(batch.end)):
            item = items[memory.served[row, place]]
            for w in range(len(ways)):
                way = ways[w]
                if not way.is_sure:
                    drawn = (_mixed(item.key + way.drawn) >> np.uint64(11)) * 2.0**-53
                    if drawn < way.low or drawn >= way.high:
                        continue
                number = 1 if way.carries_one else np.int64(numbers[w, variants[i], item.request])
                key = _mixed(item.key + way.step)
                for _ in range(number):
                    key += _STEP
                    if count < len(coming):
                        fresh = coming[count]
                        fresh.key = _mixed(key) if way.asks_keys else np.uint64(0)
                        fresh.request = item.request
                        fresh.edge = way.edge
                        fresh.moment_s = batch.finish_s
                        fresh.group = np.int64(over[i]) * stages + position
                    count += 1
    return count


def split(batches: IntArray, row: int, time_s: float, memory: Memory) -> int:
    """Move the batches that have ended by `time_s` to the front, in order of end; return how many there are.

    `batches`: numbers of a row's batches in order of start. Those that are still running keep their order.
    """
    given = (batches, np.empty_like(batches), row, float(time_s), memory)
    return direct(_split, *given)(*given)


@entry
def _split(batches: IntArray, running: IntArray, row: int, time_s: float, memory: Memory) -> int:
    count = left = 0
    for i in range(len(batches)):
        batch = batches[i]
        finish_s = memory.batches[row, batch].finish_s
        is_over = finish_s <= time_s
        if not is_over:
            running[left] = batch
            left += 1
            continue
        place = count  # insertion sort: few batches began earlier and end later
        while place > 0 and memory.batches[row, batches[place - 1]].finish_s > finish_s:
            batches[place] = batches[place - 1]
            place -= 1
        batches[place] = batch
        count += 1
    for i in range(left):
        batches[count + i] = running[i]
    return count


def enter(items: RecordArray, routes: Routes, position: int) -> None:
    """Make an item of each request at an entry."""
    given = (items, np.uint64(routes.base_key), np.uint64(draws.step(position)), routes.asks_keys)
    direct(_enter, *given)(*given)


@entry
def _enter(items: RecordArray, base_key: int, step: int, asks_keys: bool) -> int:
    key: Any = base_key
    for request in range(len(items)):
        item = items[request]
        key += _STEP
        item.key = _mixed(_mixed(key) + step) if asks_keys else np.uint64(0)
        item.request = request
        item.edge = NO_EDGE
    return len(items)


def put(coming: RecordArray, count: int, arrivals_s: FloatArray, memory: Memory, items: RecordArray) -> None:
    """Enter items as batches finished by the stand-in before a stage that has had `count` items so far.

    `arrivals_s`: when requests arrived.
    """
    given = (coming, count, arrivals_s, memory, items)
    direct(_put, *given)(*given)


@entry
def _put(coming: RecordArray, count: int, arrivals_s: FloatArray, memory: Memory, items: RecordArray) -> int:
    deliveries = 0
    for i in range(len(coming)):
        came, item = coming[i], items[count + i]
        if i == 0 or came.moment_s != coming[i - 1].moment_s or came.group != coming[i - 1].group:
            memory.finished[0, deliveries] = deliveries
            memory.batches[0, deliveries].finish_s = came.moment_s
            deliveries += 1
        memory.batches[0, deliveries - 1].end = i + 1
        memory.served[0, i] = count + i
        memory.arrivals_s[count + i] = arrivals_s[came.request]
        item.key = came.key
        item.request = came.request
        item.edge = came.edge
    sender = memory.stages[0]
    sender.finished = deliveries
    sender.delivered = 0
    memory.run[0].open += len(coming)
    return deliveries


def persist(normals: FloatArray, apart_s: FloatArray, persist_s: float) -> FloatArray:
    """As `draws.persistent`."""
    direct(_persist, normals, apart_s, persist_s)(normals, apart_s, persist_s)
    return normals
