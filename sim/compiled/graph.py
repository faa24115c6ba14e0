"""The compiled engine for a graph of stages. Nothing flows back, so between two stops they run one after the other.

The finished items of a stage are put on the edges all at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ipa.errors import InputError
from ipa.policies import StageConfiguration
from ipa.profiles import Join
from ipa.sim.compiled.engine import safe_until_s, set_budgets
from ipa.sim.compiled.item_stage import PIECE, ItemStage
from ipa.sim.compiled.memory import RecordArray, layout_of
from ipa.sim.compiled.routing import COMING, Fork, persist
from ipa.sim.compiled.stepping import Stepping
from ipa.sim.graph import NO_EDGE, Routes
from ipa.sim.model import FloatArray, IntArray, RunInput
from ipa.sim.rules import CLOSING, NEVER


class CompiledGraphEngine(Stepping):
    """One run of a graph of stages. Build it, go through its `steps` once, then read the stages."""

    busy_core_s = None

    def __init__(self, given: RunInput, initial: Mapping[str, StageConfiguration]) -> None:
        super().__init__(given)
        models, world, count = given.models, given.world, len(given.arrivals_s)
        # Until then every batch and every hop ends later than it begins, in doubles, so stages can run alone.
        self._safe_s = safe_until_s(layout_of(models).shortest_s, world.hop_s)
        assert given.graph is not None
        self.routes = routes = Routes(given.graph, given.names, given.arrivals_s, given.seed, persist)
        self._requests_arrive_s = np.array(
            given.arrivals_s
        )  # a copy, which the kernel can index whatever kind of array was given
        self._runs = tuple(
            ItemStage(
                given,
                position,
                initial,
                is_entry=position in routes.entries,
                delivered_apart=world.hop_s > 0.0 or _is_timed(routes.joins[position]),
            )
            for position in range(len(models))
        )
        self.stages = tuple(run.stage for run in self._runs)
        self._sent: list[list[RecordArray]] = [[] for _ in models]  # COMING from the stages before, in order of end
        self._coming = [np.zeros(0, COMING) for _ in models]  # on the way
        self._forks = tuple(
            {
                child: Fork(routes, position, child, list(model.start_up_s), count)
                for child in sorted({way.child for way in routes.ways[position]} - set(routes.gathering))
            }
            for position, model in enumerate(models)
        )
        self._joined = {
            position: np.zeros(count, dtype=bool) for position, join in enumerate(routes.joins) if join is not None
        }
        self._gathered = {position: _Gathered(routes, position, count) for position in routes.gathering}
        for position in routes.entries:
            self._runs[position].enter(routes)

    # ---- time ----

    def _reach(self, time_s: float, rank: int) -> float | None:
        for position, run in enumerate(self._runs):
            self._admit(position)
            for due in _pieces(self._due(position, time_s)):
                run.advance_to_delivery(due["moment_s"][0])
                run.load(due, self._requests_arrive_s)
            run.advance(time_s, rank)
            self._collect(position, run, time_s)
        # After the duration, each stage has run only until its own items had ended.
        is_closing, ended_s = time_s > self.world.duration_s, NEVER
        if is_closing and self._has_ended():
            ended_s = max(run.ended_s for run in self._runs)
        has_ended = ended_s < time_s
        if min(ended_s, time_s) > self._safe_s:
            raise InputError(
                f"engine 'compiled' cannot tell such short times apart after {time_s:g} s; use engine simpy"
            )
        if is_closing:
            for run in self._runs:
                run.follow(*((ended_s, CLOSING + 1) if has_ended else (time_s, rank)))
        return ended_s if has_ended else None

    def _has_ended(self) -> bool:
        return not any(run.open for run in self._runs) and not len(self.on_the_way())

    def _configure(self, configuration: Mapping[str, StageConfiguration]) -> None:
        if self.world.limit_cores is not None:
            set_budgets(self.world.limit_cores, self.stages, configuration, self.now_s)
        for run in self._runs:
            run.configure_at(configuration[run.stage.model.name], self.now_s)

    # ---- what comes to a stage ----

    def _due(self, position: int, time_s: float) -> RecordArray:
        """Take the items that reach a stage by `time_s`."""
        coming = self._coming[position]
        if not len(coming):
            return coming
        count = int(np.searchsorted(coming["moment_s"], time_s, side="right"))
        self._coming[position] = coming[count:]
        return coming[:count]

    def _admit(self, position: int) -> None:
        """Put the items sent by the stages before on their way to this one, joined if it joins."""
        join, sent, hop_s = self.routes.joins[position], self._sent[position], self.world.hop_s
        self._sent[position] = []
        if join is not None and join.kind == "all":
            fresh = self._whole(position, *self._gathered[position].joining(hop_s))
        elif sent:
            fresh = _together(sent)
            if len(sent) > 1:  # batches that end in one instant are ordered by stage
                fresh = fresh[np.lexsort((fresh["group"] % len(self._runs), fresh["moment_s"]))]
            if hop_s > 0.0:
                fresh["moment_s"] += hop_s
            if join is not None:
                fresh = self._first_of(position, fresh, join)
        else:
            return
        for target in self._gathered.values():
            target.come(position, fresh["request"])
        coming = _together([self._coming[position], fresh])
        if _is_timed(join):
            coming = coming[np.lexsort((coming["request"], coming["moment_s"]))]
        self._coming[position] = coming

    def _first_of(self, position: int, fresh: RecordArray, join: Join) -> RecordArray:
        """The first item of each request, unless an earlier one has joined already."""
        _, first = np.unique(fresh["request"], return_index=True)
        fresh = fresh[np.sort(first)]
        fresh = fresh[~self._joined[position][fresh["request"]]]
        self._joined[position][fresh["request"]] = True
        if join.kind == "wait":
            return self._whole(position, fresh["request"], fresh["moment_s"] + join.wait_s)
        return self._whole(position, fresh["request"], fresh["moment_s"], fresh["group"])

    def _whole(self, position: int, request: IntArray, moment_s: FloatArray, group: IntArray | int = 0) -> RecordArray:
        """The one item that each request becomes at a stage that joins."""
        whole = np.empty(len(request), COMING)
        whole["moment_s"], whole["group"], whole["request"], whole["edge"] = moment_s, group, request, NO_EDGE
        whole["key"] = self.routes.keys(position, request)
        return whole

    def on_the_way(self) -> IntArray:
        """The requests of the items that are on their way to a stage."""
        return np.concatenate([coming["request"] for coming in self._coming]).astype(np.int64)

    # ---- what leaves a stage ----

    def _collect(self, position: int, run: ItemStage, time_s: float) -> None:
        """Take the items that a stage has served or dropped by `time_s`, and send on what they lead to."""
        if not self._forks[position] and not self._gathered:
            return
        over = run.served_by(time_s)
        if len(over):
            for child, fork in self._forks[position].items():
                self._sent[child].append(run.put_on(fork, over))
        if not self._gathered:
            return
        request, finish_s = run.members_of(over)
        item, dropped_s = run.dropped()
        lost = item[~self.routes.forgiven(position, run.edge_of(item))]
        # What a drop brings about comes after everything else of its instant.
        noticed_s = dropped_s if self.world.hop_s > 0.0 else np.nextafter(dropped_s, np.inf)
        for gathered in self._gathered.values():
            gathered.end(position, request, finish_s)
            gathered.end(position, run.request_of(item), noticed_s)
            gathered.lose(position, run.request_of(lost))


def _together(parts: Sequence[RecordArray]) -> RecordArray:
    """The arrays joined; at least one is needed."""
    parts = [part for part in parts if len(part)] or parts[:1]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _pieces(coming: RecordArray) -> Iterator[RecordArray]:
    """The items in pieces that fit into caches; items of one moment stay together."""
    begin, count, moment_s = 0, len(coming), np.ascontiguousarray(coming["moment_s"])
    while begin < count:
        end = begin + PIECE
        if end < count:
            end = int(np.searchsorted(moment_s, moment_s[end - 1], side="right"))
        yield coming[begin:end]
        begin = end


def _is_timed(join: Join | None) -> bool:
    """Whether requests enter at a moment of their own, not with a batch of a stage before."""
    return join is not None and join.kind != "any"


class _Gathered:
    """A stage that joins all: how many items of each request are upstream, and when the last one ended there."""

    def __init__(self, routes: Routes, stage: int, requests: int) -> None:
        self._upstream = routes.upstream[stage]
        self._left = np.full(requests, sum(entry in self._upstream for entry in routes.entries))
        self._last_s = np.zeros(requests)
        self._lost = np.zeros(requests, dtype=bool)
        self._ended: list[IntArray] = []  # requests with items that ended since the last call of `joining`

    def come(self, stage: int, requests: IntArray) -> None:
        """Note that items of these requests are on their way to a stage."""
        if stage in self._upstream:
            np.add.at(self._left, requests, 1)

    def end(self, stage: int, requests: IntArray, end_s: FloatArray) -> None:
        """Note that items of these requests have ended at a stage."""
        if stage in self._upstream and len(requests):
            np.subtract.at(self._left, requests, 1)
            np.maximum.at(self._last_s, requests, end_s)
            self._ended.append(requests)

    def lose(self, stage: int, requests: IntArray) -> None:
        """Note that these requests have lost an item at a stage and do not go on without it."""
        if stage in self._upstream:
            self._lost[requests] = True

    def joining(self, hop_s: float) -> tuple[IntArray, FloatArray]:
        """The requests whose last upstream item has ended since the last call, and when they enter."""
        if not self._ended:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        requests = np.unique(np.concatenate(self._ended))
        self._ended = []
        requests = requests[(self._left[requests] == 0) & ~self._lost[requests]]
        return requests, self._last_s[requests] + hop_s
