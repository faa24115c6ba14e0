"""The costly part of an observation: latency quantiles and busy fractions since the last control step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from policies import NO_LATENCY, LatencyQuantiles
from sim.engine import Engine
from sim.model import FloatArray
from sim.replicas import Batch
from sim.stage import Stage


class Measured(NamedTuple):
    """One control step's figures: of the pipeline, and per stage."""

    latency: LatencyQuantiles
    stage_latency: list[LatencyQuantiles]
    busy_fraction: list[float]


class _Running(NamedTuple):
    start_s: float
    finish_s: float
    requests: Batch


@dataclass(slots=True)
class _Reader:
    """How far a stage's batch log has been read, and the batches read that have not finished."""

    enqueue_s: FloatArray
    batches: int = 0
    requests: int = 0
    running: list[_Running] = field(default_factory=list)


class Measuring:
    """Reads the batch logs of an engine as they grow."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._since_s = 0.0
        later = [np.full(len(engine.arrivals_s), np.nan) for _ in engine.stages[1:]]
        self._readers = [_Reader(enqueue_s) for enqueue_s in (engine.arrivals_s, *later)]

    def step(self, now_s: float) -> Measured:
        """The figures of what happened since the last call."""
        stage_latency, busy_fraction = [], []
        finished: list[_Running] = []
        for stage, reader in zip(self._engine.stages, self._readers, strict=True):
            self._read_new_batches(stage, reader)
            busy_fraction.append(self._busy_fraction(stage, reader, now_s))
            finished = [batch for batch in reader.running if batch.finish_s <= now_s]
            reader.running = [batch for batch in reader.running if batch.finish_s > now_s]
            stage_latency.append(_quantiles(finished, reader.enqueue_s))
        self._since_s = now_s
        return Measured(_quantiles(finished, self._engine.arrivals_s), stage_latency, busy_fraction)

    def _read_new_batches(self, stage: Stage, reader: _Reader) -> None:
        log = stage.batches
        for batch in range(reader.batches, len(log.size)):
            end = reader.requests + log.size[batch]
            requests = log.requests[reader.requests : end]
            reader.running.append(_Running(log.start_s[batch], log.finish_s[batch], requests))
            reader.requests = end
            if stage.next is not None:
                following = self._readers[stage.position + 1]
                following.enqueue_s[requests] = log.finish_s[batch] + self._engine.world.hop_s
        reader.batches = len(log.size)

    def _busy_fraction(self, stage: Stage, reader: _Reader, now_s: float) -> float:
        """Time in service over time ready, of all replicas; a removed one counts until its last batch is done."""
        since_s = self._since_s
        busy_s = sum(min(batch.finish_s, now_s) - max(batch.start_s, since_s) for batch in reader.running)
        available_s = sum(
            max(0.0, min(replica.gone_s(0.0), now_s) - max(replica.ready_s, since_s)) for replica in stage.replicas.all
        )
        return busy_s / available_s if available_s > 0.0 else 0.0


def _quantiles(finished: list[_Running], since_s: FloatArray) -> LatencyQuantiles:
    if not finished:
        return NO_LATENCY
    latency_s = np.concatenate([batch.finish_s - since_s[batch.requests] for batch in finished])
    return LatencyQuantiles(*np.quantile(latency_s, (0.5, 0.95, 0.99)).tolist())
