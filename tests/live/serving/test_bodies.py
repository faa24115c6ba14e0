"""Bodies are bounded before anything is built from them: their length, their JSON, and what they inflate to."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipa.live.serving import replica_clients
from ipa.live.serving.admission import JSON_GROWS, REQUEST_BYTES, Admission, MessageLimits, Share
from ipa.live.serving.bodies import MOST_MEMBERS, PIECE_BYTES, Collected, Inflater, in_time
from ipa.live.serving.protocol import ProtocolError, at_once, reading_request
from ipa.live.serving.replica_clients import ReplicaClients, ReplicaError
from ipa.live.serving.request import Batch, RoutedReplica
from ipa.live.serving.tensors import of_array

IN_A_POD = MessageLimits.within(128 * 2**20)
"""Those of a gateway with 512 MiB, as a quarter of it is for the requests inside."""


def collected(body: bytes, json_bytes: int | None = None, limits: MessageLimits = IN_A_POD) -> Collected:
    """The body as it arrives, in pieces of 64 KiB."""
    found = Collected(json_bytes, limits)
    for start in range(0, len(body), 65536):
        found.add(body[start : start + 65536])
    return found


# ---- what JSON becomes ----


def test_limits_follow_from_the_memory_for_the_requests_inside() -> None:
    assert MessageLimits(32 * 2**20, 4 * 2**20) == IN_A_POD
    assert MessageLimits.within(2**40) == MessageLimits()
    assert MessageLimits.within(2**40, 2**30).json_bytes == MessageLimits().body_bytes
    assert MessageLimits.within(32 * 2**20).json_bytes == 2 * 2**20


def of_data(data: bytes, shape: str, datatype: str) -> bytes:
    return b'{"inputs":[{"name":"x","datatype":"%b","shape":%b,"data":%b}]}' % (datatype.encode(), shape.encode(), data)


@pytest.mark.parametrize(
    ("body", "is_read"),
    [
        (b'{"inputs":[' + b"{}," * 200_000 + b"{}]}", False),
        (b'{"inputs":[' + b'{"name":"a","datatype":"","shape":[0]},' * 20_000 + b"{}]}", False),
        (b'{"outputs":[' + b'{"name":"a"},' * 60_000 + b"{}]," + of_data(b"[1]", "[1]", "INT8")[1:], False),
        (b'{"more":[' + b'{"":1},' * 200_000 + b"1]," + of_data(b"[1]", "[1]", "INT8")[1:], True),
        (of_data(b"[" + b"0," * 399_999 + b"1]", "[400000]", "FP64"), True),
        (of_data(b"[" + b"[1]," * 199_999 + b"[1]]", "[200000,1]", "INT64"), True),
        (of_data(b"[" + b"[]," * 400_000 + b"1]", "[1099511627776]", "INT8"), False),
        (of_data(b"[" + b"[]," * 400_000 + b"[]]", "[400001,0]", "INT8"), False),
        (of_data(b"[" + b'"",' * 400_000 + b'""]', "[65536]", "BYTES"), False),
        (of_data(b"[" + b"{}," * 400_000 + b'""]', "[65536]", "BYTES"), False),
        (of_data(b"[" + b"[]," * 400_000 + b"[]]", "[65536]", "BYTES"), False),
        (of_data(b"[" + b'"ab",' * 65_535 + b'"ab"]', "[65536]", "BYTES"), True),
        (
            '{{"inputs":[{{"name":"x","datatype":"BYTES","shape":[1],"data":["{}\N{GRINNING FACE}"]}}]}}'.format(
                "x" * 1_000_000
            ).encode(),
            True,
        ),
        (of_data(b"[" * 100_000 + b"]" * 100_000, "[1]", "INT8"), False),
        (b'{"parameters":{"a":' + b"[1," * 900 + b"1" + b"]" * 900 + b"}," + of_data(b"[1]", "[1]", "INT8")[1:], False),
    ],
    ids=lambda body: body[:60].decode(errors="replace") if isinstance(body, bytes) else "",
)
def test_no_json_becomes_larger_than_what_is_held_for_it(body: bytes, is_read: bool) -> None:
    tracemalloc.start()
    try:
        with nullcontext() if is_read else pytest.raises(ProtocolError):
            at_once(reading_request(body, None))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most <= JSON_GROWS * len(body) + 2 * len(body) + 2**21


@pytest.mark.parametrize(
    ("body", "json_bytes", "why"),
    [
        (b" " * (4 * 2**20 + 1), None, "the body's JSON is too large; allowed: 4194304 bytes. Send large tensors as"),
        (b" " * (4 * 2**20 + 1), 4 * 2**20 + 1, "the body's JSON is too large"),
        (b" " * (32 * 2**20 + 1), 2, "^the body is too large; allowed: 33554432 bytes$"),
    ],
)
def test_what_is_too_large_is_refused_while_it_arrives(body: bytes, json_bytes: int | None, why: str) -> None:
    with pytest.raises(ProtocolError, match=why) as refused:
        collected(body, json_bytes)
    assert refused.value.status == 413


# ---- what a request holds ----


def test_a_request_counts_what_it_holds_now() -> None:
    admission = Admission(3 * REQUEST_BYTES)
    with admission.share() as first, admission.share() as second:
        first.hold(REQUEST_BYTES)
        with pytest.raises(ProtocolError, match=f"hold {3 * REQUEST_BYTES} bytes; no more are admitted") as refused:
            second.hold(1)
        assert refused.value.status == 503
        first.hold(10)
        second.hold(REQUEST_BYTES - 10)
    with admission.share() as third:
        third.hold(2 * REQUEST_BYTES)


def test_without_room_for_a_request_none_begins() -> None:
    admission = Admission(REQUEST_BYTES)
    with admission.share(), pytest.raises(ProtocolError, match="no more are admitted"), admission.share():
        pytest.fail("there was no room")
    with admission.share():
        pass


MB = 2**20


def arriving(admission: Admission, peer: str, size: int, cut: list[str], stack: ExitStack) -> Share:
    """A body of a peer of which so much has arrived; if it gives way, `cut` is told."""
    share = stack.enter_context(admission.share(peer))
    stack.enter_context(share.arriving(partial(cut.append, peer)))
    share.hold(size - REQUEST_BYTES)
    return share


def test_bodies_that_stand_still_give_way_the_longest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of 1 MB fill the room; the first has just got another byte, so the second goes."""
    monkeypatch.setattr("ipa.live.serving.admission.SMALL_WAITS_S", -1.0)
    admission, cut = Admission(3 * MB + 1), list[str]()
    with ExitStack() as stack:
        first, second, _ = [arriving(admission, peer, MB, cut, stack) for peer in "abc"]
        first.hold(MB + 1 - REQUEST_BYTES)
        with admission.share("a"):
            assert (cut, first.gave_way, second.gave_way) == (["b"], False, True)
            with pytest.raises(ProtocolError, match="no room for a body that arrives so slowly"):
                second.hold(MB)
    with admission.share() as everything:
        everything.hold(3 * MB + 1 - REQUEST_BYTES)  # nothing was counted twice


