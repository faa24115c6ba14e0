"""JSON lines: an object a line, its keys the columns of a table; all have the first one's time, or count."""

import json
from array import array

from ipa.traces.checks import TraceError
from ipa.traces.readers.columns import Gathering, beside, wanted
from ipa.traces.readers.meaning import trace_of_columns
from ipa.traces.readers.notation import TimeHints
from ipa.traces.readers.stored import Stored
from ipa.traces.trace import Trace


def read_json_lines(stored: Stored, hints: TimeHints, seed: int) -> Trace:
    """The trace of a file of JSON lines. Raises TraceError with file, line and key."""
    columns: list[Gathering] = []
    places = array("q")
    row: dict[str, object] = {}
    for number, line in enumerate(stored.text_lines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # the place in the line is no help beside that in the file
            raise TraceError(f"{stored.place(number)}: not a JSON object: {getattr(error, 'msg', error)}") from None
        if not isinstance(row, dict):
            raise TraceError(f"{stored.place(number)}: not a JSON object: {line.strip()[:60]!r}")
        if not columns:
            columns = [Gathering(name, hints) for name in wanted(list(row), stored.place(number), hints)]
        places.append(number)
        for column in columns:
            try:
                column.values.append(column.parse(_token(row, column.name)))
            except ValueError as error:
                raise TraceError(f"{stored.place(number)}, column {column.name}: {error}") from None
    read = [column.column(str(stored.path), "line", places) for column in columns]
    return trace_of_columns(read, {}, stored, seed, beside(row.items(), [column.name for column in columns], hints))


def _token(row: dict[str, object], key: str) -> str:
    if key not in row:
        raise ValueError("is missing")
    value = row[key]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{json.dumps(value)[:40]} is neither a number nor text")
    return str(value)
