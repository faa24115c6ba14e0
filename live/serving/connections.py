"""The connections of a port, bounded before their data count as a request.

Each port of live mode listens by `web.listen`, which uses this. Before its request is complete, a connection can make
the server keep one head, for a limited time. With too many connections, the one that has gone longest without a
complete request gives way, first among those that never sent one: an honest client among strangers is served. One
address has no more than half of them: beyond that, one of its own gives way.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from itertools import chain
from socket import SO_ERROR, SOL_SOCKET
from typing import Any, cast

from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler

from ipa.live.logs import OnceASecond
from ipa.live.serving.admission import memory_bytes
from ipa.live.serving.protocol import write_error

MOST_HEAD_BYTES = 16 * 2**10
"""How large the head of a request, its trailers, or the heads of requests that wait behind it, may be."""
MOST_HEADS_BYTES = 16 * 2**20
"""How much the unfinished heads of all connections of a port may have, and those of requests that have not begun."""
PIECE_BYTES = 64 * 2**10
"""How much of a body is read at once."""
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

CROWDED = "too many connections"
TOO_LARGE = f"the headers are too large; allowed: {MOST_HEAD_BYTES} bytes"

log = logging.getLogger("live.connections")


def default_connections() -> int:
    """How many connections a port may have: as memory and the limit of open files allow."""
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(MOST_CONNECTIONS, memory_bytes() // CONNECTION_BYTES)
    return most if files == resource.RLIM_INFINITY else max(2, min(most, files // PORTS))


def peer_at(transport: asyncio.BaseTransport) -> str:
    """The peer for which a connection counts: its IPv4 address, or its IPv6 network of 64 bits."""
    address = ip_address((transport.get_extra_info("peername") or ("::",))[0].partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return f"{address.exploded[:19]}::/64"
    return str(getattr(address, "ipv4_mapped", None) or address)


def peer_of(http: web.BaseRequest) -> str:
    """The peer for which a request counts."""
    return str(getattr(http.protocol, "peer", http.remote))


class Connections:
    """The connections of a port: at most `most`, and half of them of one peer.

    Those that may give way are in order: first those without a complete head yet, then others in the order in which
    their last request ended.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = default_connections() if most is None else most
        self._of_peer = Counter[str]()
        self._strangers: dict[Connection, None] = {}
        self._known: dict[Connection, None] = {}
        self._with_heads: dict[Connection, None] = {}
        self._heads_bytes = 0
        self._warn = OnceASecond(log, CROWDED)

    def admit(self, connection: Connection) -> bool:
        """Admit a connection if there is room, perhaps in place of one that gives way; returns whether it is
        admitted."""
        peer = connection.peer
        waiting: Iterator[Connection] = chain(self._strangers, self._known)
        if has_its_half := 2 * self._of_peer[peer] >= self.most:
            waiting = (each for each in waiting if each.peer == peer)
        if (has_its_half or self._of_peer.total() >= self.most) and not self._gives_way(waiting):
            return False
        self._strangers[connection] = None
        self._of_peer[peer] += 1
        return True

    def _gives_way(self, waiting: Iterator[Connection]) -> bool:
        """Close the first of these connections, which are not inside; returns whether there was one."""
        oldest = next(waiting, None)
        if oldest is not None:
            self._warn(peer=oldest.peer, connections=self.most)
            oldest.refuse(503, CROWDED)
        return oldest is not None

    def note(self, connection: Connection) -> None:
        """A request of a connection has come, has begun, has arrived or has ended."""
        self._forget(connection)
        if not connection.is_inside:
            self._known[connection] = None

    def hold(self, connection: Connection, bytes_more: int) -> None:
        """A connection holds more bytes of heads, or fewer. Beyond the bound, the one that has held some for longest
        gives up its heads."""
        self._heads_bytes += bytes_more
        self._with_heads.setdefault(connection)
        if connection.held_bytes + bytes_more == 0:
            del self._with_heads[connection]
        connection.held_bytes += bytes_more
        while bytes_more > 0 and self._heads_bytes > MOST_HEADS_BYTES:
            next(iter(self._with_heads)).give_up_heads()

    def remove(self, connection: Connection) -> None:
        """A connection that was admitted is closed."""
        self._forget(connection)
        self._of_peer[connection.peer] -= 1
        if not self._of_peer[connection.peer]:
            del self._of_peer[connection.peer]

    def _forget(self, connection: Connection) -> None:
        self._strangers.pop(connection, None)
        self._known.pop(connection, None)


class Resuming(BaseProtocol):
    """Resumes reading only if it is paused; aiohttp does so after every body, and runs its parser for nothing."""

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:
            super().resume_reading(resume_parser)


