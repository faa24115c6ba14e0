"""Traces in columns: CSV and parquet, by the same rules.

A table holds either a column of instants, `arrival_s` or `timestamp_s` (seconds since the trace's
start, from 0; sorted here where they are not), or a column of counts, `count` or `requests` (one
row a second), which may have a clock beside it, `second` or `time_s`: 0, 1, 2 ..., with none left
out, for a missing second is not a second without requests. Other columns are passed over.

What columns cannot say stands in the facts, a JSON object: `duration_s` (of instants; without it
the trace ends with the last one's second) and `history_counts`. In a CSV file it is a comment
before the header, `# ipa-trace {...}`; in parquet the schema's metadata under `ipa-trace`. Other
comments before the header are passed over.
"""

import csv
import io
import json
import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipa.traces.checks import Numbers, TraceError, bad_count, bad_time, nearest
from ipa.traces.trace import Trace

FACTS = "ipa-trace"
"""Where the facts stand: the word after `#` in CSV, the metadata's key in parquet."""

TIMES = ("arrival_s", "timestamp_s")
COUNTS = ("count", "requests")
CLOCKS = ("second", "time_s")

Facts = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """The file that a trace is read from."""

    name: str
    path: str
    source: str
    sha256: str


@dataclass(frozen=True)
class Column:
    """The numbers of one column, and where each stands: `word` is the format's, line or row."""

    name: str
    values: Numbers
    path: str
    word: str
    rows: Sequence[int]

    def place(self, index: int) -> str:
        return f"{self.path}, {self.word} {self.rows[index]}, column {self.name}"

    def check(self, bad: Callable[[Numbers], tuple[int, str] | None]) -> None:
        """Raises TraceError at the first value that `bad` finds."""
        fault = bad(self.values)
        if fault:
            raise TraceError(f"{self.place(fault[0])}: {fault[1]}")


