"""Readings straight from the gateway: exact counts of exact seconds."""

from __future__ import annotations

from math import floor, nan
from typing import Any

from ipa.live.control_way import RefusedError
from ipa.live.errors import RunError
from ipa.live.gateway_client import GatewayClient
from ipa.live.monitoring.reading import Reading, SourceError, StageReading, quantiles

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
        since = {key: said[key] - before.get(key, 0) for key in _COUNTED}
        self._before[name] = {key: said[key] for key in _COUNTED}
        return StageReading(
            arrivals=since["arrivals"],
            completions=since["completions"],
            drops=since["drops"],
            failures=since["failures"],
            queue_length=said["queue_length"],
            in_service=said["in_service"],
            busy_s=since["busy_s"],
            request_s=since["request_s"],
            latency=quantiles(said["latencies_s"]),
        )
