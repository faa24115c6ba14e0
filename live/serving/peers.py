"""Peers: the addresses from which clients come; which of them has most here, and whose turn it is."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv6Address, ip_address

from aiohttp import web

PEER = web.RequestKey("peer", str)
"""The key of a request that another gateway has passed on, for the peer from which it came first."""


def peer_of(http: web.BaseRequest) -> str:
    """The peer for which a request counts."""
    return http.get(PEER) or str(getattr(http.protocol, "peer", http.remote))


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

    def add(self, peer: str, change: int) -> None:
        """A peer has more, or less; one that has nothing left is forgotten."""
        if size := self._sizes.pop(peer, 0):
            del self._ordered[bisect_left(self._ordered, (size, peer))]
        if size := size + change:
            self._sizes[peer] = size
            insort(self._ordered, (size, peer))

    def largest_first(self) -> Iterator[str]:
        """The peers that have something, to be read before anything changes."""
        return (peer for _, peer in reversed(self._ordered))


Line = tuple[str, str]
"""A peer, and the kind of its work."""

OF_A_PASS = {"request": 0.25, "body": 1.0, "json": 1.0}
"""By kind, what a piece of work takes of a pass of the event loop: a request that begins, a piece of a body, a step of
large JSON."""


class Turns:
    """Whose work is done next, in one event loop: in each pass a piece or a few, of one peer after the other.

    Each kind of work has a line of its own. So what others take of a pass does not grow with their number, nor with
    what they send.
    """

    def __init__(self) -> None:
        self._waiting: dict[Line, deque[Callable[[], object]]] = {}
        self._done = 0.0  # of this pass

    @property
    def are_taken(self) -> bool:
        """Whether more work has to wait."""
        return self._done >= 1.0 or bool(self._waiting)

    def take(self, line: Line, work: Callable[[], object]) -> None:
        """Have a piece of work done in the turn of its line: now, if this pass has room for it."""
        if self.are_taken:
            self._waiting.setdefault(line, deque()).append(work)
            return
        if not self._done:
            asyncio.get_running_loop().call_soon(self._next)
        self._done += OF_A_PASS[line[1]]
        work()

    async def come(self, line: Line) -> None:
        """Wait for the turn of a line."""
        if self.are_taken:
            come = asyncio.get_running_loop().create_future()
            self.take(line, partial(_set, come))
            await come
        else:
            self.take(line, bool)

    def _next(self) -> None:
        self._done = 0.0
        while self._waiting and self._done < 1.0:
            line = next(iter(self._waiting))
            if waiting := self._waiting.pop(line):
                if not self._done:
                    asyncio.get_running_loop().call_soon(self._next)
                self._done += OF_A_PASS[line[1]]
                work = waiting.popleft()
                self._waiting[line] = waiting  # behind the others; if nothing more of it waits, something may soon
                work()


def _set(come: asyncio.Future[None]) -> None:
    if not come.done():
        come.set_result(None)


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
            self._latest = {name: latest for name, latest in self._latest.items() if latest[0] >= first}
            self._most = 2 * len(self._latest) + 16
        turn, count = self._latest.get(peer, (first, 0))
        if turn < first:
            turn, count = first, 0
        elif count >= size:
            turn, count = turn + 1, 0
        self._latest[peer] = turn, count + 1
        return turn
