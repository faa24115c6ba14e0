"""A network between processes of this machine that can be slow or cut: TCP connections go through a relay.

A process that is to be reached at a port listens at another one; the relay listens at the first. `register` asks for
that from another process, in one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import defaultdict
from contextlib import suppress

from ipa.live.plane import LOOPBACK, free_port, release_port

CHUNK_BYTES = 65536


class Link:
    """What all connections of one kind have in common: their delay, and whether anything passes."""

    def __init__(self) -> None:
        self.delays_s: list[float] = []
        self.cuts = 0
        self.writers: set[asyncio.StreamWriter] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._silences = 0

    def silence(self, by: int) -> None:
        """One more (1) or one less (-1) reason why nothing passes, though connections are taken."""
        self._silences += by
        (self._open.clear if self._silences else self._open.set)()

    def cut(self) -> None:
        """Break all connections off, and take no new ones until `cuts` is 0."""
        self.cuts += 1
        for writer in self.writers:
            writer.transport.abort()

    async def passed(self) -> None:
        """Wait as long as something takes to pass."""
        await asyncio.sleep(sum(self.delays_s))
        await self._open.wait()


class Relays:
    """The relays of a run: `links` by name; `behind`: link -> the ports behind it, latest last."""

    def __init__(self) -> None:
        self.links: defaultdict[str, Link] = defaultdict(Link)
        self.behind: defaultdict[str, list[int]] = defaultdict(list)
        self.port = 0
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Take registrations at `port`."""
        server = await asyncio.start_server(self._registered, LOOPBACK, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._servers.append(server)

    async def close(self) -> None:
        """End all relays and their connections."""
        await self.forget()
        for server in self._servers:
            server.close()

    async def forget(self) -> None:
        """End all relays but take registrations: the run that they belonged to is over."""
        for server in self._servers[1:]:
            server.close()
        del self._servers[1:]
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.behind.clear()

    async def _registered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = json.loads(await reader.readline())
        link = self.links[asked["link"]]

        async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._relay(link, asked["to"], reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._servers.append(await asyncio.start_server(taken, LOOPBACK, asked["at"], backlog=1024))
        self.behind[asked["link"]].append(asked["to"])
        writer.write(b"\n")
        writer.close()

    async def _relay(self, link: Link, to: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link.writers.add(writer)
        try:
            if link.cuts:
                return
            onward_reader, onward = await asyncio.open_connection(LOOPBACK, to)
            try:
                ways = [_pass(link, reader, onward), _pass(link, onward_reader, writer)]
                passing = [asyncio.create_task(way) for way in ways]
                try:
                    await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for each in passing:
                        each.cancel()
                    await asyncio.gather(*passing, return_exceptions=True)
            finally:
                onward.transport.abort()
        except OSError:
            return
        finally:
            link.writers.discard(writer)
            writer.transport.abort()


async def _pass(link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            await link.passed()
            writer.write(data)
            await writer.drain()


def register(relays_port: int, link: str, port: int) -> int:
    """Have what comes to `port` relayed; the port at which to listen for it instead."""
    to = free_port()
    release_port(to)  # who listens there, and until when, is not known here
    with socket.create_connection((LOOPBACK, relays_port), timeout=10.0) as connection:
        connection.sendall(json.dumps({"link": link, "at": port, "to": to}).encode() + b"\n")
        if connection.recv(1) != b"\n":
            raise RuntimeError(f"no relay at port {port}")
    return to
