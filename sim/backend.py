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


@dataclass(frozen=True)
class Outlook:
    """What the observations of a run have in common, and its load. `fields`: the costly ones to include."""

    load: LoadView
    duration_s: float
    pipeline: str
    seed: int
    limit_cores: int | None
    fields: Collection[str]

    def observation(
        self,
        step: int,
        time_s: float,
        stages: Mapping[str, StageObservation],
        *,
        elapsed_s: float,
        latency: LatencyQuantiles | None,
        sample_age_s: float = 0.0,
    ) -> Observation:
        """What is seen at a step; the seconds of the load since the latest sample are unknown."""
        load, fields, load_rps = self.load, self.fields, self.load.before(time_s)
        if sample_age_s:
            unseen = min(ceil(sample_age_s), len(load_rps))
            load_rps = (*load_rps[: len(load_rps) - unseen], *[nan] * unseen)
        return Observation(
            pipeline=self.pipeline,
            step=step,
            seed=self.seed,
            time_s=time_s,
            load_rps=load_rps,
            sample_age_s=sample_age_s,
            limit_cores=self.limit_cores,
            stages=stages,
            latency=latency,
            future_rps=load.after(time_s, self.duration_s) if "future_rps" in fields else None,
            elapsed_s=elapsed_s,
            past_rps=load.past(step, time_s) if "past_rps" in fields else None,
            clock_s=load.clock_s(time_s),
            seasons_rps=load.seasons(time_s) if "seasons_rps" in fields else None,
        )

    def nothing_counted(
        self, configuration: StageConfiguration, replicas: Mapping[str, ReplicaCounts]
    ) -> StageObservation:
        """A stage of which only the replicas are seen; of the costly fields, those that are read."""
        return StageObservation(
            configuration=configuration,
            arrivals=0,
            completions=0,
            drops=0,
            failures=0,
            queue_length=0,
            in_service=0,
            replicas=replicas,
            busy_fraction=0.0 if "busy_fraction" in self.fields else None,
            latency=self.no_latency,
            concurrency=0.0 if "concurrency" in self.fields else None,
        )

    @property
    def no_latency(self) -> LatencyQuantiles | None:
        return NO_LATENCY if "latency" in self.fields else None


class SimulatedBackend:
    """A backend in front of a running engine."""

    def __init__(self, engine: Engine, outlook: Outlook) -> None:
        self._engine = engine
        self._outlook = outlook
        self._step, self._observed_s = 0, 0.0
        self._sampled_s = 0.0  # the latest step at which metrics came
        self._names = [stage.model.name for stage in engine.stages]
        self._seen = [Seen(0, 0, 0, 0, 0, {}) for _ in engine.stages]  # at the latest step
        fields = outlook.fields
        self._measuring = Measuring(engine) if "latency" in fields or "busy_fraction" in fields else None
        self._presence = Presence(engine) if "concurrency" in fields else None

    def observe(self) -> Observation:
        """What has happened since the last step, and the load of the window up to now."""
        now_s, since_s, fields = self._engine.now_s, self._observed_s, self._outlook.fields
        self._step, self._observed_s = self._step + 1, now_s
        if self._outlook.load.is_dark(now_s):
            return self._unsampled(now_s, since_s)
        self._sampled_s = now_s
        measured = self._measuring.step(now_s) if self._measuring else None
        latency = measured if "latency" in fields else None
        busy = measured if "busy_fraction" in fields else None
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
        return self._outlook.observation(
            self._step, now_s, stages, elapsed_s=now_s - since_s, latency=latency.latency if latency else None
        )

    def _unsampled(self, now_s: float, since_s: float) -> Observation:
        """What is seen in an outage of the metrics: the replicas and the clock. What happens meanwhile is counted by
        the first step after it."""
        outlook = self._outlook
        stages = {
            name: outlook.nothing_counted(stage.configuration, stage.seen(now_s).replicas)
            for name, stage in zip(self._names, self._engine.stages, strict=True)
        }
        return outlook.observation(
            self._step,
            now_s,
            stages,
            elapsed_s=now_s - since_s,
            latency=outlook.no_latency,
            sample_age_s=now_s - self._sampled_s,
        )

    def apply(self, configuration: Mapping[str, StageConfiguration]) -> Applied:
        """Pass the decision to the engine, where it takes effect after the decision delay."""
        self._engine.apply(configuration)
        return _ACCEPTED


class Opening:
    """The backend of the decision before the first request: nothing runs yet, and what is decided is ready at once."""

    def __init__(
        self,
        pipeline: Pipeline,
        load: LoadView,
        duration_s: float,
        limit_cores: int | None,
        fields: Collection[str],
        seed: int,
    ) -> None:
        outlook = Outlook(load, duration_s, pipeline.name, seed, limit_cores, fields)
        self.configuration: Configuration = lightest_configuration(pipeline)
        stages = {name: outlook.nothing_counted(wanted, {}) for name, wanted in self.configuration.items()}
        self._observation = outlook.observation(0, 0.0, stages, elapsed_s=0.0, latency=outlook.no_latency)

    def observe(self) -> Observation:
        return self._observation

    def apply(self, configuration: Configuration) -> Applied:
        self.configuration = configuration
        return Applied(accepted=True)


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
