"""A graph of stages in the SimPy engine: stages as in a chain, with items in place of requests.

A stage numbers its items in the order in which they are sent to it, which is the order in which they come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf, nan, nextafter
from typing import NamedTuple

import numpy as np

from ipa.policies import StageConfiguration
from ipa.sim.events.engine import SimPyEngine
from ipa.sim.events.environment import Environment
from ipa.sim.events.replica_set import Batch, SimPyReplica
from ipa.sim.events.stage import SimPyStage
from ipa.sim.graph import NO_EDGE, ItemLog, Routes, Way, draws
from ipa.sim.model import IntArray, RunInput


class Sent(NamedTuple):
    """An item on its way to a stage."""

    request: int
    key: int
    edge: int


class ItemStage(SimPyStage):
    """A stage of a graph. An item is as old as its request, so `_arrivals_s` holds the arrivals of the requests."""

    def begin(self, flow: Flow) -> None:
        """Join the flow of a graph."""
        self._flow = flow
        self.served_by = ""
        self.sent: list[Sent] = []
        self.next = _Onward(self, flow)  # type: ignore[assignment]  # it has what a stage calls of the next
        if self.is_entry:
            self.sent = [Sent(each, flow.routes.key(self.position, each), NO_EDGE) for each in range(flow.requests)]
        else:
            self._arrivals_s = []

    def adopt(self, sent: Sequence[Sent]) -> Batch:
        """Give the next numbers to these items and return them."""
        first = len(self.sent)
        self.sent += sent
        self._arrivals_s += [self._flow.arrivals_s[each.request] for each in sent]
        return list(range(first, len(self.sent)))

    def _on_completion(self, replica: SimPyReplica, now_s: float) -> None:
        self.served_by = replica.variant
        super()._on_completion(replica, now_s)

    def _take(self, size: int, now_s: float) -> Batch:
        return self._sift([], size, now_s)  # an item with a lower number may be younger

    def _drop(self, request: int, now_s: float, finish_s: float = nan) -> None:
        self._flow.dropped(self, self.sent[request], now_s)
        super()._drop(request, now_s, finish_s)

    @property
    def is_entry(self) -> bool:
        return self.position in self._flow.routes.entries

    def item_log(self, since: int = 0) -> ItemLog:
        """The items from number `since` on, in the order in which they came."""
        came = self.sent[since : len(self.queue)]
        return ItemLog(
            request=np.array([each.request for each in came], dtype=np.int64),
            edge=np.array([each.edge for each in came], dtype=np.int64),
            enqueue_s=np.array(self.enqueued_s[since:], dtype=np.float64),
        )


class _Onward:
    """Passes a stage's batches to the flow, in place of a chain's next stage."""

    def __init__(self, stage: ItemStage, flow: Flow) -> None:
        self._stage, self._flow = stage, flow

    def receive(self, items: Batch, now_s: float) -> None:
        """Pass on a batch that has been served."""
        self._flow.served(self._stage, items, now_s)


class Flow:
    """Sends served items to the next stages and joins them there."""

    def __init__(
        self,
        env: Environment,
        stages: Sequence[ItemStage],
        routes: Routes,
        arrivals_s: Sequence[float],
        hop_s: float,
        on_ended: Callable[[int], None],
    ) -> None:
        """`on_ended`: gets the decrease in the number of unfinished items."""
        self._env, self._stages, self._hop_s, self._on_ended = env, stages, hop_s, on_ended
        self.routes = routes
        self.arrivals_s = arrivals_s
        self.requests = len(arrivals_s)
        self._joined: dict[int, set[int]] = defaultdict(set)  # joining stage -> the requests that came there
        self._joining: dict[tuple[int, float], list[int]] = {}  # (stage, moment) -> the requests that enter then
        self._gathering = {stage: _Gathered(routes, stage, self.requests) for stage in routes.gathering}

    def served(self, stage: ItemStage, items: Batch, now_s: float) -> None:
        """Send on the items of a batch, which the variant `stage.served_by` has served."""
        sent: dict[int, list[Sent]] = defaultdict(list)
        for item in items:
            for way in self.routes.ways[stage.position]:
                sent[way.child] += self._sent(stage.sent[item], way, stage.served_by)
        came = {child: self._entering(child, sent[child]) for child in sorted(sent)}
        requests = [stage.sent[item].request for item in items]
        joined = self._gather(stage.position, requests, came, now_s)
        opened = sum(map(len, came.values())) + joined - len(items)
        if opened:
            self._on_ended(-opened)
        for child, entering in came.items():
            self._put_on_way(child, entering, now_s)

    def dropped(self, stage: ItemStage, item: Sent, now_s: float) -> None:
        """Handle the effects of an item dropped or failed at a stage; the stage itself reports that it has ended."""
        if not self.routes.forgives(stage.position, item.edge):
            for gathered in self._gathering.values():
                gathered.lose(stage.position, item.request)
        # What a drop brings about comes after everything else of its instant.
        end_s = now_s if self._hop_s > 0.0 else nextafter(now_s, inf)
        joined = self._gather(stage.position, [item.request], {}, end_s)
        if joined:
            self._on_ended(-joined)

    def _sent(self, item: Sent, way: Way, variant: str) -> list[Sent]:
        """The items that an item puts on an edge."""
        if not (way.is_sure or way.low <= draws.uniform(draws.key_of(item.key, way.drawn)) < way.high):
            return []
        key = draws.key_of(item.key, way.number)
        count = int(self.routes.numbers(way.number, variant)[item.request])
        return [Sent(item.request, draws.key_of(key, number), way.number) for number in range(count)]

    def _entering(self, child: int, sent: Sequence[Sent]) -> list[Sent]:
        """The sent items that enter a stage; if it joins, only the first of each request; if it joins all, none."""
        join = self.routes.joins[child]
        if join is None:
            return list(sent)
        if join.kind == "all":
            return []
        fresh = []
        for item in sent:
            if item.request not in self._joined[child]:
                self._joined[child].add(item.request)
                fresh.append(self._whole(child, item.request))
        return fresh

    def _whole(self, stage: int, request: int) -> Sent:
        """The one item that a request becomes at a stage that joins."""
        return Sent(request, self.routes.key(stage, request), NO_EDGE)

    def _put_on_way(self, child: int, entering: list[Sent], now_s: float) -> None:
        join, stage = self.routes.joins[child], self._stages[child]
        if not entering:
            return
        if join is not None and join.kind == "wait":
            self._join_at(child, [each.request for each in entering], now_s + self._hop_s + join.wait_s)
        elif self._hop_s == 0.0:
            stage.receive(stage.adopt(entering), now_s)
        else:
            self._env.at(now_s + self._hop_s, stage.delivery, stage.receive, stage.adopt(entering))

    def _gather(self, stage: int, ended: list[int], came: Mapping[int, Sequence[Sent]], end_s: float) -> int:
        """Tell the stages that join all which items ended at a stage and which came to others; returns how many
        requests join by that."""
        coming = {child: [each.request for each in entering] for child, entering in came.items()}
        count = 0
        for target, gathered in self._gathering.items():
            joined = gathered.ended(stage, ended, coming, end_s)
            coming[target] = joined
            count += len(joined)
            for request in joined:
                self._join_at(target, [request], gathered.last_s[request] + self._hop_s)
        return count

    def _join_at(self, stage: int, requests: list[int], moment_s: float) -> None:
        """Schedule requests to enter a stage, together with all others of that moment, in order of number."""
        if (stage, moment_s) not in self._joining:
            self._joining[stage, moment_s] = []
            self._env.at(moment_s, self._stages[stage].delivery, self._enter, (stage, moment_s))
        self._joining[stage, moment_s] += requests

    def _enter(self, about: tuple[int, float], now_s: float) -> None:
        stage = self._stages[about[0]]
        requests = sorted(self._joining.pop(about))
        stage.receive(stage.adopt([self._whole(stage.position, each) for each in requests]), now_s)

    def on_the_way(self) -> list[int]:
        """The requests of the items that are on their way to a stage."""
        sent = [item.request for stage in self._stages for item in stage.sent[len(stage.queue) :]]
        return sent + [request for requests in self._joining.values() for request in requests]


class _Gathered:
    """A stage that joins all: how many items of each request are upstream, and when the last one ended there."""

    def __init__(self, routes: Routes, stage: int, requests: int) -> None:
        self._upstream = routes.upstream[stage]
        self._left = [sum(entry in self._upstream for entry in routes.entries)] * requests
        self._lost: set[int] = set()
        self.last_s = [0.0] * requests

    def lose(self, stage: int, request: int) -> None:
        """Note that a request has lost an item at a stage and does not go on without it."""
        if stage in self._upstream:
            self._lost.add(request)

    def ended(self, stage: int, ended: Sequence[int], coming: Mapping[int, Sequence[int]], end_s: float) -> list[int]:
        """Note that items of these requests have ended at a stage and led to others; returns the requests that join."""
        if stage not in self._upstream:
            return []
        for child, requests in coming.items():
            if child in self._upstream:
                for request in requests:
                    self._left[request] += 1
        joined = []
        for request in ended:
            self._left[request] -= 1
            self.last_s[request] = max(self.last_s[request], end_s)
            if self._left[request] == 0 and request not in self._lost:
                joined.append(request)
        return joined


class SimPyGraphEngine(SimPyEngine):
    """One run of a graph of stages. Build it, go through its `steps` once, then read the logs of its stages."""

    stages: tuple[ItemStage, ...]

    def __init__(self, given: RunInput, initial: Mapping[str, StageConfiguration]) -> None:
        assert given.graph is not None
        self.routes = Routes(given.graph, given.names, given.arrivals_s, given.seed)
        super().__init__(given, initial)
        self._open = len(given.arrivals_s) * len(self.routes.entries)

    @property
    def _kind(self) -> type[SimPyStage]:
        return ItemStage

    def _of_stages(self, given: RunInput) -> RunInput:
        return replace(given, world=replace(given.world, hop_s=0.0))  # the flow adds the hop

    def _connect(self) -> None:
        arrivals = self.arrivals_s.tolist()
        self._flow = Flow(self.env, self.stages, self.routes, arrivals, self.world.hop_s, self._on_ended)
        for stage in self.stages:
            stage.begin(self._flow)

    def _expect(self) -> None:
        for position in self.routes.entries:
            self.stages[position].expect(float(self.arrivals_s.sum()))

    def on_the_way(self) -> IntArray:
        """The requests of the items that are on their way to a stage."""
        return np.array(self._flow.on_the_way(), dtype=np.int64)
