"""The gateway as the host of a graph's router: its timers, its tensors, and the records of its items."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from ipa.live.serving.counts import EndedRequests, RunClock
from ipa.live.serving.graph_router import GraphRouter
from ipa.live.serving.graph_tensors import GraphTensors, WholeJob
from ipa.live.serving.items import Arrival, Item, WholeRequest
from ipa.live.serving.request import Batch, Request
from ipa.live.serving.router import Host


class ItemHost:
    """A `GraphHost`; `host` does what is the same in a chain."""

    router: GraphRouter

    def __init__(self, host: Host, tensors: GraphTensors, clock: RunClock, ended: EndedRequests) -> None:
        self._host = host
        self._tensors = tensors
        self._clock = clock
        self._ended = ended
        self._loop = asyncio.get_running_loop()

    def start(self, batch: Batch) -> None:
        self._host.start(batch)

    def wake(self, stage: int, at_s: float) -> None:
        self._host.wake(stage, at_s)

    def ended(self, request: Request) -> None:
        self._host.ended(request)

    def later(self, stage: int, at_s: float) -> None:
        self._loop.call_later(max(0.0, at_s - self._clock.now_s()), self._enter, stage, at_s)

    def _enter(self, stage: int, at_s: float) -> None:
        self.router.enter(stage, at_s, self._clock.now_s())

    def carried(self, item: Item, edge: int, drawn: Callable[[], int]) -> Sequence[Any] | None:
        return self._tensors.carried(item, edge, drawn)

    def prepare(self, item: Item, arrived: Sequence[Arrival]) -> str:
        return self._tensors.prepare(item, arrived)

    def left(self, request: WholeRequest) -> None:
        job: WholeJob = request.data
        self._ended.add(request)
        request.data = None
        if job.kept is not None:
            job.kept.close()
