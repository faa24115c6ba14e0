"""Clients that mean harm, one at a time: each sends what it should not, and sees what comes of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from tests.live.chaos.history import SILENT, UNREACHABLE, Answer

PATIENCE_S = 60.0
SLOW_PARTS = 12
FAILS, KILLS = -13, -14
"""On a tensor with the first, a model fails; the second ends its process, where the run has `poison`."""

Bytes = Callable[[str, random.Random], bytes]


def _post(body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = ["POST /v2/models/chaos/infer HTTP/1.1", "Host: localhost", "Connection: close", *headers]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _infer(name: str, **more: object) -> bytes:
    tensor = {"name": "x", "datatype": "INT64", "shape": [1, 1], "data": [0]}
    return json.dumps({"id": name, "inputs": [tensor | more]}).encode()


def _malformed(name: str, drawn: random.Random) -> bytes:
    wrong = [
        b"",
        b"{",
        b"[" * 20_000,
        b'{"inputs":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
        b'{"inputs":[]}',
        b"\xff\xfe" * 50,
        b"1" * 5_000,
        _infer(name, shape=[2**62, 2**62]),
        _infer(name, shape=[-1, 1]),
        _infer(name, shape=[0, 1], data=[]),
        _infer(name, datatype="FP128"),
        _infer(name, datatype="UINT8", data=[-1]),
        _infer(name, data=[1e308]),
        _infer(name, data=[[[0]]]),
        _infer(name, parameters={"binary_data_size": 2**40}),
    ]
    return _post(drawn.choice(wrong))


def _bomb(_: str, drawn: random.Random) -> bytes:
    """A body of some kB that is some MB of JSON."""
    body = b'{"inputs":[' + b"{}," * drawn.choice((100_000, 1_000_000, 2_000_000)) + b"{}]}"
    return _post(gzip.compress(body, 9), "Content-Encoding: gzip")


def _large_header(name: str, drawn: random.Random) -> bytes:
    return _post(_infer(name), f"X-Large: {'x' * drawn.choice((9_000, 70_000, 500_000))}")


def _many_headers(name: str, _: random.Random) -> bytes:
    return _post(_infer(name), *(f"X-{number}: {number}" for number in range(2_000)))


def _cut_short(name: str, drawn: random.Random) -> bytes:
    return _post(_infer(name), length=drawn.choice((10_000, 2**26, 2**40)))


def _wrong_lengths(name: str, drawn: random.Random) -> bytes:
    return _post(_infer(name), f"Inference-Header-Content-Length: {drawn.choice(('-1', '99', 'x', '9' * 400))}")


def _no_http(_: str, drawn: random.Random) -> bytes:
    return drawn.randbytes(drawn.choice((1, 200, 20_000)))


def _chunks(name: str, drawn: random.Random) -> bytes:
    head = b"POST /v2/models/chaos/infer HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = _infer(name)
    return head + drawn.choice((b"ZZ\r\n", b"ffffffffffffffffff\r\n", b"%x\r\n%s" % (len(body) - 3, body)))


HOSTILE: Mapping[str, Bytes] = {
    "malformed": _malformed,
    "bomb": _bomb,
    "large_header": _large_header,
    "many_headers": _many_headers,
    "cut_short": _cut_short,
    "wrong_lengths": _wrong_lengths,
    "no_http": _no_http,
    "chunks": _chunks,
    "poisoned": lambda name, _: _post(_infer(name, data=[FAILS])),
    "deadly": lambda name, _: _post(_infer(name, data=[KILLS])),
    "stalled_headers": lambda _, drawn: _post(b"", *["X: y"] * drawn.randint(1, 100))[:-4],
    "stalled_body": lambda _, drawn: _post(b" " * drawn.randint(1, 1_000_000), length=2_000_000),
    "half_closed": lambda name, _: _post(_infer(name)),
    "half_closed_early": lambda name, _: _post(_infer(name))[:-1],
    "slow": lambda name, _: _post(_infer(name)),
    "hangs_up": lambda name, _: _post(_infer(name)),
}
"""What hostile clients send; `slow` sends it bit by bit, `hangs_up` does not wait for the answer, the stalled ones
never go on, and the half-closed ones close their side."""


async def attack(name: str, how: str, drawn: random.Random, host: str, port: int, lasts_s: float) -> Answer:
    """One hostile request, which is called `name`, and what came of it; a slow client takes `lasts_s`."""
    sent_s, status, problem = time.monotonic(), SILENT, how
    data = HOSTILE[how](name, drawn)
    try:
        async with asyncio.timeout(PATIENCE_S + lasts_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                await _send(writer, data, how, lasts_s)
                status, problem = await _seen(reader, how)
            finally:
                writer.transport.abort()
    except TimeoutError:
        pass
    except OSError as error:
        status, problem = UNREACHABLE, f"{how}: {error!r}"
    return Answer(name, sent_s, time.monotonic(), status, problem)


async def _send(writer: asyncio.StreamWriter, data: bytes, how: str, lasts_s: float) -> None:
    size = len(data) // SLOW_PARTS + 1 if how == "slow" else len(data)
    for start in range(0, len(data), size):
        writer.write(data[start : start + size])
        await writer.drain()
        if how == "slow":
            await asyncio.sleep(lasts_s / SLOW_PARTS)
    if how in ("cut_short", "chunks", "no_http", "half_closed", "half_closed_early"):
        with suppress(OSError):
            writer.write_eof()


async def _seen(reader: asyncio.StreamReader, how: str) -> tuple[int, str]:
    if how == "hangs_up":
        return UNREACHABLE, how
    said = await reader.read()
    if not said:
        return UNREACHABLE, f"{how}: closed without a word"
    _, _, body = said.partition(b"\r\n\r\n")
    try:
        return int(said[9:12]), f"{how}: {body[:200]!r}"
    except ValueError:
        return UNREACHABLE, f"{how}: {said[:200]!r}"
