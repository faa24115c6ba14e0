"""The notation of a column of times, detected from its first value.

- Text is a date, with or without a time of day and a zone (see `dates`); one of the dates with slashes must determine
  the order of day and month. Times without a zone are taken literally, or in the zone of the hints, with its daylight
  saving time.
- A number is a time since 1970 or since the trace's start. The unit is that of the hints or of the column's name
  (`time_ms`). Otherwise it is the only unit in which the number is a time from 1990 to 2100; a smaller number may be in
  any unit, so the error asks for it. Eight to fourteen digits that are a date are one: 20260105, 2026010510.

Times on a clock are whole microseconds since 1970, exact in a float64.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from re import fullmatch
from zoneinfo import ZoneInfo

import numpy as np

from ipa.traces.checks import LONGEST_S, Numbers, bad_time, first_bad
from ipa.traces.readers.dates import ISO, form_of, is_of_digits
from ipa.traces.reading import NO_COUNTS as NO_COUNTS
from ipa.traces.reading import NOTHING_SAID as NOTHING_SAID
from ipa.traces.reading import Reading as Reading
from ipa.traces.reading import ask

UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3, "min": 6e7, "h": 3.6e9, "d": 8.64e10}
"""Unit -> microseconds; the names are used in hints, and after the last `_` of a column's name."""

WORDS = {
    "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds",
    "min": "minutes", "h": "hours", "d": "days",
}  # fmt: skip

INDICES = {"second": "s", "minute": "min", "hour": "h", "day": "d"}
"""Columns that number the seconds, minutes, hours or days of a table of counts -> their unit."""

_CLOCKS = ("s", "ms", "us", "ns")
"""The units of numbers since 1970 that need not be said: a time from 1990 to 2100 is one in a single one of them."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST_US = (datetime(1990, 1, 1, tzinfo=UTC) - EPOCH).total_seconds() * 1e6
LATEST_US = (datetime(2100, 1, 1, tzinfo=UTC) - EPOCH).total_seconds() * 1e6


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

    @property
    def is_number(self) -> bool:
        """Whether times are numbers, not text."""
        return self.parse in (number, clock_number)

    def at(self, instant_us: float) -> datetime:
        """The time on the clock, with its offset from UTC if it has a zone."""
        moment = EPOCH + timedelta(microseconds=float(instant_us))
        if self.zone is None:
            return moment.replace(tzinfo=None)
        local = moment.astimezone(self.zone)
        return local.replace(tzinfo=timezone(local.utcoffset() or timedelta()))  # so that adding seconds is exact

    def bad(self, values: Numbers) -> tuple[int, str] | None:
        """The first index whose value cannot be a time in this notation, and the reason."""
        if not self.is_clock:
            return bad_time(values, self.us / 1e6)
        good = (values >= EARLIEST_US / self.us) & (values < LATEST_US / self.us)
        if self.is_number:
            like = ", as the first one is" if good[0] else ""
            return first_bad(values, good, f"not a time from 1990 to 2100 in {self.words}{like}")
        return None if good.all() else (int(np.argmin(good)), "not a time from 1990 to 2100")


class UnknownUnitError(ValueError):
    """Numbers that may be in any unit; the text asks for it."""


def notation_of(first: str, name: str, hints: Reading) -> Notation:
    """The notation of a column, from its first value. Raises ValueError with the problem and the hint to give."""
    unit = hints.time_unit or unit_in(name)
    is_index = hints.time_unit is None and name.lower() in INDICES
    if unit is None or is_index:
        try:
            float(first)
        except ValueError:
            return _of_text(first.strip(), hints.time_zone)
        if is_of_digits(first):
            return _of_text(first.strip(), hints.time_zone)
    if is_index and number(first) * UNITS["s"] >= EARLIEST_US:
        unit = None
    return of_numbers(number(first), unit, hints)


def unit_in(name: str) -> str | None:
    """The unit in a column's name: `ms` for `time_ms`, `min` for `minute`."""
    name = name.lower()
    _, underscore, end = name.rpartition("_")
    return INDICES.get(name) or (end if underscore and end in UNITS else None)


