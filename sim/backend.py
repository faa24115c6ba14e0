"""The simulated backends: of a running engine, and of the decision before the first request."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil, nan

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
from ipa.sim.graph import MeasuringItems, has_items
from ipa.sim.interface import Engine, Seen
from ipa.sim.load_view import LoadView
from ipa.sim.measuring import Measuring, Presence

_ACCEPTED = Applied(accepted=True)


@dataclass(frozen=True)
class RunView:
    """The load of a run and what all its observations share. `fields`: the costly observation fields to compute."""

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
        """The observation of a step. The load of the seconds since the latest sample is unknown (NaN)."""
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
            peak_rps=self.peak_rps,
            elapsed_s=elapsed_s,
            past_rps=load.past(step, time_s) if "past_rps" in fields else None,
            clock_s=load.clock_s(time_s),
        )

    @cached_property
    def peak_rps(self) -> float | None:
        """The mean of the load's busiest minute, if a policy reads it."""
        return self.load.busiest_minute_rps(self.duration_s) if "peak_rps" in self.fields else None

    def nothing_counted(
        self, configuration: StageConfiguration, replicas: Mapping[str, ReplicaCounts]
    ) -> StageObservation:
        """The observation of a stage of which only the replicas are known; requested costly fields are 0 or empty."""
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
    """The backend of a running engine."""

    def __init__(self, engine: Engine, view: RunView) -> None:
        self._engine = engine
        self._view = view
        self._step, self._observed_s = 0, 0.0
        self._sampled_s = 0.0  # the latest step at which metrics came
        self._names = [stage.model.name for stage in engine.stages]
        self._seen = [Seen(0, 0, 0, 0, 0, {}) for _ in engine.stages]  # at the latest step
        fields = view.fields
        self._measuring = _measuring(engine) if "latency" in fields or "busy_fraction" in fields else None
        self._presence = Presence(engine) if "concurrency" in fields else None

    def observe(self) -> Observation:
        """What has happened since the last step, and the load of the window that ends now."""
        now_s, since_s, fields = self._engine.now_s, self._observed_s, self._view.fields
        self._step, self._observed_s = self._step + 1, now_s
        if self._view.load.is_dark(now_s):
            return self._unsampled(now_s, since_s)
        self._sampled_s = now_s
        measured = self._measuring.step(now_s) if self._measuring else None
        latency = measured if "latency" in fields else None
        busy = measured if "busy_fraction" in fields else None
        concurrency = self._presence.step(now_s) if self._presence else None
        stages: dict[str, StageObservation] = {}
        for position, stage in enumerate(self._engine.stages):
            previous, current = self._seen[position], stage.seen(now_s)
            self._seen[position] = current
            stages[self._names[position]] = StageObservation(
                configuration=stage.configuration,
                arrivals=current.entered - previous.entered,
                completions=current.completions - previous.completions,
                drops=current.dropped - previous.dropped,
                failures=current.failed - previous.failed,
                queue_length=current.waiting,
                in_service=current.in_service,
                replicas=current.replicas,
                busy_fraction=busy.busy_fraction[position] if busy else None,
                latency=latency.stage_latency[position] if latency else None,
                concurrency=concurrency[position] if concurrency else None,
            )
        return self._view.observation(
            self._step, now_s, stages, elapsed_s=now_s - since_s, latency=latency.latency if latency else None
        )

    def _unsampled(self, now_s: float, since_s: float) -> Observation:
        """The observation in an outage of the metrics: replicas and clock only. The first step after the outage counts
        what happened during it."""
        view = self._view
        stages = {
            name: view.nothing_counted(stage.configuration, stage.seen(now_s).replicas)
            for name, stage in zip(self._names, self._engine.stages, strict=True)
        }
        return view.observation(
            self._step,
            now_s,
            stages,
            elapsed_s=now_s - since_s,
            latency=view.no_latency,
            sample_age_s=now_s - self._sampled_s,
        )

    def apply(self, configuration: Mapping[str, StageConfiguration]) -> Applied:
        """Pass the decision to the engine, where it takes effect after the decision delay."""
        self._engine.apply(configuration)
        return _ACCEPTED


def _measuring(engine: Engine) -> Measuring:
    return MeasuringItems(engine) if has_items(engine) else Measuring(engine)


class Opening:
    """The backend of the decision before the first request: nothing runs yet, and the decision is ready at once."""

    def __init__(self, pipeline: Pipeline, view: RunView) -> None:
        self.configuration: Configuration = lightest_configuration(pipeline)
        stages = {name: view.nothing_counted(configuration, {}) for name, configuration in self.configuration.items()}
        self._observation = view.observation(0, 0.0, stages, elapsed_s=0.0, latency=view.no_latency)

    def observe(self) -> Observation:
        return self._observation

    def apply(self, configuration: Configuration) -> Applied:
        self.configuration = configuration
        return Applied(accepted=True)
