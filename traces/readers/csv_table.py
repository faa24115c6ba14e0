"""CSV: comma-separated, a header, every row as long as the header; comments may stand above, the facts in one."""

import csv
from array import array
from collections.abc import Iterator
from itertools import chain

from ipa.traces.checks import TraceError
from ipa.traces.readers.columns import FACTS, Column, Facts, Gathering, beside, facts_of, wanted
from ipa.traces.readers.meaning import trace_of_columns
from ipa.traces.readers.notation import TimeHints
from ipa.traces.readers.stored import Stored
from ipa.traces.trace import Trace


def read_csv(stored: Stored, hints: TimeHints, seed: int) -> Trace:
    """The trace of a CSV file. Raises TraceError with file, line and column."""
    facts, above, lines = below_comments(stored)
    columns, beside = _columns(lines, above, stored, hints)
    return trace_of_columns(columns, facts, stored, seed, beside)


def below_comments(stored: Stored) -> tuple[Facts, int, Iterator[str]]:
    """The facts in the comments above the header, how many lines these are, and the lines from the header on."""
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
    """The columns that are read, and the names of those beside them that hold numbers."""
    rows = rows_of(lines, above, stored)
    line, header = next(rows)
    names = wanted(header, stored.place(line), hints)
    columns = [(header.index(name), Gathering(name, hints)) for name in names]
    places = array("q")
    row: list[str] = []
    for line, row in rows:
        places.append(line)
        for index, column in columns:
            try:
                column.values.append(column.parse(row[index]))
            except ValueError as error:
                raise TraceError(f"{stored.place(line)}, column {column.name}: {error}") from None
    read = [column.column(str(stored.path), "line", places) for _, column in columns]
    return read, beside(zip(header, row, strict=False), names, hints)


def rows_of(lines: Iterator[str], above: int, stored: Stored) -> Iterator[tuple[int, list[str]]]:
    """The header, its names stripped, and every row, each with its line; `above` lines stand before them.

    Raises TraceError, with file and line, for a row that is not as long as the header.
    """
    rows = csv.reader(lines, strict=True)
    blank = 0
    try:
        header = [name.strip() for name in next(rows, [])]
        yield above + 1, header
        for row in rows:
            line = rows.line_num + above
            if not row:  # blank lines may end a file
                blank = blank or line
                continue
            if blank or len(row) != len(header):
                given, line = ([], blank) if blank else (row, line)
                comma = "; decimals are written with a point, not with a comma" if len(given) > len(header) else ""
                raise TraceError(
                    f"{stored.place(line)}: a row of {len(given)} {'value' if len(given) == 1 else 'values'} under a "
                    f"header of {len(header)}: {','.join(given)[:60]!r}{comma}"
                )
            yield line, row
    except csv.Error as error:
        raise TraceError(f"{stored.place(rows.line_num + above)}: not readable as CSV: {error}") from error