def of_csv(content: bytes, origin: Origin) -> Trace:
    """The trace of a CSV file: comma-separated, a header, every row as long as the header.

    Raises TraceError with file, line and column.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TraceError(f"{origin.path}, line {line}: not UTF-8 text: {error.reason}") from error
    above = re.match(r"(#.*\n)*", text)
    assert above is not None
    comments = above.group().splitlines()
    facts: Facts = {}
    for line, comment in enumerate(comments, start=1):
        words = comment.removeprefix("#").strip()
        if words.startswith(FACTS):
            facts = _facts(words.removeprefix(FACTS), f"{origin.path}, line {line}")
    table = io.StringIO(text[above.end() :].rstrip(), newline="")
    return _trace(_csv_columns(table, len(comments), origin.path), facts, origin)


def _csv_columns(table: io.StringIO, above: int, path: str) -> list[Column]:
    rows = csv.reader(table, strict=True)
    lines = array("q")
    try:
        header = [name.strip() for name in next(rows, [])]
        names = _wanted(header, f"{path}, line {above + 1}")
        columns = [(header.index(name), name, array("d")) for name in names]
        for row in rows:
            line = rows.line_num + above
            if len(row) != len(header):
                raise TraceError(
                    f"{path}, line {line}: a row of {len(row)} values under a header of "
                    f"{len(header)}: {','.join(row)[:60]!r}"
                )
            lines.append(line)
            for index, name, values in columns:
                values.append(_number(row[index], path, line, name))
    except csv.Error as error:
        line = rows.line_num + above
        raise TraceError(f"{path}, line {line}: not readable as CSV: {error}") from error
    return [Column(name, np.array(values, np.float64), path, "line", lines) for _, name, values in columns]


def _number(token: str, path: str, line: int, name: str) -> float:
    try:
        return float(token)
    except ValueError:
        place = f"{path}, line {line}, column {name}"
        raise TraceError(f"{place}: {token[:40]!r} is not a number") from None


def of_parquet(content: bytes, origin: Origin) -> Trace:
    """The trace of a parquet file. Raises TraceError with file, row (from 1) and column."""
    import pyarrow as pa
    from pyarrow import parquet

    path = origin.path
    try:
        file = parquet.ParquetFile(pa.BufferReader(content))
        names = _wanted(file.schema_arrow.names, path)
        table = file.read(columns=names)
    except (pa.ArrowException, OSError) as error:
        raise TraceError(f"{path}: not readable as parquet: {error}") from error
    columns = []
    for name in names:
        values = table.column(name)
        if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
            raise TraceError(
                f"{path}, column {name}: holds {values.type}, not plain numbers; give instants "
                "as seconds since the start of the trace"
            )
        rows = range(1, len(values) + 1)
        if values.null_count:
            row = rows[int(np.argmax(values.is_null().to_numpy()))]
            raise TraceError(f"{path}, row {row}, column {name}: no value")
        columns.append(Column(name, values.to_numpy(), path, "row", rows))
    metadata = file.schema_arrow.metadata or {}
    facts = _facts(metadata.get(FACTS.encode(), b"{}"), f"{path}, metadata {FACTS}")
    return _trace(columns, facts, origin)


def _wanted(names: Sequence[str], place: str) -> list[str]:
    """The columns to read: the instants, or the counts and, where there is one, their clock."""
    values = [name for name in (*TIMES, *COUNTS) if name in names]
    if not values:
        near = next((end for name in names if (end := nearest(name, TIMES + COUNTS))), "")
        raise TraceError(
            f"{place}: no column of instants ({', '.join(TIMES)}) or counts ({', '.join(COUNTS)}) "
            f"among {', '.join(map(repr, names)) or 'none'}{near}"
        )
    clocks = [name for name in CLOCKS if name in names] if values[0] in COUNTS else []
    for name in (*values, *clocks):
        if len(values) > 1 or len(clocks) > 1 or list(names).count(name) > 1:
            listed = ", ".join(map(repr, names))
            raise TraceError(f"{place}: more than one column to read, or one twice: {listed}")
    return values + clocks


def _facts(text: str | bytes, place: str) -> Facts:
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise TraceError(f"{place}: not a JSON object: {error}") from error
    if not isinstance(facts, dict):
        raise TraceError(f"{place}: not a JSON object: {facts!r}")
    known = ("duration_s", "history_counts")
    for key in facts:
        if key not in known:
            raise TraceError(f"{place}: unknown key {key!r}{nearest(key, known)}")
    duration_s = facts.get("duration_s", 1)
    if not isinstance(duration_s, int | float):
        raise TraceError(f"{place}: duration_s is a number of seconds, not {duration_s!r}")
    return facts


def _trace(columns: list[Column], facts: Facts, origin: Origin) -> Trace:
    values, *clocks = columns
    values.check(bad_time if values.name in TIMES else bad_count)
    for clock in clocks:
        clock.check(_bad_clock)
    if not len(values.values) and "duration_s" not in facts:
        raise TraceError(f"{origin.path}: no rows below the header")
    history = facts.get("history_counts", [])
    about = {"source": origin.source, "sha256": origin.sha256}
    try:
        if values.name in COUNTS:
            duration_s = facts.get("duration_s", len(values.values))
            return Trace(origin.name, duration_s, values.values, None, history, **about)
        times_s = np.sort(values.values)
        duration_s = facts.get("duration_s")
        return Trace.of_timestamps(origin.name, times_s, duration_s=duration_s, history_counts=history, **about)
    except TraceError as error:
        raise TraceError(f"{origin.path}: {error}") from error


def _bad_clock(values: Numbers) -> tuple[int, str] | None:
    good = values == np.arange(len(values))
    if good.all():
        return None
    index = int(np.argmin(good))
    return index, (
        f"{values[index]} stands where second {index} is due; every second from 0 on needs its "
        "row, a second without requests the count 0"
    )
