"""The gateway of a deployed pipeline: how calls reach its control port, its clock, and reconciling its configuration.

A gateway's configuration differs from the wanted one after a restart, a rollback of a variant, or a lost answer.

From outside, calls go through the API server's proxy, which needs no access to the cluster's network: permission to use
this Service and to read this Secret is enough. Inside the cluster, the Service is called directly, so control depends
neither on that proxy nor on the permission to use it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from ipa.live.errors import LiveError, RunError
from ipa.live.gateway_client import (
    ANSWERS_WITHIN_S,
    ControlCall,
    ControlWay,
    DirectWay,
    GatewayClient,
    RefusedError,
    visits_of,
)
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError, ReadOnlyError
from ipa.live.kubernetes.names import TOKEN_KEY
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.timeline import Timeline
from ipa.live.tokens import CONTROL_HEADER, TokenFile, tokens_in
from ipa.policies import Configuration, from_plain

if TYPE_CHECKING:
    import aiohttp


def way_to(api: Api, deployed: Deployed, session: aiohttp.ClientSession, token_file: Path | None) -> ControlWay:
    """The Service itself, with the token from a file, for a pod of the cluster; without a file, the API server's
    proxy."""
    return (
        ProxiedWay(api, deployed) if token_file is None else ServiceWay(api, deployed, session, TokenFile(token_file))
    )


class ServiceWay:
    """Calls the Service of the control port, at its present IP address: a cluster need not have DNS."""

    def __init__(self, api: Api, deployed: Deployed, session: aiohttp.ClientSession, tokens: TokenFile) -> None:
        self._api = api
        self._deployed = deployed
        self._session = session
        self._tokens = tokens
        self._direct: DirectWay | None = None

    async def answer(self, call: ControlCall) -> Any:
        if self._api.read_only and call.method != "GET":
            raise RefusedError(f"{call}: this client only reads")
        if self._direct is None:
            self._direct = DirectWay(self._session, await asyncio.to_thread(self._url, call.within_s), self._tokens)
        try:
            return await self._direct.answer(call)
        except RunError as error:
            self._direct = None  # the Service may have been recreated, at another address
            raise RunError(f"Service {self._deployed.control_name}: {error}") from None

    def _url(self, within_s: float) -> str:
        name = self._deployed.control_name
        try:
            service = self._api.get("Service", self._deployed.namespace, name, within_s)
        except ApiError as error:
            raise RunError(f"the address of Service {name} cannot be read: {error.text}") from None
        if service is None:
            raise RunError(f"Service {name} does not exist; run ipa live up")
        spec = service["spec"]
        return names.url(spec["clusterIP"], spec["ports"][0]["port"])


class ProxiedWay:
    """Calls through the API server's proxy, with the token from the Secret.

    The proxy does not forward the header `Authorization`, so the token has a header of its own.
    """

    def __init__(self, api: Api, deployed: Deployed) -> None:
        self._api = api
        self._deployed = deployed
        self._token: str | None = None
        service = f"services/http:{deployed.control_name}:control"
        self._proxy = f"/api/v1/namespaces/{deployed.namespace}/{service}/proxy"

    async def answer(self, call: ControlCall) -> Any:
        return await asyncio.to_thread(self._answer, call)

    def _answer(self, call: ControlCall) -> Any:
        url = f"{self._proxy}{call.path}" + (f"?{urlencode(call.query)}" if call.query else "")
        failure = f"the gateway does not answer {call} by the API server's proxy"
        try:
            self._token = self._token or read_token(self._api, self._deployed, call.within_s)
            headers = {CONTROL_HEADER: self._token}
            return self._api.request(call.method, url, call.body, within_s=call.within_s, headers=headers)
        except ReadOnlyError as error:
            raise RefusedError(str(error)) from None
        except LiveError as error:
            raise RunError(f"{failure}: {error}") from None
        except ApiError as error:
            if error.status in (400, 409, 413) and not error.is_transient:
                raise RefusedError(error.text) from None
            if error.status == 401:
                self._token = None  # it may have been replaced: the next call reads it again
            raise RunError(f"{failure}: {error.text}") from None


def read_token(api: Api, deployed: Deployed, within_s: float = ANSWERS_WITHIN_S) -> str:
    """The token in the Secret of the control port. Raises ApiError, or LiveError if there is none."""
    name = deployed.control_name
    secret = api.get("Secret", deployed.namespace, name, within_s)
    if secret is None:
        raise LiveError(f"Secret {name} does not exist; run ipa live up")
    text = b64decode((secret.get("data") or {}).get(TOKEN_KEY, "")).decode(errors="replace")
    return tokens_in(text, f"Secret {name}, key {TOKEN_KEY}")[0]


# ---- its control API, and its clock ----


log = logging.getLogger("ipa.live.kubernetes.cluster_gateway")

ASKED = 9
"""How many times the gateway's clock is read; the quickest answer counts."""