@pytest.mark.parametrize("size", [MB, REQUEST_BYTES])
def test_a_body_that_keeps_coming_gives_way_to_nobody(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts as standing still differs for what is small."""
    waits = "ipa.live.serving.admission." + ("LARGE_WAITS_S" if size == MB else "SMALL_WAITS_S")
    admission, cut = Admission(2 * MB), list[str]()
    with ExitStack() as stack:
        arriving(admission, "", 2 * MB - size + 1, cut, stack)
        monkeypatch.setattr(waits, float("inf"))
        with pytest.raises(ProtocolError, match="no more are admitted"):
            arriving(admission, "", size, cut, stack)
        assert cut == []
        monkeypatch.setattr(waits, -1.0)
        arriving(admission, "", size, cut, stack)
        assert cut == [""]


@pytest.mark.parametrize("peer", ["a", "c"])
def test_a_body_that_stands_still_gives_way_before_a_larger_one_that_comes(
    peer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr("ipa.live.serving.admission.time", SimpleNamespace(monotonic=lambda: now_s))
    admission, cut = Admission(3 * MB), list[str]()
    with ExitStack() as stack:
        arriving(admission, "b", MB, cut, stack)
        now_s = 5.0
        arriving(admission, "a", 2 * MB, cut, stack)
        with admission.share(peer):
            assert cut == ["b"]


def test_one_peer_leaves_room_for_another() -> None:
    """A peer may have nine tenths; where a body of its own has stalled, that gives way to its next."""
    admission, cut = Admission(10 * MB), list[str]()
    with ExitStack() as stack:
        shares = [stack.enter_context(admission.share("a")) for _ in range(9)]
        for share in shares:
            share.hold(MB - REQUEST_BYTES)
        with pytest.raises(ProtocolError, match="the requests of a inside hold 9437184 bytes; no more are admitted"):
            stack.enter_context(admission.share("a"))
        stack.enter_context(admission.share("b")).hold(MB - REQUEST_BYTES)
        with pytest.raises(ProtocolError, match="the requests inside hold 10485760 bytes; no more are admitted"):
            stack.enter_context(admission.share("c"))
        with shares[0].arriving(partial(cut.append, "a")):
            shares[0]._changed_s -= 60.0
            stack.enter_context(admission.share("a"))
        assert cut == ["a"]
    assert admission._of_peer == {}


def test_a_large_head_counts() -> None:
    with Admission(2 * MB).share("a", 16_000) as share:
        assert share.held_bytes == REQUEST_BYTES + 3 * 16_000


def test_what_has_arrived_gives_way_to_nobody() -> None:
    admission = Admission(MB)
    with admission.share() as share:
        with share.arriving(pytest.fail):
            share.hold(MB - REQUEST_BYTES)
        with pytest.raises(ProtocolError, match="no more are admitted"), admission.share("b"):
            pytest.fail("there was no room")


def test_a_body_that_stands_still_or_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of its own: 100 kB at once earn 6 s; 100 bytes a second earn next to nothing."""

    async def given_up_s(pieces: Sequence[tuple[float, int]]) -> float | None:
        """When the limit stands after pieces that come after so many seconds each; None: they ended first."""
        now_s = 0.0
        content = SimpleNamespace(total_bytes=0)
        limit: Any = SimpleNamespace(reschedule=lambda when: setattr(limit, "when", when), when=0.0)

        async def come() -> AsyncIterator[bytes]:
            nonlocal now_s
            for wait_s, size in pieces:
                if now_s + wait_s > limit.when:
                    return
                now_s += wait_s
                content.total_bytes += size
                yield b""

        with mock.patch.object(asyncio.get_running_loop(), "time", side_effect=lambda: now_s):
            count = 0
            async for _ in in_time(limit, content, come(), 10.0):  # type: ignore[arg-type]
                count += 1
        return None if count == len(pieces) else limit.when

    rounds = [(1.0, 100)] * 60
    assert asyncio.run(given_up_s([(0.0, 100_000), (60.0, 1)])) == 10.0
    assert asyncio.run(given_up_s(rounds)) == pytest.approx(10.0, abs=0.1)
    assert asyncio.run(given_up_s([(1.0, 20_000)] * 29)) is None
    assert asyncio.run(given_up_s([(1.0, 20_000)] * 60)) == 30.0


def test_what_has_arrived_is_held() -> None:
    held: list[int] = []
    body = Collected(None, IN_A_POD, held.append)
    body.add(b"[1,")
    body.add(b"2]")
    assert held == [2 * 3 + JSON_GROWS * 3, 2 * 5 + JSON_GROWS * 5]
    binary = Collected(2, IN_A_POD, held.append)
    binary.add(b"{}1234")
    assert held[2] == 2 * 6 + JSON_GROWS * 2


# ---- the answers of replicas ----


@pytest.mark.parametrize(
    ("length", "said"),
    [(10**10, "its answer breaks the protocol: the body's JSON is too large"), (1000, "did not answer in time")],
    ids=["claims 10 GB", "drips"],
)
def test_a_replica_s_answer_that_would_never_end_is_given_up(
    length: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, it took as long as a batch may: here a minute."""
    monkeypatch.setattr(replica_clients, "STANDS_S", 0.05)

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"infer" not in (line := await reader.readline()):
            if not line:  # another connection than the batch's
                writer.close()
                return
            if await reader.readline() == b"\r\n":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.01)

    async def story() -> None:
        clients = ReplicaClients(60.0, 2**20, asyncio.Lock())
        async with await asyncio.start_server(answers, "127.0.0.1", 0) as server, asyncio.timeout(20.0):
            replica = RoutedReplica(0, "m", 1, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            with pytest.raises(ReplicaError, match=said):
                await clients.infer(Batch(0, 0, replica, [], 0.0), [of_array("x", np.zeros(1))], {})
            await clients.close()

    asyncio.run(story())


# ---- compression ----


def inflated(data: bytes, coding: str = "gzip", part: int = 65536) -> bytes:
    inflater = Inflater(coding)
    pieces = [piece for start in range(0, len(data), part) for piece in inflater.feed(data[start : start + part])]
    inflater.end()
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=300), st.integers(1, 400), st.integers(1, 50))
def test_what_was_compressed_comes_back_however_it_is_cut(data: bytes, times: int, part: int) -> None:
    body = data * times
    assert inflated(gzip.compress(body), part=part) == body
    assert inflated(gzip.compress(body) + gzip.compress(data), part=part) == body + data
    assert inflated(zlib.compress(body), "deflate", part) == body
    assert inflated(raw_deflate(body), "deflate", part) == body


def test_output_that_waits_in_the_stream_comes_too() -> None:
    """All of the input is taken before all of the output has come."""
    body = bytes(3 * PIECE_BYTES + 100)
    assert inflated(gzip.compress(body)) == body


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_refused_by_its_ratio(coding: str) -> None:
    bomb = b'{"inputs":[' + b"{}," * 2_000_000 + b"{}]}"
    data = gzip.compress(bomb) if coding == "gzip" else zlib.compress(bomb)
    with pytest.raises(ProtocolError, match=r"grows from \d+ bytes to more than \d+; allowed: 100 times") as refused:
        inflated(data, coding)
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("data", "coding", "why"),
    [
        (b"no gzip", "gzip", "not gzip: Error -3 .*incorrect header"),
        (gzip.compress(b"some", mtime=0)[:-3], "gzip", "not gzip: it ends too early"),
        (zlib.compress(b"some") + b"more", "deflate", "not deflate: more follows after its end"),
        (gzip.compress(b"x", mtime=0) * (MOST_MEMBERS + 1), "gzip", "not gzip: more follows after its end"),
    ],
)
def test_what_is_not_what_it_claims_is_refused(data: bytes, coding: str, why: str) -> None:
    with pytest.raises(ProtocolError, match=f"the body cannot be read: it is {why}") as refused:
        inflated(data, coding)
    assert refused.value.status == 400
