"""Requests that a waiting gateway passes on to the one that serves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web

from ipa.live.plane import LOOPBACK, open_port
from ipa.live.serving.connections import is_gone
from ipa.live.serving.forwarding import Forwarder
from ipa.live.serving.lease import Address, ServingLease, boot_s
from ipa.live.serving.stand_in import StandIn
from ipa.live.serving.web import application, json_response, listen, url_of
from ipa.live.tokens import TokenFile, create_token_file
from tests.live.world import PATIENCE_S, until


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

        of_waiting = forwarder(tmp_path, urls)
        serving, waiting = application(), application(of_waiting.middleware)
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
            await of_waiting.close()
            await other.cleanup()
            await runner.cleanup()
        return log

    assert asyncio.run(story()) == ["/wait", "/go"]


def test_a_gateway_that_is_about_to_serve_keeps_what_comes_back_to_it(tmp_path: Path) -> None:
    """It passed the request on to the one that has ended, whose stand-in learns first who has the lease now."""
    create_token_file(tmp_path / "token")
    tokens, lease = TokenFile(tmp_path / "token"), ServingLease()

    async def answer(_: web.Request) -> web.Response:
        return json_response({})

    async def story() -> int:
        of_waiting = Forwarder(lease, lambda server: server.data_url, tokens)
        waiting = application(of_waiting.middleware)
        waiting.router.add_post("/infer", answer)
        with open_port(LOOPBACK, 0) as first, open_port(LOOPBACK, 0) as second:
            runner, url = await listen(waiting, second)
            stand_in = StandIn(first, tokens)
            stand_in.begin(1, None)
            lease.follow(1, Address(url_of(first), ""))
            async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_S):
                asking = asyncio.ensure_future(session.post(f"{url}/infer"))
                await until(lambda: not stand_in.is_quiet, "it is passed on")
                stand_in.begin(2, Address(url, ""))
                await until(lambda: of_waiting.inside == 2, "it comes back")
                await asyncio.sleep(0.3)  # in which it would have been passed on again
                lease.grant(2, boot_s() + PATIENCE_S, 0)
                async with await asking as answered:
                    await answered.read()
                    status = answered.status
            stand_in.close()
            await of_waiting.close()
            await runner.cleanup()
        return status

    assert asyncio.run(story()) == 200


def forwarder(folder: Path, urls: list[str]) -> Forwarder:
    """That of a gateway that waits while another serves."""
    create_token_file(folder / "token")
    lease: Any = SimpleNamespace(serves=False, server="the other one", term=1)
    return Forwarder(lease, lambda _: urls[0], TokenFile(folder / "token"))