def of_numbers(first: float, unit: str | None, hints: Reading) -> Notation:
    """The notation of numbers, from the first of them and the unit (None: unknown).

    Raises UnknownUnitError if the number may be in any unit, and ValueError if it is no time.
    """
    if unit is None:
        unit = next((clock for clock in _CLOCKS if EARLIEST_US <= first * UNITS[clock] < LATEST_US), None)
    if not math.isfinite(first):
        raise ValueError(f"{first} is not a finite number")
    if unit is None:
        raise UnknownUnitError(
            f"{first:.15g} may be in any unit: say which, as {ask('time_unit', 'ms')}; allowed: {', '.join(UNITS)}"
        )
    is_clock = first * UNITS[unit] >= EARLIEST_US
    if hints.time_zone is not None:
        since = "1970" if is_clock else "the start"
        raise ValueError(f"{first:.15g} is a time since {since}, the same in every zone; leave read.time_zone out")
    if not is_clock:
        return Notation(f"{WORDS[unit]} since the start", UNITS[unit], False, number)
    return Notation(f"{WORDS[unit]} since 1970", UNITS[unit], True, clock_number, UTC)


def number(token: str) -> float:
    """The number of a text. Raises ValueError, which names the text, if it is none."""
    try:
        return float(token)
    except ValueError:
        raise ValueError(f"{token[:40]!r} is not a number{_of_comma(token.strip())}") from None


_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[,.' \u00a0\u202f]\d{3})+(?:[.,]\d+)?")
_WITH_COMMA = re.compile(r"[+-]?\d+,\d+")


def _of_comma(token: str) -> str:
    """Why a text that looks like a number is none: the marks in it."""
    digits = re.sub(r"[^\d+-]", "", token)
    if fullmatch(r"[+-]?\d{1,3},\d{3}", token):
        return f"; its comma may separate thousands or decimals: write {digits} or {token.replace(',', '.')}"
    if _WITH_COMMA.fullmatch(token):
        return "; it has a decimal comma: write a point"
    if _GROUPED.fullmatch(token):
        return "; it has separators of thousands: leave them out"
    return ""


def is_like_number(value: object) -> bool:
    """Whether a value is a number from 0 on, or a text that means one, also with separators of thousands."""
    if isinstance(value, str):
        token = value.strip()
        if _GROUPED.fullmatch(token) or _WITH_COMMA.fullmatch(token):
            return not token.startswith("-")
    try:
        return not isinstance(value, bool) and isinstance(value, str | int | float) and float(value) >= 0
    except ValueError:
        return False


_POWER = re.compile(r"\s*\d(?:\.(\d*))?[eE]\+?(\d+)\s*")


def clock_number(token: str) -> float:
    """The number of a time on a clock. Raises ValueError if it is none, or rounded, as spreadsheets write it."""
    power = _POWER.fullmatch(token)
    if power and len(power[1] or "") < int(power[2]):
        raise ValueError(
            f"{token[:40]!r} is a rounded number: the last {int(power[2]) - len(power[1] or '')} digits "
            "of the time are lost"
        )
    return number(token)


def on_clock(words: str, zone: tzinfo | None) -> Notation:
    """The notation of instants that are already microseconds since 1970."""
    return Notation(words, 1.0, True, _since(EPOCH, "", ISO.read), zone)


def microseconds(since: timedelta) -> float:
    """A span in microseconds, exact."""
    return (since.days * 86_400 + since.seconds) * 1e6 + since.microseconds


def _of_text(first: str, zone: str | None) -> Notation:
    form = form_of(first)
    moment = form.read(first)
    written_s = form.resolution_s(first)
    words = "ISO 8601 times" if form is ISO else f"times {form.words}"
    if moment.tzinfo is not None:
        if zone is not None:
            raise ValueError(f"{first!r} has a zone; leave read.time_zone out")
        parse = _since(EPOCH, "has no zone, but the first time has one", form.read)
        return Notation(words, 1.0, True, parse, moment.tzinfo, written_s)
    if zone is not None:
        in_zone = ZoneInfo(zone)
        return Notation(f"{words} in {zone}", 1.0, True, _local(in_zone, form.read), in_zone, written_s)
    parse = _since(EPOCH.replace(tzinfo=None), "has a zone, but the first time has none", form.read)
    return Notation(f"{words} without a zone", 1.0, True, parse, None, written_s)


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
