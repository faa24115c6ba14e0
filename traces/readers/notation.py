"""The notation of a column of times, detected from its first value.

- Text is an ISO 8601 time, with or without a zone, the time of an access log (05/Jan/2026:10:00:00 +0100), or a date
  with slashes; one of the dates must determine the order of day and month. Times without a zone are taken literally, or
  in the zone of the hints, with its daylight saving time.
- A number is a time since 1970 or since the trace's start. The unit is that of the hints or of the column's name
  (`time_ms`). Otherwise it is the only unit in which the number is a time from 1990 to 2100; a smaller number may be in
  any unit, so the error asks for it.

Times on a clock are whole microseconds since 1970, exact in a float64.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from re import fullmatch
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

from ipa.errors import did_you_mean
from ipa.traces.checks import LONGEST_S, Numbers, TraceError, bad_time, first_bad

UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3, "min": 6e7}
"""Unit -> microseconds; the names are used in hints, and after the last `_` of a column's name."""

WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "min": "minutes"}

INDICES = {"second": "s", "minute": "min"}
"""Columns that number the seconds or minutes of a table of counts -> their unit."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_US = (datetime(1990, 1, 1, tzinfo=UTC) - EPOCH).total_seconds() * 1e6
LATEST_US = (datetime(2100, 1, 1, tzinfo=UTC) - EPOCH).total_seconds() * 1e6

_COARSE = {
    86_400: r"\d{4}-?\d\d-?\d\d|[\d/]+",
    60: r"\d{4}-?\d\d-?\d\d[T ]\d\d:?\d\d(Z| ?[+-]\d\d:?\d\d)?|[\d/]+\D+\d+:\d+\D*",
}
"""The resolution [s] of times without seconds -> their pattern."""


@dataclass(frozen=True)
class TimeHints:
    """Hints on what a file leaves open: the column of times, their unit, the zone of times without one, and the column
    of counts (`NO_COUNTS`: each row is a request). Up to `skip_bad_lines` unreadable lines are skipped.

    Raises TraceError for an unknown unit or zone.
    """

    column: str | None = None
    unit: str | None = None
    zone: str | None = None
    counts: str | None = None
    skip_bad_lines: int = 0

    def __post_init__(self) -> None:
        if self.unit is not None and self.unit not in UNITS:
            raise TraceError(f"time_unit {self.unit!r}: allowed: {', '.join(UNITS)}{did_you_mean(self.unit, UNITS)}")
        if self.zone is not None:
            try:
                ZoneInfo(self.zone)
            except (KeyError, ValueError, OSError):
                near = did_you_mean(self.zone, available_timezones())
                raise TraceError(
                    f"time_zone {self.zone!r}: this machine knows no such zone; give one such as Europe/Berlin{near}"
                ) from None

    def __bool__(self) -> bool:
        """Whether there is any hint on times or counts."""
        return replace(self, skip_bad_lines=0) != TimeHints()

    @property
    def in_vain(self) -> str:
        """The end of an error text that says which options to omit, for files whose times need no hints."""
        given = {
            "time_column": self.column, "time_unit": self.unit, "time_zone": self.zone, "count_column": self.counts
        }  # fmt: skip
        return f"leave {' and '.join(key for key, value in given.items() if value is not None)} out"


NO_HINTS = TimeHints()
NO_COUNTS = "none"
"""Given instead of a column of counts: each row is a request."""


@dataclass(frozen=True)
class Notation:
    """How times are written: `parse` returns a number in units of `us` microseconds.

    `is_clock`: since 1970, else since the trace's start. `zone`: the clock's zone, None without one. `written_s`: the
    resolution of the notation in seconds, such as 60 if minutes are the smallest unit. `parse` raises ValueError with
    the reason if a time is invalid.
    """

    words: str
    us: float
    is_clock: bool
    parse: Callable[[str], float]
    zone: tzinfo | None = None
    written_s: int = 1

    def at(self, instant_us: float) -> datetime:
        """The time on the clock, with its offset from UTC if it has a zone."""
        moment = EPOCH + timedelta(microseconds=float(instant_us))
        if self.zone is None:
            return moment.replace(tzinfo=None)
        there = moment.astimezone(self.zone)
        return there.replace(tzinfo=timezone(there.utcoffset() or timedelta()))  # so that adding seconds is exact

    def bad(self, values: Numbers) -> tuple[int, str] | None:
        """The first index whose value cannot be a time in this notation, and the reason."""
        if not self.is_clock:
            return bad_time(values, self.us / 1e6)
        good = (values >= EARLIEST_US / self.us) & (values < LATEST_US / self.us)
        if self.parse is number:
            like = ", as the first one is" if good[0] else ""
            return first_bad(values, good, f"not a time from 1990 to 2100 in {self.words}{like}")
        return None if good.all() else (int(np.argmin(good)), "not a time from 1990 to 2100")


def notation_of(first: str, name: str, hints: TimeHints) -> Notation:
    """The notation of a column, from its first value. Raises ValueError with the problem and the hint to give."""
    unit = hints.unit or unit_in(name)
    try:
        float(first)
    except ValueError:
        if unit is None or (hints.unit is None and name.lower() in INDICES):
            return _of_text(first.strip(), hints.zone)
    return of_numbers(number(first), unit, hints)


def unit_in(name: str) -> str | None:
    """The unit in a column's name: `ms` for `time_ms`, `min` for `minute`."""
    name = name.lower()
    _, underscore, end = name.rpartition("_")
    return INDICES.get(name) or (end if underscore and end in UNITS else None)


