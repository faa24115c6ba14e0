"""A stored file: its lines, decompressed as its first bytes indicate, and its sha256, in one pass."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

from ipa.errors import did_you_mean
from ipa.traces.checks import TraceError

BUFFER_BYTES = 1 << 20

SHOWN = 3
"""The most unreadable lines that an error text names."""

_CONTAINER = re.compile(rb"\d{4}-\d\d-\d\dT\S+ (stdout|stderr) ([FP]) ")
"""The prefix that container runtimes of Kubernetes write to each line; P: partial, more of the line follows."""


def _zstd(packed: BinaryIO) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(packed, "zstd")


_UNPACK: dict[str, tuple[bytes, Callable[[BinaryIO], Any]]] = {
    ".gz": (b"\x1f\x8b", lambda packed: gzip.GzipFile(fileobj=packed)),
    ".zst": (b"\x28\xb5\x2f\xfd", _zstd),
    ".xz": (b"\xfd7zXZ\0", lzma.LZMAFile),
    ".bz2": (b"BZh", bz2.BZ2File),
}
PACKINGS = tuple(_UNPACK)
"""The suffixes of compressed files, which are recognised by their first bytes, whatever their names."""


DAMAGE = (OSError, EOFError, lzma.LZMAError, zlib.error)
"""The exceptions of damaged or truncated compressed files."""


class About(TypedDict):
    """The fields of a trace that identify the file."""

    name: str
    source: str
    sha256: str


@dataclass
class Stored:
    """An open file: `lines` can be iterated once; `first` is the first line that is neither blank nor a comment."""

    path: Path
    lines: Iterator[bytes]
    first: bytes
    is_empty: bool
    _raw: "_Hashed" = field(repr=False)
    skip_bad_lines: int = 0
    _bad: list[str] = field(default_factory=list)

    @property
    def content_name(self) -> Path:
        """The file's name without the suffix of its compression."""
        packing = self.path.suffix if self.path.suffix in PACKINGS else ""
        return Path(self.path.name.removesuffix(packing))

    @property
    def about(self) -> About:
        """The name of the trace, its source, and the sha256 of the file; reads the rest of the file."""
        return About(name=self.content_name.stem, source=self.path.name, sha256=self._raw.sha256())

    def place(self, line: int) -> str:
        """The place of a line, counted from 1, for an error text."""
        return f"{self.path}, line {line}"

    def pass_over(self, error: TraceError) -> None:
        """Skip an unreadable line and record it; raises the error if more are skipped than allowed."""
        if len(self._bad) == self.skip_bad_lines:
            allowed = f"; read.skip_bad_lines, {self.skip_bad_lines}, have been passed over before" if self._bad else ""
            raise TraceError(f"{error}{allowed}") from None
        self._bad.append(str(error).removeprefix(f"{self.path}, "))

    @property
    def passed_over(self) -> str:
        """Which lines were unreadable, and why, as the end of a sentence; empty if none."""
        if not self._bad:
            return ""
        rest = f"; and {len(self._bad) - SHOWN} more" if len(self._bad) > SHOWN else ""
        lines = "1 line that could not be read" if len(self._bad) == 1 else f"{len(self._bad)} that could not be read"
        return f", without {lines} ({'; '.join(self._bad[:SHOWN])}{rest})"

    def stream(self) -> BinaryIO:
        """The decompressed bytes, for formats without lines; use instead of `lines`."""
        return io.BufferedReader(_Joined(self.lines), BUFFER_BYTES)

    def text_lines(self) -> Iterator[str]:
        """The lines as UTF-8 text, without a byte order mark. Raises TraceError, with the line, for other bytes."""
        encoding = "utf-8-sig"
        for number, line in enumerate(self.lines, start=1):
            try:
                yield line.decode(encoding)
            except UnicodeDecodeError as error:
                raise TraceError(f"{self.place(number)}: not UTF-8 text: {error.reason}") from error
            encoding = "utf-8"


@contextmanager
def opened(path: Path) -> Iterator[Stored]:
    """The file, open for the block. Raises TraceError, also within the block, if it cannot be read or decompressed."""
    packing = ""
    try:
        with _Hashed(path) as raw, io.BufferedReader(raw, BUFFER_BYTES) as buffered:
            packing, stream = unpacked(buffered, path)
            above: list[bytes] = []
            lines = _of_container(stream)
            for line in lines:
                above.append(line)
                if _is_content(line):
                    break
            first = above[-1] if above and _is_content(above[-1]) else b""
            yield Stored(path, chain(above, lines), first, not any(map(_stripped, above)), raw)
    except FileNotFoundError as error:
        raise TraceError(f"{path}: no such file{did_you_mean(path.name, _beside(path))}") from error
    except DAMAGE as error:
        if packing:
            raise TraceError(f"{path}: damaged or cut off, {packing[1:]} says: {error}") from error
        reason = getattr(error, "strerror", None) or error
        raise TraceError(f"{path}: cannot be read: {reason}") from error


def unpacked(file: "io.BufferedReader[Any]", path: Path) -> tuple[str, "io.BufferedReader[Any]"]:
    """The suffix of a file's compression (empty: none), and its content; the first bytes decide, else the name."""
    head = file.peek(8)
    by_content = next((suffix for suffix, (magic, _) in _UNPACK.items() if head.startswith(magic)), "")
    packing = by_content or (path.suffix if path.suffix in PACKINGS else "")
    return packing, io.BufferedReader(_UNPACK[packing][1](file), BUFFER_BYTES) if packing else file


def _of_container(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The lines; in a container's log those of standard output, with blank lines in place of the others."""
    first = next(lines, b"")
    if not _CONTAINER.match(first):
        yield from chain([first] if first else [], lines)
        return
    begun = b""
    for line in chain([first], lines):
        prefix = _CONTAINER.match(line)
        if prefix is None:
            yield line
        elif prefix[1] == b"stderr":
            yield b"\n"
        elif prefix[2] == b"P":
            begun += line[prefix.end() :].rstrip(b"\n")
            yield b"\n"
        else:
            yield begun + line[prefix.end() :]
            begun = b""


def _is_content(line: bytes) -> bool:
    return bool(_stripped(line)) and not _stripped(line).startswith(b"#")


def _stripped(line: bytes) -> bytes:
    return line.removeprefix(b"\xef\xbb\xbf").strip()


def _beside(path: Path) -> list[str]:
    try:
        return sorted(os.listdir(path.parent))
    except OSError:
        return []


def _without_waiting(path: str, flags: int) -> int:
    """Open a file without blocking: a pipe without a writer is at its end, while a plain `open` would wait forever."""
    nonblocking = getattr(os, "O_NONBLOCK", 0)  # Windows lacks it, and such pipes
    descriptor = os.open(path, flags | nonblocking)
    if nonblocking:
        os.set_blocking(descriptor, True)
    return descriptor


class _Joined(io.RawIOBase):
    """Pieces of bytes as one file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


class _Hashed(io.FileIO):
    """A file whose bytes are hashed as they are read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, opener=_without_waiting)
        self._sha = hashlib.sha256()

    def readinto(self, buffer: Any) -> int | None:
        size = super().readinto(buffer)
        self._sha.update(memoryview(buffer)[:size])
        return size

    def sha256(self) -> str:
        while self.readinto(bytearray(BUFFER_BYTES)):
            pass
        return self._sha.hexdigest()
