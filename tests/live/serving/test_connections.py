"""A port's connections are bounded before anything that they bring is a request: heads, trailers, their number."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from ipa import profiles
from ipa.live.controller_metrics import serving
from ipa.live.plane import LOOPBACK, free_port, open_port
from ipa.live.serving import connections
from ipa.live.serving.connections import Connection, peer_at
from ipa.live.serving.web import application, json_response, listen
from tests.live.serving.serving_plane import plane
from tests.live.serving.video_plane import DETECTION
from tests.live.world import PATIENCE_S, usage

ASK = b"GET /ask HTTP/1.1\r\nHost: x\r\n"
HEADERS = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(12))
"""12 kB, which a head may have."""
TOO_LARGE = {"error": "the headers are too large; allowed: 16384 bytes"}

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[..., Awaitable[Streams]]


class Answering(asyncio.Event):
    """Set once requests may be answered; `come` have begun."""

    come = 0

    async def until_come(self, count: int) -> None:
        while self.come < count:
            await asyncio.sleep(0.001)


def story(told: Callable[[Connect, Answering], Awaitable[None]], most: int | None = None) -> list[str]:
    """Play a story at a port that `/ask` answers once the event is set; the peers whose requests it got."""
    peers, opened = [], []

    async def play() -> None:
        may_answer = Answering()

        async def ask(http: web.Request) -> web.Response:
            peers.append(str(http.remote))
            may_answer.come += 1
            await http.read()
            await may_answer.wait()
            return json_response({})

        app = application()
        app.router.add_route("*", "/ask", ask)
        runner, url = await listen(app, open_port(LOOPBACK, 0), most)

        async def connect(data: bytes = b"", peer: str = LOOPBACK) -> Streams:
            reader, writer = await asyncio.open_connection(LOOPBACK, int(url.rpartition(":")[2]), local_addr=(peer, 0))
            writer.write(data)
            opened.append(writer)
            return reader, writer

        try:
            async with asyncio.timeout(PATIENCE_S):
                await told(connect, may_answer)
        finally:
            may_answer.set()
            for writer in opened:
                writer.transport.abort()
            await runner.cleanup()

    asyncio.run(play())
    return peers


async def status(streams: Streams) -> int:
    """That of the answer; 0 for a connection that is closed without one."""
    try:
        line = await streams[0].readline()
    except ConnectionError:
        return 0
    return int(line.split()[1]) if line else 0


async def answered(streams: Streams) -> bool:
    """Whether a further request on a connection is answered with 200."""
    streams[1].write(ASK + b"\r\n")
    return await status(streams) == 200


# ---- heads ----


def test_a_head_of_many_kilobytes_is_served_and_one_that_goes_on_is_not() -> None:
    async def told(connect: Connect, may_answer: Answering) -> None:
        may_answer.set()
        reader, writer = await connect(ASK + HEADERS)
        writer.write(b"\r\n")
        assert await status((reader, writer)) == 200
        reader, writer = await connect(ASK + HEADERS)
        writer.write(HEADERS)
        assert await status((reader, writer)) == 431
        assert (await reader.read()).endswith(b'allowed: 16384 bytes"}')
        assert await status(await connect(ASK + HEADERS * 2 + b"\r\n")) == 431  # whole at once

    assert len(story(told)) == 1


def test_trailers_are_bounded_like_headers() -> None:
    async def told(connect: Connect, _: Answering) -> None:
        reader, writer = await connect(ASK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"0\r\n" + HEADERS)
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(HEADERS)
        assert await status((reader, writer)) in (0, 400)

    story(told)


def test_a_body_of_many_small_chunks_has_no_trailers() -> None:
    async def told(connect: Connect, may_answer: Answering) -> None:
        may_answer.set()
        reader, writer = await connect(ASK + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(200):
            writer.write(b"1\r\na\r\n" * 50)
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert await status((reader, writer)) == 200

    story(told)


def test_what_waits_behind_a_request_is_bounded_like_a_head() -> None:
    """Three small requests at once are served; with too much behind it, the one inside is the last."""

    async def told(connect: Connect, may_answer: Answering) -> None:
        small, large = await connect((ASK + b"\r\n") * 3), await connect(ASK + b"\r\n")
        await may_answer.until_come(2)
        for _ in range(4):
            large[1].write(ASK + HEADERS + b"\r\n")
            await large[1].drain()
            await asyncio.sleep(0.02)
        may_answer.set()
        for _ in range(3):
            assert (await small[0].readuntil(b"{}")).startswith(b"HTTP/1.1 200 ")
        assert (await large[0].read()).count(b"HTTP/1.1 200 ") == 1

    assert len(story(told)) == 4


def test_a_head_that_does_not_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.05)

    async def told(connect: Connect, may_answer: Answering) -> None:
        may_answer.set()
        idle = await connect()
        assert await status(await connect(ASK)) == 408
        assert await answered(idle)  # a connection may be silent for longer

    story(told)


def test_the_end_of_a_body_is_no_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last chunk often comes by itself; the answer then takes as long as it takes."""
    monkeypatch.setattr(connections, "HEAD_S", 0.1)

    async def told(connect: Connect, may_answer: Answering) -> None:
        reader, writer = await connect(ASK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"0\r\n\r\n")
        await asyncio.sleep(0.2)
        may_answer.set()
        assert await status((reader, writer)) == 200

    story(told)


