"""Bodies of messages as they arrive: inflated piece by piece, and bounded before anything is built from them.

Nothing here takes longer than a few milliseconds at a time: between two pieces, others have the event loop.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext, suppress
from functools import partial
from typing import TypeVar

from aiohttp import StreamReader, hdrs, web

from ipa.live.serving import protocol
from ipa.live.serving.admission import JSON_GROWS, MessageLimits, Share
from ipa.live.serving.protocol import HEADER, ProtocolError, Steps, at_once

READ_S = 30.0
"""How long a body may take to arrive after its headers."""
STANDS_S = 10.0
LEAST_BYTES_S = 16 * 2**10
"""A request's body may stall for STANDS_S; after that time it must have arrived at LEAST_BYTES_S bytes a second."""

PIECE_BYTES = 256 * 2**10
"""How much is inflated at a time."""
MOST_RATIO = 100
FREE_OF_RATIO_BYTES = 2**20
"""A compressed body may become MOST_RATIO times larger, or FREE_OF_RATIO_BYTES large."""
MOST_MEMBERS = 100
"""How many gzip members a compressed body may have."""

CODINGS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""The content codings that are inflated, with the window bits by which zlib tells them apart."""

AT_ONCE_BYTES = 64 * 2**10
"""JSON that is longer is read and written in steps."""
STEPS_S = 30.0
"""How long large JSON may take to be read or written, beside that of others."""

T = TypeVar("T")


class Collected:
    """A body so far; `told` is called with the bytes held for it."""

    def __init__(
        self, json_bytes: int | None, limits: MessageLimits, told: Callable[[int], None] | None = None
    ) -> None:
        """`json_bytes` is the length of the JSON part, None: the whole body."""
        self.data = bytearray()
        self._json_bytes = json_bytes
        self._limits = limits
        self._told = told

    @property
    def json_bytes(self) -> int:
        """How much of it is JSON."""
        return len(self.data) if self._json_bytes is None else min(len(self.data), self._json_bytes)

    def add(self, piece: bytes) -> None:
        """More of the body. Raises ProtocolError if it is too large (413), or if there is no room for it (503)."""
        self.check_length(len(self.data) + len(piece))
        self.data += piece
        if self._told is not None:
            self._told(2 * len(self.data) + JSON_GROWS * self.json_bytes)

    def check_length(self, length: int) -> None:
        """Raise ProtocolError (413) if the body may not be that long."""
        limits = self._limits
        json_bytes = length if self._json_bytes is None else min(length, self._json_bytes)
        if json_bytes > limits.json_bytes:
            raise ProtocolError(
                f"the body's JSON is too large; allowed: {limits.json_bytes} bytes. Send large tensors as binary data "
                f"({HEADER}); allowed: {limits.body_bytes} bytes",
                413,
            )
        if length > limits.body_bytes:
            raise ProtocolError(f"the body is too large; allowed: {limits.body_bytes} bytes", 413)


async def read_body(http: web.Request, limits: MessageLimits, share: Share | None = None) -> Collected:
    """A request's whole body; `share` counts what has arrived so far.

    Raises ProtocolError if it is too large (413), too slow (408), in an unknown coding (415) or broken (400), or if
    there is no room for it (503).
    """
    json_bytes = protocol.json_length(http.headers.get(HEADER))
    collected = Collected(json_bytes, limits, None if share is None else share.hold)
    collected.check_length(http.content_length or 0)
    try:
        if http.content.is_eof() and hdrs.CONTENT_ENCODING not in http.headers:  # it has come with its headers
            collected.add(http.content.read_nowait())
            return collected
        async with asyncio.timeout(None) as limit:
            with nullcontext() if share is None else share.arriving(partial(_expire, limit)):
                async for piece in in_time(limit, http.content, _pieces(http), STANDS_S):
                    collected.add(piece)
    except TimeoutError:
        if share is not None and share.gave_way:
            share.hold(0)  # says so
        why = f"within {READ_S:g} s, at {LEAST_BYTES_S} bytes/s, without standing still for {STANDS_S:g} s"
        raise ProtocolError(f"the body did not arrive {why}", 408) from None
    except web.RequestPayloadError as error:
        raise ProtocolError(f"the body cannot be read: {' '.join(str(error).split())}") from None
    return collected


def _expire(limit: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # it has expired by itself
        limit.reschedule(0.0)


async def in_time(
    limit: asyncio.Timeout, content: StreamReader, pieces: AsyncIterator[bytes], stands_s: float
) -> AsyncIterator[bytes]:
    """The pieces of a body, for as long as they keep coming; `limit` expires where they do not."""
    now_s = asyncio.get_running_loop().time
    start_s = last_s = now_s()
    while True:
        by_rate_s = start_s + stands_s + content.total_bytes / LEAST_BYTES_S
        limit.reschedule(min(start_s + READ_S, last_s + stands_s, by_rate_s))
        piece = await anext(pieces, None)
        if piece is None:
            return
        last_s = now_s()
        yield piece


def _pieces(http: web.Request) -> AsyncIterator[bytes]:
    coding = ", ".join(http.headers.getall(hdrs.CONTENT_ENCODING, [])).strip().lower()
    if coding in ("", "identity"):
        return http.content.iter_any()
    if coding not in CODINGS:
        raise ProtocolError(f"{hdrs.CONTENT_ENCODING}: {coding}; allowed: gzip, deflate, identity", 415)
    return _inflated(coding, http)


async def _inflated(coding: str, http: web.Request) -> AsyncIterator[bytes]:
    inflater = Inflater(coding)
    async for compressed in http.content.iter_any():
        for piece in inflater.feed(compressed):
            yield piece
            await asyncio.sleep(0)
    inflater.end()


class Inflater:
    """Inflates a body in pieces. Raises ProtocolError if it is not what it claims (400), or grows too much (413)."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._stream: zlib._Decompress | None = None
        self._members = 0
        self._taken = 0
        self._given = 0

    def feed(self, compressed: bytes) -> Iterator[bytes]:
        """What more of the body inflates to, in pieces of at most `PIECE_BYTES`."""
        self._taken += len(compressed)
        is_cut = False
        while compressed or is_cut:
            stream = self._next(compressed)
            try:
                piece = stream.decompress(compressed, PIECE_BYTES)
            except zlib.error as error:
                raise self._broken(str(error)) from None
            compressed = stream.unused_data if stream.eof else stream.unconsumed_tail
            is_cut = not stream.eof and len(piece) == PIECE_BYTES
            self._given += len(piece)
            if self._given > max(FREE_OF_RATIO_BYTES, MOST_RATIO * self._taken):
                raise ProtocolError(
                    f"the body grows from {self._taken} bytes to more than {self._given}; allowed: {MOST_RATIO} times, "
                    f"or {FREE_OF_RATIO_BYTES} bytes. Send it without {hdrs.CONTENT_ENCODING}",
                    413,
                )
            yield piece

    def end(self) -> None:
        """The body has ended."""
        if self._taken and not (self._stream is not None and self._stream.eof):
            raise self._broken("it ends too early")

    def _next(self, compressed: bytes) -> zlib._Decompress:
        """The present stream, or the next one after its end."""
        if self._stream is None or self._stream.eof:
            self._members += 1
            if self._members > (1 if self._coding == "deflate" else MOST_MEMBERS):
                raise self._broken("more follows after its end")
            bits = CODINGS[self._coding]
            if self._coding == "deflate" and compressed[0] & 0xF != 8:
                bits = -bits  # without the header of zlib, as some clients send it
            self._stream = zlib.decompressobj(bits)
        return self._stream

    def _broken(self, why: str) -> ProtocolError:
        return ProtocolError(f"the body cannot be read: it is not {self._coding}: {why}")


async def in_steps(one_step: asyncio.Lock, size: int, steps: Steps[T]) -> T:
    """The result of steps over about `size` bytes of JSON, one in a pass of the event loop if they are many: so they
    take no more of it than those of one, however many have large JSON at a time.

    Raises ProtocolError (503) if they take too long.
    """
    if size <= AT_ONCE_BYTES:
        return at_once(steps)
    try:
        async with asyncio.timeout(STEPS_S):
            while True:
                async with one_step:
                    await asyncio.sleep(0)
                    try:
                        next(steps)
                    except StopIteration as end:
                        return end.value  # type: ignore[no-any-return]
    except TimeoutError:
        raise ProtocolError(f"large JSON took more than {STEPS_S:g} s; send binary data", 503) from None
