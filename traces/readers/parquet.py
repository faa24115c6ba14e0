"""Tables as parquet: numbers, timestamps or text in columns, the facts in the schema's metadata."""

from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from ipa.traces.checks import TraceError
from ipa.traces.readers.columns import FACTS, Gathering, NumberColumn, columns_to_read, facts_of, is_count
from ipa.traces.readers.dates import is_of_digits
from ipa.traces.readers.from_columns import trace_of_columns
from ipa.traces.readers.notation import (
    INDICES,
    NO_COUNTS,
    Notation,
    Reading,
    UnknownUnitError,
    notation_of,
    on_clock,
    unit_in,
)
from ipa.traces.readers.stored import Stored
from ipa.traces.trace import Trace

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(stored: Stored, hints: Reading, seed: int) -> Trace:
    """The trace of a parquet file. Raises TraceError with file, row (from 1) and column."""
    import pyarrow as pa
    from pyarrow import parquet

    path = str(stored.path)
    content = b"".join(stored.lines)
    try:
        file = parquet.ParquetFile(pa.BufferReader(content))
        names = file.schema_arrow.names
        read = columns_to_read(names, path, hints)
        table = file.read(columns=read)
    except (pa.ArrowException, OSError) as error:
        raise TraceError(f"{path}: not readable as parquet: {error}") from error
    columns = [_column(name, table.column(name), path, hints) for name in read]
    metadata = file.schema_arrow.metadata or {}
    facts = facts_of(metadata.get(FACTS.encode(), b"{}"), f"{path}, metadata {FACTS}")
    beside = [field.name for field in file.schema_arrow if field.name not in read and _is_number(field.type)]
    return trace_of_columns(
        columns,
        facts,
        stored,
        hints,
        seed,
        others=[name for name in names if name not in read],
        beside=() if hints.count_column == NO_COUNTS else beside,
    )


def _is_number(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _column(name: str, values: "pa.ChunkedArray", path: str, hints: Reading) -> NumberColumn:
    """The numbers of a column. Raises TraceError if it has others, or leaves their meaning open."""
    rows = range(1, len(values) + 1)
    if values.null_count:
        row = rows[int(np.argmax(values.is_null().to_numpy()))]
        raise TraceError(f"{path}, row {row}, column {name}: no value")
    if is_count(name, hints):
        if not _is_number(values.type):
            raise TraceError(f"{path}, column {name}: holds {values.type}, not plain numbers")
        return NumberColumn(name, values.to_numpy(), path, "row", rows)
    if _is_number(values.type) and not (len(values) and is_of_digits(str(values[0]))):
        return _numbers(NumberColumn(name, values.to_numpy(), path, "row", rows), hints)
    return _moments(name, values, path, hints)


def _numbers(column: NumberColumn, hints: Reading) -> NumberColumn:
    """The same column with the notation of its times, or with the doubt about it."""
    if not len(column.values):
        return column
    try:
        return replace(column, notation=notation_of(str(column.values[0]), column.name, hints))
    except UnknownUnitError as unknown:
        return replace(column, doubt=str(unknown))
    except ValueError as error:
        raise TraceError(f"{column.place(0)}: {error}") from None


def _moments(name: str, values: "pa.ChunkedArray", path: str, hints: Reading) -> NumberColumn:
    import pyarrow as pa

    is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type) or _is_number(values.type)
    is_date = pa.types.is_date(values.type)
    unit = hints.time_unit or (None if name.lower() in INDICES else unit_in(name))
    if unit is not None or not (is_text or is_date or pa.types.is_timestamp(values.type)):
        raise TraceError(
            f"{path}, column {name}: holds {values.type}, not plain numbers; times are numbers, timestamps or ISO 8601 "
            "text"
        )
    if not is_text:
        values = values.cast(pa.timestamp("us", getattr(values.type, "tz", None)), safe=False)
        if hints.time_zone is None:
            notation = replace(_on_clock(values.type.tz), written_s=86_400 if is_date else 1)
            rows = range(1, len(values) + 1)
            return NumberColumn(name, values.cast(pa.int64()).to_numpy(), path, "row", rows, notation)
    return _of_text(name, values.cast(pa.string()), path, hints)


def _on_clock(zone: str | None) -> Notation:
    """Timestamps count from 1970 in UTC; those without a zone are treated as UTC."""
    if zone is None:
        return on_clock("timestamps without a zone", None)
    try:
        return on_clock("timestamps", ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):  # such as +01:00: the instants are the same
        return on_clock("timestamps", UTC)


def _of_text(name: str, values: "pa.ChunkedArray", path: str, hints: Reading) -> NumberColumn:
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
