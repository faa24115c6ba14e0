"""The simulated backend: what a control step sees of a running engine, and how its decision takes effect.

Then the decision before the first request, and the costly part of what is seen: latencies, busy fractions, concurrency.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import ceil, nan
from typing import NamedTuple

import numpy as np

from ipa.policies import (
    NO_LATENCY,
    Applied,
    Configuration,
    LatencyQuantiles,
    Observation,
    ReplicaCounts,
    StageConfiguration,
    StageObservation,
    lightest_configuration,
)
from ipa.profiles import Pipeline
from ipa.sim.interface import Batches, Engine, EngineStage, Seen
from ipa.sim.load_view import LoadView
from ipa.sim.model import FloatArray

_ACCEPTED = Applied(accepted=True)


class SimulatedBackend:
    """A backend in front of a running engine. `fields`: the costly fields to include in observations."""

    def __init__(
        self,
        engine: Engine,
        load: LoadView,
        pipeline: str,
        seed: int,
        limit_cores: int | None,
        fields: Collection[str],
    ) -> None:
        self._engine = engine
        self._load = load
        self._pipeline = pipeline
        self._seed = seed
        self._limit_cores = limit_cores
        self._fields = fields
        self._step, self._observed_s = 0, 0.0
        self._sampled_s = 0.0  # the latest step at which metrics came
        self._names = [stage.model.name for stage in engine.stages]
        self._seen = [Seen(0, 0, 0, 0, 0, {}) for _ in engine.stages]  # at the latest step
        measured = "latency" in fields or "busy_fraction" in fields
        self._measuring = Measuring(engine) if measured else None
        self._presence = Presence(engine) if "concurrency" in fields else None

    def observe(self) -> Observation:
        """What has happened since the last step, and the load of the window up to now."""
        now_s, since_s = self._engine.now_s, self._observed_s
        self._step, self._observed_s = self._step + 1, now_s
        if self._load.is_dark(now_s):
            return self._unsampled(now_s, since_s)
        self._sampled_s = now_s
        measured = self._measuring.step(now_s) if self._measuring else None
        latency = measured if "latency" in self._fields else None
        busy = measured if "busy_fraction" in self._fields else None
        concurrency = self._presence.step(now_s) if self._presence else None
        stages: dict[str, StageObservation] = {}
        for position, stage in enumerate(self._engine.stages):
            before, seen = self._seen[position], stage.seen(now_s)
            self._seen[position] = seen
            stages[self._names[position]] = StageObservation(
                configuration=stage.configuration,
                arrivals=seen.entered - before.entered,
                completions=seen.completions - before.completions,
                drops=seen.dropped - before.dropped,
                failures=seen.failed - before.failed,
                queue_length=seen.waiting,
                in_service=seen.in_service,
                replicas=seen.replicas,
                busy_fraction=busy.busy_fraction[position] if busy else None,
                latency=latency.stage_latency[position] if latency else None,
                concurrency=concurrency[position] if concurrency else None,
            )
        return Observation(
            pipeline=self._pipeline,
            step=self._step,
            seed=self._seed,
            time_s=now_s,
            load_rps=self._load.before(now_s),
            sample_age_s=0.0,
            limit_cores=self._limit_cores,
            stages=stages,
            latency=latency.latency if latency else None,
            future_rps=self._future(now_s),
            elapsed_s=now_s - since_s,
            past_rps=self._load.past(self._step, now_s) if "past_rps" in self._fields else None,
            clock_s=self._load.clock_s(now_s),
            seasons_rps=self._load.seasons(now_s) if "seasons_rps" in self._fields else None,
        )

    def _unsampled(self, now_s: float, since_s: float) -> Observation:
        """What is seen in an outage of the metrics: the replicas and the clock. What happens meanwhile is counted by
        the first step after it."""
        load_rps = self._load.before(now_s)
        unseen = min(ceil(now_s - self._sampled_s), len(load_rps))
        stages = {
            name: nothing_counted(stage.configuration, stage.seen(now_s).replicas, self._fields)
            for name, stage in zip(self._names, self._engine.stages, strict=True)
        }
        return Observation(
            pipeline=self._pipeline,
            step=self._step,
            seed=self._seed,
            time_s=now_s,
            load_rps=(*load_rps[: len(load_rps) - unseen], *[nan] * unseen),
            sample_age_s=now_s - self._sampled_s,
            limit_cores=self._limit_cores,
            stages=stages,
            latency=NO_LATENCY if "latency" in self._fields else None,
            future_rps=self._future(now_s),
            elapsed_s=now_s - since_s,
            past_rps=self._load.past(self._step, now_s) if "past_rps" in self._fields else None,
            clock_s=self._load.clock_s(now_s),
            seasons_rps=self._load.seasons(now_s) if "seasons_rps" in self._fields else None,
        )

    def apply(self, configuration: Mapping[str, StageConfiguration]) -> Applied:
        """Pass the decision to the engine, where it takes effect after the decision delay."""
        self._engine.apply(configuration)
        return _ACCEPTED

    def _future(self, now_s: float) -> tuple[float, ...] | None:
        if "future_rps" not in self._fields:
            return None
        return self._load.after(now_s, self._engine.world.duration_s)


def nothing_counted(
    configuration: StageConfiguration, replicas: Mapping[str, ReplicaCounts], fields: Collection[str]
) -> StageObservation:
    """A stage of which only the replicas are seen; of the costly `fields`, those that are read."""
    return StageObservation(
        configuration=configuration,
        arrivals=0,
        completions=0,
        drops=0,
        failures=0,
        queue_length=0,
        in_service=0,
        replicas=replicas,
        busy_fraction=0.0 if "busy_fraction" in fields else None,
        latency=NO_LATENCY if "latency" in fields else None,
        concurrency=0.0 if "concurrency" in fields else None,
    )


class Opening:
    """The backend of the decision before the first request: nothing runs yet, and what is decided is ready at once."""

    def __init__(
        self,
        pipeline: Pipeline,
        load: LoadView,
        duration_s: float,
        limit_cores: int | None,
        fields: set[str],
        seed: int,
    ) -> None:
        self.configuration: Configuration = lightest_configuration(pipeline)
        future_rps = load.after(0.0, duration_s) if "future_rps" in fields else None
        self._observation = Observation(
            pipeline=pipeline.name,
            step=0,
            seed=seed,
            time_s=0.0,
            load_rps=load.before(0.0),
            sample_age_s=0.0,
            limit_cores=limit_cores,
            stages=self._idle_stages(fields),
            latency=NO_LATENCY if "latency" in fields else None,
            future_rps=future_rps,
            past_rps=load.past(0, 0.0) if "past_rps" in fields else None,
            clock_s=load.clock_s(0.0),
            seasons_rps=load.seasons(0.0) if "seasons_rps" in fields else None,
        )

    def observe(self) -> Observation:
        return self._observation

    def apply(self, configuration: Configuration) -> Applied:
        self.configuration = configuration
        return Applied(accepted=True)

    def _idle_stages(self, fields: set[str]) -> Mapping[str, StageObservation]:
        return {name: nothing_counted(wanted, {}, fields) for name, wanted in self.configuration.items()}


class StepFigures(NamedTuple):
    """The figures of one control step: of the whole pipeline, and by stage."""

    latency: LatencyQuantiles
    stage_latency: list[LatencyQuantiles]
    busy_fraction: list[float]


@dataclass(slots=True)
class _Reader:
    """When requests were enqueued at a stage, its batches that are still running, and how many have been read."""

    enqueue_s: FloatArray
    running: Batches
    batches: int = 0


class Presence:
    """How many requests are at each stage, on average since the last call.

    Computed from the engine's sums of the times at which requests come and leave.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._arrived_sum_s = np.concatenate([[0.0], np.cumsum(engine.arrivals_s)])
        self._since_s = 0.0
        self._integrals = [0.0] * len(engine.stages)

    def step(self, now_s: float) -> list[float]:
        """The mean of every stage; if no time has passed, the number present."""
        means = []
        for position, stage in enumerate(self._engine.stages):
            entered, entered_sum_s = stage.enqueued, stage.enqueued_sum_s
            if position == 0:  # its queue holds all requests of the run
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
    """Reads the batch logs of an engine while they grow."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._since_s = 0.0
        later = [np.full(len(engine.arrivals_s), np.nan) for _ in engine.stages[1:]]
        self._readers = [
            _Reader(enqueue_s, stage.batch_log())
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
            reader.running = running.where(ended_s > now_s)
            stage_latency.append(_quantiles(finished, reader.enqueue_s))
            latency = _quantiles(finished, self._engine.arrivals_s)
        self._since_s = now_s
        return StepFigures(latency, stage_latency, busy_fraction)

    def _read_new_batches(self, position: int) -> None:
        reader = self._readers[position]
        fresh = self._engine.stages[position].batch_log(reader.batches)
        reader.batches += len(fresh.size)
        reader.running = reader.running.followed_by(fresh)
        if position + 1 < len(self._readers):
            delivered_s = fresh.finish_s + self._engine.world.hop_s
            self._readers[position + 1].enqueue_s[fresh.requests] = np.repeat(delivered_s, fresh.size)

    def _busy_fraction(self, stage: EngineStage, start_s: FloatArray, ended_s: FloatArray, now_s: float) -> float:
        """Time in service over time ready, of all replicas; a removed one counts until its last batch is finished."""
        since_s = self._since_s
        busy_s = np.sum(np.minimum(ended_s, now_s) - np.maximum(start_s, since_s))
        replicas = stage.replica_log()
        until_s = np.minimum(np.maximum(replicas.removed_s, replicas.finish_s), now_s)
        available_s = np.sum(np.maximum(until_s - np.maximum(replicas.ready_s, since_s), 0.0))
        return float(busy_s / available_s) if available_s > 0.0 else 0.0


def _quantiles(finished: Batches, since_s: FloatArray) -> LatencyQuantiles:
    if not len(finished.size):
        return NO_LATENCY
    latency_s = np.repeat(finished.finish_s, finished.size) - since_s[finished.requests]
    return LatencyQuantiles(*np.quantile(latency_s, (0.5, 0.95, 0.99)).tolist())
