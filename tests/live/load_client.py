"""A lean HTTP client for load: connections that are kept, requests encoded once, answers only counted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast


@dataclass
class Answers:
    """What came back: statuses, and the seconds from sending to the whole answer, in order of answers."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    duration_s: float = 0.0


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._need = 0
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._need:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            self._need = end + 4 + int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        if len(self._buffer) >= self._need:
            status = int(self._buffer[9:12])
            del self._buffer[: self._need]
            self._need = 0
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("closed"))

    async def send(self, message: bytes) -> int:
        """The status of the answer to one encoded request."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        return await self._answer

    def close(self) -> None:
        assert self._transport is not None
        self._transport.close()


def encoded(path: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """A POST as bytes on the wire."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def connect(url: str) -> Connection:
    """A new connection to the server of a URL."""
    host, port = url.removeprefix("http://").split(":")
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, int(port))
    return connection


async def closed_loop(url: str, message: bytes, clients: int, duration_s: float) -> Answers:
    """So many clients, each sending its next request when the last one has been answered."""
    answers, start_s = Answers(), time.perf_counter()
    connections = [await connect(url) for _ in range(clients)]

    async def one(connection: Connection) -> None:
        while (sent_s := time.perf_counter()) < start_s + duration_s:
            answers.statuses[await connection.send(message)] += 1
            answers.latencies_s.append(time.perf_counter() - sent_s)
        connection.close()

    await asyncio.gather(*map(one, connections))
    answers.duration_s = time.perf_counter() - start_s
    return answers


async def open_loop(url: str, message: bytes, moments_s: Sequence[float]) -> Answers:
    """Requests sent at given moments, whatever the answers."""
    answers, start_s = Answers(), time.perf_counter() + 0.05
    free: list[Connection] = [await connect(url) for _ in range(16)]

    async def one() -> None:
        connection = free.pop() if free else await connect(url)
        sent_s = time.perf_counter()
        answers.statuses[await connection.send(message)] += 1
        answers.latencies_s.append(time.perf_counter() - sent_s)
        free.append(connection)

    tasks = []
    for moment_s in moments_s:
        wait_s = start_s + moment_s - time.perf_counter()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        tasks.append(asyncio.create_task(one()))
    await asyncio.gather(*tasks)
    answers.duration_s = time.perf_counter() - start_s
    for connection in free:
        connection.close()
    return answers
