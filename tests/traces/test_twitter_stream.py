"""Archive Team's Twitter stream: statuses counted per second out of a tar of packed JSON lines."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ipa.traces import Reading, Trace, TraceError, read

START_S = 1_522_540_800
"""2018-04-01T00:00:00Z."""


def status(second: float, text: str = "") -> str:
    at_ms = int((START_S + second) * 1000)
    return json.dumps(
        {
            "created_at": "Sun Apr 01 00:00:00 +0000 2018",
            "text": text,
            "retweeted_status": {"created_at": "Sat Mar 31 00:00:00 +0000 2018"},
            "timestamp_ms": str(at_ms),
        }
    )


def deletion(second: float) -> str:
    return json.dumps({"delete": {"status": {"id": 7}, "timestamp_ms": str(int((START_S + second) * 1000))}})


LIMIT = json.dumps({"limit": {"track": 5, "timestamp_ms": str(START_S * 1000)}})


def tar(members: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        folder = tarfile.TarInfo("2018")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def lines(*messages: str) -> bytes:
    return "".join(f"{message}\n" for message in messages).encode()


MEMBERS = {
    "2018/04/01/00/00.json.bz2": bz2.compress(lines(status(0.659), status(0.999), deletion(0.5), status(2.0, "é"))),
    "2018/04/01/00/01.json.bz2": bz2.compress(lines(LIMIT, "", status(61.0), status(2.5), deletion(62.0))),
}


def put(folder: Path, content: bytes, name: str = "stream.tar", **hints: Any) -> Trace:
    (folder / name).write_bytes(content)
    return read(folder / name, Reading(**hints))


def counted(trace: Trace) -> dict[int, int]:
    counts = trace.per_second()
    return {second: int(counts[second]) for second in counts.nonzero()[0].tolist()}


@pytest.mark.parametrize("name", ["stream.tar", "stream", "archiveteam-twitter-stream-2018-04.tar"])
def test_statuses_are_counted_per_second(tmp_path: Path, name: str) -> None:
    """Whatever the order; a second without any is 0; notices of deletion and limits are not counted, and said."""
    trace = put(tmp_path, tar({**MEMBERS, "README.txt": b"not of the stream"}), name)
    assert (counted(trace), trace.duration_s) == ({0: 2, 2: 2, 61: 1}, 62.0)
    assert trace.starts_at == datetime(2018, 4, 1, tzinfo=UTC)
    assert trace.reading == "statuses of a Twitter stream, counted per second; other messages, not counted: 3"


def test_notices_of_deletion_are_counted_where_that_is_asked_for(tmp_path: Path) -> None:
    """As the reader that was published with the trace does."""
    trace = put(tmp_path, tar(MEMBERS), time_column="timestamp_ms,delete.timestamp_ms")
    assert counted(trace) == {0: 3, 2: 2, 61: 1, 62: 1}
    assert trace.reading.startswith("statuses and notices of deletion of a Twitter stream, ")
    assert trace.reading.endswith("; other messages, not counted: 1")
    assert put(tmp_path, tar(MEMBERS), time_column="timestamp_ms") == put(tmp_path, tar(MEMBERS))


def test_archives_lie_in_archives_and_in_any_packing(tmp_path: Path) -> None:
    """Days in a month; members of gzip or unpacked; the whole packed once more."""
    day = tar({"00.json.gz": gzip.compress(lines(status(1))), "a/b/01.json": lines(status(3))})
    month = tar({"days/01.tar": day, "days/02.tar.gz": gzip.compress(tar({"0.json.bz2": bz2.compress(b"")}))})
    for name, content in (("m.tar", month), ("m.tar.gz", gzip.compress(month)), ("m.tgz", gzip.compress(month))):
        assert counted(put(tmp_path, content, name)) == {0: 1, 2: 1}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"created_at": ', r"stream.tar, a/0.json.bz2, line 2: not a JSON object: "),
        ("[1]", r"stream.tar, a/0.json.bz2, line 2: not a JSON object: '\[1\]"),
        ('{"created_at": "Sun"}', "line 2: timestamp_ms is missing, not a number of"),
        ('{"created_at": "Sun", "timestamp_ms": "soon"}', "line 2: timestamp_ms is 'soon', not a number of"),
        ('{"created_at": "Sun", "timestamp_ms": "5"}', "line 2: timestamp_ms 5 is not a time from 1990 to 2100"),
        ('{"created_at": "Sun", "timestamp_ms": "1111111111111"}', "line 1: .* s later than .*line 2; a trace lasts"),
    ],
)
def test_what_is_no_message_is_refused_by_member_and_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        put(tmp_path, tar({"a/0.json.bz2": bz2.compress(lines(status(0), line))}))


def test_an_archive_that_is_damaged_cut_off_or_empty_of_statuses_is_refused(tmp_path: Path) -> None:
    packed = bz2.compress(lines(*[status(second, str(second) * 50) for second in range(200)]))
    with pytest.raises(TraceError, match=r"stream.tar, 0.json.bz2: damaged or cut off: "):
        put(tmp_path, tar({"0.json.bz2": packed[:-20]}))
    with pytest.raises(TraceError, match=r"stream.tar, 0.json.bz2: damaged or cut off: "):
        put(tmp_path, tar({"0.json.bz2": b"no bzip2"}))
    with pytest.raises(TraceError, match=r"stream.tar.*: damaged or cut off: "):
        put(tmp_path, tar({"0.json.bz2": packed})[:1800])
    with pytest.raises(TraceError, match=r"stream.tar: damaged or cut off: "):
        put(tmp_path, b"no tar at all\n" * 100)
    with pytest.raises(TraceError, match=r"stream.tar: no status in it; read are members named \*.json"):
        put(tmp_path, tar({"workload.txt": b"5 6 7", "0.json": lines(LIMIT)}))
    with pytest.raises(TraceError, match="leave the other parts"):
        put(tmp_path, tar(MEMBERS), time_unit="ms")
    with pytest.raises(TraceError, match=r"statuses are counted by timestamp_ms, or with --set read.time_column"):
        put(tmp_path, tar(MEMBERS), time_column="created_at")


def test_memory_grows_with_the_seconds_of_an_archive_not_with_its_messages(tmp_path: Path) -> None:
    member = bz2.compress(lines(*[status(5, "x" * 40000)] * 40))
    content = tar({f"{minute}.json.bz2": member for minute in range(5)})
    tracemalloc.start()
    trace = put(tmp_path, content)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert trace.requests == 200
    assert peak_bytes < 6e6  # of 8 MB
