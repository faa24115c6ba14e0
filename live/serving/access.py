"""Access to the ports of a gateway: the control port demands its token, the data port one of its tokens if it has any.

A demanded token keeps out web pages too, since a browser cannot add it to a request. Where none is demanded, `Host`
keeps them out: a page that has rebound its own name to our address (DNS rebinding) still sends that name.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Collection, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from socket import socket

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from ipa.live.errors import LiveError
from ipa.live.plane import ACCEPTS_PATH
from ipa.live.serving.connections import peer_of
from ipa.live.serving.web import error_response
from ipa.live.tokens import CONTROL_HEADER, TokenFile

HEALTH = frozenset({"/v2/health/live", "/v2/health/ready"})
"""The paths of probes, which need no token; on the data port also `ACCEPTS_PATH`."""
OPEN = HEALTH | {"/metrics"}
"""The paths of the control port that need no token: they reveal no client's data, and Prometheus has to read them."""
ITSELF = frozenset({"127.0.0.1", "::1"})
"""The addresses from which this machine, or pod, calls itself. A service mesh delivers from others, as 127.0.0.6."""

FREE_OF_DELAY = 10
DELAY_S = 1.0
MOST_SLOWED = 64
"""After FREE_OF_DELAY requests without a valid token within a minute, a peer's further ones are answered after DELAY_S;
at most MOST_SLOWED wait at a time."""

Network = IPv4Network | IPv6Network

log = logging.getLogger("live.gateway")


class _Slowed:
    """Slows down requests without a valid token if a peer sends many, so that nobody can try out tokens."""

    def __init__(self) -> None:
        self._of_peer: Counter[str] = Counter()
        self._forgotten_s = 0.0
        self._slowed = 0

    async def answer(self, request: web.Request, refusal: web.Response) -> web.Response:
        """The refusal, after a while where the peer has sent many."""
        if (now_s := time.monotonic()) > self._forgotten_s:
            self._of_peer.clear()
            self._forgotten_s = now_s + 60.0
        peer = peer_of(request)
        self._of_peer[peer] += 1
        if self._of_peer[peer] > FREE_OF_DELAY:
            if self._slowed >= MOST_SLOWED:
                refusal = error_response("too many requests without a right token", 429)
                refusal.force_close()
                return refusal
            self._slowed += 1
            try:
                await asyncio.sleep(DELAY_S)
            finally:
                self._slowed -= 1
        return refusal


def control_guard(tokens: TokenFile, names: Collection[str] = ()) -> Middleware:
    """Lets requests with the token through to the control port; without it, only to open paths, under an address or one
    of `names`."""
    wrong = _Slowed()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if hdrs.ORIGIN in request.headers:
            return error_response("requests of web pages, which have an Origin, are refused", 403)
        refusal = _refusal(tokens, request, "of the control port")
        if refusal is None:
            return await handler(request)
        if _route(request) not in OPEN:
            return await wrong.answer(request, refusal)
        return _foreign_host(request, tuple(names)) or await handler(request)

    return guard


def data_guard(
    tokens: TokenFile | None = None, names: Collection[str] | None = (), origins: Collection[str] = ()
) -> Middleware:
    """Lets requests with a token through to the data port; if none is demanded, those sent to an address or one of
    `names` (None: to any). Probes need neither. Web pages are let through from `origins`."""
    wrong, open_paths = _Slowed(), {*HEALTH, ACCEPTS_PATH}
    ours = None if names is None else tuple(names)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and origin not in origins:
            return error_response(f"Origin {origin!r}: web pages are refused unless --data-origin names theirs", 403)
        if _route(request) not in open_paths:
            refusal = None if tokens is None else _refusal(tokens, request, "for clients")
            if refusal is not None:
                return await wrong.answer(request, refusal)
            if tokens is None and ours is not None and (refusal := _foreign_host(request, ours)):
                return refusal
        return await handler(request)

    return guard


def _foreign_host(request: web.Request, names: tuple[str, ...]) -> web.Response | None:
    """The refusal of a request for a host that is not ours; None if it is."""
    host = request.headers.get(hdrs.HOST)
    if host is None or is_own_host(host, names):
        return None
    return error_response(f"Host {host!r}; allowed: an address, localhost{''.join(f', {n}' for n in names)}", 403)


@lru_cache(maxsize=256)
def is_own_host(host: str, names: tuple[str, ...]) -> bool:
    """Whether a Host header names an address, localhost or one of the names: no page can have rebound those."""
    found = _HOST.fullmatch(host.lower())
    if found is None:
        return False
    name = found["v6"] or found["name"]
    return name == "localhost" or name in map(str.lower, names) or _address(name) is not None


_HOST = re.compile(r"(\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(:[0-9]{0,5})?")


def is_itself(address: str | None) -> bool:
    """Whether a peer's address is this machine's, or pod's, own: IPv4, IPv6, or IPv4 mapped into IPv6."""
    found = _address(address or "")
    return found is not None and str(getattr(found, "ipv4_mapped", None) or found) in ITSELF


def is_loopback(port: socket) -> bool:
    """Whether a port listens on loopback alone, where its only name is `localhost`."""
    found = _address(port.getsockname()[0])
    return found is not None and found.is_loopback


def is_among(host: str, networks: Iterable[Network]) -> bool:
    """Whether a host is an address in one of the networks. Loopback addresses need a loopback network.

    Link-local addresses, among them the clouds' metadata services, and multicast addresses never are.
    """
    address = _address(host)
    if address is None or address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if getattr(address, "ipv4_mapped", None) is not None:
        return False
    return any(address in network and address.is_loopback <= network.is_loopback for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return "" if resource is None else resource.canonical


def _refusal(tokens: TokenFile, request: web.Request, which: str) -> web.Response | None:
    """The answer to a request without a token; None if it has one."""
    try:
        if any(tokens.accepts(each) for each in _offered(request)):
            return None
    except LiveError as error:
        log.error("no token can be checked", extra={"problem": str(error)})
        return error_response("no token can be checked; see the log", 503)
    refused = error_response(f"needs the token {which}: Authorization: Bearer TOKEN", 401)
    refused.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return refused


def _offered(request: web.Request) -> list[str]:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    offered = [token.strip()] if scheme.lower() == "bearer" else []
    return [*offered, *request.headers.getall(CONTROL_HEADER, [])]