def of_numbers(first: float, unit: str | None, hints: TimeHints) -> Notation:
    """The notation of numbers, from the first of them and the unit (None: unknown). Raises ValueError if ambiguous."""
    if unit is None:
        unit = next((each for each in UNITS if each != "min" and EARLIEST_US <= first * UNITS[each] < LATEST_US), None)
    if not math.isfinite(first):
        raise ValueError(f"{first} is not a finite number")
    if unit is None:
        raise ValueError(
            f"{first:.15g} may be in any unit: give it as --time-unit, or time_unit in a scenario file: "
            f"{', '.join(UNITS)}"
        )
    is_clock = first * UNITS[unit] >= EARLIEST_US
    if hints.zone is not None:
        since = "1970" if is_clock else "the start"
        raise ValueError(f"{first:.15g} is a time since {since}, the same in every zone; leave time_zone out")
    if not is_clock:
        return Notation(f"{WORDS[unit]} since the start", UNITS[unit], False, number)
    return Notation(f"{WORDS[unit]} since 1970", UNITS[unit], True, number, UTC)


def number(token: str) -> float:
    """The number of a text. Raises ValueError, which names the text, if it is none."""
    try:
        return float(token)
    except ValueError:
        comma = "; it has a decimal comma: write a point" if fullmatch(r"\s*[+-]?\d+,\d+\s*", token) else ""
        raise ValueError(f"{token[:40]!r} is not a number{comma}") from None


def on_clock(words: str, zone: tzinfo | None) -> Notation:
    """The notation of instants that are already microseconds since 1970."""
    return Notation(words, 1.0, True, _since(EPOCH, "", _moment), zone)


def microseconds(since: timedelta) -> float:
    """A span in microseconds, exact."""
    return (since.days * 86_400 + since.seconds) * 1e6 + since.microseconds


def _of_text(first: str, zone: str | None) -> Notation:
    words = "ISO 8601 times"
    read: Callable[[str], datetime] = _moment
    if _OF_LOG.fullmatch(first):
        words, read = "times as in access logs", moment_of_log
    elif order := order_of_date(first):
        words, read = f"times with dates as {order}", _with_slashes(order)
    moment = read(first)
    written_s = next((step_s for step_s, pattern in _COARSE.items() if fullmatch(pattern, first)), 1)
    if moment.tzinfo is not None:
        if zone is not None:
            raise ValueError(f"{first!r} has a zone; leave time_zone out")
        parse = _since(EPOCH, "has no zone, but the first time has one", read)
        return Notation(words, 1.0, True, parse, moment.tzinfo, written_s)
    if zone is not None:
        there = ZoneInfo(zone)
        return Notation(f"{words} in {zone}", 1.0, True, _local(there, read), there, written_s)
    parse = _since(EPOCH.replace(tzinfo=None), "has a zone, but the first time has none", read)
    return Notation(f"{words} without a zone", 1.0, True, parse, None, written_s)


def _moment(token: str) -> datetime:
    try:
        return datetime.fromisoformat(token.strip())
    except ValueError:
        raise ValueError(f"{token[:40]!r} is not an ISO 8601 time, such as 2026-01-05T10:00:00Z") from None


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_OF_LOG = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)")


