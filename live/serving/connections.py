"""The connections of a port, bounded before their data count as a request.

Each port of live mode listens by `web.listen`, which uses this. Before its request is complete, a connection can make
the server keep one head, for a limited time. With too many connections, the one that has gone longest without a
complete request gives way, first among those that never sent one: an honest client among strangers is served.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from http import HTTPStatus
from itertools import chain
from typing import Any, cast

from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

from ipa.live.logs import OnceASecond
from ipa.live.serving.admission import memory_bytes
from ipa.live.serving.peers import Holdings, peer_at
from ipa.live.serving.protocol import write_error

MOST_HEAD_BYTES = 16 * 2**10
"""How large the head of a request, its trailers, or the heads of requests that wait behind it, may be."""
MOST_HEADS_BYTES = 16 * 2**20
"""How much of unfinished heads all connections of a port may have sent."""
HEAD_S = 10.0
"""How long a head may take from its first byte, and trailers."""
WRITE_S = 30.0
"""How long a client may take to receive its answer, from when more of it waits than the system takes."""
MOST_CONNECTIONS = 16_384
"""How many connections a port may have, however much memory there is."""
CONNECTION_BYTES = 32 * 2**10
"""The memory reckoned for each connection; an idle one takes 5 kB."""
PORTS = 3
"""The open files reckoned for each connection of a port: the process has two ports, and calls others."""

TOO_LARGE = f"the headers are too large; allowed: {MOST_HEAD_BYTES} bytes"

log = logging.getLogger("live.connections")


def default_connections() -> int:
    """How many connections a port may have: as memory and the limit of open files allow."""
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(MOST_CONNECTIONS, memory_bytes() // CONNECTION_BYTES)
    return most if files == resource.RLIM_INFINITY else max(2, min(most, files // PORTS))


class _Peer:
    """One peer's connections that may give way: those without a complete head yet, and others in the order in which
    their last request ended. Those that are served are in neither."""

    def __init__(self) -> None:
        self.strangers: dict[Connection, None] = {}
        self.known: dict[Connection, None] = {}

    def remove(self, connection: Connection) -> None:
        self.strangers.pop(connection, None)
        self.known.pop(connection, None)


class Connections:
    """The connections of a port: at most `most`, and half of them of one peer.

    After their first piece, large bodies are taken in turns: a piece in each pass of the event loop, of one peer after
    the other. So what they take of a pass does not grow with their number.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = default_connections() if most is None else most
        self._peers: dict[str, _Peer] = {}
        self._numbers = Holdings()
        self._turns: dict[str, deque[Callable[[], object]]] = {}
        self._count = 0
        self._heads_bytes = 0
        self._warn = OnceASecond(log, "too many connections")

    def admit(self, connection: Connection) -> bool:
        """Admit a connection if there is room, perhaps in place of one that gives way; returns whether it is
        admitted."""
        peer = connection.peer
        if 2 * self._numbers[peer] >= self.most:
            is_room = self._gives_way((peer,))
        else:
            is_room = self._count < self.most or self._gives_way(self._numbers.largest_first())
        if is_room:
            self._peers.setdefault(peer, _Peer()).strangers[connection] = None
            self._numbers.add(peer, 1)
            self._count += 1
        return is_room

    def _gives_way(self, peers: Iterable[str], head_bytes: int = 0) -> bool:
        """Close a connection with at least `head_bytes` of a head, of the first of these peers that has one; returns
        whether one gave way."""
        owners = (self._peers[peer] for peer in peers)
        candidates = chain.from_iterable(chain(owner.strangers, owner.known) for owner in owners)
        found = next((each for each in candidates if each.head_bytes >= head_bytes), None)
        if found is not None:
            self._warn(peer=found.peer, connections=self._count)
            found.refuse(503, "too many connections")
        return found is not None

    def note(self, connection: Connection) -> None:
        """A request of a connection has begun, has arrived or has ended."""
        peer = self._peers[connection.peer]
        peer.remove(connection)
        if not connection.is_served:
            peer.known[connection] = None

    def hold(self, bytes_more: int) -> None:
        """Count more bytes of unfinished heads, or fewer."""
        self._heads_bytes += bytes_more
        while bytes_more > 0 and self._heads_bytes > MOST_HEADS_BYTES:
            if not self._gives_way(self._numbers.largest_first(), 1):
                return

    def in_turn(self, peer: str, take: Callable[[], object]) -> None:
        """Have a piece of a peer's bodies taken in its turn."""
        if not self._turns:
            asyncio.get_running_loop().call_soon(self._take_next)
        self._turns.setdefault(peer, deque()).append(take)

    def _take_next(self) -> None:
        peer = next(iter(self._turns))
        waiting = self._turns.pop(peer)
        take = waiting.popleft()
        if waiting:
            self._turns[peer] = waiting  # behind the other peers
        if self._turns:
            asyncio.get_running_loop().call_soon(self._take_next)
        take()

    def remove(self, connection: Connection) -> None:
        """A connection that was admitted is closed."""
        self._peers[connection.peer].remove(connection)
        self._numbers.add(connection.peer, -1)
        self._count -= 1
        if not self._numbers[connection.peer]:
            del self._peers[connection.peer]


class Resuming(BaseProtocol):
    """Resumes reading only if it is paused; aiohttp does so after every body, and runs its parser for nothing."""

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:
            super().resume_reading(resume_parser)


