"""Makes traces from a table's columns: which columns are read, the metadata, and times in whole seconds or minutes.

A table has a column of times: `timestamp`, `time` or `arrival`, optionally with a unit as suffix (`arrival_s`,
`time_ms`), or the one that the hints name. Or it has a column of counts, named as in `COUNT_NAMES` or by the hints,
with an optional column of times or of the number of the `second` or `minute`. Case does not matter. Other columns are
ignored, unless they hold numbers beside times of equal steps: these may be counts, so the error asks for a hint.

The metadata ("facts") are a JSON object: `duration_s` (of times; without it the trace ends with the last request's
second), `history_counts` and `starts_at`. In a CSV file it is a comment before the header, `# ipa-trace {...}`; in
parquet the schema's metadata under `ipa-trace`.

- Times since the start stay as they are. Times on a clock begin with the whole second of the first.
- Times out of order are sorted, and their number is reported.
- Times that are all whole seconds become requests per second, times without seconds requests per minute, and dates
  requests per day: otherwise all requests of a second, minute or day would arrive at its start. Only `arrival_s` and
  `timestamp_s`, counted from the start, are taken literally.
- Counts have equal steps of whole seconds without gaps; the step is the distance of their times. Within a step,
  requests arrive as in a Poisson process: each in any second with the same probability, independently.
"""

import json
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import nan
from typing import Any

import numpy as np

from ipa.errors import did_you_mean
from ipa.traces.checks import LONGEST_S, Counts, Numbers, TraceError, bad_count
from ipa.traces.readers.notation import (
    AMBIGUOUS,
    INDICES,
    NO_COUNTS,
    UNITS,
    Notation,
    TimeHints,
    notation_of,
    number,
    order_of_date,
)
from ipa.traces.readers.stored import Stored
from ipa.traces.trace import Trace, spread

ROWS_LOOKED_AT = 1000

FACTS = "ipa-trace"
"""The key of the facts: the word after `#` in CSV, the metadata's key in parquet."""

COUNT_NAMES = ("count", "requests", "request_count", "requestcount", "sum")
"""Names of columns of counts; the last two are CloudWatch's."""

_TIMES = ("timestamp", "time", "arrival")
TIME_NAMES = (*_TIMES, *(f"{name}_{unit}" for name in _TIMES for unit in UNITS))
LOG_NAMES = ("time_iso8601", "time_local", "@timestamp", "start_time", "msec", "ts")
"""Columns of times in JSON logs of nginx, Envoy and others: the first present is used if no `TIME_NAMES` is."""

