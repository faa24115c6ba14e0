"""Parquet: numbers, timestamps or text in columns, the facts in the schema's metadata."""

from typing import TYPE_CHECKING, Any

from ipa.traces.checks import TraceError
from ipa.traces.readers.columns import FACTS, Column, Gathering, facts_of, is_count, wanted
from ipa.traces.readers.meaning import trace_of_columns
from ipa.traces.readers.notation import NO_COUNTS, Notation, TimeHints, of_numbers, on_clock, unit_in
from ipa.traces.readers.stored import Stored
from ipa.traces.trace import Trace

if TYPE_CHECKING:
    import pyarrow as pa


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
    """Timestamps count from 1970 in UTC, and those without a zone as if they were of it."""
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
