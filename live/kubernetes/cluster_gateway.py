"""The control API of a gateway on a cluster: its clock, and its records, are made those of the run."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from ipa.live.control_way import ControlWay
from ipa.live.gateway_client import GatewayClient
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.timeline import Timeline

ASKED = 9
"""How many times the gateway's clock is read; the quickest answer counts."""


class ClockReading(NamedTuple):
    """The gateway's monotonic clock minus ours [s], and how far off that may be."""

    offset_s: float
    error_s: float


class ClusterGateway(GatewayClient):
    """The control API of a deployed pipeline's gateway.

    Records come with the replicas' numbers in the run's tables, which the timeline knows. All times are the run's,
    whose clock is `now_s`. A gateway that has restarted (another epoch) counts from its own start; the difference is
    then measured.
    """

    def __init__(self, way: ControlWay, deployed: Deployed, timeline: Timeline, now_s: Callable[[], float]) -> None:
        super().__init__(way)
        self._now_s = now_s
        self._epoch: str | None = None
        self._shift_s = 0.0
        """The run's time minus the gateway's."""
        self._stages = deployed.stages
        self._timeline = timeline

    async def records(self, after: int, limit: int = 10_000) -> dict[str, Any]:
        """Records as the gateway gives them, with the run's times and replica numbers."""
        said = await super().records(after, limit)
        await self._align(said["epoch"])
        said["started"] = True  # the times are the run's, whoever set the gateway's clock
        for record in said["records"]:
            self._shift(record, "arrival_s", "end_s")
            for visit in record["stages"]:
                self._shift(visit, "enqueue_s", "start_s", "finish_s")
            for stage, visit in zip(self._stages, record["stages"], strict=False):
                if visit.get("replica") is not None:
                    visit["replica"] = self._timeline.number(stage, int(visit["replica"]), visit["start_s"])
                    self._timeline.served(stage, visit["replica"], visit["start_s"])
        return said

    async def clock(self) -> ClockReading:
        """Compare clocks: set the gateway's time 0 to that of its monotonic clock, then read it (Cristian 1989).

        A difference no larger than its error means that both processes share one machine and its clock. Raises
        RefusedError while requests are inside.
        """

        async def read() -> float:
            return float((await self._way.call("PUT", "/control/start", {"origin": 0.0}))["time_s"])

        best = await _compared(time.monotonic, read)
        return ClockReading(0.0, 0.0) if abs(best.offset_s) <= best.error_s else best

    async def join(self) -> float:
        """Take the gateway's clock as the run's from here on; returns its time now."""
        said = await super().observation(0.0, 0)
        self._epoch, self._shift_s = said["epoch"], 0.0
        return float(said["time_s"])

    async def observation(self, since_s: float, seconds: int) -> dict[str, Any]:
        """The observation as the gateway gives it, in the run's time."""
        said = await super().observation(since_s - self._shift_s, seconds)
        if await self._align(said["epoch"]):
            said = await super().observation(since_s - self._shift_s, seconds)
        return self._shift(said, "time_s")

    async def _align(self, epoch: str) -> bool:
        """Whether another gateway answers than before; its clock has then been measured."""
        if self._epoch in (None, epoch):
            return False

        async def read() -> float:
            return float((await super(ClusterGateway, self).observation(0.0, 0))["time_s"])

        reading = await _compared(self._now_s, read)
        self._epoch, self._shift_s = epoch, -reading.offset_s
        return True

    def _shift(self, said: dict[str, Any], *keys: str) -> dict[str, Any]:
        """Convert an answer's times, where they are given, to the run's."""
        for key in keys:
            if said.get(key) is not None:
                said[key] += self._shift_s
        return said


async def _compared(ours_s: Callable[[], float], theirs_s: Callable[[], Awaitable[float]]) -> ClockReading:
    """Their clock minus ours, by the quickest of several answers."""
    readings = []
    for _ in range(ASKED):
        asked_s = ours_s()
        said_s = await theirs_s()
        between_s = (ours_s() - asked_s) / 2
        readings.append(ClockReading(said_s - asked_s - between_s, between_s))
    return min(readings, key=lambda reading: reading.error_s)
