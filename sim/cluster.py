"""The simulated backend: what a control step sees of a running engine, and how a decision reaches it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from ipa.policies import Applied, LatencyQuantiles, Observation, StageConfiguration, StageObservation
from ipa.sim.engines import Engine, StageState
from ipa.sim.measuring import Measuring, Presence
from ipa.sim.model import FloatArray

FUTURE_S = 120
"""How many seconds ahead a policy that reads the future sees."""


class LoadView:
    """Per-second counts of requests around any moment of a run, the time before its start included.

    `history_rps` holds the counts of the seconds before the run, newest last. Where there is none, the first ten
    seconds of the run stand for it, repeated (rule 9; of a shorter run its whole seconds, one at least); seconds before
    a history that is shorter than asked have no sample (NaN).
    """

    def __init__(
        self, arrivals_s: FloatArray, history_rps: FloatArray, history_s: int, duration_s: float = inf
    ) -> None:
        self._arrivals_s = arrivals_s
        self._history_s = history_s
        history = np.asarray(history_rps, dtype=np.float64)
        if not len(history):
            seconds = int(max(1.0, min(10.0, duration_s)))
            first = np.diff(np.searchsorted(arrivals_s, np.arange(seconds + 1))).astype(np.float64)
            history = np.tile(first, history_s // seconds + 1)
        padded = np.concatenate([np.full(history_s, np.nan), history])
        self._history: list[float] = padded[len(padded) - history_s :].tolist()
        until_s = int(arrivals_s[-1]) + 1 if len(arrivals_s) else 0
        self._counts = self._between(np.arange(until_s + 1))  # of the whole seconds up to the last request

    def before(self, time_s: float) -> tuple[float, ...]:
        """The counts of the seconds [t - k, t - k + 1) up to `time_s`, newest last."""
        # A second that lies partly before the start counts as one of the history.
        seconds = min(int(time_s), self._history_s)
        if time_s == int(time_s):
            counts = self._whole_seconds(int(time_s) - seconds, seconds)
        else:
            counts = self._between(time_s - np.arange(seconds, -1, -1))
        return (*self._history[seconds:], *counts)

    def after(self, time_s: float, duration_s: float) -> tuple[float, ...]:
        """The counts of the whole seconds to come, soonest first, as far as the run goes."""
        seconds = min(FUTURE_S, int(duration_s - time_s))
        if time_s == int(time_s):
            return tuple(self._whole_seconds(int(time_s), seconds))
        return tuple(self._between(time_s + np.arange(seconds + 1)))

    def _whole_seconds(self, since_s: int, seconds: int) -> list[float]:
        counts = self._counts[since_s : since_s + seconds]
        return counts + [0.0] * (seconds - len(counts))

    def _between(self, edges_s: npt.NDArray[np.generic]) -> list[float]:
        counts: list[float] = np.diff(np.searchsorted(self._arrivals_s, edges_s)).astype(np.float64).tolist()
        return counts


@dataclass(slots=True)
class _Counters:
    """A stage's running totals at the latest control step."""

    arrivals: int = 0
    completions: int = 0
    drops: int = 0


class SimulatedCluster:
    """A backend whose world is a running engine; `fields` are the costly fields that observations carry."""

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
        """Everything since the last step, and the load of the window before now."""
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
        """Hand the decision to the engine, where it takes effect after the decision delay."""
        self._engine.apply(configuration)
        return Applied(accepted=True)

    def _future(self, now_s: float) -> tuple[float, ...] | None:
        if "future_rps" not in self._fields:
            return None
        return self._load.after(now_s, self._engine.world.duration_s)

    @staticmethod
    def _observe_stage(
        stage: StageState,
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
