"""Latencies and busy fractions of a graph of stages, as control steps see them."""

from __future__ import annotations

import numpy as np

from ipa.policies import NO_LATENCY, LatencyQuantiles
from ipa.sim.graph.items import GraphEngine
from ipa.sim.interface import Batches
from ipa.sim.measuring import QUANTILES, Measuring
from ipa.sim.model import IntArray


class MeasuringItems(Measuring):
    """Reads the logs of a graph's engine while they grow; a stage's figures are of its items."""

    def __init__(self, engine: GraphEngine) -> None:
        super().__init__(engine)
        self._graph = engine
        count = len(engine.arrivals_s)
        self._came, self._dropped = [0] * len(engine.stages), [0] * len(engine.stages)
        self._open = np.zeros(count, dtype=np.int64)  # items of each request
        self._last_s = np.zeros(count)  # when the latest of them ended
        self._is_lost = np.zeros(count, dtype=bool)
        self._ended: list[IntArray] = []

    def _read_new_batches(self, position: int) -> None:
        log = self._graph.stages[position].item_log()
        self._readers[position].enqueue_s = log.enqueue_s
        np.add.at(self._open, log.request[self._came[position] :], 1)
        self._came[position] = len(log.request)
        super()._read_new_batches(position)

    def _note_enqueued(self, position: int, fresh: Batches) -> None:
        """The stages say so themselves."""

    def _latency(self, position: int, finished: Batches, now_s: float) -> LatencyQuantiles | None:
        stage = self._graph.stages[position]
        log, drops = stage.item_log(), stage.drop_log()
        fresh = slice(self._dropped[position], None)
        self._dropped[position] = len(drops.requests)
        items = np.concatenate([finished.requests, drops.requests[fresh]])
        ends_s = np.concatenate([np.repeat(finished.finish_s, finished.size), drops.dropped_s[fresh]])
        requests = log.request[items]
        np.subtract.at(self._open, requests, 1)
        np.maximum.at(self._last_s, requests, ends_s)
        lost = drops.requests[fresh]
        self._is_lost[log.request[lost[~self._graph.routes.forgiven(position, log.edge[lost])]]] = True
        self._ended.append(requests)
        return self._of_requests() if position + 1 == len(self._readers) else None

    def _of_requests(self) -> LatencyQuantiles:
        """The latency of the requests that have ended since the last step, none of them dropped."""
        requests = np.unique(np.concatenate(self._ended))
        self._ended = []
        on_the_way = np.isin(requests, self._graph.on_the_way())
        requests = requests[(self._open[requests] == 0) & ~on_the_way & ~self._is_lost[requests]]
        if not len(requests):
            return NO_LATENCY
        latency_s = self._last_s[requests] - self._graph.arrivals_s[requests]
        return LatencyQuantiles(*np.quantile(latency_s, QUANTILES).tolist())
