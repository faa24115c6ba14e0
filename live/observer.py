"""The observations of a live run, from its source's readings and the state of its replicas."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ipa.live.monitoring import Reading, Source, SourceError, StageReading, window
from ipa.live.plane import Plane
from ipa.live.stage_replicas import StageReplicas
from ipa.policies import Observation, StageObservation


class Observer:
    """Observes at every step; counts are since the previous one.

    `history_rps` is the load of the seconds before the run, newest last; `clock` the wall clock [s since 1970].
    `trouble` says why nothing has been sampled since the previous step; empty if something has.
    """

    def __init__(
        self,
        plane: Plane,
        history_rps: tuple[float, ...],
        source: Source,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.trouble = ""
        self._plane = plane
        self._fills_batches = {stage.name: stage.fills_batches for stage in plane.pipeline.stages}
        self._history_rps = history_rps
        self._source = source
        self._clock = clock
        self._observed_s, self._counted_s, self._sampled_s = 0.0, 0.0, 0.0

    def begin_at(self, time_s: float) -> None:
        """Let the first observation count from this moment on the run's clock."""
        self._observed_s = self._counted_s = time_s

    async def observe(self, step: int, now_s: float, stages: Mapping[str, StageReplicas]) -> Observation:
        """The present observation; without a sample the load is NaN, and policies hold."""
        reading = await self._read(now_s)
        since_s, self._observed_s = self._observed_s, reading.time_s
        counted_since_s = self._counted_s
        if not self.trouble:  # otherwise the first reading after it counts what happens meanwhile
            self._counted_s = reading.time_s if reading.counted_until_s is None else reading.counted_until_s
        observation = Observation(
            pipeline=self._plane.pipeline.name,
            step=step,
            seed=self._plane.seed,
            time_s=reading.time_s,
            load_rps=window(reading.load_rps, self._history_rps, len(self._history_rps)),
            sample_age_s=reading.sample_age_s,
            limit_cores=self._plane.limit_cores,
            stages={
                name: _observed(stage, reading, counted_since_s, self._counted_s, self._fills_batches[name])
                for name, stage in stages.items()
            },
            latency=reading.latency,
            elapsed_s=max(reading.time_s - since_s, 0.0),
            past_rps=(),  # only the decision before a run knows the load before it
            clock_s=self._clock(),
        )
        if not self.trouble and observation.is_silent:
            self.trouble = f"the newest sample is {reading.sample_age_s:.0f} s old"
        return observation

    async def _read(self, now_s: float) -> Reading:
        try:
            reading = await self._source.read(now_s)
        except SourceError as error:
            self.trouble = str(error)
            # No sample is not zero load.
            unknown = (float("nan"),) * len(self._history_rps)
            return Reading(now_s, unknown, max(now_s - self._sampled_s, 0.0), {})
        self.trouble = ""
        self._sampled_s = reading.time_s - reading.sample_age_s
        return reading


def _observed(
    stage: StageReplicas, whole: Reading, since_s: float, until_s: float, fills_batches: bool
) -> StageObservation:
    """`fills_batches`: whether its replicas have one batch at a time, and not so many requests."""
    reading = whole.stages.get(stage.stage, StageReading())
    available_s = stage.available_s(since_s, until_s) * (1 if fills_batches else stage.configuration.batch)
    return StageObservation(
        configuration=stage.configuration,
        arrivals=reading.arrivals,
        completions=reading.completions,
        drops=reading.drops,
        failures=reading.failures,
        queue_length=reading.queue_length,
        in_service=reading.in_service,
        replicas=stage.counts(),
        busy_fraction=min(reading.busy_s / available_s, 1.0) if available_s > 0.0 else 0.0,
        latency=reading.latency,
        failed_variants=stage.failed_variants,
        concurrency=whole.concurrency(stage.stage),
    )