@pytest.mark.parametrize("behind", [ASK, ASK + HEADERS * 2])
def test_a_head_behind_a_request_inside_does_not_cut_it_off(behind: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.05)
    refused = asyncio.Event()
    refuse = Connection.refuse

    def note(self: Connection, status: int, why: str) -> None:
        refuse(self, status, why)
        refused.set()

    monkeypatch.setattr(Connection, "refuse", note)

    async def told(connect: Connect, may_answer: Answering) -> None:
        reader, writer = await connect(ASK + b"\r\n")
        await may_answer.until_come(1)
        writer.write(behind)
        await refused.wait()
        may_answer.set()
        answer = await reader.read()
        assert (answer.count(b"HTTP/1.1"), answer[:15], answer[-2:]) == (1, b"HTTP/1.1 200 OK", b"{}")

    story(told)


@pytest.mark.parametrize("size", [2**15, 2**22], ids=["is to be closed", "goes on"])
def test_who_does_not_read_its_answer_is_cut_off(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else such connections, which count as served, would keep everybody out for ever."""
    monkeypatch.setattr(connections, "WRITE_S", 0.05)

    async def much(_: web.Request) -> web.Response:
        return web.Response(body=bytes(size))

    async def play() -> None:
        app = application()
        app.router.add_get("/much", much)
        port = open_port(LOOPBACK, 0)
        port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        runner, _ = await listen(app, port)
        server = runner.server
        assert server is not None
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(port.getsockname())
            client.send(b"GET /much HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            async with asyncio.timeout(10.0):
                while not server.requests_count or server.connections:
                    await asyncio.sleep(0.01)
        await runner.cleanup()

    asyncio.run(play())


def test_unfinished_heads_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four, the first two give way; who has sent nothing is not asked to."""
    monkeypatch.setattr(connections, "MOST_HEADS_BYTES", 2 * len(ASK + HEADERS) + 10)

    async def told(connect: Connect, may_answer: Answering) -> None:
        may_answer.set()
        idle = await connect()
        heads = []
        for _ in range(4):
            heads.append(await connect(ASK + HEADERS))
            await heads[-1][1].drain()
            await asyncio.sleep(0.02)
        assert [await status(each) for each in heads[:2]] == [503, 503]
        for _, writer in heads[2:]:
            writer.write(b"\r\n")
        assert [await status(each) for each in heads[2:]] == [200, 200]
        assert await answered(idle)

    story(told)


def test_heads_of_requests_that_wait_behind_others_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two connections with a request inside and 12 kB behind it, the first gives up what is behind."""
    monkeypatch.setattr(connections, "MOST_HEADS_BYTES", len(ASK + HEADERS) + 10)

    async def told(connect: Connect, may_answer: Answering) -> None:
        inside = [await connect(ASK + b"\r\n") for _ in range(2)]
        await may_answer.until_come(2)
        for _, writer in inside:
            writer.write(ASK + HEADERS + b"\r\n")
            await asyncio.sleep(0.05)
        may_answer.set()
        assert (await inside[0][0].read()).count(b"HTTP/1.1 200 OK") == 1
        assert (await inside[1][0].readuntil(b"{}")).startswith(b"HTTP/1.1 200 OK")
        assert (await inside[1][0].readuntil(b"{}")).startswith(b"HTTP/1.1 200 OK")

    assert len(story(told)) == 3


def test_of_a_head_no_more_is_read_than_it_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, 256 kB were read of each, and parsed."""
    sizes: list[int] = []
    received = Connection.data_received

    def note(self: Connection, data: bytes) -> None:
        sizes.append(len(data))
        received(self, data)

    monkeypatch.setattr(Connection, "data_received", note)

    async def told(connect: Connect, _: Answering) -> None:
        streams = await connect(ASK + HEADERS * 80)
        assert await status(streams) in (0, 431)

    assert story(told) == []
    assert max(sizes) <= connections.MOST_HEAD_BYTES
    assert sum(sizes) <= 2 * connections.MOST_HEAD_BYTES


def test_a_head_that_gives_way_itself_is_counted_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_HEADS_BYTES", len(ASK + HEADERS) - 1)

    async def told(connect: Connect, ended: Answering) -> None:
        for _ in range(3):
            reader, writer = await connect(ASK)
            await asyncio.sleep(0.02)
            writer.write(HEADERS)
            assert await status((reader, writer)) == 503

    story(told)


# ---- their number ----


def test_of_too_many_connections_a_stranger_gives_way_before_one_that_has_asked() -> None:
    """Of four, the first asked and stays; the second, then the third is closed."""

    async def told(connect: Connect, may_answer: Answering) -> None:
        may_answer.set()
        known = await connect(ASK + b"\r\n")
        assert await status(known) == 200
        await known[0].readuntil(b"{}")
        strangers = [await connect(peer=f"127.0.0.{number}") for number in (2, 3, 4)]
        for number, each in enumerate(strangers[:2]):
            new = await connect(ASK + b"\r\n", peer=f"127.0.1.{number}")
            assert await status(new) == 200
            assert await status(each) == 0
        assert await answered(known)
        assert await answered(strangers[2])

    story(told, most=4)


def test_a_request_inside_never_gives_way() -> None:
    async def told(connect: Connect, may_answer: Answering) -> None:
        inside = [await connect(ASK + b"\r\n", peer=f"127.0.0.{2 + number}") for number in range(4)]
        await may_answer.until_come(4)
        assert await status(await connect(ASK + b"\r\n")) == 0
        may_answer.set()
        assert [await status(each) for each in inside] == [200] * 4

    story(told, most=4)


def test_one_peer_has_half_of_the_connections_of_which_its_oldest_give_way() -> None:
    async def told(connect: Connect, may_answer: Answering) -> None:
        crowd = [await connect(peer="127.0.0.2") for _ in range(40)]
        other = await connect()
        may_answer.set()
        assert await answered(other)
        assert [await status(each) for each in crowd[:36]] == [0] * 36
        assert await answered(crowd[-1])

    assert story(told, most=8) == ["127.0.0.1", "127.0.0.2"]


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("fe80::1%eth0", "fe80:0000:0000:0000::/64"),
        ("2001:db8:1:2:3::4", "2001:0db8:0001:0002::/64"),
    ],
)
def test_an_ipv6_network_of_64_bits_counts_as_one_peer(address: str, peer: str) -> None:
    class Transport(asyncio.BaseTransport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return (address, 80)

    assert peer_at(Transport()) == peer


# ---- who closes one side ----


def test_who_closes_its_side_after_a_request_gets_the_answer() -> None:
    """Before, the answer was thrown away, and the request counted as completed."""

    async def told(connect: Connect, may_answer: Answering) -> None:
        reader, writer = await connect(ASK + b"\r\n")
        writer.write_eof()
        await asyncio.sleep(0.05)
        may_answer.set()
        answer = await reader.read()
        assert (answer[:15], answer[-2:]) == (b"HTTP/1.1 200 OK", b"{}")

    story(told)


@pytest.mark.parametrize("is_half_closed", [True, False], ids=["closes its side", "begins another"])
def test_who_sends_several_requests_and_then_no_more_gets_all_answers(
    is_half_closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.05)

    async def told(connect: Connect, may_answer: Answering) -> None:
        reader, writer = await connect((ASK + b"\r\n") * 3 + (b"" if is_half_closed else ASK))
        if is_half_closed:
            writer.write_eof()
        else:
            await asyncio.sleep(0.05)
            writer.write(b"X: y")
        await asyncio.sleep(0.1)
        may_answer.set()
        assert (await reader.read()).count(b"HTTP/1.1 200 OK") == 3

    story(told)


def test_who_closes_its_side_before_a_request_is_whole_is_closed() -> None:
    async def told(connect: Connect, _: Answering) -> None:
        for data in (ASK, ASK + b"Content-Length: 10\r\n\r\nabc", b""):
            reader, writer = await connect(data)
            writer.write_eof()
            assert not (await reader.read()).startswith(b"HTTP/1.1 200")

    story(told)


# ---- memory ----


@pytest.mark.parametrize("what", ["data", "control", "server"])
def test_unfinished_heads_take_little_memory_at_every_port(what: str, tmp_path: Path) -> None:
    """60 connections with 100 headers of 8 kB each, which were 110 MB."""
    with plane(tmp_path) as up:
        is_server = what == "server"
        process = up.emulated("video", DETECTION, "yolov5n") if is_server else up.gateway("--pipeline", "video")
        pid, port = process.popen.pid, int(process.urls["control_url" if what == "control" else "url"].split(":")[-1])
        before = usage(pid)[1]
        opened = [socket.create_connection((LOOPBACK, port)) for _ in range(60)]
        for each in opened:
            with suppress(ConnectionError):  # it was cut off before it had sent all
                each.sendall(ASK + b"".join(b"X-%d: %s\r\n" % (number, b"y" * 8000) for number in range(100)))
        asked = socket.create_connection((LOOPBACK, port))
        asked.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert asked.recv(15) == b"HTTP/1.1 200 OK"  # what came before has been read
        assert usage(pid)[1] - before < 40 * 2**20
        for each in (*opened, asked):
            each.close()


def test_a_controller_s_metrics_are_behind_the_same_bounds() -> None:
    with serving(port := free_port(), profiles.load("video")):
        with socket.create_connection((LOOPBACK, port)) as too_much:
            too_much.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + HEADERS * 2)
            assert too_much.recv(12) == b"HTTP/1.1 431"
        with socket.create_connection((LOOPBACK, port)) as asks:
            asks.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"ipa_decisions_total" in b"".join(iter(lambda: asks.recv(65536), b""))


