"""The simulated backend: what a control step sees of a running engine, and how its decision takes effect."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ipa.policies import Applied, LatencyQuantiles, Observation, StageConfiguration, StageObservation
from ipa.sim.interface import Engine, EngineStage
from ipa.sim.load_view import LoadView
from ipa.sim.measuring import Measuring, Presence


@dataclass(slots=True)
class _Counters:
    """A stage's running totals as of the latest control step."""

    arrivals: int = 0
    completions: int = 0
    drops: int = 0


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
        self._counters = [_Counters() for _ in engine.stages]
        measured = "latency" in fields or "busy_fraction" in fields
        self._measuring = Measuring(engine) if measured else None
        self._presence = Presence(engine) if "concurrency" in fields else None

    def observe(self) -> Observation:
        """What has happened since the last step, and the load of the window up to now."""
        now_s, since_s = self._engine.now_s, self._observed_s
        self._step, self._observed_s = self._step + 1, now_s
        measured = self._measuring.step(now_s) if self._measuring else None
        has_latency = measured is not None and "latency" in self._fields
        concurrency = self._presence.step(now_s) if self._presence else None
        return Observation(
            pipeline=self._pipeline,
            step=self._step,
            seed=self._seed,
            time_s=now_s,
            load_rps=self._load.before(now_s),
            sample_age_s=0.0,
            limit_cores=self._limit_cores,
            stages={
                stage.model.name: self._observe_stage(
                    stage,
                    counters,
                    now_s,
                    measured.busy_fraction[position] if measured and "busy_fraction" in self._fields else None,
                    measured.stage_latency[position] if measured and has_latency else None,
                    concurrency[position] if concurrency else None,
                )
                for position, (stage, counters) in enumerate(zip(self._engine.stages, self._counters, strict=True))
            },
            latency=measured.latency if measured and has_latency else None,
            future_rps=self._future(now_s),
            elapsed_s=now_s - since_s,
        )

    def apply(self, configuration: Mapping[str, StageConfiguration]) -> Applied:
        """Pass the decision to the engine, where it takes effect after the decision delay."""
        self._engine.apply(configuration)
        return Applied(accepted=True)

    def _future(self, now_s: float) -> tuple[float, ...] | None:
        if "future_rps" not in self._fields:
            return None
        return self._load.after(now_s, self._engine.world.duration_s)

    @staticmethod
    def _observe_stage(
        stage: EngineStage,
        since: _Counters,
        now_s: float,
        busy_fraction: float | None,
        latency: LatencyQuantiles | None,
        concurrency: float | None,
    ) -> StageObservation:
        arrivals = stage.enqueued_before(now_s)
        completions, drops = stage.completions, stage.dropped
        observation = StageObservation(
            configuration=stage.configuration,
            arrivals=arrivals - since.arrivals,
            completions=completions - since.completions,
            drops=drops - since.drops,
            failures=0,
            queue_length=stage.waiting(now_s),
            in_service=stage.in_service,
            replicas=stage.replica_counts(now_s),
            busy_fraction=busy_fraction,
            latency=latency,
            concurrency=concurrency,
        )
        since.arrivals, since.completions, since.drops = arrivals, completions, drops
        return observation
