"""The simulated backend: what a control step sees of a running engine, and how its decision takes effect."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import ceil, nan

from ipa.policies import NO_LATENCY, Applied, Observation, ReplicaCounts, StageConfiguration, StageObservation
from ipa.sim.interface import Engine, Seen
from ipa.sim.load_view import LoadView
from ipa.sim.measuring import Measuring, Presence

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
