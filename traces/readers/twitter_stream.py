"""Archive Team's Twitter stream: a tar of individually compressed files of JSON lines; messages are counted per second.

    2018/04/01/00/30.json.bz2: {"created_at": ..., "id": ..., ..., "timestamp_ms": "1522540800659"}

Members may be in any folders, or in a tar within the tar. Other files are ignored. A status counts in the second of its
`timestamp_ms`; seconds without any count 0. Deletion notices and other messages of the stream (`limit`, `scrub_geo`,
...) are not counted; their number is reported. The reader published with the Twitter trace also counts deletion
notices, as does the time column `timestamp_ms,delete.timestamp_ms`.

The archive is read as a stream: memory grows with the seconds of the trace, not with its messages.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Any

import numpy as np

from ipa.traces.checks import TraceError
from ipa.traces.readers.from_columns import start_us
from ipa.traces.readers.notation import EARLIEST_US, LATEST_US, Reading, of_numbers
from ipa.traces.readers.stored import DAMAGE, Stored, unpacked
from ipa.traces.reading import ask
from ipa.traces.trace import Trace

_STATUS, _DELETION = "timestamp_ms", "delete.timestamp_ms"
_CHOICES = {None: (_STATUS,), _STATUS: (_STATUS,), f"{_STATUS},{_DELETION}": (_STATUS, _DELETION)}


def is_tar(line: bytes) -> bool:
    """Whether a first line begins a tar archive."""
    return line[257:262] == b"ustar"


def read_twitter_stream(stored: Stored, hints: Reading, seed: int) -> Trace:
    """The trace of an archive. Raises TraceError, with file, member and line, if a line is no message of the stream."""
    if hints.time_column not in _CHOICES or hints.model_copy(update={"time_column": None}).said:
        raise TraceError(
            f"{stored.path}: statuses are counted by {_STATUS}, or with {ask('time_column', f'{_STATUS},{_DELETION}')} "
            "notices of deletion too; leave the other parts of read out"
        )
    keys = _CHOICES[hints.time_column]
    places: dict[int, str] = {}
    counts: dict[int, int] = {}
    others = 0
    for place, line in _lines(stored.stream(), str(stored.path)):
        second = _second(line, keys, place)
        if second is None:
            others += 1
        elif second in counts:
            counts[second] += 1
        else:
            counts[second] = 1
            places[second] = place
    if not counts:
        raise TraceError(f"{stored.path}: no status in it; read are members named *.json, packed or not")
    return _trace(counts, places, others, keys, stored)


def _trace(counts: dict[int, int], places: dict[int, str], others: int, keys: tuple[str, ...], stored: Stored) -> Trace:
    seconds = np.fromiter(counts, np.int64)
    place_of_second = list(places.values())
    start_s = start_us(seconds * 1_000_000, lambda index: place_of_second[index]) // 1_000_000
    per_second = np.bincount(seconds - start_s, np.fromiter(counts.values(), np.int64)).astype(np.int64)
    counted = "statuses" if keys == (_STATUS,) else "statuses and notices of deletion"
    left_out = f"; other messages, not counted: {others:,}" if others else ""
    return Trace.of_counts(
        counts=per_second,
        reading=f"{counted} of a Twitter stream, counted per second{left_out}",
        starts_at=of_numbers(float(start_s), "s", Reading()).at(start_s * 1e6),
        **stored.about,
    )


def _second(line: bytes, keys: tuple[str, ...], place: str) -> int | None:
    """The second since 1970 in which a message counts, None if it does not count."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{place}: not a JSON object: {error}") from None
    if not isinstance(message, dict):
        raise TraceError(f"{place}: not a JSON object: {line[:60].decode(errors='replace')!r}")
    deletion = message.get("delete")
    if "created_at" in message:
        key, value = _STATUS, message.get(_STATUS)
    elif isinstance(deletion, dict):
        key, value = _DELETION, deletion.get(_STATUS)
    else:
        return None
    if key not in keys:
        return None
    try:
        milliseconds = int(str(value))
    except ValueError:
        shown = "missing" if value is None else f"{str(value)[:40]!r}"
        raise TraceError(f"{place}: {key} is {shown}, not a number of milliseconds since 1970") from None
    if not EARLIEST_US <= milliseconds * 1000 < LATEST_US:
        raise TraceError(f"{place}: {key} {milliseconds} is not a time from 1990 to 2100")
    return milliseconds // 1000


# ---- the lines of an archive ----


def _lines(file: IO[bytes], path: str) -> Iterator[tuple[str, bytes]]:
    """The lines of all members, each with its place."""
    with _answering(path):
        archive = tarfile.open(fileobj=file, mode="r|")  # noqa: SIM115
    with archive:
        members = iter(archive)
        while True:
            with _answering(path):
                member = next(members, None)
            if member is None:
                return
            if member.isfile():
                content = archive.extractfile(member)
                assert isinstance(content, io.BufferedReader), "a file has content"
                yield from _lines_of(content, f"{path}, {member.name}", Path(member.name))


def _lines_of(content: "io.BufferedReader[Any]", path: str, name: Path) -> Iterator[tuple[str, bytes]]:
    """The lines of a member, or of its members if it is an archive."""
    suffixes = [suffix.lower() for suffix in name.suffixes[-2:]]
    if not {".json", ".tar", ".tgz"} & set(suffixes):
        return
    with _answering(path):
        _, stream = unpacked(content, name)
    if ".json" not in suffixes:
        yield from _lines(stream, path)
        return
    for number in count(1):
        with _answering(path):
            line = stream.readline()
        if not line:
            return
        if line.strip():
            yield f"{path}, line {number}", line


@contextmanager
def _answering(path: str) -> Iterator[None]:
    """Turn errors of a damaged archive or member into TraceError."""
    try:
        yield
    except (*DAMAGE, tarfile.TarError) as error:
        raise TraceError(f"{path}: damaged or cut off: {error}") from error
