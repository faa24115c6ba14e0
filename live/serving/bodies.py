"""Bodies of messages as they arrive: inflated piece by piece, and bounded before anything is built from them.

Nothing here takes longer than a fraction of a millisecond at a time: between two pieces, others have their turn.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import nullcontext, suppress
from functools import partial

from aiohttp import StreamReader, hdrs, web
from multidict import CIMultiDictProxy

from ipa.live.serving import protocol
from ipa.live.serving.admission import Limits, Share, built_bytes
from ipa.live.serving.protocol import HEADER, ProtocolError

READ_S = 30.0
"""How long a body may take to arrive after its headers."""
STANDS_S = 10.0
LEAST_BYTES_S = 16 * 2**10
"""A request's body may stand still for so long, and after that time must have come at so many bytes a second."""

PIECE_BYTES = 256 * 2**10
"""How much is inflated at a time."""
MOST_RATIO = 100
FREE_OF_RATIO_BYTES = 2**20
"""A compressed body may become so many times larger, or this large."""
MOST_MEMBERS = 100
"""How many gzip files one after the other a compressed body may be."""

CODINGS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""The content codings that are inflated, with the window bits by which zlib tells them apart."""

_SEPARATORS = b",[{:"


class Collected:
    """A body so far. `built_bytes` is the most that its JSON part takes while it is read; `told` hears what is held."""

    def __init__(self, json_bytes: int | None, limits: Limits, told: Callable[[int], None] | None = None) -> None:
        """`json_bytes` is the length of the JSON part, None: the whole body."""
        self.data = bytearray()
        self.built_bytes = 0
        self._json_bytes = json_bytes
        self._limits = limits
        self._told = told
        self._values = 0

    @property
    def most_bytes(self) -> int:
        """How long the body may be."""
        return self._limits.json_bytes if self._json_bytes is None else self._limits.body_bytes

    def add(self, piece: bytes) -> None:
        """More of the body. Raises ProtocolError if it is too large (413), or if there is no room for it (503)."""
        start = len(self.data)
        self.check_length(start + len(piece))
        part = piece if self._json_bytes is None else piece[: max(0, self._json_bytes - start)]
        # One pass at a constant speed; a count of each separator is slower the more there are.
        self._values += len(part) - len(part.translate(None, _SEPARATORS))
        text_bytes = start + len(part) if self._json_bytes is None else min(start + len(piece), self._json_bytes)
        self.built_bytes = built_bytes(text_bytes, self._values)
        if self.built_bytes > self._limits.built_bytes:
            raise ProtocolError(
                f"the body's JSON is too large: {text_bytes} bytes with {self._values} values so far, which may take "
                f"{self.built_bytes} bytes; allowed: {self._limits.built_bytes} bytes. {self._advice}",
                413,
            )
        if self._told is not None:
            self._told(2 * (start + len(piece)) + self.built_bytes)
        self.data += piece

    def check_length(self, length: int) -> None:
        """Raise ProtocolError (413) if the body may not be that long."""
        if length > self.most_bytes:
            what = "body of JSON" if self._json_bytes is None else "body"
            advice = f". {self._advice}" if self._json_bytes is None else ""
            raise ProtocolError(f"the {what} is too large; allowed: {self.most_bytes} bytes{advice}", 413)

    @property
    def _advice(self) -> str:
        return f"Send large tensors as binary data ({HEADER}); allowed: {self._limits.body_bytes} bytes"


async def read_body(http: web.Request, limits: Limits, share: Share | None = None) -> Collected:
    """A request's whole body; `share` counts what has arrived so far.

    Raises ProtocolError if it is too large (413), too slow (408), in an unknown coding (415) or broken (400), or if
    there is no room for it (503).
    """
    json_bytes = protocol.json_length(http.headers.get(HEADER))
    collected = Collected(json_bytes, limits, None if share is None else share.hold)
    collected.check_length(http.content_length or 0)
    try:
        async with asyncio.timeout(None) as limit:
            with nullcontext() if share is None else share.arriving(partial(_expire, limit)):
                async for piece in in_time(limit, http.content, _pieces(http.headers, http.content), STANDS_S):
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


def _pieces(headers: CIMultiDictProxy[str], content: StreamReader) -> AsyncIterator[bytes]:
    coding = ", ".join(headers.getall(hdrs.CONTENT_ENCODING, [])).strip().lower()
    if coding in ("", "identity"):
        return content.iter_any()
    if coding not in CODINGS:
        raise ProtocolError(f"{hdrs.CONTENT_ENCODING}: {coding}; allowed: gzip, deflate, identity", 415)
    return _inflated(coding, content)


async def _inflated(coding: str, content: StreamReader) -> AsyncIterator[bytes]:
    inflater = Inflater(coding)
    async for compressed in content.iter_any():
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
        """The stream that goes on, or the next one."""
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
