"""Peers: the addresses from which clients come, and which of them has most here."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address

from aiohttp import web


def peer_of(http: web.BaseRequest) -> str:
    """The peer for which a request counts."""
    return str(getattr(http.protocol, "peer", http.remote))


def peer_at(transport: asyncio.BaseTransport) -> str:
    """The peer for which a connection counts: its IPv4 address, or its IPv6 network of 64 bits."""
    address = ip_address((transport.get_extra_info("peername") or ("::",))[0].partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return f"{address.exploded[:19]}::/64"
    return str(getattr(address, "ipv4_mapped", None) or address)


class Holdings:
    """How much each peer has of something that is counted, always in order: who has most is known without a look at all
    of them."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._ordered: list[tuple[int, str]] = []

    def __getitem__(self, peer: str) -> int:
        return self._sizes.get(peer, 0)

    def add(self, peer: str, more: int) -> None:
        """A peer has more, or less; one that has nothing left is forgotten."""
        if size := self._sizes.pop(peer, 0):
            del self._ordered[bisect_left(self._ordered, (size, peer))]
        if size := size + more:
            self._sizes[peer] = size
            insort(self._ordered, (size, peer))

    def largest_first(self) -> Iterator[str]:
        """The peers that have something, to be read before anything changes."""
        return (peer for _, peer in reversed(self._ordered))
