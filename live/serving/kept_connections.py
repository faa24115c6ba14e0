"""Connections to model servers that are kept: a batch is one POST on one of them.

The messages are read by aiohttp's own protocol. Its `ClientSession` would take some 100 us of processor time for each
request, ten times what is needed here, where there are no redirects, cookies, proxies or compressed answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from urllib.parse import quote, urlsplit

from aiohttp import StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage

from ipa.errors import Error
from ipa.live.serving.connections import Resuming

CONNECT_S = 2.0
"""A connection that hangs for longer, as to a node that is lost, counts as one that is refused."""
KEPT_S = 60.0
"""How long a connection may be idle: less than model servers keep it."""
TOGETHER_BYTES = 64 * 2**10
"""A body of up to this size is copied behind its head, to be sent at once."""

T = TypeVar("T")
Read = Callable[[RawResponseMessage, StreamReader], Awaitable[T]]
"""Reads an answer: the body to its end, or the connection is not used again."""


class _Answers(Resuming, ResponseHandler):
    """The answers on a connection."""


class UnreachableError(Error):
    """A server to which no connection can be made; the text says why."""


class KeptConnections:
    """The connections to all servers, by URL; there are as many as requests at a time."""

    def __init__(self) -> None:
        self._idle: dict[str, list[tuple[float, ResponseHandler]]] = {}
        self._heads: dict[tuple[str, str], str] = {}

    async def post(self, url: str, model: str, data: bytes, headers: Mapping[str, str], read: Read[T]) -> T:
        """Send a request to a model of the server at `url`; returns the answer as `read` makes it. Raises
        UnreachableError, whatever `read` raises, and aiohttp's ClientError or HttpProcessingError for an answer that
        breaks off or is invalid."""
        connection = self._kept(url)
        if connection is None:
            connection = await _connected(url)
        try:
            lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
            head = f"{self._head(url, model)}{lines}Content-Length: {len(data)}\r\n\r\n".encode()
            assert connection.transport is not None
            if len(data) <= TOGETHER_BYTES:
                connection.transport.write(head + data)
            else:
                connection.transport.write(head)
                connection.transport.write(data)
            message, content = await connection.read()
            while 100 <= message.code < 200:  # interim answers
                message, content = await connection.read()
            answer = await read(message, content)
        except BaseException:
            connection.abort()
            raise
        if connection.should_close:
            connection.close()
        else:
            self._idle.setdefault(url, []).append((asyncio.get_running_loop().time(), connection))
        return answer

    def _kept(self, url: str) -> ResponseHandler | None:
        """The usable idle connection that was used last; None if there is none."""
        idle, now_s = self._idle.get(url, []), asyncio.get_running_loop().time()
        while idle:
            since_s, connection = idle.pop()
            if now_s - since_s < KEPT_S and connection.is_connected() and not connection.should_close:
                return connection
            connection.close()
        return None

    def _head(self, url: str, model: str) -> str:
        key = url, model
        if key not in self._heads:
            parts = urlsplit(url)
            path = f"{parts.path}/v2/models/{quote(model, safe='')}/infer"
            self._heads[key] = f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept-Encoding: identity\r\n"
        return self._heads[key]

    def forget(self, urls: set[str]) -> None:
        """Close the idle connections to all servers but these."""
        for url in self._idle.keys() - urls:
            for _, connection in self._idle.pop(url):
                connection.close()
        for key in [key for key in self._heads if key[0] not in urls]:
            del self._heads[key]


async def _connected(url: str) -> ResponseHandler:
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    is_safe = parts.scheme == "https"
    try:
        async with asyncio.timeout(CONNECT_S):
            _, connection = await loop.create_connection(
                lambda: _Answers(loop),
                parts.hostname or "",
                parts.port or (443 if is_safe else 80),
                ssl=is_safe or None,
            )
    except TimeoutError:
        raise UnreachableError(f"no connection to {parts.netloc} within {CONNECT_S:g} s") from None
    except OSError as error:
        raise UnreachableError(f"no connection to {parts.netloc}: {error}") from None
    connection.set_response_params(auto_decompress=False, read_until_eof=True)
    return connection
