"""The controller's client of a gateway's control API, and how its calls reach the port."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ipa.errors import Error
from ipa.live.errors import RunError
from ipa.live.stage_replicas import Replica
from ipa.live.tokens import TokenFile
from ipa.policies import Configuration, to_plain
from ipa.sim import NEVER

if TYPE_CHECKING:
    import aiohttp


ANSWERS_WITHIN_S = 5.0


class RefusedError(Error):
    """The gateway refused; the text says why."""


def visits_of(record: Mapping[str, Any], stages: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """The visits in the record of an ended request, each with its stage; in a graph, those of its items."""
    visits = record["stages"]
    if visits and "stage" in visits[0]:
        return [(item["stage"], item) for item in visits]
    return list(zip(stages, visits, strict=False))


@dataclass(frozen=True)
class ControlCall:
    """A call of the control API; the answer may take `within_s`."""

    method: str
    path: str
    body: object = None
    query: Mapping[str, str] | None = None
    within_s: float = ANSWERS_WITHIN_S

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class ControlWay(Protocol):
    """How calls of the control API reach the gateway."""

    async def answer(self, call: ControlCall) -> Any:
        """The JSON answer. Raises RefusedError with the gateway's reason, RunError if there is no answer."""
        ...


class DirectWay:
    """Calls the port at `url`, with the token from a file."""

    def __init__(self, session: aiohttp.ClientSession, url: str, tokens: TokenFile) -> None:
        self._session = session
        self._tokens = tokens
        self.url = url

    async def answer(self, call: ControlCall) -> Any:
        import aiohttp

        failure = f"the gateway does not answer {call} at {self.url}"
        try:
            async with self._session.request(
                call.method,
                self.url + call.path,
                json=call.body,
                params=call.query,
                headers=self._tokens.headers(),
                timeout=aiohttp.ClientTimeout(total=call.within_s),
                allow_redirects=False,
            ) as response:
                text = await response.read()
                status = response.status
                answer = await response.json(content_type=None) if text else {}
        except (TimeoutError, aiohttp.ClientError, ValueError, OSError) as error:
            raise RunError(f"{failure}: {error or type(error).__name__}") from None
        said = str(answer.get("error", answer)) if isinstance(answer, dict) else str(answer)
        if status == 401:
            raise RunError(f"the gateway at {self.url} refuses the token in {self._tokens.path}: {said}")
        if status >= 400:
            raise RefusedError(said)
        return answer


OBSERVED = ("epoch", "time_s", "load_rps", "latencies_s", "configuration", "stages")
OF_A_STAGE = (
    *("arrivals", "completions", "drops", "failures", "busy_s", "request_s"),
    *("queue_length", "in_service", "latencies_s"),
)
"""The keys of an observation, and of each stage in it, on which a controller relies."""


class GatewayClient:
    """Calls the control API. Every call raises RunError if the gateway does not answer."""

    def __init__(self, way: ControlWay) -> None:
        self._way = way

    async def is_ready(self) -> bool:
        try:
            await self._way.answer(ControlCall("GET", "/v2/health/live", within_s=1.0))
        except (RunError, RefusedError):
            return False
        return True

    async def start(self, origin_s: float) -> float:
        """Set the run's t = 0 to a moment of the gateway's `time.monotonic()`; returns the time since."""
        return float((await self._way.answer(ControlCall("PUT", "/control/start", {"origin": origin_s})))["time_s"])

    async def configure(self, configuration: Configuration) -> None:
        """Put a configuration in force in the gateway's queues. Raises RefusedError with the gateway's reason."""
        told = {name: to_plain(each) for name, each in configuration.items()}
        await self._way.answer(ControlCall("PUT", "/control/configuration", told))

    async def list_replicas(self, replicas: Mapping[str, Sequence[Replica]]) -> None:
        """Send the gateway the list of ready and draining replicas; note which are busy, and which suspended.

        A replica that the gateway no longer knows is neither.
        """
        listed = {stage: [_listed(each) for each in members] for stage, members in replicas.items()}
        answer = await self._way.answer(ControlCall("PUT", "/control/replicas", listed))
        for stage, members in replicas.items():
            states = {each["number"]: each for each in answer.get(stage, ())}
            for replica in members:
                state = states.get(replica.number, {"busy": False, "suspended": False})
                replica.is_busy = state["busy"]
                replica.suspended_s = min(replica.suspended_s, time.monotonic()) if state["suspended"] else NEVER

    async def observation(self, since_s: float, seconds: int) -> dict[str, Any]:
        """Counters, gauges and the load of the last seconds; latencies since a moment of the run's clock."""
        query = {"seconds": str(seconds), "since": repr(since_s)}
        answer: dict[str, Any] = await self._way.answer(ControlCall("GET", "/control/observation", query=query))
        if lacking := _lacking(answer):
            raise RunError(
                f"the gateway is of another version than this controller: its observation lacks {', '.join(lacking)}; "
                "on a cluster, ipa live up with an image of this version brings it up to date"
            )
        return answer

    async def records(self, after: int, limit: int = 10_000) -> dict[str, Any]:
        """The records of ended requests after the first `after`, of the epoch that the answer names."""
        query = {"after": str(after), "limit": str(limit)}
        answer: dict[str, Any] = await self._way.answer(ControlCall("GET", "/control/records", query=query))
        return answer


def _lacking(observation: Mapping[str, Any]) -> list[str]:
    """The required keys that an observation lacks, as that of an older gateway does."""
    of_stages = {key for stage in observation.get("stages", {}).values() for key in OF_A_STAGE if key not in stage}
    return [key for key in OBSERVED if key not in observation] + sorted(of_stages)


def _listed(replica: Replica) -> dict[str, object]:
    return {
        "number": replica.number,
        "url": replica.url,
        "variant": replica.variant,
        "cores": replica.cores,
        "state": "draining" if replica.is_removed else "ready",
    }
