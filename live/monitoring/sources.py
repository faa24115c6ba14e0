"""The readings of a monitoring source at a control step, and the source that asks the gateway itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, nan
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ipa.errors import Error
from ipa.live.errors import RunError
from ipa.live.gateway_client import GatewayClient, RefusedError
from ipa.policies import NO_LATENCY, LatencyQuantiles
from ipa.profiles import Pipeline

if TYPE_CHECKING:
    import aiohttp


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
    sample. `sample_age_s` is the age of the newest sample. `covered_s` is the time that the stages' integrals cover: 0
    at the first reading, and without a new sample. The stages' state is that of `counted_until_s`; None: of `time_s`.
    """

    time_s: float
    load_rps: tuple[float, ...]
    sample_age_s: float
    stages: Mapping[str, StageReading]
    latency: LatencyQuantiles = NO_LATENCY
    covered_s: float = 0.0
    counted_until_s: float | None = None

    def concurrency(self, stage: str) -> float:
        """The mean number of requests at a stage since the reading before; if no time has passed, the present number.

        The same as in simulation (`ipa.sim.measuring.Presence`).
        """
        reading = self.stages.get(stage, StageReading())
        if self.covered_s > 0.0:
            return max(reading.request_s, 0.0) / self.covered_s
        return float(reading.queue_length + reading.in_service)


class Source(Protocol):
    """Where readings come from."""

    async def read(self, now_s: float) -> Reading:
        """What has happened since the last call. Raises SourceError if there is no reading now."""
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


_COUNTED = ("arrivals", "completions", "drops", "failures", "busy_s", "request_s")


class GatewaySource:
    """Takes differences of the gateway's counters; those of a restarted gateway (another epoch) count from zero."""

    def __init__(self, client: GatewayClient, history_s: int) -> None:
        self._client = client
        self._history_s = history_s
        self._since_s: float | None = None  # when the reading before was taken
        self._epoch: str | None = None
        self._before: dict[str, dict[str, float]] = {}

    async def read(self, now_s: float) -> Reading:
        """What has happened since the last call. Raises SourceError if the gateway does not answer."""
        try:
            said = await self._client.observation(self._since_s or 0.0, self._history_s)
        except (RunError, RefusedError) as error:
            raise SourceError(str(error)) from None
        if said["epoch"] != self._epoch:
            self._epoch, self._before = said["epoch"], {}
        time_s = float(said["time_s"])
        reading = Reading(
            time_s=time_s,
            load_rps=self._load(said["load_rps"], time_s),
            sample_age_s=0.0,
            stages={name: self._stage(name, stage) for name, stage in said["stages"].items()},
            latency=quantiles(said["latencies_s"]),
            covered_s=0.0 if self._since_s is None else max(time_s - self._since_s, 0.0),
        )
        self._since_s = time_s
        return reading

    def _load(self, counts: list[float], time_s: float) -> tuple[float, ...]:
        seconds = min(max(floor(time_s), 0), self._history_s)
        known = [float(count) for count in counts[len(counts) - seconds :]] if seconds <= len(counts) else counts
        return (*([nan] * (seconds - len(known))), *known)

    def _stage(self, name: str, said: dict[str, Any]) -> StageReading:
        before = self._before.get(name, {})
        since: dict[str, Any] = {key: said[key] - before.get(key, 0) for key in _COUNTED}
        self._before[name] = {key: said[key] for key in _COUNTED}
        return StageReading(
            **since,
            queue_length=said["queue_length"],
            in_service=said["in_service"],
            latency=quantiles(said["latencies_s"]),
        )


@dataclass(frozen=True)
class Access:
    """A running pipeline, and how sources reach it.

    Sources keep the load of the last `history_s` seconds; `clock` is the run's [s].
    """

    pipeline: Pipeline
    client: GatewayClient
    session: aiohttp.ClientSession
    history_s: int
    clock: Callable[[], float]


SourceMaker = Callable[[Access], Source]


def from_gateway(access: Access) -> Source:
    return GatewaySource(access.client, access.history_s)