Facts = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """The numbers of one column, and the place of each; `word` is the format's word for it, line or row.

    `notation`: that of times; None for counts.
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
    """A column of text that is parsed to numbers, value by value; `parse` raises ValueError for a wrong one."""

    def __init__(self, name: str, hints: TimeHints) -> None:
        self.name = name
        self.values = array("d")
        self.parse: Callable[[str], float] = number if is_count(name, hints) else self._first
        self._hints = hints
        self._notation: Notation | None = None
        self._open: list[str] = []  # the dates so far, while their order is ambiguous

    def _first(self, token: str) -> float:
        if order_of_date(token) == AMBIGUOUS:
            self._open.append(token)
            return nan
        self._notation = notation_of(token, self.name, self._hints)
        self.parse = self._notation.parse
        for index, earlier in enumerate(self._open):
            self.values[index] = self.parse(earlier)
        self._open = []
        return self.parse(token)

    def column(self, path: str, word: str, rows: Sequence[int]) -> Column:
        """The parsed column with its places. Raises TraceError if the order of its dates is ambiguous."""
        if self._open:
            raise TraceError(
                f"{path}, {word} {rows[0]}, column {self.name}: {self._open[0][:40]!r} is {AMBIGUOUS}, and no date "
                "has a day above 12, which would settle it; write dates as 2026-01-31"
            )
        return Column(self.name, np.array(self.values, np.float64), path, word, rows, self._notation)


def is_count(name: str, hints: TimeHints) -> bool:
    """Whether a column to read holds counts, not times."""
    if hints.counts is not None:
        return name == hints.counts
    return name.lower() in COUNT_NAMES and name != hints.column


class Beside:
    """Finds the columns of numbers that are not read: beside times, they may be counts.

    The first thousand rows and the last are examined, as a single row may lack a value.
    """

    def __init__(self, read: Sequence[str], hints: TimeHints) -> None:
        self._read = read
        self._is_asked = hints.counts != NO_COUNTS
        self._rows = 0
        self._names: dict[str, None] = {}

    def look(self, row: Iterable[tuple[str, object]]) -> None:
        """Examine a row, if it is one of the first."""
        self._rows += 1
        if self._rows <= ROWS_LOOKED_AT and self._is_asked:
            self._names |= {name: None for name, value in row if name not in self._read and _is_number(value)}

    def names(self, last: Iterable[tuple[str, object]]) -> list[str]:
        """The columns found, with those of the last row."""
        self._rows = 0
        self.look(last)
        return list(self._names)


def _is_number(value: object) -> bool:
    try:
        return not isinstance(value, bool) and isinstance(value, str | int | float) and float(value) >= 0
    except ValueError:
        return False


def wanted(names: Sequence[str], place: str, hints: TimeHints) -> list[str]:
    """The columns to read, counts before times. Raises TraceError if there are none, or the choice is ambiguous."""
    counts = [name for name in names if is_count(name, hints)]
    clocks = (*TIME_NAMES, *INDICES) if counts else TIME_NAMES
    times = [name for name in names if (name == hints.column if hints.column else name.lower() in clocks)]
    if not (times or hints.column):
        times = [name for name in LOG_NAMES if name in names][:1]
    if hints.column and not times:
        raise TraceError(
            f"{place}: time_column: no column is called {hints.column!r}; there are "
            f"{_listed(names)}{did_you_mean(hints.column, names)}"
        )
    if hints.counts not in (None, NO_COUNTS) and not counts:
        raise TraceError(
            f"{place}: count_column: no column is called {hints.counts!r}; there are "
            f"{_listed(names)}{did_you_mean(str(hints.counts), names)}"
        )
    if not (counts or times):
        near = next((end for name in names if (end := did_you_mean(name.lower(), TIME_NAMES + COUNT_NAMES))), "")
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
    """The facts from JSON text. Raises TraceError, with the place, if it is invalid."""
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{place}: not a JSON object: {error}") from error
    if not isinstance(facts, dict):
        raise TraceError(f"{place}: not a JSON object: {facts!r}")
    known = ("duration_s", "history_counts", "starts_at")
    for key in facts:
        if key not in known:
            raise TraceError(f"{place}: unknown key {key!r}{did_you_mean(key, known)}")
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
    """A hint for a header that is not separated by commas; else empty."""
    mark = next((mark for mark in (";", "\t") if len(names) == 1 and mark in names[0]), None)
    return "" if mark is None else f"; values are separated by commas, not by {mark!r}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


_SECOND_US = 1_000_000
_EXACT = ("arrival_s", "timestamp_s")
SPREAD = ", spread within each at random"
STEPS = {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}


def trace_of_columns(
    columns: list[Column], facts: Facts, stored: Stored, seed: int, beside: Collection[str] = ()
) -> Trace:
    """The trace of a table: from its times, or from its counts and, if present, their times.

    Raises TraceError, with the place, if a value is wrong, or if the numbers `beside` times may be counts.
    """
    first, *clocks = columns
    for column in columns:
        column.check(bad_count if column.notation is None else column.notation.bad)
    if not len(first.values) and "duration_s" not in facts:
        raise TraceError(f"{stored.path}: no rows below the header")
    if first.notation is not None:
        if beside and _are_steps(first.values):
            name = next(iter(beside))
            raise TraceError(
                f"{stored.path}: the times (column {first.name!r}) are equal steps, with numbers beside them "
                f"({', '.join(map(repr, beside))}): if these count the requests of each step, give --count-column "
                f"{name!r} (count_column in a scenario file); if each row is a request, --count-column {NO_COUNTS}"
            )
        found = _of_times(first, first.notation, facts, seed)
    elif clocks and len(clocks[0].values):
        found = _of_counts(first, clocks[0], seed)
    elif len(first.values):
        found = {"counts": first.values, "duration_s": len(first.values)}
        found["reading"] = "" if first.name.lower() == "count" else f"counts per second (column {first.name!r})"
    else:
        found = {"timestamps_s": first.values}
    found["reading"] = (found.get("reading", "") + stored.passed_over).removeprefix(", ")
    try:
        return Trace(**{**found, **facts, **stored.about})
    except TraceError as error:
        raise TraceError(f"{stored.path}: {error}") from error


def start_us(instants_us: Numbers, place: Callable[[int], str]) -> int:
    """The whole second of the first instant [us]. Raises TraceError if instants are too far apart."""
    first, last = int(np.argmin(instants_us)), int(np.argmax(instants_us))
    start = int(instants_us[first] // _SECOND_US) * _SECOND_US
    if instants_us[last] - start >= LONGEST_S * _SECOND_US:
        later_s = (instants_us[last] - start) / _SECOND_US
        raise TraceError(
            f"{place(last)}: {later_s:,.0f} s later than {place(first)}; a trace lasts at most {LONGEST_S:g} s"
        )
    return start


def _of_times(column: Column, notation: Notation, facts: Facts, seed: int) -> Facts:
    if column.name.lower() in _EXACT and (notation.is_clock, notation.us) == (False, 1e6):
        times_s = np.sort(column.values)
        return {"timestamps_s": times_s, "duration_s": _last_second(times_s)}
    instants_us = np.rint(column.values * notation.us).astype(np.int64)
    start = start_us(instants_us, column.place) if notation.is_clock else 0
    disordered = int((instants_us[1:] < np.maximum.accumulate(instants_us)[:-1]).sum())
    instants_us -= start
    instants_us.sort()
    found: Facts = {"starts_at": notation.at(start) if notation.is_clock else None}
    reading = f"{notation.words} (column {column.name!r})" if column.name else notation.words
    step_s = _written_step_s(instants_us, notation)
    if step_s:
        bins = -(-int(facts.get("duration_s", 0)) // step_s)
        counts = np.bincount(instants_us // (step_s * _SECOND_US), minlength=bins)
        found["counts"] = spread(counts, step_s, np.random.default_rng(seed))
        found["duration_s"] = len(found["counts"])
        reading += f", counted per {STEPS[step_s]}{SPREAD if step_s > 1 else ''}"
    else:
        found["timestamps_s"] = instants_us / _SECOND_US
        found["duration_s"] = _last_second(found["timestamps_s"])
        reading += f", {disordered:,} of them out of order" if disordered else ""
    return {**found, "reading": reading}


def _are_steps(times: Numbers) -> bool:
    """Whether these look like the times of a table of counts: most are one step apart, the others a multiple of it."""
    steps = np.diff(np.sort(times))
    if len(steps) < 2 or not steps.min() > 0:
        return False
    multiples = steps / steps.min()
    return bool(np.median(multiples) < 1.01 and np.allclose(multiples, np.rint(multiples), atol=0.01))


def _last_second(times_s: Numbers) -> float:
    return float(np.floor(times_s[-1])) + 1.0


def _written_step_s(instants_us: Counts, notation: Notation) -> int:
    """The resolution of the times [s]; 0: finer than a second."""
    for step_s in sorted(STEPS, reverse=True):
        if step_s <= notation.written_s and not (instants_us % (step_s * _SECOND_US)).any():
            return step_s
    return 0


def _of_counts(counts: Column, clock: Column, seed: int) -> Facts:
    assert clock.notation is not None, "a column of times with a row has one"
    notation = clock.notation
    instants_us = np.rint(clock.values * notation.us).astype(np.int64)
    step_us = _step_us(clock, instants_us)
    start = int(instants_us[0]) if notation.is_clock else 0
    _check_steps(clock, notation, instants_us, start, step_us)
    step_s = step_us // _SECOND_US
    if step_us % _SECOND_US or len(counts.values) * step_s > LONGEST_S:
        raise TraceError(
            f"{clock.place(0)}: {len(counts.values)} counts of {step_us / _SECOND_US:g} s each; allowed are steps of "
            f"whole seconds, and {LONGEST_S:g} s in all"
        )
    per_second = spread(counts.values.astype(np.int64), step_s, np.random.default_rng(seed))
    found: Facts = {"counts": per_second, "duration_s": len(per_second)}
    if step_s > 1 or notation.is_clock:
        step = STEPS.get(step_s, f"{step_s} s")
        found["reading"] = f"counts per {step} (columns {counts.name!r} and {clock.name!r})"
        found["reading"] += SPREAD if step_s > 1 else ""
    if notation.is_clock:
        found["starts_at"] = notation.at(start)
    return found


def _step_us(clock: Column, instants_us: Counts) -> int:
    """The step of a column of times [us]: that of its name, else the smallest between two rows."""
    if clock.name.lower() in INDICES:
        return int(UNITS[INDICES[clock.name.lower()]])
    if len(instants_us) == 1:
        raise TraceError(
            f"{clock.place(0)}: a single row does not say how long its count lasts; a column 'second' or 'minute' does"
        )
    steps_us = np.diff(instants_us)
    forward_us = steps_us[steps_us > 0]
    return int(forward_us.min()) if forward_us.size else _SECOND_US


def _check_steps(clock: Column, notation: Notation, instants_us: Counts, start: int, step_us: int) -> None:
    """Raise TraceError at the first row whose time is not one step after the row before."""
    due_us = start + np.arange(len(instants_us)) * step_us
    good = instants_us == due_us
    if good.all():
        return
    index = int(np.argmin(good))
    if notation.is_clock:
        given, due = (notation.at(instant).isoformat() for instant in (instants_us[index], due_us[index]))
    else:
        unit = next((name for name, unit in INDICES.items() if UNITS[unit] == notation.us), "time")
        given, due = f"{clock.values[index]:.15g}", f"{unit} {due_us[index] / notation.us:g}"
    step = STEPS.get(step_us // _SECOND_US, f"{step_us / _SECOND_US:g} s")
    may_change = notation.is_clock and notation.zone is None
    zone = "; if the clock was put forward or back, give its --time-zone" if may_change else ""
    raise TraceError(
        f"{clock.place(index)}: {given} stands where {due} is due; every {step} from the first on needs its row, one "
        f"without requests the count 0{zone}"
    )
