"""Bodies that nobody sends by mistake, as bytes on the wire, and a client that sends them.

Each kind is made once; most are a few kilobytes that want to become gigabytes, or sockets that say one thing and do
another.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

HEADER = "Inference-Header-Content-Length"
NO_ANSWER = 0
"""The status of a client that left before its answer, or was cut off."""


@dataclass(frozen=True)
class Hostile:
    """One kind: what is sent after the request's line, `pause_s` after each part; `leaves`: without an answer."""

    parts: tuple[bytes, ...]
    pause_s: float = 0.0
    leaves: bool = False


def _sent(
    body: bytes, headers: Mapping[str, str] | None = None, *, chunked: bool = False, said: int | None = None
) -> bytes:
    lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
    lines += ["Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body) if said is None else said}"]
    if chunked:
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in _chunks(body)) + b"0\r\n\r\n"
    return "\r\n".join(["Host: localhost", *lines, "", ""]).encode() + body


def _chunks(body: bytes, size: int = 65536) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def _inputs(data: bytes, shape: list[int], datatype: bytes = b"FP32") -> bytes:
    head = b'{"inputs":[{"name":"x","datatype":"%b","shape":%b,"data":' % (datatype, json.dumps(shape).encode())
    return head + data + b"}]}"


def _binary(data: bytes, shape: list[int], datatype: str) -> tuple[bytes, dict[str, str]]:
    tensor = {"name": "x", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    return head + data, {HEADER: str(len(head))}


@cache
def kinds(mb: int = 62) -> Mapping[str, Hostile]:
    """Every kind by its name; the largest want so many megabytes."""
    objects = b'{"inputs":[' + b"{}," * (mb * 350_000) + b"{}]}"
    bomb = gzip.compress(objects, 6)
    floats = _inputs(b"[" + b"0.5," * (mb * 250_000) + b"1]", [mb * 250_000 + 1])
    zeros, zeros_head = _binary(bytes(4 * mb * 250_000), [mb * 250_000], "BYTES")
    zipped = {"Content-Encoding": "gzip"}
    small = b'{"inputs":[{"name":"x","datatype":"INT8","shape":[1],"data":[1]}]}'
    return {
        "gzip bomb": Hostile((_sent(bomb, zipped),)),
        "nested gzip": Hostile((_sent(gzip.compress(bomb), {"Content-Encoding": "gzip, gzip"}),)),
        "gzip in gzip": Hostile((_sent(gzip.compress(bomb), zipped),)),
        "floats": Hostile((_sent(floats),)),
        "floats in chunks": Hostile((_sent(floats, chunked=True),)),
        "as many floats as are allowed": Hostile((_sent(_inputs(b"[" + b"0.5," * 1_040_000 + b"1]", [1_040_001])),)),
        "as many objects as are allowed": Hostile((_sent(b'{"inputs":[{"":[' + b'{"":1},' * 590_000 + b"1]}]}"),)),
        "many objects": Hostile((_sent(b'{"inputs":[' + b'{"":1},' * 3_000_000 + b"{}]}"),)),
        "deep lists": Hostile((_sent(b'{"inputs":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"),)),
        "lists as deep as is read": Hostile((_sent(b'{"inputs":[' + b"[" * 1000 + b"]" * 1000 + b"]}"),)),
        "a length of 4,300 digits": Hostile((_sent(small, {HEADER: "9" * 4300}),)),
        "texts by the million": Hostile((_sent(zeros, zeros_head),)),
        "texts by the million, zipped": Hostile((_sent(gzip.compress(zeros, 1), {**zeros_head, **zipped}),)),
        "a body that ends too early": Hostile((_sent(small, said=60 * 2**20), b""), 0.05, leaves=True),
        "a body that stands still": Hostile((_sent(b" " * 2**20, said=2 * 2**20), b""), 2.0, leaves=True),
        "a body that drips": Hostile((_sent(small, said=1000), *[b" "] * 10), 0.1, leaves=True),
        "headers that drip": Hostile((b"Host: localhost\r\n", *[b"X: y\r\n"] * 10), 0.1, leaves=True),
        "an unknown coding": Hostile((_sent(bomb, {"Content-Encoding": "br"}),)),
        "a long id": Hostile((_sent(b'{"id":"' + b"i" * 1_000_000 + b'",' + small[1:]),)),
        "deep parameters": Hostile((_sent(b'{"parameters":{"a":' + b"[" * 900 + b"]" * 900 + b"}," + small[1:]),)),
    }


async def send(url: str, path: str, hostile: Hostile) -> int:
    """The status of the answer; NO_ANSWER without one."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"POST {path} HTTP/1.1\r\n".encode())
        sending = asyncio.create_task(_send(writer, hostile))
        try:
            if hostile.leaves:
                await sending
                return NO_ANSWER
            line = await reader.readline()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return int(line[9:12]) if line else NO_ANSWER
    except ConnectionError:
        return NO_ANSWER
    finally:
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, hostile: Hostile) -> None:
    for part in hostile.parts:
        for start in range(0, len(part), 2**20):
            writer.write(part[start : start + 2**20])
            await writer.drain()
        await asyncio.sleep(hostile.pause_s)
