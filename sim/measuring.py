"""The costly part of what control steps see: latencies, busy fractions, concurrency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ipa.policies import NO_LATENCY, LatencyQuantiles
from ipa.sim.interface import Batches, Engine, EngineStage
from ipa.sim.model import FloatArray
from ipa.sim.rules import NEVER

QUANTILES = (0.5, 0.95, 0.99)


class StepFigures(NamedTuple):
    """The figures of one control step: of the whole pipeline, and by stage."""

    latency: LatencyQuantiles
    stage_latency: list[LatencyQuantiles]
    busy_fraction: list[float]


@dataclass(slots=True)
class _StageReader:
    """The times of enqueue at a stage, its running batches, and the number of batches read."""

    enqueue_s: FloatArray
    running: Batches
    batches: int = 0


class Presence:
    """The mean number of requests at each stage since the last call.

    It is computed from the engine's sums of the times at which requests come and leave.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._arrived_sum_s = np.concatenate([[0.0], np.cumsum(engine.arrivals_s)])
        self._since_s = 0.0
        self._integrals = [0.0] * len(engine.stages)

    def step(self, now_s: float) -> list[float]:
        """The mean of every stage; the present number if no time has passed."""
        means = []
        for position, stage in enumerate(self._engine.stages):
            entered, entered_sum_s = stage.enqueued, stage.enqueued_sum_s
            if stage.is_entry:  # its queue holds all requests of the run
                entered = int(self._engine.arrivals_s.searchsorted(now_s, "right"))
                entered_sum_s = float(self._arrived_sum_s[entered])
            present = entered - stage.completions - stage.dropped
            integral = stage.left_sum_s + present * now_s - entered_sum_s
            passed_s = now_s - self._since_s
            # With sums of many floats, zero may come out slightly negative.
            means.append(max(integral - self._integrals[position], 0.0) / passed_s if passed_s > 0.0 else present)
            self._integrals[position] = integral
        self._since_s = now_s
        return means


class Measuring:
    """Computes each step's figures from the growing batch logs of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._since_s = 0.0
        later = [np.full(len(engine.arrivals_s), np.nan) for _ in engine.stages[1:]]
        self._readers = [
            _StageReader(enqueue_s, stage.batch_log())
            for stage, enqueue_s in zip(engine.stages, (engine.arrivals_s, *later), strict=True)
        ]

    def step(self, now_s: float) -> StepFigures:
        """The figures of the time since the last call."""
        stage_latency, busy_fraction = [], []
        latency = NO_LATENCY
        for position, (stage, reader) in enumerate(zip(self._engine.stages, self._readers, strict=True)):
            self._read_new_batches(position)
            running, ended_s = reader.running, reader.running.finish_s
            if self._engine.world.removal == "lose":
                ended_s = np.minimum(ended_s, stage.replica_log().removed_s[running.replica])
            busy_fraction.append(self._busy_fraction(stage, running.start_s, ended_s, now_s))
            finished = running.where((ended_s <= now_s) & (ended_s == running.finish_s))
            if stage.model.language:
                finished = finished.where(stage.drop_log().goes_on(finished))
            reader.running = running.where(ended_s > now_s)
            stage_latency.append(quantiles(finished, reader.enqueue_s))
            latency = self._latency(position, finished, now_s) or latency
        self._since_s = now_s
        return StepFigures(latency, stage_latency, busy_fraction)

    def _latency(self, position: int, finished: Batches, now_s: float) -> LatencyQuantiles | None:
        """The latency of the whole pipeline at the last stage; None at the others."""
        is_last = position + 1 == len(self._readers)
        return quantiles(finished, self._engine.arrivals_s) if is_last else None

    def _read_new_batches(self, position: int) -> None:
        reader = self._readers[position]
        if self._engine.stages[position].model.language:
            self._read_open_batches(position)
            return
        fresh = self._engine.stages[position].batch_log(reader.batches)
        reader.batches += len(fresh.size)
        reader.running = reader.running.followed_by(fresh)
        self._note_enqueued(position, fresh)

    def _read_open_batches(self, position: int) -> None:
        """At a stage of language models: read again all batches since the oldest open one, as some have left since."""
        reader = self._readers[position]
        fresh = self._engine.stages[position].batch_log(reader.batches)
        is_open = fresh.finish_s == NEVER
        reader.batches += int(is_open.argmax()) if is_open.any() else len(is_open)
        reader.running = fresh.where(fresh.finish_s > self._since_s)
        self._note_enqueued(position, reader.running.where(reader.running.finish_s < NEVER))

    def _note_enqueued(self, position: int, fresh: Batches) -> None:
        """Note when the requests of these batches are enqueued at the next stage."""
        if position + 1 < len(self._readers):
            delivered_s = fresh.finish_s + self._engine.world.hop_s
            self._readers[position + 1].enqueue_s[fresh.requests] = np.repeat(delivered_s, fresh.size)

    def _busy_fraction(self, stage: EngineStage, start_s: FloatArray, ended_s: FloatArray, now_s: float) -> float:
        """Time in service over time ready, of all replicas; a removed one counts until its last batch finishes.

        Of language models, which serve several requests at once, it is the share of all that may be.
        """
        since_s = self._since_s
        busy_s = np.sum(np.minimum(ended_s, now_s) - np.maximum(start_s, since_s))
        replicas = stage.replica_log()
        until_s = np.minimum(np.maximum(replicas.removed_s, replicas.finish_s), now_s)
        available_s = np.sum(np.maximum(until_s - np.maximum(replicas.ready_s, since_s), 0.0))
        if stage.model.language:
            available_s = max(available_s * stage.configuration.batch, busy_s)
        return float(busy_s / available_s) if available_s > 0.0 else 0.0


def quantiles(finished: Batches, since_s: FloatArray) -> LatencyQuantiles:
    """The quantiles of the finished requests' time since `since_s`; shape of `since_s`: (requests,)."""
    if not len(finished.size):
        return NO_LATENCY
    latency_s = np.repeat(finished.finish_s, finished.size) - since_s[finished.requests]
    return LatencyQuantiles(*np.quantile(latency_s, QUANTILES).tolist())