def moment_of_log(written: str) -> datetime:
    """The instant of `05/Jan/2026:10:00:00 +0100`, independent of the locale. Raises ValueError if invalid."""
    parts = _OF_LOG.fullmatch(written.strip())
    try:
        if parts is None:
            raise ValueError
        day, month, year, hour, minute, second, sign, zone_h, zone_min = parts.groups()
        ahead = timedelta(hours=int(zone_h), minutes=int(zone_min))
        zone = timezone(-ahead if sign == "-" else ahead)
        time = (int(hour), int(minute), int(second))
        return _in_range(datetime(int(year), _MONTHS.index(month) + 1, int(day), *time, tzinfo=zone))
    except ValueError:
        raise ValueError(f"{written!r} is not a time from 1990 to 2100") from None


def moment_on_clock(written: str) -> datetime:
    """The instant of an ISO 8601 time with a zone. Raises ValueError if invalid."""
    try:
        return _in_range(datetime.fromisoformat(written))
    except ValueError:
        raise ValueError(f"{written!r} is not a time from 1990 to 2100") from None


def _in_range(moment: datetime) -> datetime:
    if not 1990 <= moment.year < 2100:
        raise ValueError
    return moment


_SLASHES = re.compile(
    r"(\d{1,2})/(\d{1,2})/(\d{4})(?:[T ,]+(\d{1,2}):(\d\d)(?::(\d\d(?:[.,]\d+)?))?(?: ?([AaPp])\.?[Mm]\.?)?)?"
)
AMBIGUOUS = "DAY/MONTH/YEAR or MONTH/DAY/YEAR"


def order_of_date(token: str) -> str:
    """The order of a date with slashes: `MONTH/DAY/YEAR`, `DAY/MONTH/YEAR`, or `AMBIGUOUS`; "" for another text."""
    parts = _SLASHES.fullmatch(token.strip())
    if parts is None:
        return ""
    if int(parts[1]) > 12 >= int(parts[2]):
        return "DAY/MONTH/YEAR"
    return "MONTH/DAY/YEAR" if int(parts[2]) > 12 >= int(parts[1]) else AMBIGUOUS


def _with_slashes(order: str) -> Callable[[str], datetime]:
    def read(token: str) -> datetime:
        parts = _SLASHES.fullmatch(token.strip())
        try:
            if parts is None:
                raise ValueError
            day, month = (1, 2) if order.startswith("DAY") else (2, 1)
            hour = int(parts[4] or 0)
            if parts[7] and not 1 <= hour <= 12:
                raise ValueError
            if parts[7]:
                hour = hour % 12 + (12 if parts[7] in "Pp" else 0)
            second, _, below = (parts[6] or "0").replace(",", ".").partition(".")
            time = (hour, int(parts[5] or 0), int(second), int(f"{below:0<6}"[:6]))
            return datetime(int(parts[3]), int(parts[month]), int(parts[day]), *time)
        except ValueError:
            raise ValueError(f"{token[:40]!r} is not a time with a date as {order}") from None

    return read


def _since(epoch: datetime, fault: str, read: Callable[[str], datetime]) -> Callable[[str], float]:
    def parse(token: str) -> float:
        try:
            return microseconds(read(token) - epoch)
        except TypeError:  # a time with a zone minus one without
            raise ValueError(f"{token[:40]!r} {fault}") from None

    return parse


def _local(zone: ZoneInfo, read: Callable[[str], datetime]) -> Callable[[str], float]:
    """Times of a clock with daylight saving time.

    A time in an hour that the clock shows twice is read as the one nearer to the previous time in the file.
    """
    before_us: float | None = None

    def parse(token: str) -> float:
        nonlocal before_us
        moment = read(token)
        if moment.tzinfo is not None:
            raise ValueError(f"{token[:40]!r} has a zone, but the first time has none")
        one_us, other_us = (microseconds(moment.replace(tzinfo=zone, fold=fold) - EPOCH) for fold in (0, 1))
        if other_us < one_us:  # Python's indication of a time that does not exist
            raise ValueError(f"{token[:40]!r} does not exist in {zone.key}: the clock was put forward over it")
        if before_us is not None and abs(other_us - before_us) < abs(one_us - before_us):
            one_us = other_us
        before_us = one_us
        return one_us

    return parse


assert LONGEST_S * 1e6 < EARLIEST_US, "no number is both since the start and since 1970"
