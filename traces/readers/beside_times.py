"""Whole numbers that stand beside the times of requests in a CSV file, such as the tokens of each."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from ipa.errors import did_you_mean
from ipa.traces.checks import Counts, TraceError
from ipa.traces.readers.stored import opened
from ipa.traces.readers.tables import below_comments, rows_of

MOST = 10_000_000
"""The largest number that is read."""


def numbers_beside(path: Path, names: Sequence[str]) -> tuple[Counts, ...]:
    """The numbers of these columns, at least 1, by row of the file; shape (rows,) each.

    Raises TraceError, with file and line, for a column that is not there or a value that is no such number.
    """
    return _read(path, tuple(names), path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=8)
def _read(path: Path, names: tuple[str, ...], changed_ns: int) -> tuple[Counts, ...]:
    numbers_by_column: list[list[int]] = [[] for _ in names]
    with opened(path) as stored:
        _facts, above, lines = below_comments(stored)
        rows = rows_of(lines, above, stored)
        line, header = next(rows)
        for name in names:
            if name not in header:
                hint = did_you_mean(name, header)
                raise TraceError(f"{stored.place(line)}: no column {name!r}{hint}; columns: {', '.join(header)}")
        places = [header.index(name) for name in names]
        for line, row in rows:
            for name, place, numbers in zip(names, places, numbers_by_column, strict=True):
                number = int(row[place]) if row[place].strip().isdigit() else 0
                if not 1 <= number <= MOST:
                    where = f"{stored.place(line)}, column {name}"
                    raise TraceError(f"{where}: {row[place]!r}; should be a whole number from 1 to {MOST}")
                numbers.append(number)
    return tuple(np.array(numbers, dtype=np.int64) for numbers in numbers_by_column)
