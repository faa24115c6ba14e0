"""Makes a trace of a table's columns: of its times, or of its counts and their times.

- Times since the start stay as they are. Times on a clock begin with the whole second of the first.
- Times out of order are sorted, and their number is reported.
- Times that are all whole seconds become requests per second, times without seconds requests per minute, and so on:
  otherwise all requests of a second, minute, hour or day would arrive at its start. Only `arrival_s` and `timestamp_s`,
  counted from the start, are taken literally.
- Counts have equal steps of whole seconds without gaps; the step is the distance of their times, or as given. Within a
  step, requests arrive as in a Poisson process: each in any second with the same probability, independently.
"""

from collections.abc import Callable, Collection, Sequence

import numpy as np

from ipa.traces.checks import LONGEST_S, Counts, Numbers, TraceError
from ipa.traces.readers.columns import TIME_NAMES, Facts, NumberColumn, listed_names
from ipa.traces.readers.notation import INDICES, NO_COUNTS, UNITS, Notation, Reading
from ipa.traces.readers.stored import Stored
from ipa.traces.reading import ask
from ipa.traces.trace import Trace, spread

_SECOND_US = 1_000_000
_EXACT = ("arrival_s", "timestamp_s")
SPREAD = ", spread within each at random"
STEPS = {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}

_FEWEST_ROUNDED = 10
"""From so many times on, whole minutes are of a rounded clock, not of requests that all came with the second 0."""


_UNEVEN = 0.1
"""The most by which steps that are meant to be equal differ, as a share: tables are written a little late."""

_FEWEST_RISING = 20
"""From so many counts on that never fall, they may be those of a counter."""


def step_words(step_s: float) -> str:
    """A step in words: `minute`, `15 s`."""
    return next((word for known_s, word in STEPS.items() if known_s == step_s), f"{step_s:g} s")


def trace_of_columns(
    columns: list[NumberColumn],
    facts: Facts,
    stored: Stored,
    hints: Reading,
    seed: int,
    others: Sequence[str] = (),
    beside: Collection[str] = (),
) -> Trace:
    """The trace of a table: from its times, or from its counts and, if present, their times.

    `others`: the names of the columns that are not read; `beside`: those of them that hold numbers. Raises TraceError,
    with the place, for a wrong value, for numbers beside times that may be counts, and for counts beside other columns
    none of which is said to be their times.
    """
    first, *clocks = columns
    for column in columns:
        column.check()
    if not len(first.values) and "duration_s" not in facts:
        raise TraceError(f"{stored.path}: no rows below the header")
    if first.notation is not None:
        _check_are_requests(first, first.notation, stored, hints, beside)
        trace_facts = _of_times(first, first.notation, facts, seed)
    elif len(first.values):
        if clocks:
            assert clocks[0].notation is not None, "a column of times with a row has one"
            trace_facts = _of_counts(first, clocks[0], clocks[0].notation, hints.step, seed)
        elif others and hints.step is None:
            raise TraceError(
                f"{stored.path}: the counts (column {first.name!r}) have no times; if one of the other columns, "
                f"{listed_names(others)}, holds them, say {ask('time_column', 'NAME')}; else how long a row is, as "
                f"{ask('step', '1m')}"
            )
        else:
            trace_facts = _of_rows(first, hints.step, seed)
    else:
        trace_facts = {"timestamps_s": first.values}
    trace_facts["reading"] = (trace_facts.get("reading", "") + stored.passed_over).removeprefix(", ")
    try:
        return Trace(**{**trace_facts, **facts, **stored.about})
    except TraceError as error:
        raise TraceError(f"{stored.path}: {error}") from error


def _check_are_requests(
    times: NumberColumn, notation: Notation, stored: Stored, hints: Reading, beside: Collection[str]
) -> None:
    """Raises TraceError if the rows of these times may be steps rather than requests."""
    if hints.step is not None:
        raise TraceError(f"{stored.path}: a step is that of counts, and no column of counts is read; {hints.in_vain}")
    if beside and are_steps(times.values, notation.us / _SECOND_US):
        raise TraceError(
            f"{stored.path}: the times (column {times.name!r}) are equal steps, with numbers beside them "
            f"({', '.join(map(repr, beside))}): if these count the requests of each step, give "
            f"{ask('count_column', repr(next(iter(beside))))}; if each row is a request, "
            f"{ask('count_column', NO_COUNTS)}"
        )


