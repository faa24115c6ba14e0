"""The gateway's control API from the controller's side: through the API server's proxy, or straight from inside.

The proxy asks nothing of the cluster's network: whoever may talk to the API server, and may use this one Service,
reaches the gateway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from ipa.live.errors import RunError
from ipa.live.gateway_client import ANSWERS_WITHIN_S, GatewayClient, RefusedError
from ipa.live.kubernetes.api import Api, ApiError, ReadOnlyError
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.timeline import Timeline

ASKED = 9
"""How often the gateway's clock is asked for; the answer that was quickest counts."""


class ClockReading(NamedTuple):
    """The gateway's monotonic clock minus ours [s], and by how much that may be wrong."""

    offset_s: float
    error_s: float


class ClusterGateway(GatewayClient):
    """The control API of a deployed pipeline's gateway.

    Records come with the replicas' numbers in the run's tables, which the timeline knows. Times are the run's, which is
    `now_s` now, whichever gateway answers: one that has been started anew (another epoch) counts from its own start,
    and the difference is measured then.
    """

    def __init__(self, api: Api, deployed: Deployed, timeline: Timeline, now_s: Callable[[], float]) -> None:
        self._api = api
        self._now_s = now_s
        self._epoch: str | None = None
        self._shift_s = 0.0
        """The run's time minus the gateway's."""
        self._stages = deployed.stages
        self._timeline = timeline
        self._proxy = f"/api/v1/namespaces/{deployed.namespace}/services/http:{deployed.control_name}:control/proxy"

    async def records(self, after: int, limit: int = 10_000) -> dict[str, Any]:
        """As the gateway gives them, with the replicas' numbers of the run."""
        said = await super().records(after, limit)
        await self._align(said["epoch"])
        said["started"] = True  # its times are the run's, whoever has set its clock
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
        """Compare clocks: the gateway's time 0 is set to that of its monotonic clock, and then read (Cristian 1989).

        Where no difference is as likely as any that was measured, both processes are on one machine, whose clock is
        one. Raises RefusedError while requests are inside.
        """

        async def read() -> float:
            return float((await self._call("PUT", "/control/start", {"origin": 0.0}))["time_s"])

        best = await _compared(time.monotonic, read)
        return ClockReading(0.0, 0.0) if abs(best.offset_s) <= best.error_s else best

    async def join(self) -> float:
        """Take the gateway's times for the run's from here on; its time now."""
        said = await super().observation(0.0, 0)
        self._epoch, self._shift_s = said["epoch"], 0.0
        return float(said["time_s"])

    async def observation(self, since_s: float, seconds: int) -> dict[str, Any]:
        """As the gateway gives it."""
        said = await super().observation(since_s - self._shift_s, seconds)
        if await self._align(said["epoch"]):
            said = await super().observation(since_s - self._shift_s, seconds)
        return self._shift(said, "time_s")

    async def _align(self, epoch: str) -> bool:
        """Whether another gateway answers than before, whose clock is now known."""
        if self._epoch in (None, epoch):
            return False

        async def read() -> float:
            return float((await super(ClusterGateway, self).observation(0.0, 0))["time_s"])

        reading = await _compared(self._now_s, read)
        self._epoch, self._shift_s = epoch, -reading.offset_s
        return True

    def _shift(self, said: dict[str, Any], *keys: str) -> dict[str, Any]:
        """Set times of an answer that are known."""
        for key in keys:
            if said.get(key) is not None:
                said[key] += self._shift_s
        return said

    async def _call(
        self,
        method: str,
        path: str,
        body: object = None,
        query: Mapping[str, str] | None = None,
        within_s: float = ANSWERS_WITHIN_S,
    ) -> Any:
        url = f"{self._proxy}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            return await asyncio.to_thread(self._api.request, method, url, body, within_s=within_s)
        except ReadOnlyError as error:
            raise RefusedError(str(error)) from None
        except ApiError as error:
            if error.status in (400, 409, 413) and not error.is_transient:
                raise RefusedError(error.text) from None
            raise RunError(f"the gateway does not answer {method} {path}: {error.text}") from None


async def _compared(ours_s: Callable[[], float], theirs_s: Callable[[], Awaitable[float]]) -> ClockReading:
    """Their clock minus ours, by the quickest of several answers."""
    readings = []
    for _ in range(ASKED):
        asked_s = ours_s()
        said_s = await theirs_s()
        between_s = (ours_s() - asked_s) / 2
        readings.append(ClockReading(said_s - asked_s - between_s, between_s))
    return min(readings, key=lambda reading: reading.error_s)