class Connection(Resuming, RequestHandler):
    """One connection: aiohttp's, with a bound on what arrives before a request is complete."""

    def __init__(self, connections: Connections, server: web.Server, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self.peer = ""
        self.head_bytes = 0
        self.is_left = False
        """Whether its client has closed its side, or is gone."""
        self._connections = connections
        self._is_admitted = self._is_lost = self._is_last = False
        self._waits_for_turn = False
        self._requests = 0
        self._payload: StreamReader = EMPTY_PAYLOAD
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    @property
    def is_served(self) -> bool:
        """Whether it has sent a complete request, and waits for the answer."""
        return self._requests > 0 and self._payload.is_eof()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.peer = peer_at(transport)
        self._is_admitted = self._connections.admit(self)
        if self._is_admitted:
            super().connection_made(transport)
        else:
            cast(asyncio.Transport, transport).abort()

    async def start(self) -> None:
        transport = cast(asyncio.Transport, self.transport)
        try:
            await super().start()
        finally:  # it is closing; what is left of the last answer may still be on its way
            self._unread = None if self._is_lost else self._loop.call_later(WRITE_S, transport.abort)

    def connection_lost(self, error: BaseException | None) -> None:
        self.is_left = self._is_lost = True
        self._is_read()
        self._leave()
        super().connection_lost(error)

    def _leave(self) -> None:
        self._note_head(0)
        if self._is_admitted:
            self._is_admitted = False
            self._connections.remove(self)

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused and not self._waits_for_turn:
            self._waits_for_turn = True
            self._connections.in_turn(self.peer, self._resume)

    def _resume(self) -> None:
        self._waits_for_turn = False
        if self.transport is not None:
            super().resume_reading()

    async def turn(self) -> None:
        """Wait for the turn of a piece that has arrived."""
        come = asyncio.Event()
        self._connections.in_turn(self.peer, come.set)
        await come.wait()

    def data_received(self, data: bytes) -> None:
        if not self._is_admitted or self._close or self._is_last:
            return
        heads, body, body_bytes = self._request_count, self._payload, self._payload.total_bytes
        is_of_body = not body.is_eof()
        come_bytes = self.head_bytes + len(data)
        super().data_received(data)
        if self._request_count > heads:
            self._requests += self._request_count - heads
            self._payload = self._messages[-1][1]
            self._connections.note(self)
            if (come_bytes > MOST_HEAD_BYTES or len(self._messages) > 1) and self._waiting_bytes > MOST_HEAD_BYTES:
                self._request_handler = _too_large
                self._close = True
                self._lingering_time = 0.0
        elif data and body.total_bytes == body_bytes and not (is_of_body and body.is_eof()):
            self._note_head(come_bytes)
            if come_bytes > MOST_HEAD_BYTES:
                self.refuse(431, TOO_LARGE)
            return
        elif is_of_body and body.is_eof():
            self._connections.note(self)
        if self.head_bytes:
            self._note_head(0)

    @property
    def _waiting_bytes(self) -> int:
        """The bytes of heads that wait for a handler."""
        heads = [message for message, _ in self._messages if isinstance(message, RawRequestMessage)]
        return sum(len(head.path) + sum(map(len, chain.from_iterable(head.raw_headers))) for head in heads)

    def _note_head(self, size: int) -> None:
        """Set the bytes of an unfinished head that have arrived."""
        bytes_more, self.head_bytes = size - self.head_bytes, size
        if self._timer is not None and not size:
            self._timer.cancel()
            self._timer = None
        elif self._timer is None and size:
            self._timer = self._loop.call_later(HEAD_S, self.refuse, 408, f"the headers took more than {HEAD_S:g} s")
        self._connections.hold(bytes_more)  # may refuse this very connection

    def refuse(self, status: int, why: str) -> None:
        """Close the connection, after its answers if it is being served; it is told why if it has no request inside."""
        if self.is_served:
            self._is_last = True
            self._note_head(0)
            return
        if self.transport is not None and not self._requests and self.head_bytes:
            reason, body = HTTPStatus(status).phrase, write_error(why)
            head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            self.transport.write(head.encode() + body)
        self._leave()
        self.force_close()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks whether to keep the connection
        """A client that closes its side after a complete request gets the answer; any other connection ends."""
        self.is_left = True
        self._is_last = self.is_served
        return self.is_served

    def pause_writing(self) -> None:
        """The system takes no more of an answer: limit the time until all of it has been handed over."""
        super().pause_writing()
        if self._unread is None and self.transport is not None:
            self._unread = self._loop.call_later(WRITE_S, self.transport.abort)

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    async def finish_response(self, request: Any, response: Any, *given: Any) -> Any:
        try:
            return await super().finish_response(request, response, *given)
        finally:
            self._is_read()
            self._requests -= 1
            if self._is_admitted:
                self._connections.note(self)
            self._close = self._close or (self._is_last and not self._requests)


async def _too_large(_: web.BaseRequest) -> web.StreamResponse:
    response = web.Response(status=431, body=write_error(TOO_LARGE))
    response.force_close()
    return response


def is_left(http: web.BaseRequest) -> bool:
    """Whether its client has closed its side, or is gone."""
    return bool(getattr(http.protocol, "is_left", False))
