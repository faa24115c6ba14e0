"""What a source of monitoring tells at a control step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ipa.errors import Error
from ipa.policies import NO_LATENCY, LatencyQuantiles

QUANTILES = (0.5, 0.95, 0.99)


class SourceError(Error):
    """A source does not answer; the next step asks again."""


@dataclass(frozen=True, slots=True)
class StageReading:
    """One stage: counts of requests since the reading before, `busy_s` summed over replicas, and its present gauges.

    `request_s` is the integral over that time of the requests waiting or in service [requests x seconds].
    """

    arrivals: int = 0
    completions: int = 0
    drops: int = 0
    failures: int = 0
    queue_length: int = 0
    in_service: int = 0
    busy_s: float = 0.0
    request_s: float = 0.0
    latency: LatencyQuantiles = NO_LATENCY


@dataclass(frozen=True, slots=True)
class Reading:
    """The pipeline at `time_s` of the run's clock.

    `load_rps` holds the arrivals in the run's whole seconds so far, newest last, at most as many as asked for; NaN: no
    sample. `sample_age_s` is the age of the newest sample, `covered_s` the time that the stages' integrals cover: 0 at
    the first reading, and if no sample is new. The stages are as they were at `counted_until_s`; None: at `time_s`.
    """

    time_s: float
    load_rps: tuple[float, ...]
    sample_age_s: float
    stages: Mapping[str, StageReading]
    latency: LatencyQuantiles = NO_LATENCY
    covered_s: float = 0.0
    counted_until_s: float | None = None

    def concurrency(self, stage: str) -> float:
        """How many requests were at a stage on average since the reading before; if no time has passed, how many are.

        The same as in simulation (`ipa.sim.measuring.Presence`).
        """
        reading = self.stages.get(stage, StageReading())
        if self.covered_s > 0.0:
            return max(reading.request_s, 0.0) / self.covered_s
        return float(reading.queue_length + reading.in_service)


class Source(Protocol):
    """Where readings come from."""

    async def read(self, now_s: float) -> Reading:
        """What has happened since the last call. Raises SourceError if nothing can be said now."""
        ...


def quantiles(latencies_s: Sequence[float]) -> LatencyQuantiles:
    """The quantiles of latencies; NaN if there are none."""
    if not len(latencies_s):
        return NO_LATENCY
    return LatencyQuantiles(*np.quantile(latencies_s, QUANTILES).tolist())


def window(load_rps: Sequence[float], history_rps: Sequence[float], seconds: int) -> tuple[float, ...]:
    """The last `seconds` of the load, from the run and, before it, the history; NaN for seconds with neither."""
    joined = (*history_rps, *load_rps)[-seconds:]
    return (*([float("nan")] * (seconds - len(joined))), *joined)
