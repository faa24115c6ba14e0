"""Peers: the addresses from which clients come; which of them has most here, and whose turn it is."""

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


class QueueTurns:
    """The turns of the peers of a queue, numbered: what is in it is in the order of its turns, and in each of them in
    that of its arrival. So one peer's queue is first in, first out, and of several each has a turn before any has
    another."""

    def __init__(self) -> None:
        self._latest: dict[str, tuple[int, int]] = {}  # by peer: its latest turn, and how many requests it has in that
        self._most = 0

    def next(self, peer: str, first: int | None, size: int) -> int:
        """The turn of a peer's next request, at least the `first` that is waited for (None: nobody waits). `size`
        requests of a peer have one turn."""
        if first is None:
            self._latest.clear()
            first = 0
        elif len(self._latest) > self._most:
            self._latest = {each: latest for each, latest in self._latest.items() if latest[0] >= first}
            self._most = 2 * len(self._latest) + 16
        turn, count = self._latest.get(peer, (first, 0))
        if turn < first:
            turn, count = first, 0
        elif count >= size:
            turn, count = turn + 1, 0
        self._latest[peer] = turn, count + 1
        return turn