# ---- large bodies ----


def test_a_small_request_is_answered_before_large_bodies_have_been_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eighty bodies of 512 KiB have begun and wait. When they may go on, a request is sent: of the 40 MB that arrive
    meanwhile, next to nothing has been read when it is answered. Counted in bytes, as passes of the event loop are."""
    read_bytes, inside, may_read = 0, 0, asyncio.Event()
    received = Connection.data_received

    def count(self: Connection, data: bytes) -> None:
        nonlocal read_bytes
        read_bytes += len(data)
        received(self, data)

    async def ask(http: web.Request) -> web.Response:
        nonlocal inside
        if http.content_length:
            inside += 1
            await may_read.wait()
            await http.read()
        return json_response({})

    async def play() -> None:
        app = application()
        app.router.add_post("/ask", ask)
        runner, url = await listen(app, open_port(LOOPBACK, 0))
        port = int(url.rpartition(":")[2])
        streams = [await asyncio.open_connection(LOOPBACK, port) for _ in range(81)]
        large, (reader, writer) = streams[:80], streams[80]
        head = b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        for _, each in large:
            each.write(head % 2**19 + bytes(2**19 - 1))
        async with asyncio.timeout(30.0):
            while inside < len(large):
                await asyncio.sleep(0.01)
            before_bytes = read_bytes
            may_read.set()
            writer.write(head % 0)
            assert (await reader.readline()).split()[1] == b"200"
            assert read_bytes - before_bytes < 2**19 * len(large) / 2
            for _, each in large:
                each.write(b"!")
            assert [(await each.readline()).split()[1] for each, _ in large] == [b"200"] * len(large)
        for _, each in streams:
            each.transport.abort()
        await runner.cleanup()

    monkeypatch.setattr(Connection, "data_received", count)
    asyncio.run(play())
