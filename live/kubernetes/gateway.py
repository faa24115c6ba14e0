"""The gateway's control API from the controller's side: through the API server's proxy, or straight from inside.

The proxy asks nothing of the cluster's network: whoever may talk to the API server, and may use this one Service,
reaches the gateway.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from live.errors import RunError
from live.gateway_client import ANSWERS_WITHIN_S, GatewayClient, RefusedError
from live.kubernetes.api import Api, ApiError, ReadOnlyError
from live.kubernetes.settings import Deployed
from live.kubernetes.timeline import Timeline

ASKED = 9
"""How often the gateway's clock is asked for; the answer that was quickest counts."""


class ClockReading(NamedTuple):
    """The gateway's monotonic clock minus ours [s], and by how much that may be wrong."""

    offset_s: float
    error_s: float


class ClusterGateway(GatewayClient):
    """The control API of a deployed pipeline's gateway.

    Records come with the replicas' numbers in the run's tables, which the timeline knows.
    """

    def __init__(self, api: Api, deployed: Deployed, timeline: Timeline) -> None:
        self._api = api
        self._stages = deployed.stages
        self._timeline = timeline
        self._proxy = f"/api/v1/namespaces/{deployed.namespace}/services/http:{deployed.control_name}:control/proxy"

    async def records(self, after: int, limit: int = 10_000) -> dict[str, Any]:
        """As the gateway gives them, with the replicas' numbers of the run."""
        said = await super().records(after, limit)
        for record in said["records"]:
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
        readings = []
        for _ in range(ASKED):
            asked_s = time.monotonic()
            said = await self._call("PUT", "/control/start", {"origin": 0.0})
            answered_s = time.monotonic()
            between_s = (answered_s - asked_s) / 2
            readings.append(ClockReading(float(said["time_s"]) - asked_s - between_s, between_s))
        best = min(readings, key=lambda reading: reading.error_s)
        return ClockReading(0.0, 0.0) if abs(best.offset_s) <= best.error_s else best

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
