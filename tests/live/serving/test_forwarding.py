"""Requests that a waiting gateway passes on to the one that serves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aiohttp import web

from ipa.live.plane import LOOPBACK, open_port
from ipa.live.serving.connections import is_gone
from ipa.live.serving.forwarding import Forwarder
from ipa.live.serving.web import application, json_response, listen
from ipa.live.tokens import TokenFile, create_token_file
from tests.live.world import PATIENCE_S


def test_who_goes_has_gone_from_the_gateway_that_serves_too(tmp_path: Path) -> None:
    """And its connection is closed there; another client gets its answer."""

    async def story() -> list[str]:
        log: list[str] = []
        urls: list[str] = []
        come, seen = asyncio.Event(), asyncio.Event()

        async def serve(http: web.Request) -> web.Response:
            come.set()
            while http.path == "/wait" and not is_gone(http):
                await asyncio.sleep(0.01)
            log.append(http.path)
            seen.set()
            return json_response({})

        serving, waiting = application(), application(forwarder(tmp_path, urls).middleware)
        serving.router.add_route("POST", "/{path}", serve)
        waiting.router.add_route("POST", "/{path}", serve)
        with open_port(LOOPBACK, 0) as first, open_port(LOOPBACK, 0) as second:
            runner, url = await listen(serving, first)
            urls.append(url)
            other, _ = await listen(waiting, second)
            port = second.getsockname()[1]
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.write(b"POST /wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            await come.wait()
            writer.close()
            async with asyncio.timeout(PATIENCE_S):
                await seen.wait()
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.write(b"POST /go HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
            await other.cleanup()
            await runner.cleanup()
        return log

    assert asyncio.run(story()) == ["/wait", "/go"]


def forwarder(folder: Path, urls: list[str]) -> Forwarder:
    """That of a gateway that waits while another serves."""
    create_token_file(folder / "token")
    lease: Any = SimpleNamespace(serves=False, server="the other one")
    return Forwarder(lease, lambda _: urls[0], TokenFile(folder / "token"))
