"""Latencies and busy fractions of a graph of stages, as control steps see them."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ipa.policies import NO_LATENCY, LatencyQuantiles
from ipa.sim.graph.items import GraphEngine, ItemLog
from ipa.sim.interface import Batches
from ipa.sim.measuring import QUANTILES, Measuring
from ipa.sim.model import IntArray

T = TypeVar("T", bound=np.generic)


class MeasuringItems(Measuring):
    """Reads the logs of a graph's engine while they grow; a stage's figures are of its items."""

    def __init__(self, engine: GraphEngine) -> None:
        super().__init__(engine)
        self._graph = engine
        count = len(engine.arrivals_s)
        self._came, self._dropped = [0] * len(engine.stages), [0] * len(engine.stages)
        self._logs = [
            engine.item_log(position) for position in range(len(engine.stages))
        ]  # the ends of the arrays are spare
        self._open = np.zeros(count, dtype=np.int64)  # unfinished items of each request
        self._last_s = np.zeros(count)  # when the latest of them ended
        self._is_lost = np.zeros(count, dtype=bool)
        self._ended: list[IntArray] = []

    def _read_new_batches(self, position: int) -> None:
        came = self._came[position]
        fresh = self._graph.item_log(position, came)
        pairs = zip(self._logs[position], fresh, strict=True)
        columns: list[Any] = [_followed(column, came, new) for column, new in pairs]
        self._logs[position] = log = ItemLog(*columns)
        self._readers[position].enqueue_s = log.enqueue_s
        np.add.at(self._open, fresh.request, 1)
        self._came[position] += len(fresh.request)
        super()._read_new_batches(position)

    def _note_enqueued(self, position: int, fresh: Batches) -> None:
        """Nothing to do: the stages' item logs have the times."""

    def _latency(self, position: int, finished: Batches, now_s: float) -> LatencyQuantiles | None:
        log, drops = self._logs[position], self._graph.stages[position].drop_log(self._dropped[position])
        lost = drops.requests
        self._dropped[position] += len(lost)
        items = np.concatenate([finished.requests, lost])
        ends_s = np.concatenate([np.repeat(finished.finish_s, finished.size), drops.dropped_s])
        requests = log.request[items]
        np.subtract.at(self._open, requests, 1)
        np.maximum.at(self._last_s, requests, ends_s)
        self._is_lost[log.request[lost[~self._graph.routes.forgiven(position, log.edge[lost])]]] = True
        self._ended.append(requests)
        return self._of_requests() if position + 1 == len(self._readers) else None

    def _of_requests(self) -> LatencyQuantiles:
        """The latency of the requests completed since the last step."""
        requests = np.unique(np.concatenate(self._ended))
        self._ended = []
        on_the_way = np.isin(requests, self._graph.on_the_way())
        requests = requests[(self._open[requests] == 0) & ~on_the_way & ~self._is_lost[requests]]
        if not len(requests):
            return NO_LATENCY
        latency_s = self._last_s[requests] - self._graph.arrivals_s[requests]
        return LatencyQuantiles(*np.quantile(latency_s, QUANTILES).tolist())

    def ended(self, sla_s: float) -> tuple[int, int]:
        """How many requests have ended up to the last step, and how many of them violated the SLA [s]."""
        completed = (self._open == 0) & ~self._is_lost
        completed[self._graph.on_the_way()] = False
        latency_s = self._last_s[completed] - self._graph.arrivals_s[completed]
        lost = int(np.count_nonzero(self._is_lost))
        return len(latency_s) + lost, int(np.count_nonzero(latency_s > sla_s)) + lost


def _followed(column: npt.NDArray[T], count: int, fresh: npt.NDArray[T]) -> npt.NDArray[T]:
    """The first `count` values of a column followed by `fresh`; the end of the array may be spare."""
    end = count + len(fresh)
    if end > len(column):
        column = np.concatenate([column, np.empty(end, column.dtype)])
    column[count:end] = fresh
    return column
