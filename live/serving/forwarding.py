"""Requests that reach a gateway while another serves are passed on to that one, piece by piece, and so are the answers.

While none serves, they wait here for a moment: the next one answers them. What has been passed on is inside the gateway
that got it, and is not sent twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping

import aiohttp
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from multidict import CIMultiDict
from yarl import URL

from ipa.live.serving.connections import is_gone
from ipa.live.serving.lease import Address, ServingLease
from ipa.live.serving.peers import PEER, peer_of
from ipa.live.serving.protocol import ProtocolError
from ipa.live.serving.web import ADMITTED, ID, REQUEST_ID, about
from ipa.live.tokens import CONTROL_HEADER, TokenFile

WAITS_S = 5.0
"""How long a request waits for a gateway that serves."""
CONNECT_S = 1.0
LOOKED_AGAIN_AFTER_S = 0.05
"""How soon a gateway that could not be reached is tried again."""
GONE_SEEN_EVERY_S = 0.1
MOST_HOPS = 3
"""How often a request is passed on: twice where the gateways change places meanwhile."""

FORWARDED = "X-Ipa-Forwarded"
"""Says how often a request has been passed on, and from which peer it came first; believed with the control token."""
IN_TERM = "X-Ipa-Forwarded-Term"
"""Says by which term of the lease it was passed on. A gateway that is about to serve in that term, but does not know it
yet, must not send the request back, where nobody serves any more."""
OF_CONNECTION = frozenset(
    name.lower()
    for name in (hdrs.CONNECTION, hdrs.KEEP_ALIVE, hdrs.TE, hdrs.TRAILER, hdrs.TRANSFER_ENCODING, hdrs.UPGRADE)
)
"""Headers that concern one connection, not the message."""

CANNOT_CONNECT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

log = logging.getLogger("live.gateway")


class Forwarder:
    """Middleware for a port: lets requests in while this gateway serves, and passes them on while another does.

    `url_of` says which of the other's ports is meant; the routes `own` are always answered here. `inside` counts the
    requests that were passed on and are not answered yet. Each has a connection of its own: where that cannot be made,
    nothing was sent, and the request may go elsewhere. Of a kept one that breaks, nobody knows.
    """

    def __init__(
        self,
        lease: ServingLease,
        url_of: Callable[[Address], str],
        tokens: TokenFile,
        own: Collection[str] = (),
    ) -> None:
        self.inside = 0
        self._lease = lease
        self._url_of = url_of
        self._tokens = tokens
        self._own = frozenset(own)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE),
        )

    async def close(self) -> None:
        await self._session.close()

    @property
    def middleware(self) -> Middleware:
        @web.middleware
        async def forwarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            hops, term = self._way(request)
            resource = request.match_info.route.resource
            if self._lease.serves or (resource is not None and resource.canonical in self._own):
                return await handler(request)
            self.inside += 1
            try:
                return await self._forward(request, handler, hops, term)
            finally:
                self.inside -= 1

        return forwarded

    def _way(self, http: web.Request) -> tuple[int, int]:
        """How often a request was passed on, and by which term; its first peer is then the one for which it counts."""
        hops, _, peer = http.headers.get(FORWARDED, "").partition(" ")
        if not (peer and hops.isdecimal() and self._tokens.accepts(http.headers.get(CONTROL_HEADER, ""))):
            return 0, 0
        http[PEER] = peer
        term = http.headers.get(IN_TERM, "")
        return int(hops), int(term) if term.isdecimal() else 0

    async def _forward(self, http: web.Request, handler: Handler, hops: int, term: int) -> web.StreamResponse:
        until_s = asyncio.get_running_loop().time() + WAITS_S
        while not self._lease.serves:
            if self._lease.server is not None and self._lease.term >= term and hops < MOST_HOPS:
                try:
                    return await self._passed_on(http, self._url_of(self._lease.server), hops)
                except CANNOT_CONNECT:
                    pass  # nothing was sent
            if asyncio.get_running_loop().time() > until_s:
                raise ProtocolError("no gateway serves at present", 503, retry_after_s=1)
            await self._lease.change(LOOKED_AGAIN_AFTER_S)
        return await handler(http)

    async def _passed_on(self, http: web.Request, url: str, hops: int) -> web.StreamResponse:
        """The answer of the gateway at `url`. Raises aiohttp's errors of connecting; nothing was sent then."""
        headers = _end_to_end(http.headers, hdrs.HOST, hdrs.EXPECT, FORWARDED, IN_TERM, REQUEST_ID, CONTROL_HEADER)
        headers[FORWARDED], headers[IN_TERM] = f"{hops + 1} {peer_of(http)}", str(self._lease.term)
        headers[REQUEST_ID] = http[ID]
        headers[CONTROL_HEADER] = self._tokens.read()[0]
        body = http.content if http.body_exists else None
        target, response = URL(url + http.raw_path, encoded=True), web.StreamResponse()
        http[ADMITTED] = True  # if it is refused, it is there
        try:
            asking = self._session.request(http.method, target, headers=headers, data=body, allow_redirects=False)
            async with await _unless_gone(http, asking) as answer:
                response = web.StreamResponse(
                    status=answer.status, reason=answer.reason, headers=_end_to_end(answer.headers, hdrs.DATE)
                )
                await response.prepare(http)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                await response.write_eof()
                return response
        except (*CANNOT_CONNECT, _GoneError):
            raise
        except (aiohttp.ClientError, OSError) as error:
            log.warning("a request that was passed on is lost", extra={"problem": f"{url}: {error}", **about(http)})
            if response.prepared:
                raise ConnectionResetError from None  # its client has a part of the answer
            raise ProtocolError("the gateway that had the request is gone", 502) from None


class _GoneError(ConnectionResetError):
    """The client of a request that was passed on has gone."""


async def _unless_gone(http: web.Request, asking: Awaitable[aiohttp.ClientResponse]) -> aiohttp.ClientResponse:
    """The answer, when it begins. Raises _GoneError once the client has gone; the other gateway, whose
    connection is closed then, drops the request."""
    task = asyncio.ensure_future(asking)
    try:
        while not task.done():
            await asyncio.wait((task,), timeout=GONE_SEEN_EVERY_S)
            if not task.done() and is_gone(http):
                raise _GoneError
        return task.result()
    finally:
        task.cancel()


def _end_to_end(headers: Mapping[str, str], *without: str) -> CIMultiDict[str]:
    """The headers that concern the message and not one connection, but for some."""
    left_out = OF_CONNECTION | {name.lower() for name in without}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in left_out)
