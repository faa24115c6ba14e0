"""A batch goes out on a kept connection, and on another one where that cannot be used again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp
import pytest
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError

from ipa.live.serving import kept_connections
from ipa.live.serving.kept_connections import KeptConnections, UnreachableError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSES = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
OLD = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"
UNBOUNDED = b"HTTP/1.1 200 OK\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"
MORE = OK + OK
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + OK
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"


class Server:
    """Answers the k-th request with the k-th of these bytes; None: closes instead. `requests`: by connection, heads and
    bodies."""

    def __init__(self, answers: Sequence[bytes | None], hangs_up: bool = False) -> None:
        self._answers = iter(answers)
        self._hangs_up = hangs_up
        self.requests: list[list[bytes]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: list[bytes] = []
        self.requests.append(mine)
        while head := await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b"":
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            mine.append(head + await reader.readexactly(length))
            answer = next(self._answers)
            writer.write(answer or b"")
            if answer in (None, UNBOUNDED, LONG) or self._hangs_up:
                break
        writer.close()


async def read(message: RawResponseMessage, content: aiohttp.StreamReader) -> tuple[int, bytes]:
    return message.code, await content.read()


def posted(
    server: Server, count: int = 2, model: str = "m", body: bytes = b"body", pause_s: float = 0.0
) -> list[object]:
    """What comes of so many requests, one after another: status and body, or the error."""

    async def story() -> list[object]:
        connections, found = KeptConnections(), list[object]()
        async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening, asyncio.timeout(20.0):
            url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            for _ in range(count):
                try:
                    found.append(await connections.post(url, model, body, {"X-A": "b"}, read))
                except (aiohttp.ClientError, HttpProcessingError) as error:
                    found.append(type(error).__name__)
                await asyncio.sleep(pause_s)
            connections.forget(set())
        return found

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("answer", "connections"),
    [(OK, 1), (CHUNKED, 1), (INTERIM, 1), (CLOSES, 2), (OLD, 2), (UNBOUNDED, 2), (MORE, 2)],
)
def test_a_connection_is_used_again_where_that_is_allowed(answer: bytes, connections: int) -> None:
    """Two answers to one request leave nobody knowing whose the next one is."""
    server = Server([answer, answer])
    assert posted(server) == [(200, b"ok")] * 2
    assert len(server.requests) == connections
    (head, *_), *_ = server.requests
    assert head.startswith(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: 127.0.0.1:")
    assert head.endswith(b"X-A: b\r\nContent-Length: 4\r\n\r\nbody")


def test_a_connection_that_its_server_has_closed_meanwhile_is_not_used_again() -> None:
    server = Server([OK, OK], hangs_up=True)
    assert posted(server, pause_s=0.1) == [(200, b"ok")] * 2
    assert len(server.requests) == 2


def test_nor_is_one_that_has_been_idle_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_connections, "KEPT_S", 0.0)
    server = Server([OK, OK])
    assert posted(server) == [(200, b"ok")] * 2
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, "ServerDisconnectedError"),
        (LONG, "ClientPayloadError"),
        (b"nonsense\r\n\r\n", "HttpProcessingError"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", "HttpProcessingError"),
    ],
)
def test_an_answer_that_is_none_ends_its_connection(answer: bytes | None, error: str) -> None:
    server = Server([answer, OK])
    assert posted(server) == [error, (200, b"ok")]
    assert len(server.requests) == 2


def test_no_name_of_a_model_adds_to_the_head() -> None:
    server = Server([OK])
    posted(server, 1, model="a b\r\nX: y/é")
    assert server.requests[0][0].startswith(b"POST /v2/models/a%20b%0D%0AX%3A%20y%2F%C3%A9/infer HTTP/1.1\r\nHost: ")


def test_a_large_body_goes_out_whole() -> None:
    server, body = Server([OK]), bytes(range(256)) * 10_000
    assert posted(server, 1, body=body) == [(200, b"ok")]
    assert server.requests[0][0].endswith(body)


def test_a_server_that_is_not_there_is_told_apart() -> None:
    async def story() -> None:
        with pytest.raises(UnreachableError, match=r"no connection to 127.0.0.1:1: "):
            await KeptConnections().post("http://127.0.0.1:1", "m", b"", {}, read)

    asyncio.run(story())
