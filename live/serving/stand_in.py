"""Stands in for a gateway that has ended, or is silent, while its pod goes on: passes requests on to the other one.

A cluster needs seconds to learn that the pod does not serve. Until then, or until the gateway's container has been
restarted, it sends connections there. The port outlives the gateway, so none is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from socket import socket
from threading import Thread
from typing import Any

from aiohttp import web

from ipa.live.plane import ACCEPTS_PATH
from ipa.live.serving.forwarding import Forwarder
from ipa.live.serving.lease import Address, ServingLease
from ipa.live.serving.web import Listener, application, close_connections, json_response, readiness, url_of
from ipa.live.tokens import TokenFile

log = logging.getLogger("live.stand_in")


class StandIn:
    """Accepts connections at the gateway's open port from `begin` to `end`, in a thread of its own."""

    def __init__(self, port: socket, tokens: TokenFile) -> None:
        self._lease = ServingLease()
        self._own = Address(url_of(port), "")
        self._is_on = False
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="stand-in", daemon=True)
        self._thread.start()
        self._listener = asyncio.run_coroutine_threadsafe(self._set_up(port, tokens), self._loop).result()

    async def _set_up(self, port: socket, tokens: TokenFile) -> Listener:
        own = {"/v2/health/live", ACCEPTS_PATH}
        forwarder = Forwarder(self._lease, lambda server: server.data_url, tokens, own)
        app = application(forwarder.middleware)
        app.on_cleanup.append(lambda _: forwarder.close())
        app.router.add_get("/v2/health/live", _live)
        app.router.add_get(ACCEPTS_PATH, _accepts)
        close_connections(app, when=lambda: True)
        listener = Listener(app, port)
        await listener.set_up()
        return listener

    def begin(self, term: int, server: Address | None) -> None:
        """Pass requests on to the gateway that serves in that term; while none is known, they wait for a moment."""
        self._call(self._begin(term, server))

    def end(self, term: int) -> None:
        """Leave the port to the gateway, which gets what waits here, too."""
        self._call(self._end(term))

    def close(self) -> None:
        """Give up the port, with what waits here."""
        self._call(self._listener.runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def is_quiet(self) -> bool:
        """Whether it has no connections."""
        server = self._listener.runner.server
        return server is None or not server.connections

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _begin(self, term: int, server: Address | None) -> None:
        if server is not None:
            self._lease.follow(term, server)
        elif not self._is_on:
            self._lease.server = None  # it was the gateway that has ended
        if not self._is_on:
            self._is_on = True
            await self._listener.accept()
            log.warning("requests are passed on in place of the gateway")

    async def _end(self, term: int) -> None:
        if self._is_on:
            self._is_on = False
            self._listener.pause()
            self._lease.follow(term, self._own)


async def _live(_: web.Request) -> web.Response:
    return json_response({"live": True})


async def _accepts(request: web.Request) -> web.Response:
    return readiness(request, {}, "the gateway of this pod has ended")
