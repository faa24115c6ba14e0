"""Tables as CSV, JSON lines and parquet.

- CSV: comma-separated, with a header; every row as long as the header; comments may come first, one with the facts.
- JSON lines: an object per line, whose keys are columns; all must have the first one's time, or count.
- Parquet: numbers, timestamps or text in columns, the facts in the schema's metadata.
"""

import csv
import json
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from ipa.traces.checks import TraceError
from ipa.traces.readers.columns import (
    FACTS,
    Beside,
    Column,
    Facts,
    Gathering,
    facts_of,
    is_count,
    trace_of_columns,
    wanted,
)
from ipa.traces.readers.notation import NO_COUNTS, Notation, TimeHints, of_numbers, on_clock, unit_in
from ipa.traces.readers.stored import Stored
from ipa.traces.trace import Trace

if TYPE_CHECKING:
    import pyarrow as pa


def read_csv(stored: Stored, hints: TimeHints, seed: int) -> Trace:
    """The trace of a CSV file. Raises TraceError with file, line and column."""
    facts, above, lines = below_comments(stored)
    columns, beside = _columns(lines, above, stored, hints)
    return trace_of_columns(columns, facts, stored, seed, beside)


def below_comments(stored: Stored) -> tuple[Facts, int, Iterator[str]]:
    """The facts in the comments above the header, the number of these lines, and the lines from the header on."""
    lines = stored.text_lines()
    facts: Facts = {}
    above, header = 0, ""
    for header in lines:
        if not header.startswith("#"):
            break
        above, words = above + 1, header.removeprefix("#").strip()
        if words.startswith(FACTS):
            facts = facts_of(words.removeprefix(FACTS), stored.place(above))
        header = ""
    return facts, above, chain([header], lines)


def _columns(lines: Iterator[str], above: int, stored: Stored, hints: TimeHints) -> tuple[list[Column], list[str]]:
    """The columns that are read, and the names of others that hold numbers."""
    rows = rows_of(lines, above, stored)
    line, header = next(rows)
    names = wanted(header, stored.place(line), hints)
    indices = {name: header.index(name) for name in names}
    columns = [Gathering(name, hints) for name in names]
    places = array("q")
    row: list[str] = []
    others = Beside(names, hints)
    for line, row in rows:
        if _add(columns, {name: row[index] for name, index in indices.items()}.__getitem__, line, stored):
            places.append(line)
            others.look(zip(header, row, strict=True))
    read = [column.column(str(stored.path), "line", places) for column in columns]
    return read, others.names(zip(header, row, strict=False))


def _add(columns: Sequence[Gathering], token_of: Callable[[str], str], line: int, stored: Stored) -> bool:
    """Add a line's value to each column; returns False if the whole line is skipped instead."""
    numbers = []
    for column in columns:
        try:
            numbers.append(column.parse(token_of(column.name)))
        except ValueError as error:
            stored.pass_over(TraceError(f"{stored.place(line)}, column {column.name}: {error}"))
            return False
    for column, value in zip(columns, numbers, strict=True):
        column.values.append(value)
    return True


def rows_of(lines: Iterator[str], above: int, stored: Stored) -> Iterator[tuple[int, list[str]]]:
    """The header (names stripped) and every row, each with its line number; `above` lines come before them.

    Raises TraceError, with file and line, if a row is not as long as the header.
    """
    rows = csv.reader(lines, strict=True)
    blank = 0
    try:
        header = [name.strip() for name in next(rows, [])]
        yield above + 1, header
        for row in rows:
            line = rows.line_num + above
            if not row:  # a file may end with blank lines
                blank = blank or line
                continue
            if blank:
                stored.pass_over(_not_as_long([], header, stored.place(blank)))
                blank = 0
            if len(row) != len(header):
                stored.pass_over(_not_as_long(row, header, stored.place(line)))
                continue
            yield line, row
    except csv.Error as error:
        raise TraceError(f"{stored.place(rows.line_num + above)}: not readable as CSV: {error}") from error


def _not_as_long(row: list[str], header: list[str], place: str) -> TraceError:
    comma = "; decimals are written with a point, not with a comma" if len(row) > len(header) else ""
    return TraceError(
        f"{place}: a row of {len(row)} {'value' if len(row) == 1 else 'values'} under a header of {len(header)}: "
        f"{','.join(row)[:60]!r}{comma}"
    )


