"""Servers in pods listen on IPv6 and IPv4 at one port, and on IPv4 alone where the kernel has nothing else."""

from __future__ import annotations

import asyncio
import socket
import sys

import aiohttp
import pytest
from aiohttp import web
from click.testing import CliRunner

from ipa import profiles
from ipa.live.controller_metrics import serving
from ipa.live.plane import EVERYWHERE, LOOPBACK, free_port, listening_host, open_port, release_port
from ipa.live.serving.gateway import main as gateway_command
from ipa.live.serving.web import listen
from ipa.profiles import ProfileError

needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this kernel has no IPv6")

V4, V6 = "127.0.0.1", "[::1]"


def answers(hosts: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """The host of the URL of a server that listens everywhere; and what peer it sees, by the host asked."""

    async def peer(http: web.Request) -> web.Response:
        return web.Response(text=http.remote)

    async def story() -> tuple[str, dict[str, str]]:
        app = web.Application()
        app.router.add_get("/", peer)
        runner, url = await listen(app, open_port(EVERYWHERE, 0))
        base, port = url.rsplit(":", 1)
        seen = {}
        try:
            async with aiohttp.ClientSession() as client:
                for host in hosts:
                    async with client.get(f"http://{host}:{port}/") as response:
                        seen[host] = await response.text()
        finally:
            await runner.cleanup()
        return base.removeprefix("http://"), seen

    return asyncio.run(story())


@needs_ipv6
def test_one_port_serves_both_families() -> None:
    assert answers((V4, V6)) == ("[::]", {V4: "::ffff:127.0.0.1", V6: "::1"})


def test_without_ipv6_the_port_is_one_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    assert answers((V4,)) == ("0.0.0.0", {V4: V4})
    assert [listening_host(host) for host in (EVERYWHERE, V4, "::1")] == ["0.0.0.0", V4, "::1"]


def test_a_gateway_s_ports_are_open_before_it_reads_its_pipeline_and_closed_if_it_cannot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What connects meanwhile, as a cluster's probe, waits for the answer and need not try again a second later."""
    ports = [free_port(), free_port()]

    def load(name: str) -> None:
        for port in ports:
            socket.create_connection((V4, port)).close()
        raise ProfileError(f"{name} was to be read")

    monkeypatch.setattr(profiles, "load", load)
    options = ["--pipeline", "video", "--port", str(ports[0]), "--control-port", str(ports[1])]
    result = CliRunner().invoke(gateway_command, options)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, "Error: video was to be read")
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((V4, port))


@pytest.mark.parametrize("has_ipv6", [pytest.param(True, marks=needs_ipv6), False])
def test_a_controller_s_metrics_are_there_for_both_too(has_ipv6: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: has_ipv6)
    port = free_port()
    with serving(port, profiles.load("video"), EVERYWHERE):
        for host in ("127.0.0.1", *(("::1",) if has_ipv6 else ())):
            socket.create_connection((host, port)).close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port cannot be held for another process")
def test_a_port_that_was_given_is_nobody_else_s_until_it_is_released() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((LOOPBACK, port))
    open_port(LOOPBACK, port).close()  # its own server, which may start anew
    with open_port(LOOPBACK, port) as server, socket.create_connection(server.getsockname()):
        release_port(port)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((LOOPBACK, port))
