"""One stage of a graph in the kernel: it runs alone on the items loaded into it, and its results are collected.

To the kernel it is a chain: of one stage at an entry, where requests arrive; elsewhere of two. The first of the two is
a stand-in that serves nothing: the items are entered as batches that it has finished, which the kernel delivers to the
second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ipa.policies import StageConfiguration
from ipa.sim.compiled.engine import CompiledEngine
from ipa.sim.compiled.memory import Layout, RecordArray, carve, extended, layout_of
from ipa.sim.compiled.routing import ITEM, Fork, enter, put, split
from ipa.sim.compiled.stage import CompiledStage
from ipa.sim.graph import ItemLog, Routes
from ipa.sim.model import FloatArray, IntArray, RunInput
from ipa.sim.rules import COMPLETION, NEVER

PIECE = 2**14
"""About how many items are loaded into a stage at once."""
_NONE: IntArray = np.zeros(0, dtype=np.int64)
_NO_TIME_S = 1e-300
"""A hop that takes no time but makes a delivery an event of its own; with a hop of 0 it is part of a completion."""


class StageOfGraph(CompiledStage):
    """What control steps and records read of a stage of a graph."""

    enters: bool
    items: RecordArray
    """ITEM by number, in the order of coming; the end of the array is spare."""

    @property
    def is_entry(self) -> bool:
        return self.enters

    def item_log(self, since: int = 0) -> ItemLog:
        """The items from number `since` on, in the order in which they came."""
        came = self.items[since : self.enqueued]
        enqueue_s = self.memory.enqueued_s[self._row, since : self.enqueued].copy()
        return ItemLog(came["request"].astype(np.int64), came["edge"].astype(np.int64), enqueue_s)


class ItemStage(CompiledEngine):
    """The run of one stage."""

    stages: tuple[StageOfGraph, ...]

    def __init__(
        self,
        given: RunInput,
        position: int,
        initial: Mapping[str, StageConfiguration],
        *,
        is_entry: bool,
        delivered_apart: bool,
    ) -> None:
        """`given`: the input of the whole graph. `delivered_apart`: whether a delivery is an event of its own, not part
        of a completion."""
        model, requests = given.models[position], len(given.arrivals_s)
        models = [model] if is_entry else [model, model]
        world = replace(given.world, hop_s=_NO_TIME_S if delivered_apart else 0.0)
        arrivals_s = given.arrivals_s if is_entry else np.zeros(0)
        first = position if is_entry else position - 1
        # Room that is not used takes no memory.
        self._expected = requests if is_entry else max(requests + requests // 4, PIECE)
        alone = RunInput(models, world, arrivals_s, given.seed)
        super().__init__(alone, {model.name: initial[model.name]}, position=first)
        self.stage = self.stages[-1]
        self.stage.position, self.stage.enters = position, is_entry
        (self.stage.items,) = carve([((self._memory.capacity,), ITEM)])
        of_model = list(model.start_up_s)
        self._variants = np.array([of_model.index(option.variant) for option in layout_of(models).options])
        self._row = len(models) - 1
        self._count = 0
        if not is_entry:  # the stand-in needs no draws
            self._memory.stages["draw"][0] = 0
        self._batches = self._drops = 0  # how many have been collected
        self._running = np.zeros(0, dtype=np.int64)  # batches that have started

    def _capacity(self) -> int:
        return self._expected

    def _stage(self, position: int, layout: Layout) -> StageOfGraph:
        return StageOfGraph(position, self.given.models[position], self._memory, layout)

    def _safe_until_s(self, shortest_s: float) -> float:
        return NEVER  # the engine of the graph checks this

    # ---- items ----

    def enter(self, routes: Routes) -> None:
        """At an entry, make each request an item."""
        enter(self.stage.items, routes, self.stage.position)
        self._count = len(self.stage.items)

    def load(self, coming: RecordArray, arrivals_s: FloatArray) -> None:
        """Load the items (COMING) that come during the next advance. `arrivals_s`: when requests arrived."""
        count = self._count + len(coming)
        if count > self._memory.capacity:
            capacity = max(count, 2 * self._memory.capacity)
            self._use(self._memory.with_capacity(capacity))
            self.stage.items = extended(self.stage.items, capacity)
        put(coming, self._count, arrivals_s, self._memory, self.stage.items)
        self._count = count

    @property
    def open(self) -> int:
        """How many of its items have not ended."""
        return int(self._run["open"])

    @property
    def ended_s(self) -> float:
        """When the latest of its items ended."""
        return float(self._run["ended_s"])

    # ---- time ----

    def advance(self, time_s: float, rank: int) -> None:
        """Run up to (time, rank); after the duration, only until all items have ended."""
        self._advance(time_s, rank)

    def advance_to_delivery(self, time_s: float) -> None:
        """Run up to a delivery at that time, so that everything loaded earlier has been delivered."""
        self._advance(time_s, COMPLETION - 1)

    def follow(self, time_s: float, rank: int) -> None:
        """Run up to (time, rank), whether or not its items have ended."""
        self._run["open"] += 1
        self._advance(time_s, rank)
        self._run["open"] -= 1

    def configure_at(self, wanted: StageConfiguration, now_s: float) -> None:
        """Put a decision into effect."""
        self.stage.configure(wanted, now_s)
        self._roll_out(self._row, self._row + 1)

    # ---- what has happened ----

    def served_by(self, time_s: float) -> IntArray:
        """The batches served by `time_s` and not collected yet, in order of end."""
        started = int(self.stage._state["batches"])
        running = np.concatenate([self._running, np.arange(self._batches, started)])
        self._batches = started
        if self.world.removal == "lose" and len(running):
            running = running[~np.isin(self._memory.served[self._row][self._begin_of(running)], self._lost())]
        count = split(running, self._row, time_s, self._memory)
        self._running = running[count:]
        return running[:count]

    def put_on(self, fork: Fork, over: IntArray) -> RecordArray:
        """The items that these batches put on the edges of a fork."""
        variants = self._variants_of(over) if fork.counts else _NONE
        return fork.send(over, variants, self._row, self._memory, self.stage.items)

    def _variants_of(self, batches: IntArray) -> IntArray:
        """The position of each batch's variant in the model."""
        replica = self._memory.batches[self._row]["replica"][batches]
        return np.asarray(self._variants[self._memory.replicas[self._row]["option"][replica]])

    def members_of(self, over: IntArray) -> tuple[IntArray, FloatArray]:
        """The requests of the items of these batches, and when they ended."""
        log, begin = self._memory.batches[self._row], self._begin_of(over)
        size = log["end"][over].astype(np.int64) - begin
        place = np.repeat(begin - (np.cumsum(size) - size), size) + np.arange(size.sum())
        return self.request_of(self._memory.served[self._row][place]), np.repeat(log["finish_s"][over], size)

    def request_of(self, items: IntArray) -> IntArray:
        return np.asarray(self.stage.items["request"][items])

    def edge_of(self, items: IntArray) -> IntArray:
        return np.asarray(self.stage.items["edge"][items])

    def _begin_of(self, batches: IntArray) -> IntArray:
        ends = self._memory.batches["end"][self._row]
        return np.where(batches > 0, ends[batches - 1].astype(np.int64), 0)

    def _lost(self) -> IntArray:
        log = self._memory.drops[self._row, : self.stage.dropped]
        return np.asarray(log["request"][~np.isnan(log["finish_s"])])

    def dropped(self) -> tuple[IntArray, FloatArray]:
        """The items dropped or failed that have not been collected yet, and when that was."""
        log = self._memory.drops[self._row, self._drops : self.stage.dropped]
        self._drops = self.stage.dropped
        return log["request"].astype(np.int64), log["dropped_s"].copy()