def read_json_lines(stored: Stored, hints: TimeHints, seed: int) -> Trace:
    """The trace of a file of JSON lines. Raises TraceError with file, line and key."""
    columns: list[Gathering] = []
    others = Beside((), hints)
    places = array("q")
    row: dict[str, object] = {}
    for number, line in enumerate(stored.text_lines(), start=1):
        if not line.strip():
            continue
        try:
            row = _object(line)
        except (ValueError, RecursionError) as error:  # the line number is enough, without the column
            stored.pass_over(TraceError(f"{stored.place(number)}: not a JSON object: {getattr(error, 'msg', error)}"))
            continue
        if not columns:
            columns = [Gathering(name, hints) for name in wanted(list(row), stored.place(number), hints)]
            others = Beside([column.name for column in columns], hints)
        if _add(columns, partial(_token, row), number, stored):
            places.append(number)
            others.look(row.items())
    read = [column.column(str(stored.path), "line", places) for column in columns]
    return trace_of_columns(read, {}, stored, seed, others.names(row.items()))


def _object(line: str) -> dict[str, object]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError(repr(line.strip()[:60]))
    return row


def _token(row: dict[str, object], key: str) -> str:
    if key not in row:
        raise ValueError("is missing")
    value = row[key]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{json.dumps(value)[:40]} is neither a number nor text")
    return str(value)


def read_parquet(stored: Stored, hints: TimeHints, seed: int) -> Trace:
    """The trace of a parquet file. Raises TraceError with file, row (from 1) and column."""
    import pyarrow as pa
    from pyarrow import parquet

    path = str(stored.path)
    content = b"".join(stored.lines)
    try:
        file = parquet.ParquetFile(pa.BufferReader(content))
        names = wanted(file.schema_arrow.names, path, hints)
        table = file.read(columns=names)
    except (pa.ArrowException, OSError) as error:
        raise TraceError(f"{path}: not readable as parquet: {error}") from error
    columns = [_column(name, table.column(name), path, hints) for name in names]
    metadata = file.schema_arrow.metadata or {}
    facts = facts_of(metadata.get(FACTS.encode(), b"{}"), f"{path}, metadata {FACTS}")
    beside = [each.name for each in file.schema_arrow if each.name not in names and _is_number(each.type)]
    return trace_of_columns(columns, facts, stored, seed, () if hints.counts == NO_COUNTS else beside)


def _is_number(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _column(name: str, values: "pa.ChunkedArray", path: str, hints: TimeHints) -> Column:
    import numpy as np
    import pyarrow as pa

    rows = range(1, len(values) + 1)
    if values.null_count:
        row = rows[int(np.argmax(values.is_null().to_numpy()))]
        raise TraceError(f"{path}, row {row}, column {name}: no value")
    unit = None if is_count(name, hints) else hints.unit or unit_in(name)
    if _is_number(values.type):
        plain = values.to_numpy()
        notation = None if is_count(name, hints) or not len(plain) else _of_numbers(plain[0], unit, hints, path, name)
        return Column(name, plain, path, "row", rows, notation)
    is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    is_moment = pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)
    if unit is not None or is_count(name, hints) or not (is_text or is_moment):
        allowed = "" if is_count(name, hints) else "; times are numbers, timestamps or ISO 8601 text"
        raise TraceError(f"{path}, column {name}: holds {values.type}, not plain numbers{allowed}")
    if not is_text:
        values = values.cast(pa.timestamp("us", getattr(values.type, "tz", None)), safe=False)
        if hints.zone is None:
            instants = values.cast(pa.int64()).to_numpy()
            return Column(name, instants, path, "row", rows, _on_clock(values.type.tz))
        values = values.cast(pa.string())
    return _of_text(name, values, path, hints)


def _of_numbers(first: Any, unit: str | None, hints: TimeHints, path: str, name: str) -> Notation:
    try:
        return of_numbers(first.item(), unit, hints)
    except ValueError as error:
        raise TraceError(f"{path}, row 1, column {name}: {error}") from None


def _on_clock(zone: str | None) -> Notation:
    """Timestamps count from 1970 in UTC; those without a zone are treated as UTC."""
    from datetime import UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if zone is None:
        return on_clock("timestamps without a zone", None)
    try:
        return on_clock("timestamps", ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):  # such as +01:00: the instants are the same
        return on_clock("timestamps", UTC)


def _of_text(name: str, values: "pa.ChunkedArray", path: str, hints: TimeHints) -> Column:
    column = Gathering(name, hints)
    row = 0
    for chunk in values.chunks:
        for token in chunk.to_pylist():
            row += 1
            try:
                column.values.append(column.parse(token))
            except ValueError as error:
                raise TraceError(f"{path}, row {row}, column {name}: {error}") from None
    return column.column(path, "row", range(1, row + 1))