def are_steps(times: Numbers, unit_s: float) -> bool:
    """Whether these look like the times of a table of counts: most are one step apart, the others a multiple of it.

    Times are in units of `unit_s` seconds. Several rows may have the same time if the step is longer than a second, as
    in a table with a row for each server; in a log of requests they do so by the second.
    """
    steps = np.diff(times)
    if np.any(steps < 0):
        steps = np.diff(np.sort(times))
    steps = steps[steps > 0]
    if len(steps) < 2:
        return False
    step = float(np.median(steps))
    if len(steps) + 1 < len(times) and step * unit_s <= 1.0:
        return False
    multiples = steps / step
    whole = np.rint(multiples)
    are_multiples = (whole >= 1) & (np.abs(multiples - whole) <= _UNEVEN)
    return bool(are_multiples.mean() >= 0.9 and (whole == 1).mean() >= 0.5)


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


def _of_times(column: NumberColumn, notation: Notation, facts: Facts, seed: int) -> Facts:
    if column.name.lower() in _EXACT and (notation.is_clock, notation.us) == (False, 1e6):
        rows = np.argsort(column.values, kind="stable")
        times_s = column.values[rows]
        return {"timestamps_s": times_s, "duration_s": _last_second(times_s), "rows": rows}
    instants_us = np.rint(column.values * notation.us).astype(np.int64)
    start = start_us(instants_us, column.place) if notation.is_clock else 0
    disordered = int((instants_us[1:] < np.maximum.accumulate(instants_us)[:-1]).sum())
    instants_us -= start
    rows = np.argsort(instants_us, kind="stable")
    instants_us = instants_us[rows]
    time_facts: Facts = {"starts_at": notation.at(start) if notation.is_clock else None}
    reading = f"{notation.words} (column {column.name!r})" if column.name else notation.words
    step_s = _written_step_s(instants_us, notation)
    if step_s:
        bins = -(-int(facts.get("duration_s", 0)) // step_s)
        counts = np.bincount(instants_us // (step_s * _SECOND_US), minlength=bins)
        time_facts["counts"] = spread(counts, step_s, np.random.default_rng(seed))
        time_facts["duration_s"] = len(time_facts["counts"])
        reading += f", counted per {STEPS[step_s]}{SPREAD if step_s > 1 else ''}"
    else:
        time_facts["timestamps_s"], time_facts["rows"] = instants_us / _SECOND_US, rows
        time_facts["duration_s"] = _last_second(time_facts["timestamps_s"])
        reading += f", {disordered:,} of them out of order" if disordered else ""
    return {**time_facts, "reading": reading}


def _last_second(times_s: Numbers) -> float:
    return float(np.floor(times_s[-1])) + 1.0


def _written_step_s(instants_us: Counts, notation: Notation) -> int:
    """The resolution of the times [s], by their notation or if all are whole minutes, hours or days; 0: finer than a
    second."""
    at_most_s = max(STEPS) if len(instants_us) >= _FEWEST_ROUNDED else notation.written_s
    for step_s in sorted(STEPS, reverse=True):
        if step_s <= at_most_s and not (instants_us % (step_s * _SECOND_US)).any():
            return step_s
    return 0


def _of_rows(counts: NumberColumn, step_s: int | None, seed: int) -> Facts:
    """Counts without times: each row is the step after the one before."""
    how = f"column {counts.name!r}" if step_s is None else f"column {counts.name!r}, in the order of the rows"
    return _per_second(counts, (step_s or 1) * _SECOND_US, how, seed)


def _of_counts(
    counts: NumberColumn, clock: NumberColumn, notation: Notation, given_step_s: int | None, seed: int
) -> Facts:
    instants_us = np.rint(clock.values * notation.us).astype(np.int64)
    backwards = int((np.diff(instants_us) < 0).sum())
    order = np.argsort(instants_us, kind="stable")
    instants_us, counts, clock = instants_us[order], counts.rearranged(order), clock.rearranged(order)
    step_us = _step_us(clock, notation, instants_us) if given_step_s is None else given_step_s * _SECOND_US
    start = int(instants_us[0]) if notation.is_clock else 0
    _check_steps(clock, notation, instants_us, start, step_us)
    how = f"columns {counts.name!r} and {clock.name!r}, {notation.words}"
    if backwards:
        how += ", latest row first" if backwards == len(order) - 1 else ", rows out of order"
    count_facts = _per_second(counts, step_us, how, seed)
    if notation.is_clock:
        count_facts["starts_at"] = notation.at(start)
    elif step_us == _SECOND_US and not backwards and clock.name.lower() in (*INDICES, *TIME_NAMES):
        count_facts["reading"] = ""  # the names say it all
    return count_facts


def _per_second(counts: NumberColumn, step_us: int, how: str, seed: int) -> Facts:
    """Counts of steps as counts per second; `how` says of which columns, for the reading."""
    step_s = step_us // _SECOND_US
    if step_us % _SECOND_US or len(counts.values) * step_s > LONGEST_S:
        raise TraceError(
            f"{counts.place(0)}: {len(counts.values)} counts of {step_us / _SECOND_US:g} s each; allowed are steps of "
            f"whole seconds, and {LONGEST_S:g} s in all"
        )
    per_second = spread(counts.values.astype(np.int64), step_s, np.random.default_rng(seed))
    reading = f"counts per {step_words(step_s)} ({how}){SPREAD if step_s > 1 else ''}"
    if len(counts.values) >= _FEWEST_RISING and (np.diff(counts.values) >= 0).all() and np.ptp(counts.values):
        reading += "; they never fall: if this is a counter, give its increases"
    return {"counts": per_second, "duration_s": len(per_second), "reading": reading}


def _step_us(clock: NumberColumn, notation: Notation, instants_us: Counts) -> int:
    """The step of sorted times [us]: that of the column's name, else the most frequent distance of two rows."""
    is_index = clock.name.lower() in INDICES
    if is_index and (len(instants_us) == 1 or not notation.is_clock):
        return int(UNITS[INDICES[clock.name.lower()]])
    if len(instants_us) == 1:
        raise TraceError(
            f"{clock.place(0)}: a single row does not say how long its count lasts; {ask('step', '1m')} does"
            ", or a column 'second' or 'minute'"
        )
    steps_us, frequencies = np.unique(np.diff(instants_us), return_counts=True)
    forward = steps_us > 0
    return int(steps_us[forward][np.argmax(frequencies[forward])]) if forward.any() else _SECOND_US


def _check_steps(clock: NumberColumn, notation: Notation, instants_us: Counts, start: int, step_us: int) -> None:
    """Raise TraceError at the first row whose time is not one step after the row before."""
    due_us = start + np.arange(len(instants_us)) * step_us
    good = instants_us == due_us
    if good.all():
        return
    index = int(np.argmin(good))
    if notation.is_clock:
        actual, due = (notation.at(instant).isoformat() for instant in (instants_us[index], due_us[index]))
        zone = ask("time_zone", "Europe/Berlin")
        hint = "" if notation.zone else f"; if the clock was put forward or back, say its zone, as {zone}"
    else:
        unit = next((name for name, unit in INDICES.items() if UNITS[unit] == notation.us), "time")
        actual, due = f"{clock.values[index]:.15g}", f"{unit} {due_us[index] / notation.us:g}"
        hint = f"; to take the rows as steps in their order, say how long each is, as {ask('step', '1m')}"
    if index and instants_us[index] == instants_us[index - 1]:
        raise TraceError(
            f"{clock.place(index)}: {actual} is the time of {clock.word} {clock.rows[index - 1]} too; a time has one "
            f"row, with the count of all its requests{hint}"
        )
    raise TraceError(
        f"{clock.place(index)}: {actual} stands where {due} is due; every {step_words(step_us / _SECOND_US)} from the "
        f"first on needs its row, one without requests the count 0{hint}"
    )
