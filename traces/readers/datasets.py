"""Published data sets with tables of their own formats, recognised by their headers.

- Azure Functions 2019, `invocations_per_function_md.anon.dNN.csv`: a row for each function, and the invocations of each
  minute in the columns 1 to 1440 (https://github.com/Azure/AzurePublicDataset). The minutes are summed over functions.
  A further header begins the next day, so that files of several days can be concatenated.
- Azure Functions 2021: `app,func,end_timestamp,duration`, in seconds since the start. An invocation arrives at its end
  minus its duration. Arrivals before second 0 are left out: the file has only the long ones.
- BurstGPT: `Timestamp` in seconds since midnight of the first day (https://github.com/HPMLL/BurstGPT).

The tables of Azure LLM inference have a column TIMESTAMP of ISO 8601 times, and are read as ordinary tables.
"""

from array import array

import numpy as np

from ipa.traces.checks import LONGEST_S, MOST_PER_S, Counts, TraceError, bad_count
from ipa.traces.readers.notation import number
from ipa.traces.readers.stored import Stored
from ipa.traces.readers.tables import below_comments, read_csv, rows_of
from ipa.traces.reading import Reading
from ipa.traces.trace import Trace, spread

MINUTE_S = 60

_AZURE_2019, _MINUTES = b"HashOwner,HashApp,", b"HashOwner,HashApp,HashFunction,Trigger,"
_INVOCATIONS = b"app,func,end_timestamp,duration"
_DIGITS_AND_COMMAS = b"0123456789,"


def _names(line: bytes) -> bytes:
    return line.removeprefix(b"\xef\xbb\xbf").strip().replace(b'"', b"")


# ---- Azure Functions 2019 ----


def is_invocations_per_minute(line: bytes) -> bool:
    """Whether a line is a header of Azure Functions 2019; the data set has other tables too."""
    return _names(line).startswith(_AZURE_2019)


def read_invocations_per_minute(stored: Stored, hints: Reading, seed: int) -> Trace:
    """The trace of days of Azure Functions 2019, all functions together.

    Raises TraceError, with file and line, if a row is not four names and a count for every minute.
    """
    if hints.said:
        raise TraceError(f"{stored.path}: Azure Functions 2019 counts minutes from 1 to 1440; {hints.in_vain}")
    days: list[Counts] = []
    minutes = 0
    for place, line in enumerate(stored.lines, start=1):
        if is_invocations_per_minute(line):
            minutes = _minutes(line, stored.place(place), minutes)
            days.append(np.zeros(minutes, np.int64))
        elif days and line.strip():  # comments may come before the first header
            days[-1] += _row(line, minutes, stored.place(place))
    counts = np.concatenate(days)
    fault = bad_count(counts)
    if fault or len(counts) * MINUTE_S > LONGEST_S:
        raise TraceError(f"{stored.path}: {fault[1] if fault else f'more than {LONGEST_S:g} s'}")
    return Trace.of_counts(
        counts=spread(counts, MINUTE_S, np.random.default_rng(seed)),
        reading="Azure Functions 2019, counts per minute summed over functions, spread within each at random",
        **stored.about,
    )


def _minutes(line: bytes, place: str, before: int) -> int:
    """The number of minutes in a header, which must be the same in all headers of a file."""
    if not _names(line).startswith(_MINUTES):
        raise TraceError(
            f"{place}: a table of Azure Functions 2019, but not the one of invocations per minute; that is in the "
            "files invocations_per_function_md.anon.d01.csv to d14.csv"
        )
    named = _names(line).removeprefix(_MINUTES).split(b",")
    if named != [str(minute).encode() for minute in range(1, len(named) + 1)]:
        raise TraceError(f"{place}: the columns after Trigger are the minutes 1, 2, ... to 1440, each once")
    if before and len(named) != before:
        raise TraceError(f"{place}: a header of {len(named)} minutes after one of {before}")
    return len(named)


def _row(line: bytes, minutes: int, place: str) -> Counts:
    """The counts of a row, shape (minutes,)."""
    *names, counts = line.strip().split(b",", 4)
    count = counts.count(b",") + 1 if len(names) == 4 else 0
    if count != minutes:
        raise TraceError(f"{place}: a row is four names and {minutes} counts; this one has {count} counts")
    if counts.translate(None, _DIGITS_AND_COMMAS) or b",," in b"," + counts + b",":
        wrong = next(text for text in counts.split(b",") if not text.isdigit())
        raise TraceError(f"{place}: {wrong[:40].decode(errors='replace')!r} is not a whole number of invocations")
    invocations: Counts = np.fromstring(counts, np.int64, sep=",")
    if invocations.max() > MOST_PER_S:
        raise TraceError(f"{place}: {invocations.max()} invocations in a minute; at most {MOST_PER_S} are allowed")
    return invocations


# ---- Azure Functions 2021 ----


def is_invocations(line: bytes) -> bool:
    """Whether a line is the header of Azure Functions 2021."""
    return _names(line) == _INVOCATIONS


def read_invocations(stored: Stored, hints: Reading, seed: int) -> Trace:
    """The trace of Azure Functions 2021: a request at each invocation's end minus its duration.

    Raises TraceError, with file, line and column, if a value is no time, or nothing arrived in second 0 or later.
    """
    if hints.said:
        raise TraceError(f"{stored.path}: Azure Functions 2021 has seconds since its start; {hints.in_vain}")
    arrivals_s = array("d")
    _, above, lines = below_comments(stored)
    rows = rows_of(lines, above, stored)
    next(rows)
    for line, (_, _, end, duration) in rows:
        end_s = _seconds(end, "end_timestamp", stored.place(line))
        arrivals_s.append(end_s - _seconds(duration, "duration", stored.place(line)))
    times_s = np.sort(np.array(arrivals_s))
    before = int(np.searchsorted(times_s, 0.0))
    times_s = times_s[before:]
    if not len(times_s):
        raise TraceError(f"{stored.path}: no invocation that arrived in second 0 or later")
    left_out = f"; {before:,} that arrived before second 0 left out" if before else ""
    return Trace(
        timestamps_s=times_s,
        duration_s=float(np.floor(times_s[-1])) + 1.0,
        reading=f"Azure Functions 2021, each at its end less its duration{left_out}",
        **stored.about,
    )


def _seconds(token: str, name: str, place: str) -> float:
    try:
        value = number(token)
    except ValueError as error:
        raise TraceError(f"{place}, column {name}: {error}") from None
    if not 0 <= value < LONGEST_S:
        raise TraceError(f"{place}, column {name}: {value} is not a number of seconds, from 0 to {LONGEST_S:g}")
    return value


# ---- BurstGPT ----


def is_burst_gpt(line: bytes) -> bool:
    """Whether a line is a header of BurstGPT, with or without sessions."""
    names = _names(line).split(b",")
    return names[0] == b"Timestamp" and {b"Model", b"Request tokens", b"Response tokens"} <= set(names)


def read_burst_gpt(stored: Stored, hints: Reading, seed: int) -> Trace:
    """The trace of BurstGPT. Raises TraceError as for any CSV file."""
    return read_csv(stored, hints.model_copy(update={"time_unit": hints.time_unit or "s"}), seed)
