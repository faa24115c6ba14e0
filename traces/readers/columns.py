"""The columns of a table: which are read, and their numbers.

A table has a column of times: `timestamp`, `time` or `arrival`, optionally with a unit as suffix (`arrival_s`,
`time_ms`), or the one that the hints name. Or it has a column of counts, named as in `COUNT_NAMES` or by the hints; its
times are then the column so named, or one called `date`, `datetime`, `_time`, `second`, `minute`, `hour` or `day`. Case
does not matter. Other columns are ignored, unless they stand beside counts without times, or hold numbers beside times
of equal steps, which may be counts: the error then asks for a hint.

The metadata ("facts") are a JSON object: `duration_s` (of times; without it the trace ends with the last request's
second), `history_counts` and `starts_at`. In a CSV file it is a comment before the header, `# ipa-trace {...}`; in
parquet the schema's metadata under `ipa-trace`.
"""

import json
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import nan
from typing import Any

import numpy as np

from ipa.errors import did_you_mean
from ipa.traces.checks import LONGEST_S, Numbers, TraceError, bad_count
from ipa.traces.readers.dates import AMBIGUOUS, form_of, is_of_digits, order_of_date
from ipa.traces.readers.notation import (
    INDICES,
    NO_COUNTS,
    UNITS,
    Notation,
    Reading,
    UnknownUnitError,
    is_like_number,
    notation_of,
    number,
)
from ipa.traces.reading import ask

ROWS_LOOKED_AT = 1000

FACTS = "ipa-trace"
"""The key of the facts: the word after `#` in CSV, the metadata's key in parquet."""

COUNT_NAMES = ("count", "requests", "request_count", "requestcount", "sum")
"""Names of columns of counts; the last two are CloudWatch's."""

_TIMES = ("timestamp", "time", "arrival")
TIME_NAMES = (*_TIMES, *(f"{name}_{unit}" for name in _TIMES for unit in UNITS))
DATE_NAMES = ("date", "datetime", "_time")
"""Further names of the times of counts; the last is Splunk's."""
LOG_NAMES = ("time_iso8601", "time_local", "@timestamp", "start_time", "msec", "ts")
"""Columns of times in JSON logs of nginx, Envoy and others: the first present is used if no `TIME_NAMES` is."""

Facts = dict[str, Any]


@dataclass(frozen=True)
class NumberColumn:
    """The numbers of one column, and the place of each; `word` is the format's word for it, line or row.

    `notation`: that of times; None for counts. `doubt`: what the file leaves open of it, the unit of numbers or the
    order of dates, as the end of an error text; it has no notation then, and dates are NaN.
    """

    name: str
    values: Numbers
    path: str
    word: str
    rows: Sequence[int]
    notation: Notation | None = None
    doubt: str = ""

    def place(self, index: int) -> str:
        return f"{self.path}, {self.word} {self.rows[index]}, column {self.name}"

    def rearranged(self, order: Numbers) -> "NumberColumn":
        """The column with its values in another order; their places stay theirs."""
        return replace(self, values=self.values[order], rows=np.asarray(self.rows)[order].tolist())

    def check(self) -> None:
        """Raises TraceError if it leaves something open, and at the first value that is no count, or no time."""
        if self.doubt:
            raise TraceError(f"{self.place(0)}: {self.doubt}")
        fault = bad_count(self.values) if self.notation is None else self.notation.bad(self.values)
        if fault:
            rate = "; a rate or a mean is no count" if "not a whole number" in fault[1] else ""
            raise TraceError(f"{self.place(fault[0])}: {fault[1]}{rate}")


class Gathering:
    """A column of text that is parsed to numbers, value by value; `parse` raises ValueError for a wrong one."""

    def __init__(self, name: str, hints: Reading) -> None:
        self.name = name
        self.values = array("d")
        self.parse: Callable[[str], float] = number if is_count(name, hints) else self._first
        self._hints = hints
        self._notation: Notation | None = None
        self._doubt = ""
        self._open: list[str] = []  # the dates so far, while their order is ambiguous

    def _first(self, token: str) -> float:
        if order_of_date(token) == AMBIGUOUS:
            self._open.append(token)
            return nan
        try:
            self._notation = notation_of(token, self.name, self._hints)
        except UnknownUnitError as unknown:
            self.parse, self._doubt = number, str(unknown)
            return number(token)
        self.parse = self._notation.parse
        for index, earlier in enumerate(self._open):
            self.values[index] = self.parse(earlier)
        self._open = []
        return self.parse(token)

    def column(self, path: str, word: str, rows: Sequence[int]) -> NumberColumn:
        """The parsed column with its places."""
        if self._open:
            self._doubt = (
                f"{self._open[0][:40]!r} is {AMBIGUOUS}, and no date has a day above 12, which would settle it; write "
                "dates as 2026-01-31"
            )
        return NumberColumn(self.name, np.array(self.values, np.float64), path, word, rows, self._notation, self._doubt)


