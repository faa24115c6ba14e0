"""Who may use the ports of a gateway: the control port asks for its token, the data port for one if it has any.

A token that is asked for keeps out web pages too, since a browser cannot add it to a request. What needs no token is
kept from them by `Host`: a page that has rebound its own name to our address (DNS rebinding) still sends that name.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from ipa.live.errors import LiveError
from ipa.live.plane import ACCEPTS_PATH
from ipa.live.serving.web import error_response
from ipa.live.tokens import CONTROL_HEADER, TokenFile

HEALTH = frozenset({"/v2/health/live", "/v2/health/ready"})
"""What probes ask, without a token; the data port's also `ACCEPTS_PATH`."""
OPEN = HEALTH | {"/metrics"}
"""What the control port answers without a token: it tells nobody's data, and Prometheus has to read it."""
ITSELF = frozenset({"127.0.0.1", "::1"})
"""The addresses from which this machine, or pod, calls itself. A service mesh delivers from others, as 127.0.0.6."""

Network = IPv4Network | IPv6Network

log = logging.getLogger("live.gateway")


def control_guard(tokens: TokenFile, names: Collection[str] = ()) -> Middleware:
    """Lets through to the control port what has the token; without one, what is open, for addresses and `names`."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if hdrs.ORIGIN in request.headers:
            return error_response("requests of web pages, which have an Origin, are refused", 403)
        refusal = _refusal(tokens, request, "of the control port")
        if refusal is None:
            return await handler(request)
        if _route(request) not in OPEN:
            return refusal
        host = request.headers.get(hdrs.HOST)
        if not (host is None or is_own_host(host, names)):
            return error_response(
                f"Host {host!r}; allowed: an address, localhost{''.join(f', {n}' for n in names)}", 403
            )
        return await handler(request)

    return guard


def data_guard(tokens: TokenFile) -> Middleware:
    """Lets through to the data port what has a token; probes need none."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = None if _route(request) in {*HEALTH, ACCEPTS_PATH} else _refusal(tokens, request, "for clients")
        return await handler(request) if refusal is None else refusal

    return guard


def is_own_host(host: str, names: Collection[str]) -> bool:
    """Whether a Host header names an address, localhost or one of the names: no page can have rebound those."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or name in names or _address(name) is not None


def is_itself(address: str | None) -> bool:
    """Whether a peer's address is this machine's, or pod's, own: IPv4, IPv6, or IPv4 mapped into IPv6."""
    found = _address(address or "")
    return found is not None and str(getattr(found, "ipv4_mapped", None) or found) in ITSELF


def is_among(host: str, networks: Iterable[Network]) -> bool:
    """Whether a host is an address in one of the networks. Loopback has to be meant by a network of its own.

    Link-local addresses, among them the clouds' metadata services, and multicast never are.
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