class Connection(Resuming, RequestHandler):
    """One connection: aiohttp's, with a bound on what arrives before a request has begun."""

    def __init__(self, connections: Connections, server: web.Server, **options: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self.peer = ""
        self.held_bytes = 0
        """The bytes of heads, unfinished ones and those of requests that have not begun."""
        self.is_left = False
        """Whether its client has closed its side, or is gone."""
        self._connections = connections
        self._handle, self._request_handler = self._request_handler, self._begin
        self._begun: web.BaseRequest | None = None
        self._is_admitted = self._is_lost = self._is_last = self._is_asked = False
        self._requests = 0
        self._head_bytes = 0  # of the unfinished head
        self._payload: StreamReader = EMPTY_PAYLOAD
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    @property
    def is_served(self) -> bool:
        """Whether it has sent a complete request, and waits for the answer."""
        return self._requests > 0 and self._payload.is_eof()

    @property
    def is_inside(self) -> bool:
        """Whether a request of it has begun and has arrived."""
        return self._begun is not None and self._begun.content.is_eof()

    # ---- the connection ----

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
        if self._is_admitted:
            self._note_head(0)
            self._connections.hold(self, -self.held_bytes)
            self._is_admitted = False
            self._connections.remove(self)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio asks whether to keep the connection
        """A client that closes its side after a complete request gets the answer; any other connection ends."""
        self.is_left = True
        self._is_last = self.is_served
        return self.is_served

    def is_gone(self) -> bool:
        """Whether its client is gone, while that waits for an answer.

        One that has closed its side may still wait, or be gone: both look the same. So it is sent a word (100 Continue,
        which clients skip), to which the client's system answers if nobody is there.
        """
        if self.transport is None or not self.is_left:
            return self.transport is None
        if not self._is_asked and self._begun is not None and self._begun.version >= HttpVersion11:
            self._is_asked = True
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif self.transport.get_extra_info("socket").getsockopt(SOL_SOCKET, SO_ERROR):
            self.transport.abort()
            return True
        return False

    def refuse(self, status: int, why: str) -> None:
        """Close the connection, after its answers if it has a request inside; it is told why if it has none."""
        if self.is_inside:
            self._is_last = True
            self._note_head(0)
            return
        if self.transport is not None and self._begun is None and self.held_bytes:
            reason, body = HTTPStatus(status).phrase, write_error(why)
            head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            self.transport.write(head.encode() + body)
        self._leave()
        self.force_close()

    def give_up_heads(self) -> None:
        """Give up all requests that have not begun."""
        self._requests -= len(self._messages)
        self._messages.clear()
        self.refuse(503, CROWDED)
        self._note_heads()

    # ---- reading ----

    @property
    def next_bytes(self) -> int:
        """How much to read at once: what a head may have or, of a body whose request has begun, a piece."""
        if self._begun is None or self._begun.content.is_eof():
            return MOST_HEAD_BYTES
        left_bytes = (self._begun.content_length or 0) - self._begun.content.total_bytes
        return max(MOST_HEAD_BYTES, min(PIECE_BYTES, left_bytes))

    def data_received(self, data: bytes) -> None:
        if not self._is_admitted or self._close or self._is_last:
            return
        heads, body, body_bytes = self._request_count, self._payload, self._payload.total_bytes
        is_of_body = not body.is_eof()
        come_bytes = self._head_bytes + len(data)
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
        self._note_head(0)

    @property
    def _waiting_bytes(self) -> int:
        """The bytes of heads that wait for a handler."""
        return sum(_size(message) for message, _ in self._messages if isinstance(message, RawRequestMessage))

    def _note_head(self, size: int) -> None:
        """Set the bytes of an unfinished head that have arrived."""
        self._head_bytes = size
        if self._timer is not None and not size:
            self._timer.cancel()
            self._timer = None
        elif self._timer is None and size:
            self._timer = self._loop.call_later(HEAD_S, self.refuse, 408, f"the headers took more than {HEAD_S:g} s")
        self._note_heads()

    def _note_heads(self) -> None:
        """Set the bytes of heads that are held; that of the next request counts once it has to wait."""
        waits = self._begun is not None or len(self._messages) > 1
        size = self._head_bytes + (self._waiting_bytes if waits and self._messages else 0)
        if size != self.held_bytes and self._is_admitted:
            self._connections.hold(self, size - self.held_bytes)  # may close this very connection

    # ---- requests and answers ----

    async def _begin(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.transport is None or self._handle is None:
            raise ConnectionResetError("its client is gone, or had to give way")
        self._begun = request
        self._note_heads()
        self._connections.note(self)
        return await self._handle(request)

    async def finish_response(self, request: Any, response: Any, *given: Any) -> Any:
        try:
            return await super().finish_response(request, response, *given)
        finally:
            self._is_read()
            self._begun = None
            self._requests -= 1
            if self._is_admitted:
                self._connections.note(self)
            self._close = self._close or (self._is_last and not self._requests)

    def pause_writing(self) -> None:
        """The system takes no more of an answer: limit the time until all of it has been handed over."""
        super().pause_writing()
        if self._unread is None and self.transport is not None:
            self._unread = self._loop.call_later(WRITE_S, self.transport.abort)

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class Reader(asyncio.BufferedProtocol):
    """Reads for a connection no more at once than it is to get; its transport would read 256 KiB of anything."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get_buffer(self, _: int) -> memoryview:
        return _PIECE[: self._connection.next_bytes]

    def buffer_updated(self, count: int) -> None:
        self._connection.data_received(bytes(_PIECE[:count]))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connection.connection_made(transport)

    def connection_lost(self, error: BaseException | None) -> None:
        self._connection.connection_lost(error)

    def eof_received(self) -> bool:
        return self._connection.eof_received()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()


_PIECE = memoryview(bytearray(PIECE_BYTES))
"""Where pieces are read, each of which is copied from there at once."""


async def _too_large(_: web.BaseRequest) -> web.StreamResponse:
    response = web.Response(status=431, body=write_error(TOO_LARGE))
    response.force_close()
    return response


def _size(head: RawRequestMessage) -> int:
    return len(head.path) + sum(map(len, chain.from_iterable(head.raw_headers)))


def head_bytes(http: web.BaseRequest) -> int:
    """How large the head of a request is."""
    return _size(http._message)


def is_left(http: web.BaseRequest) -> bool:
    """Whether its client has closed its side, or is gone."""
    return bool(getattr(http.protocol, "is_left", False))


def is_gone(http: web.BaseRequest) -> bool:
    """Whether its client is gone, while that waits for an answer."""
    return isinstance(http.protocol, Connection) and http.protocol.is_gone()
