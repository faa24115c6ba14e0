"""Tables as text: CSV and JSON lines.

- CSV: comma-separated, with a header; every row as long as the header; comments may come first, one with the facts.
- JSON lines: an object per line, whose keys are columns; all must have the first one's time, or count.
"""

import csv
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain

from ipa.traces.checks import TraceError
from ipa.traces.readers.columns import FACTS, Facts, Gathering, UnreadColumns, columns_to_read, facts_of
from ipa.traces.readers.from_columns import trace_of_columns
from ipa.traces.readers.stored import Stored
from ipa.traces.reading import Reading
from ipa.traces.trace import Trace


def read_csv(stored: Stored, hints: Reading, seed: int) -> Trace:
    """The trace of a CSV file. Raises TraceError with file, line and column."""
    facts, above, lines = below_comments(stored)
    rows = rows_of(lines, above, stored)
    line, header = next(rows)
    table = _Table(header, stored, line, hints)
    for line, row in rows:
        table.add(dict(zip(header, row, strict=True)), line)
    return table.trace(facts, seed)


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


class _Table:
    """The columns of a table that is text, gathered row by row."""

    def __init__(self, names: Sequence[str], stored: Stored, line: int, hints: Reading) -> None:
        read = columns_to_read(names, stored.place(line), hints)
        self._columns = [Gathering(name, hints) for name in read]
        self._others = [name for name in names if name not in read]
        self._most = len(names)
        self._beside = UnreadColumns(read, hints)
        self._stored, self._hints = stored, hints
        self._lines = array("q")
        self._last: Mapping[str, object] = {}

    def add(self, row: Mapping[str, object], line: int) -> None:
        """Add a row, or skip its line. Raises TraceError if it has a wrong value and is not to be skipped."""
        self._last = row
        if len(row) > self._most:  # of JSON lines: keys that the first one lacks
            self._most = len(row)
            self._others += [
                name for name in row if name not in (*self._others, *(each.name for each in self._columns))
            ]
        value_of = partial(_token, row)
        values = []
        for column in self._columns:
            try:
                values.append(column.parse(value_of(column.name)))
            except ValueError as error:
                self._stored.pass_over(TraceError(f"{self._stored.place(line)}, column {column.name}: {error}"))
                return
        for column, value in zip(self._columns, values, strict=True):
            column.values.append(value)
        self._lines.append(line)
        self._beside.look(row.items())

    def trace(self, facts: Facts, seed: int) -> Trace:
        """The trace of the rows. Raises TraceError if what was read leaves something open."""
        place = (str(self._stored.path), "line", self._lines)
        columns = [column.column(*place) for column in self._columns]
        beside = self._beside.names(self._last.items())
        return trace_of_columns(columns, facts, self._stored, self._hints, seed, self._others, beside)


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
    comma = "; numbers are written without commas, as 1000 and 0.5" if len(row) > len(header) else ""
    return TraceError(
        f"{place}: a row of {len(row)} {'value' if len(row) == 1 else 'values'} under a header of {len(header)}: "
        f"{','.join(row)[:60]!r}{comma}"
    )


def read_json_lines(stored: Stored, hints: Reading, seed: int) -> Trace:
    """The trace of a file of JSON lines. Raises TraceError with file, line and key."""
    table: _Table | None = None
    for number, line in enumerate(stored.text_lines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(repr(line.strip()[:60]))
        except (ValueError, RecursionError) as error:  # the line number is enough, without the column
            stored.pass_over(TraceError(f"{stored.place(number)}: not a JSON object: {getattr(error, 'msg', error)}"))
            continue
        table = table or _Table(list(row), stored, number, hints)
        table.add(row, number)
    if table is None:
        raise TraceError(f"{stored.path}: no row{stored.passed_over}")
    return table.trace({}, seed)


def _token(row: Mapping[str, object], key: str) -> str:
    if key not in row:
        raise ValueError("is missing")
    value = row[key]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{json.dumps(value)[:40]} is neither a number nor text")
    return str(value)
