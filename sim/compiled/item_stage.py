"""One stage of a graph in the kernel: it runs alone, on items that are put before it, and what it did is collected.

To the kernel it is a chain. At an entry that has one stage, to which the requests arrive. Elsewhere it has two: the
first does nothing, but what it is said to have finished is delivered to the second, the stage.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipa.policies import StageConfiguration
from ipa.sim.compiled.engine import CompiledEngine
from ipa.sim.compiled.memory import Layout, extended
from ipa.sim.compiled.stage import CompiledStage
from ipa.sim.graph import NO_EDGE, ItemLog, draws
from ipa.sim.interface import BoolArray
from ipa.sim.model import FloatArray, IntArray, StageModel, World
from ipa.sim.rules import COMPLETION, NEVER

PIECE = 2**14
"""How many items are put before a stage at once, and a few more."""
_NO_TIME_S = 1e-300
"""A hop that takes no time. With it a delivery has a rank of its own; with none it is part of a completion."""


class Coming(NamedTuple):
    """Items that come to a stage, in order; shape (items,). Those with one `moment_s` and `group` are delivered
    together, and have the next ones after them."""

    moment_s: FloatArray
    group: IntArray
    request: IntArray
    key: draws.Keys
    edge: IntArray

    @classmethod
    def none(cls) -> Coming:
        nothing = np.zeros(0, dtype=np.int64)
        return cls(np.zeros(0), nothing, nothing, np.zeros(0, dtype=np.uint64), nothing)

    def where(self, chosen: IntArray | BoolArray | slice) -> Coming:
        """The chosen items."""
        columns: list[Any] = [column[chosen] for column in self]
        return Coming(*columns)

    @classmethod
    def together(cls, parts: list[Coming]) -> Coming:
        """These items one after the other; there must be some part."""
        if len(parts) == 1:
            return parts[0]
        columns: list[Any] = [np.concatenate(column) for column in zip(*parts, strict=True)]
        return cls(*columns)


class Served(NamedTuple):
    """Items that have been served, batch after batch in the order in which these ended; shape (items,), and of the
    batches (batches,)."""

    item: IntArray
    size: IntArray
    finish_s: FloatArray
    batch: IntArray
    replica: IntArray


class StageOfGraph(CompiledStage):
    """What control steps and records read of it."""

    run: ItemStage

    @property
    def is_entry(self) -> bool:
        return self.run.is_entry

    def item_log(self) -> ItemLog:
        """Its items in the order in which they came."""
        return self.run.item_log()


class ItemStage(CompiledEngine):
    """The run of one stage."""

    stages: tuple[StageOfGraph, ...]

    def __init__(
        self,
        position: int,
        model: StageModel,
        world: World,
        arrivals_s: FloatArray | None,
        requests: int,
        initial: StageConfiguration,
        seed: int,
        *,
        delivered_apart: bool,
    ) -> None:
        """`arrivals_s`: when its items arrive, at an entry. `requests`: how many items to expect. `delivered_apart`:
        whether a delivery is an event of its own, not part of a completion."""
        self.is_entry = arrivals_s is not None
        models = [model] if self.is_entry else [model, model]
        arriving_s = np.zeros(0) if arrivals_s is None else arrivals_s
        world = replace(world, hop_s=_NO_TIME_S if delivered_apart else 0.0)
        first = position if self.is_entry else position - 1
        self._expected = max(requests, PIECE)
        super().__init__(models, world, arriving_s, {model.name: initial}, seed, position=first)
        self.stage = self.stages[-1]
        self.stage.position, self.stage.run = position, self
        self._row = len(models) - 1
        self._request = self._edge = np.zeros(0, dtype=np.int64)  # of each item, with some room behind
        self._key = np.zeros(0, dtype=np.uint64)
        self._count = 0
        self._batches = self._drops = 0  # how many have been collected
        self._running = np.zeros(0, dtype=np.int64)  # batches that have started

    def _capacity(self) -> int:
        return len(self.arrivals_s) if self.is_entry else self._expected

    def _stage(self, position: int, model: StageModel, layout: Layout, _: StageConfiguration) -> StageOfGraph:
        return StageOfGraph(position, model, self._memory, layout)

    def _safe_until_s(self, shortest_s: float) -> float:
        return NEVER  # the engine of the graph has looked

    # ---- items ----

    def know(self, request: IntArray, key: draws.Keys) -> None:
        """At an entry: of which requests its items are."""
        self._request, self._key, self._edge = request, key, np.full(len(request), NO_EDGE)
        self._count = len(request)

    def load(self, coming: Coming, age_s: FloatArray) -> None:
        """Put items before it that come before it is advanced next; `age_s`: when their requests arrived."""
        fresh = len(coming.request)
        if not fresh:
            return
        self._make_room_for(self._count + fresh)
        memory, sender, count = self._memory, self._memory.stages[0], self._count
        begins = np.flatnonzero(np.append(True, _differs(coming.moment_s) | _differs(coming.group)))
        deliveries = len(begins)
        memory.arrivals_s[count : count + fresh] = age_s
        memory.served[0, :fresh] = np.arange(count, count + fresh)
        batches = memory.batches[0, :deliveries]
        batches["finish_s"] = coming.moment_s[begins]
        batches["end"] = np.append(begins[1:], fresh)
        memory.finished[0, :deliveries] = np.arange(deliveries)
        sender["finished"], sender["delivered"] = deliveries, 0
        of_items = slice(count, count + fresh)
        self._request[of_items], self._key[of_items], self._edge[of_items] = coming.request, coming.key, coming.edge
        self._count += fresh
        self._run["open"] += fresh

    def _make_room_for(self, items: int) -> None:
        capacity = self._memory.capacity
        if items > capacity:
            self._use(self._memory.with_capacity(max(items, 2 * capacity)))
        if items > len(self._request):
            room = self._memory.capacity
            self._request, self._edge = _with_room(self._request, room), _with_room(self._edge, room)
            self._key = _with_room(self._key, room)

    @property
    def open(self) -> int:
        """How many of its items have not ended."""
        return int(self._run["open"])

    @property
    def ended_s(self) -> float:
        """When the latest of its items ended."""
        return float(self._run["ended_s"])

    def request_of(self, items: IntArray) -> IntArray:
        return np.asarray(self._request[items])

    def key_of(self, items: IntArray) -> draws.Keys:
        return np.asarray(self._key[items])

    def edge_of(self, items: IntArray) -> IntArray:
        return np.asarray(self._edge[items])

    # ---- time ----

    def advance(self, time_s: float, rank: int) -> None:
        """Let everything happen before (time, rank), after the duration no more than it takes until all have ended."""
        self._advance(time_s, rank)

    def advance_to_delivery(self, time_s: float) -> None:
        """Let everything happen before a delivery at that time, so that what was loaded before has been delivered."""
        self._advance(time_s, COMPLETION - 1)

    def follow(self, time_s: float, rank: int) -> None:
        """Let everything happen before (time, rank), whether or not its items have ended."""
        self._run["open"] += 1
        self._advance(time_s, rank)
        self._run["open"] -= 1

    def configure_at(self, wanted: StageConfiguration, now_s: float) -> None:
        """Put a decision into effect."""
        self.stage.configure(wanted, now_s)
        if self.world.resize == "in_place":
            self.stage.resize(now_s)
        self._roll_out(self._row, self._row + 1)

    # ---- what has happened ----

    def served_by(self, time_s: float) -> Served:
        """What has been served by then that has not been collected."""
        log = self._memory.batches[self._row]
        started = int(self.stage._state["batches"])
        running = np.concatenate([self._running, np.arange(self._batches, started)])
        self._batches = started
        if self.world.removal == "lose" and len(running):
            running = running[~np.isin(self._first_of(running), self._lost())]
        finish_s = log["finish_s"][running]
        is_over = finish_s <= time_s
        self._running = running[~is_over]
        over = running[is_over][np.argsort(finish_s[is_over], kind="stable")]
        begin = self._begin_of(over)
        size = log["end"][over].astype(np.int64) - begin
        place = begin
        if not (size == 1).all():
            place = np.repeat(begin - (np.cumsum(size) - size), size) + np.arange(size.sum())
        item = self._memory.served[self._row][place].astype(np.int64)
        return Served(item, size, log["finish_s"][over], over, log["replica"][over].astype(np.int64))

    def _begin_of(self, batches: IntArray) -> IntArray:
        ends = self._memory.batches["end"][self._row]
        return np.where(batches > 0, ends[batches - 1].astype(np.int64), 0)

    def _first_of(self, batches: IntArray) -> IntArray:
        return self._memory.served[self._row][self._begin_of(batches)].astype(np.int64)

    def _lost(self) -> IntArray:
        log = self._memory.drops[self._row, : self.stage.dropped]
        return log["request"][~np.isnan(log["finish_s"])].astype(np.int64)

    def dropped(self) -> tuple[IntArray, FloatArray]:
        """The items that were dropped or failed, and when, that have not been collected."""
        log = self._memory.drops[self._row, self._drops : self.stage.dropped]
        self._drops = self.stage.dropped
        return log["request"].astype(np.int64), log["dropped_s"].copy()

    def variants_of(self, replicas: IntArray) -> IntArray:
        """The places of the replicas' variants in the model."""
        options = self._memory.replicas["option"][self._row][replicas]
        of_model: list[str] = list(self.stage.model.start_up_s)
        places = np.array([of_model.index(option.variant) for option in self.stage._options])
        return places[options]

    def item_log(self) -> ItemLog:
        came = slice(self.stage.enqueued)
        enqueue_s = self._memory.enqueued_s[self._row, came].copy()
        return ItemLog(self._request[came].copy(), self._edge[came].copy(), enqueue_s)


def _with_room(column: npt.NDArray[Any], items: int) -> npt.NDArray[Any]:
    """A column with room for so many items."""
    return extended(column, items) if len(column) else np.empty(items, column.dtype)


def _differs(column: npt.NDArray[np.float64] | IntArray) -> BoolArray:
    """Of each but the first, whether it is other than the one before."""
    return np.asarray(column[1:] != column[:-1])
