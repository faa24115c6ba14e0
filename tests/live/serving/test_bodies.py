"""Bodies are bounded before anything is built from them: their length, their JSON, and what they inflate to."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa.live.serving.admission import REQUEST_BYTES, Admission, Limits, built_bytes
from ipa.live.serving.bodies import MOST_MEMBERS, PIECE_BYTES, Collected, Inflater
from ipa.live.serving.protocol import ProtocolError, json_length

IN_A_POD = Limits.within(128 * 2**20)
"""Those of a gateway with 512 MiB, as a quarter of it is for the requests inside."""


def collected(body: bytes, json_bytes: int | None = None, limits: Limits = IN_A_POD) -> Collected:
    """The body as it arrives, in pieces of 64 KiB."""
    found = Collected(json_bytes, limits)
    for start in range(0, len(body), 65536):
        found.add(body[start : start + 65536])
    return found


# ---- what JSON becomes ----


def test_limits_follow_from_the_memory_for_the_requests_inside() -> None:
    assert Limits(32 * 2**20, 64 * 2**20) == IN_A_POD
    assert IN_A_POD.json_bytes == 8 * 2**20
    assert Limits.within(2**40) == Limits()


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs":[' + b"{}," * 200_000 + b"{}]}",
        b"[" + b"0.5," * 200_000 + b"1]",
        b"[" + b"[1]," * 200_000 + b"1]",
        b"[" + b'{"":1},' * 200_000 + b"1]",
        b"[" + b'"ab",' * 200_000 + b"1]",
        "[{}1]".format('"\N{GRINNING FACE}",' * 100_000).encode(),
        '["{}\N{GRINNING FACE}"]'.format("x" * 1_000_000).encode(),
        b"{" + b",".join(b'"%x":1' % n for n in range(100_000)) + b"}",
        b"[" * 1000 + b"]" * 1000,
    ],
    ids=lambda body: body[:24].decode(errors="replace"),
)
def test_no_json_becomes_larger_than_its_bound(body: bytes) -> None:
    """What is built; the parser also reserves 12 bytes per byte of text, of which it uses what it needs."""
    tracemalloc.start()
    try:
        value = orjson.loads(body)
        built = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert value
    assert built <= collected(body, limits=Limits()).built_bytes


def test_the_bound_counts_bytes_and_separators() -> None:
    """12 bytes; a brace, a colon, a bracket and a comma."""
    assert collected(b'{"a": [1,2]}').built_bytes == built_bytes(12, 4) == 8 * 12 + 96 * 4


def test_only_the_json_part_counts_as_json() -> None:
    assert collected(b"{}" + b"," * 100_000, json_bytes=2).built_bytes == built_bytes(2, 1)
    whole = collected(b"[" * 65_536 + b"," * 100_000, json_bytes=65_537)
    assert whole.built_bytes == built_bytes(65_537, 65_537)


@pytest.mark.parametrize(
    ("body", "json_bytes", "why"),
    [
        (
            b"{}," * 1_000_000,
            None,
            r"the body's JSON is too large: .* allowed: 67108864 bytes. Send large",
        ),
        (b"0.5," * 3_000_000, None, "the body's JSON is too large"),
        (b"," * 1_000_000, 900_000, "the body's JSON is too large"),
        (b" " * (8 * 2**20 + 1), None, "the body of JSON is too large; allowed: 8388608 bytes. Send large tensors as"),
        (b" " * (32 * 2**20 + 1), 2, "^the body is too large; allowed: 33554432 bytes$"),
    ],
)
def test_what_is_too_large_is_refused_while_it_arrives(body: bytes, json_bytes: int | None, why: str) -> None:
    with pytest.raises(ProtocolError, match=why) as refused:
        collected(body, json_bytes)
    assert refused.value.status == 413


@pytest.mark.parametrize("length", ["9" * 4300, "1e9", "-1", "²", ""])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    with pytest.raises(ProtocolError, match=r"Inference-Header-Content-Length: .*; allowed: a number up to") as refused:
        json_length(length)
    assert refused.value.status == 400
    assert len(str(refused.value)) < 200


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


def test_what_has_arrived_is_held() -> None:
    held: list[int] = []
    body = Collected(None, IN_A_POD, held.append)
    body.add(b"[1,")
    body.add(b"2]")
    assert held == [2 * 3 + built_bytes(3, 2), 2 * 5 + built_bytes(5, 2)]


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


@settings(deadline=None)
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
