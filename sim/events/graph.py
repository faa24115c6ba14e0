"""The flow of a graph: served items are put on the edges, and joined where a stage joins.

A stage numbers its items in the order in which they are sent to it, which is the order in which they come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from math import inf, nextafter
from typing import NamedTuple

import numpy as np

from ipa.sim.events.environment import Environment
from ipa.sim.events.replica_set import Batch
from ipa.sim.events.stage import SimPyStage
from ipa.sim.graph import NO_EDGE, ItemLog, Routes, Way, draws


class SentItem(NamedTuple):
    """An item on its way to a stage, or there since `enqueue_s`."""

    request: int
    key: int
    edge: int
    enqueue_s: float


class GraphFlow:
    """Sends served items to the next stages and joins them there.

    `on_ended` gets the decrease in the number of unfinished items.
    """

    def __init__(
        self,
        env: Environment,
        routes: Routes,
        arrivals_s: Sequence[float],
        hop_s: float,
        on_ended: Callable[[int], None],
    ) -> None:
        self._env, self._hop_s, self._on_ended = env, hop_s, on_ended
        self._routes = routes
        self._arrivals_s = arrivals_s
        self._sent: list[list[SentItem]] = [[] for _ in routes.ways]  # by stage, in order of number
        self._joined: dict[int, set[int]] = defaultdict(set)  # joining stage -> the requests that came there
        self._joining: dict[tuple[int, float], list[int]] = {}  # (stage, moment) -> the requests that enter then
        self._gathering = {stage: _Gathered(routes, stage, len(arrivals_s)) for stage in routes.gathering}

    def connect(self, stages: Sequence[SimPyStage]) -> None:
        """Begin with these stages."""
        self._stages = stages
        for stage in stages:
            position = stage.position
            if position in self._routes.entries:
                own = [self._whole(position, *request) for request in enumerate(self._arrivals_s)]
                self._sent[position] = own
            else:
                stage.arrivals_s = []

    def served(self, stage: SimPyStage, items: Batch, variant: str, now_s: float) -> None:
        own, sent = self._sent[stage.position], defaultdict[int, list[SentItem]](list)
        for item in items:
            for way in self._routes.ways[stage.position]:
                sent[way.child] += self._put_on(way, own[item], variant, now_s)
        came = {child: self._entering(child, sent[child], now_s) for child in sorted(sent)}
        joined = self._gather(stage.position, [own[item].request for item in items], came, now_s)
        opened = sum(map(len, came.values())) + joined - len(items)
        if opened:
            self._on_ended(-opened)
        for child, entering in came.items():
            self._put_on_way(child, entering, now_s)

    def lost(self, stage: SimPyStage, item: int, now_s: float) -> None:
        position, (request, _, edge, _) = stage.position, self._sent[stage.position][item]
        if not self._routes.forgives(position, edge):
            for gathered in self._gathering.values():
                gathered.lose(position, request)
        # What a drop brings about comes after everything else of its instant.
        end_s = now_s if self._hop_s > 0.0 else nextafter(now_s, inf)
        self._on_ended(1 - self._gather(position, [request], {}, end_s))

    def item_log(self, stage: SimPyStage, since: int) -> ItemLog:
        """The items of a stage from number `since` on, in the order in which they came."""
        came = self._sent[stage.position][since : stage.enqueued]
        return ItemLog(
            request=np.array([item.request for item in came], dtype=np.int64),
            edge=np.array([item.edge for item in came], dtype=np.int64),
            enqueue_s=np.array([item.enqueue_s for item in came], dtype=np.float64),
        )

    def request_of(self, position: int, item: int) -> int:
        """The request of an item of a stage."""
        return self._sent[position][item].request

    def on_the_way(self) -> list[int]:
        """The requests of the items that are on their way to a stage."""
        sent = [item.request for stage in self._stages for item in self._sent[stage.position][stage.enqueued :]]
        return sent + [request for requests in self._joining.values() for request in requests]

    def _adopt(self, stage: SimPyStage, sent: Sequence[SentItem]) -> Batch:
        """Give these items the next numbers of a stage and return them."""
        own = self._sent[stage.position]
        first = len(own)
        own += sent
        stage.arrivals_s += [self._arrivals_s[item.request] for item in sent]
        return list(range(first, len(own)))

    def _put_on(self, way: Way, item: SentItem, variant: str, now_s: float) -> list[SentItem]:
        """The items that an item puts on an edge."""
        if not (way.is_sure or way.low <= draws.uniform(draws.key_of(item.key, way.drawn)) < way.high):
            return []
        key = draws.key_of(item.key, way.number)
        count = int(self._routes.numbers(way.number, variant)[item.request])
        enqueue_s = now_s + self._hop_s
        return [SentItem(item.request, draws.key_of(key, number), way.number, enqueue_s) for number in range(count)]

    def _entering(self, child: int, sent: Sequence[SentItem], now_s: float) -> list[SentItem]:
        """The sent items that enter a stage; if it joins, only the first of each request; if it joins all, none."""
        join = self._routes.joins[child]
        if join is None:
            return list(sent)
        if join.kind == "all":
            return []
        fresh = []
        for item in sent:
            if item.request not in self._joined[child]:
                self._joined[child].add(item.request)
                fresh.append(self._whole(child, item.request, now_s + self._hop_s))
        return fresh

    def _whole(self, stage: int, request: int, enqueue_s: float) -> SentItem:
        """The one item that a request is at an entry, or becomes at a stage that joins."""
        return SentItem(request, self._routes.key(stage, request), NO_EDGE, enqueue_s)

    def _put_on_way(self, child: int, entering: list[SentItem], now_s: float) -> None:
        join, stage = self._routes.joins[child], self._stages[child]
        if not entering:
            return
        if join is not None and join.kind == "wait":
            self._join_at(child, [item.request for item in entering], now_s + self._hop_s + join.wait_s)
        elif self._hop_s == 0.0:
            stage.receive(self._adopt(stage, entering), now_s)
        else:
            self._env.at(now_s + self._hop_s, stage.delivery, stage.receive, self._adopt(stage, entering))

    def _gather(self, stage: int, ended: list[int], came: Mapping[int, Sequence[SentItem]], end_s: float) -> int:
        """Tell the stages that join all which items ended at a stage and which came to others; returns how many
        requests join by that."""
        coming = {child: [item.request for item in entering] for child, entering in came.items()}
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

    def _enter(self, stage_and_moment: tuple[int, float], now_s: float) -> None:
        stage = self._stages[stage_and_moment[0]]
        requests = sorted(self._joining.pop(stage_and_moment))
        stage.receive(self._adopt(stage, [self._whole(stage.position, request, now_s) for request in requests]), now_s)


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