class ClockReading(NamedTuple):
    """The gateway's monotonic clock minus ours [s], and how far off that may be."""

    offset_s: float
    error_s: float


class ClusterGateway(GatewayClient):
    """The control API of a deployed pipeline's gateway.

    Records have the replica numbers of the run's tables, from the timeline. All times are on the run's clock, `now_s`.
    A restarted gateway (another epoch) has a clock of its own; the offset is then measured.

    """

    def __init__(self, way: ControlWay, deployed: Deployed, timeline: Timeline, now_s: Callable[[], float]) -> None:
        super().__init__(way)
        self._replicas = timeline.stages
        self._now_s = now_s
        self._epoch: str | None = None
        self._shift_s = 0.0
        """The run's time minus the gateway's."""
        self._stages = deployed.stages
        self._timeline = timeline

    async def records(self, after: int, limit: int = 10_000) -> dict[str, Any]:
        """Records as the gateway gives them, with the run's times and replica numbers."""
        answer = await super().records(after, limit)
        await self._align(answer["epoch"])
        answer["started"] = True  # the times are the run's, whoever set the gateway's clock
        for record in answer["records"]:
            self._shift(record, "arrival_s", "end_s")
            for stage, visit in visits_of(record, self._stages):
                self._shift(visit, "enqueue_s", "start_s", "finish_s", "end_s")
                if visit.get("replica") is not None:
                    visit["replica"] = self._timeline.number(stage, int(visit["replica"]), visit["start_s"])
                    self._timeline.served(stage, visit["replica"], visit["start_s"])
        return answer

    async def clock(self) -> ClockReading:
        """Compare clocks: set the gateway's time 0 to that of its monotonic clock, then read it (Cristian 1989).

        A difference no larger than its error means that both processes share one machine and its clock. Raises
        RefusedError while requests are inside.
        """
        best = await _compared(time.monotonic, lambda: self.start(0.0))
        return ClockReading(0.0, 0.0) if abs(best.offset_s) <= best.error_s else best

    async def join(self) -> float:
        """Take the gateway's clock as the run's from here on; returns its time now."""
        observation = await super().observation(0.0, 0)
        self._epoch, self._shift_s = observation["epoch"], 0.0
        return float(observation["time_s"])

    async def observation(self, since_s: float, seconds: int) -> dict[str, Any]:
        """The observation as the gateway gives it, in the run's time."""
        observation = await super().observation(since_s - self._shift_s, seconds)
        if await self._align(observation["epoch"]):
            observation = await super().observation(since_s - self._shift_s, seconds)
        return self._shift(observation, "time_s")

    async def _align(self, epoch: str) -> bool:
        """Whether another gateway answers than before; if so, its clock is measured."""
        if self._epoch in (None, epoch):
            return False

        async def read() -> float:
            return float((await super(ClusterGateway, self).observation(0.0, 0))["time_s"])

        reading = await _compared(self._now_s, read)
        self._epoch, self._shift_s = epoch, -reading.offset_s
        return True

    def _shift(self, times: dict[str, Any], *keys: str) -> dict[str, Any]:
        """Convert an answer's times, where they are given, to the run's."""
        for key in keys:
            if times.get(key) is not None:
                times[key] += self._shift_s
        return times

    async def keep(self, configuration: Configuration) -> None:
        """Reconfigure a gateway that differs from `wanted`. One that does not answer, or refuses, is asked again next
        time."""
        since_s = self._now_s()
        try:
            if _configuration((await self.observation(since_s, 0))["configuration"]) == configuration:
                return
            log.warning("the gateway is being reconfigured")
            await self.configure(configuration)
        except (RunError, RefusedError) as error:
            log.warning("the gateway keeps its configuration", extra={"problem": str(error)})
            return
        for name, stage in configuration.items():
            self._replicas[name].note_batch(stage.batch, since_s, self._now_s())


async def _compared(ours_s: Callable[[], float], theirs_s: Callable[[], Awaitable[float]]) -> ClockReading:
    """Their clock minus ours, by the quickest of several answers."""
    readings = []
    for _ in range(ASKED):
        asked_s = ours_s()
        said_s = await theirs_s()
        between_s = (ours_s() - asked_s) / 2
        readings.append(ClockReading(said_s - asked_s - between_s, between_s))
    return min(readings, key=lambda reading: reading.error_s)


def _configuration(answer: Mapping[str, Mapping[str, Any]]) -> Configuration | None:
    """A configuration as a gateway reports it; None if it cannot be read."""
    try:
        return {name: from_plain(fields) for name, fields in answer.items()}
    except TypeError:
        return None