def is_count(name: str, hints: Reading) -> bool:
    """Whether a column to read holds counts, not times."""
    if hints.count_column is not None:
        return name == hints.count_column
    return name.lower() in COUNT_NAMES and name != hints.time_column


class UnreadColumns:
    """Finds the columns of numbers that are not read: beside times, they may be counts.

    The first thousand rows and the last are examined, as a single row may lack a value.
    """

    def __init__(self, read: Sequence[str], hints: Reading) -> None:
        self._read = read
        self._is_asked = hints.count_column != NO_COUNTS
        self._rows = 0
        self._names: dict[str, None] = {}

    def look(self, row: Iterable[tuple[str, object]]) -> None:
        """Examine a row, if it is one of the first."""
        self._rows += 1
        if self._rows <= ROWS_LOOKED_AT and self._is_asked:
            self._names |= {name: None for name, value in row if name not in self._read and is_like_number(value)}

    def names(self, last: Iterable[tuple[str, object]]) -> list[str]:
        """The columns found, with those of the last row."""
        self._rows = 0
        self.look(last)
        return list(self._names)


def columns_to_read(names: Sequence[str], place: str, hints: Reading) -> list[str]:
    """The columns to read, counts before times. Raises TraceError if there are none, or the choice is ambiguous."""
    counts = [name for name in names if is_count(name, hints)]
    clocks = (*TIME_NAMES, *DATE_NAMES, *INDICES) if counts else TIME_NAMES
    times = [name for name in names if (name == hints.time_column if hints.time_column else name.lower() in clocks)]
    if not (times or hints.time_column):
        times = [name for name in LOG_NAMES if name in names][:1]
    for key, column, columns in (("time", hints.time_column, times), ("count", hints.count_column, counts)):
        if column not in (None, NO_COUNTS) and not columns:
            raise TraceError(
                f"{place}: read.{key}_column: no column is called {column!r}; there are {listed_names(names)}"
                f"{did_you_mean(str(column), names)}"
            )
    if not (counts or times):
        raise TraceError(f"{place}: {_why_nothing_is_read(names)}")
    if len(counts) > 1 or len(times) > 1:
        twice = next((name for group in (times, counts) for name in group if group.count(name) > 1), None)
        if twice is not None:
            raise TraceError(f"{place}: the column {twice!r} is given twice: {listed_names(names)}")
        kind, several = ("time", times) if len(times) > 1 else ("count", counts)
        raise TraceError(
            f"{place}: more than one column of {kind}s: {listed_names(several)}; say which, as "
            f"{ask(f'{kind}_column', repr(several[0]))}"
        )
    return counts + times


def _why_nothing_is_read(names: Sequence[str]) -> str:
    if any(_is_value(name) for name in names):
        return (
            f"the first line holds values, {listed_names(names)[:60]}, where the names of the columns are due: add a "
            "line such as timestamp,count above it"
        )
    near = next((end for name in names if (end := did_you_mean(name.lower(), TIME_NAMES + COUNT_NAMES))), "")
    mark = next((mark for mark in (";", "\t") if len(names) == 1 and mark in names[0]), None)
    separated = "" if mark is None else f"; values are separated by commas, not by {mark!r}"
    return (
        f"no column of times ({', '.join(_TIMES)}, or with a unit such as {_TIMES[-1]}_s) or counts "
        f"({', '.join(COUNT_NAMES)}) among {listed_names(names)}{near}; say which it is, as "
        f"{ask('time_column', 'NAME')} for times or {ask('count_column', 'NAME')} for counts{separated}"
    )


def _is_value(name: str) -> bool:
    """Whether what should be a column's name is a number or a date."""
    try:
        return is_like_number(name) or is_of_digits(name) or bool(form_of(name).read(name))
    except ValueError:
        return False


def facts_of(text: str | bytes, place: str) -> Facts:
    """The facts from JSON text. Raises TraceError, with the place, if it is invalid."""
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{place}: not a JSON object: {error}") from error
    if not isinstance(facts, dict):
        raise TraceError(f"{place}: not a JSON object: {facts!r}")
    allowed = ("duration_s", "history_counts", "starts_at")
    for key in facts:
        if key not in allowed:
            raise TraceError(f"{place}: unknown key {key!r}{did_you_mean(key, allowed)}")
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


def listed_names(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
