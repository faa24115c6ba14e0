"""From files to traces: counts as plain text here, CSV and parquet in `tables`.

The suffix says the format, and before it one of .xz, .bz2, .gz may be undone:
- `.txt`, or none: whole numbers separated by white space, the requests of one second each;
- `.csv`, `.parquet`: columns, see `tables`.
"""

import bz2
import gzip
import hashlib
import lzma
import os
import re
import string
import zlib
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from ipa.traces import tables
from ipa.traces.checks import Counts, TraceError, bad_count, nearest
from ipa.traces.trace import Trace

_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.decompress,
    ".bz2": bz2.decompress,
    ".gz": gzip.decompress,
}
_FORMATS = (".txt", ".csv", ".parquet")

_DIGITS_AND_SPACE = (string.digits + string.whitespace).encode()


def read(path: str | Path) -> Trace:
    """The trace that a file holds, named after the file; its sha256 is that of the file as stored.

    Raises TraceError, naming the file and the place in it, for a file that cannot be read or
    unpacked, an unknown suffix, an empty file, and any value that is no count or no instant.
    """
    path = Path(path)
    packing = path.suffix if path.suffix in _UNPACK else ""
    content_name = Path(path.name.removesuffix(packing))
    suffix = content_name.suffix
    if suffix not in (*_FORMATS, ""):
        raise TraceError(
            f"{path}: unknown suffix {suffix!r}; read are {', '.join(_FORMATS)} and names without "
            f"one, each also packed as {', '.join(_UNPACK)}{nearest(suffix, (*_FORMATS, *_UNPACK))}"
        )
    stored = _bytes(path)
    content = _unpacked(stored, packing, path)
    if not content.strip():
        raise TraceError(f"{path}: the file is empty")
    origin = tables.Origin(content_name.stem, str(path), path.name, hashlib.sha256(stored).hexdigest())
    if suffix == ".csv":
        return tables.of_csv(content, origin)
    if suffix == ".parquet":
        return tables.of_parquet(content, origin)
    counts = _counts_of_text(content, str(path))
    return Trace.of_counts(origin.name, counts, source=origin.source, sha256=origin.sha256)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise TraceError(f"{path}: no such file{nearest(path.name, _beside(path))}") from error
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error


def _beside(path: Path) -> list[str]:
    try:
        return sorted(os.listdir(path.parent))
    except OSError:
        return []


def _unpacked(stored: bytes, packing: str, path: Path) -> bytes:
    if not packing:
        return stored
    try:
        return _UNPACK[packing](stored)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise TraceError(f"{path}: damaged or cut off, {packing[1:]} says: {error}") from error


def _counts_of_text(content: bytes, path: str) -> Counts:
    # Two million numbers in 30 ms: one sweep over the bytes proves that numpy's parser will meet
    # nothing but digits, so that only a file with a fault in it is gone through token by token.
    if content.translate(None, _DIGITS_AND_SPACE):
        tokens = enumerate(content.split())
        raise _refusal(content, next(at for at, token in tokens if not token.isdigit()), path)
    counts = np.fromstring(content, np.int64, sep=" ")
    fault = bad_count(counts)
    if fault:
        raise _refusal(content, fault[0], path)
    return counts


def _refusal(content: bytes, index: int, path: str) -> TraceError:
    match = next(islice(re.finditer(rb"\S+", content), index, None))
    line_start = content.rfind(b"\n", 0, match.start()) + 1
    line = content.count(b"\n", 0, line_start) + 1
    column = match.start() - line_start + 1
    token = match.group()[:40].decode(errors="replace")
    return TraceError(f"{path}, line {line}, column {column}: number {index + 1} is {token!r}: {_reason(token)}")


def _reason(token: str) -> str:
    try:
        fault = bad_count(np.array([float(token)]))
    except ValueError:
        return "not a number"
    return fault[1] if fault else "not written as a whole number"
