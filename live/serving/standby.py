"""What a gateway that waits has in common with the one that serves: it copies clock, configuration, load and replicas.

It asks for them several times a second, so that it can serve at any moment as the other did. Where its own list of
replicas comes from beside it, as on a cluster, it keeps that.
"""

from __future__ import annotations

import logging
import time
from math import ceil
from typing import Any

import aiohttp

from ipa.live.serving.control_api import ControlApi
from ipa.live.serving.counts import MOST_SECONDS
from ipa.live.serving.lease import STATE_PATH, ServingLease
from ipa.live.serving.protocol import ProtocolError
from ipa.live.tokens import TokenFile

COPIED_EVERY_S = 0.25
ANSWERS_WITHIN_S = 2.0

log = logging.getLogger("live.gateway")


class Standby:
    """Copies the state of the gateway that serves, while its own gateway waits."""

    def __init__(self, control: ControlApi, lease: ServingLease, tokens: TokenFile, *, copies_replicas: bool) -> None:
        self._control = control
        self._gateway = control.gateway
        self._lease = lease
        self._tokens = tokens
        self._copies_replicas = copies_replicas
        self._copied: dict[str, Any] = {}
        self._copied_s = float("-inf")
        self._problem = ""

    async def keep(self) -> None:
        """Copy the state several times a second, for ever."""
        timeout = aiohttp.ClientTimeout(total=ANSWERS_WITHIN_S)
        connector = aiohttp.TCPConnector(force_close=True)  # who answers at an address may change
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            while True:
                if not self._lease.serves and self._lease.server is not None:
                    problem = await self._copy(session, self._lease.server.control_url)
                    if problem and problem != self._problem:
                        log.warning("the state of the gateway that serves is not copied", extra={"problem": problem})
                    self._problem = problem
                elif self._lease.serves:
                    self._forget()
                await self._lease.change(COPIED_EVERY_S)

    async def _copy(self, session: aiohttp.ClientSession, url: str) -> str:
        """Copy the state once; returns why it could not be copied."""
        asked_s = time.monotonic()
        seconds = min(MOST_SECONDS, asked_s - self._copied_s + 1.0)
        try:
            params, headers = {"seconds": ceil(seconds)}, self._tokens.headers()
            async with session.get(url + STATE_PATH, params=params, headers=headers, allow_redirects=False) as response:
                state = await response.json()
                if response.status != 200:
                    return str(state)
            if not self._lease.serves:
                await self._adopt(state, asked_s, time.monotonic())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"{url}: {error or type(error).__name__}"
        except (ProtocolError, KeyError, TypeError, ValueError) as error:  # of another version than this one
            return f"{url}: {error!r}"
        return ""

    async def _adopt(self, state: dict[str, Any], asked_s: float, answered_s: float) -> None:
        gateway, copied = self._gateway, self._copied
        is_new = any(state[key] != copied.get(key) for key in ("epoch", "started"))
        if is_new and copied:
            self._forget()  # all of its load is copied next time
            return
        between_s, error_s = (asked_s + answered_s) / 2, answered_s - asked_s
        is_same_clock = abs(state["clock_s"] - between_s) <= error_s
        origin_s = state["origin_s"] if is_same_clock else between_s - state["time_s"]
        if is_new or abs(origin_s - gateway.clock.origin_s) > error_s:
            gateway.follow_clock(origin_s, is_started=state["started"])
        gateway.arrivals.adopt(state["arrivals"], is_new=is_new)
        if self._copies_replicas and state["replicas"] and state["replicas"] != copied.get("replicas"):
            await self._control.list_replicas(state["replicas"])
        if state["configuration"] != copied.get("configuration"):
            self._control.put_in_force(state["configuration"])
        self._copied, self._copied_s = state, asked_s
        if is_new:
            log.warning("this gateway waits", extra={"started": state["started"]})
        gateway.is_alike = True

    def _forget(self) -> None:
        self._copied, self._copied_s = {}, float("-inf")
