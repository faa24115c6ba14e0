"""What a table says: which of its columns are read, and the facts beside them.

Read is a column of times, `timestamp`, `time` or `arrival`, each also with a unit at the end (`arrival_s`, `time_ms`),
or the one that the hints name; or a column of counts, named as in `COUNT_NAMES` or by the hints, which may have a
column of times beside it, or the number of its `second` or `minute`. Upper and lower case are the same. Other columns
are passed over, unless they hold numbers beside times of equal steps: these may be counts, which is asked about.

What columns cannot say stands in the facts, a JSON object: `duration_s` (of times; without it the trace ends with the
last one's second), `history_counts` and `starts_at`. In a CSV file it is a comment before the header,
`# ipa-trace {...}`; in parquet the schema's metadata under `ipa-trace`.
"""

import json
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from ipa.traces.checks import LONGEST_S, Numbers, TraceError, nearest
from ipa.traces.readers.notation import INDICES, NO_COUNTS, UNITS, Notation, TimeHints, notation_of, number

FACTS = "ipa-trace"
"""Where the facts stand: the word after `#` in CSV, the metadata's key in parquet."""

COUNT_NAMES = ("count", "requests", "request_count", "requestcount", "sum")
"""The last two are CloudWatch's."""

_TIMES = ("timestamp", "time", "arrival")
TIME_NAMES = (*_TIMES, *(f"{name}_{unit}" for name in _TIMES for unit in UNITS))

Facts = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """The numbers of one column, and where each stands: `word` is the format's, line or row.

    `notation`: how the times of a column are written; None for counts.
    """

    name: str
    values: Numbers
    path: str
    word: str
    rows: Sequence[int]
    notation: Notation | None = None

    def place(self, index: int) -> str:
        return f"{self.path}, {self.word} {self.rows[index]}, column {self.name}"

    def check(self, bad: Callable[[Numbers], tuple[int, str] | None]) -> None:
        """Raises TraceError at the first value that `bad` finds."""
        fault = bad(self.values)
        if fault:
            raise TraceError(f"{self.place(fault[0])}: {fault[1]}")


class Gathering:
    """A column of text on its way to numbers, one value after the other; `parse` raises ValueError for a wrong one."""

    def __init__(self, name: str, hints: TimeHints) -> None:
        self.name = name
        self.values = array("d")
        self.parse: Callable[[str], float] = number if is_count(name, hints) else self._first
        self._hints = hints
        self._notation: Notation | None = None

    def _first(self, token: str) -> float:
        self._notation = notation_of(token, self.name, self._hints)
        self.parse = self._notation.parse
        return self.parse(token)

    def column(self, path: str, word: str, rows: Sequence[int]) -> Column:
        """What was gathered, and where it stood."""
        return Column(self.name, np.array(self.values, np.float64), path, word, rows, self._notation)


def is_count(name: str, hints: TimeHints) -> bool:
    """Whether a column that is read holds counts, not times."""
    if hints.counts is not None:
        return name == hints.counts
    return name.lower() in COUNT_NAMES and name != hints.column


def beside(row: Iterable[tuple[str, object]], read: Sequence[str], hints: TimeHints) -> list[str]:
    """The columns of a row that are not read and hold a number: beside times, they may be counts."""
    if hints.counts == NO_COUNTS:
        return []
    return [name for name, value in row if name not in read and _is_number(value)]


def _is_number(value: object) -> bool:
    try:
        return not isinstance(value, bool) and isinstance(value, str | int | float) and float(value) >= 0
    except ValueError:
        return False


def wanted(names: Sequence[str], place: str, hints: TimeHints) -> list[str]:
    """The columns to read, counts before times. Raises TraceError for none, and for more than can be meant."""
    counts = [name for name in names if is_count(name, hints)]
    clocks = (*TIME_NAMES, *INDICES) if counts else TIME_NAMES
    times = [name for name in names if (name == hints.column if hints.column else name.lower() in clocks)]
    if hints.column and not times:
        raise TraceError(
            f"{place}: time_column: no column is called {hints.column!r}; there are "
            f"{_listed(names)}{nearest(hints.column, names)}"
        )
    if hints.counts not in (None, NO_COUNTS) and not counts:
        raise TraceError(
            f"{place}: count_column: no column is called {hints.counts!r}; there are "
            f"{_listed(names)}{nearest(str(hints.counts), names)}"
        )
    if not (counts or times):
        near = next((end for name in names if (end := nearest(name.lower(), TIME_NAMES + COUNT_NAMES))), "")
        raise TraceError(
            f"{place}: no column of times ({', '.join(_TIMES)}, or with a unit such as {_TIMES[-1]}_s) or counts "
            f"({', '.join(COUNT_NAMES)}) among {_listed(names)}{near}; --time-column (time_column in a scenario file) "
            f"names another column of times, --count-column (count_column) of counts{_separated(names)}"
        )
    if len(counts) > 1 or len(times) > 1:
        twice = next((name for each in (times, counts) for name in each if each.count(name) > 1), None)
        if twice is not None:
            raise TraceError(f"{place}: the column {twice!r} is given twice: {_listed(names)}")
        kind, several = ("time", times) if len(times) > 1 else ("count", counts)
        raise TraceError(
            f"{place}: more than one column of {kind}s: {_listed(several)}; say which with --{kind}-column "
            f"({kind}_column in a scenario file)"
        )
    return counts + times


def facts_of(text: str | bytes, place: str) -> Facts:
    """The facts in their JSON text. Raises TraceError, with the place, for what is none."""
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{place}: not a JSON object: {error}") from error
    if not isinstance(facts, dict):
        raise TraceError(f"{place}: not a JSON object: {facts!r}")
    known = ("duration_s", "history_counts", "starts_at")
    for key in facts:
        if key not in known:
            raise TraceError(f"{place}: unknown key {key!r}{nearest(key, known)}")
    duration_s = facts.get("duration_s", 1)
    if not isinstance(duration_s, int | float):
        raise TraceError(f"{place}: duration_s is a number of seconds, not {duration_s!r}")
    if not 0 < duration_s <= LONGEST_S:
        raise TraceError(
            f"{place}: duration_s: a trace lasts more than 0 and at most {LONGEST_S:g} s, not {duration_s}"
        )
    if "starts_at" in facts:
        try:
            facts["starts_at"] = datetime.fromisoformat(facts["starts_at"])
        except (TypeError, ValueError):
            raise TraceError(f"{place}: starts_at is an ISO 8601 time, not {facts['starts_at']!r}") from None
    return facts


def _separated(names: Sequence[str]) -> str:
    """What to say of a header that is not separated by commas."""
    mark = next((mark for mark in (";", "\t") if len(names) == 1 and mark in names[0]), None)
    return "" if mark is None else f"; values are separated by commas, not by {mark!r}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
