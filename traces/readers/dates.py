"""Dates and times of day as text: the notations that are read, detected from the first of a column.

- ISO 8601, and what comes close to it: one digit for a month, a day or an hour, a blank or a name before the zone.
- Digits alone: 20260105, 2026010510, 202601051000, 20260105100000.
- YEAR/MONTH/DAY, DAY.MONTH.YEAR; with slashes or hyphens MONTH/DAY/YEAR or DAY/MONTH/YEAR: a day above 12 tells which.
- With the month's name: 05/Jan/2026:10:00:00 +0100; Mon, 05 Jan 2026 10:00:00 GMT; Jan 5, 2026 @ 10:00:00.000; and as
  `date` and JavaScript write it, Mon Jan 05 2026 10:00:00 GMT+0100 (...).

The time of day may be left out, in full or from the minutes or seconds on, and may have AM or PM. Zones are offsets, Z,
UTC or GMT: the names of others mean several.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

AMBIGUOUS = "DAY/MONTH/YEAR or MONTH/DAY/YEAR"

_WEEKDAY = r"(?:[A-Z][a-z]{2,8},? +)?"
_YEAR, _MONTH, _DAY = r"(?P<year>\d{4})", r"(?P<month>\d{1,2})", r"(?P<day>\d{1,2})"
_NAME = r"(?P<name>[A-Za-z]{3,9})"
_TIME = (
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<below>\d+))?)?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_ZONE = r"(?: ?(?:GMT|UTC)?(?P<zone>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)(?: UTC| \(.*\))?)?"
_END = rf"(?:(?:[T:]|[ ,@]+){_TIME}{_ZONE})?"
_DIGITS_OF_DATE = r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"


@dataclass(frozen=True)
class Form:
    """A notation: its name as the end of a sentence, "times ...", and the pattern of a time in it."""

    words: str
    pattern: re.Pattern[str]

    def read(self, token: str) -> datetime:
        """The time, with its zone if it has one. Raises ValueError with the reason if it is none."""
        parts = self.pattern.fullmatch(token.strip())
        try:
            if parts is None:
                raise ValueError
            return _moment(parts.groupdict())
        except ValueError:
            raise ValueError(f"{token[:40]!r} is not a time {self.words}") from None

    def resolution_s(self, token: str) -> int:
        """The seconds of what is the smallest unit of a time in this notation: 1, 60, 3600 or 86,400."""
        parts = self.pattern.fullmatch(token.strip())
        if parts is None:
            return 1
        units = {"hour": 86_400, "minute": 3600, "second": 60}
        return next((longer_s for unit, longer_s in units.items() if parts[unit] is None), 1)


class _Iso(Form):
    """ISO 8601, in all of its notations that Python reads, and what the pattern adds to them."""

    def read(self, token: str) -> datetime:
        token = token.strip()
        try:
            return datetime.fromisoformat(token)
        except ValueError:
            pass
        try:
            return super().read(token)
        except ValueError:
            if ":" in token and re.fullmatch(_TIME, token):
                raise ValueError(f"{token!r} is a time of day without its date") from None
            raise ValueError(f"{token[:40]!r} is not an ISO 8601 time, such as 2026-01-05T10:00:00Z") from None

    def resolution_s(self, token: str) -> int:
        _, _, time = token.strip().replace("T", " ").partition(" ")
        digits = re.sub(r"[^\d:].*", "", time).replace(":", "")
        return {0: 86_400, 1: 3600, 2: 60}.get((len(digits) + 1) // 2, 1)


ISO = _Iso("in ISO 8601", re.compile(rf"{_YEAR}-{_MONTH}-{_DAY}{_END}"))
DIGITS = Form("in digits", re.compile(rf"{_DIGITS_OF_DATE}(?:(?P<hour>\d\d)(?:(?P<minute>\d\d)(?P<second>\d\d)?)?)?"))
OF_LOG = Form("as in access logs", re.compile(rf"{_DAY}/{_NAME}/{_YEAR}{_END}"))
DAY_FIRST = Form("with a date as DAY/MONTH/YEAR", re.compile(rf"{_DAY}[/-]{_MONTH}[/-]{_YEAR}{_END}"))
MONTH_FIRST = Form("with a date as MONTH/DAY/YEAR", re.compile(rf"{_MONTH}[/-]{_DAY}[/-]{_YEAR}{_END}"))

_OTHERS = (
    Form("with a date as YEAR/MONTH/DAY", re.compile(rf"{_YEAR}[/.]{_MONTH}[/.]{_DAY}{_END}")),
    Form("with a date as DAY.MONTH.YEAR", re.compile(rf"{_DAY}\.{_MONTH}\.{_YEAR}{_END}")),
    OF_LOG,
    Form("with a date as DAY MONTH YEAR", re.compile(rf"{_WEEKDAY}{_DAY}[ -]{_NAME}[ -]{_YEAR}{_END}")),
    Form("with a date as MONTH DAY YEAR", re.compile(rf"{_WEEKDAY}{_NAME}\.? +{_DAY},? +{_YEAR}{_END}")),
    Form("as of date", re.compile(rf"{_WEEKDAY}{_NAME} +{_DAY} +{_TIME}{_ZONE} {_YEAR}")),
)


def form_of(first: str) -> Form:
    """The notation of a column's first time; ISO 8601 where it is in none, so that its error is that of ISO 8601."""
    if is_of_digits(first):
        return DIGITS
    order = order_of_date(first)
    if order:
        return DAY_FIRST if order in DAY_FIRST.words else MONTH_FIRST
    return next((form for form in _OTHERS if form.pattern.fullmatch(first.strip())), ISO)


def order_of_date(token: str) -> str:
    """The order of a date with slashes: `MONTH/DAY/YEAR`, `DAY/MONTH/YEAR`, or `AMBIGUOUS`; "" for another text."""
    parts = DAY_FIRST.pattern.fullmatch(token.strip())
    if parts is None:
        return ""
    if int(parts["day"]) > 12 >= int(parts["month"]):
        return "DAY/MONTH/YEAR"
    return "MONTH/DAY/YEAR" if int(parts["month"]) > 12 >= int(parts["day"]) else AMBIGUOUS


def is_of_digits(token: str) -> bool:
    """Whether digits alone are a date from 1990 to 2100, with or without hour, minute and second."""
    try:
        return 1990 <= DIGITS.read(token).year < 2100
    except ValueError:
        return False


def moment_of_log(written: str) -> datetime:
    """The instant of `05/Jan/2026:10:00:00 +0100`, independent of the locale. Raises ValueError if invalid."""
    return _in_range(OF_LOG.read, written)


def moment_on_clock(written: str) -> datetime:
    """The instant of an ISO 8601 time with a zone. Raises ValueError if invalid."""
    return _in_range(datetime.fromisoformat, written)


def _in_range(read: Callable[[str], datetime], written: str) -> datetime:
    try:
        moment = read(written)
        if 1990 <= moment.year < 2100:
            return moment
    except ValueError:
        pass
    raise ValueError(f"{written!r} is not a time from 1990 to 2100")


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def _moment(parts: dict[str, str | None]) -> datetime:
    """The time of a pattern's groups. Raises ValueError if there is none such."""
    name = parts.get("name")
    month = int(parts["month"] or 0) if name is None else _MONTHS.index(name[:3].lower()) + 1
    hour, half = int(parts["hour"] or 0), parts.get("half")
    if half:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if half in "Pp" else 0)
    time = (hour, int(parts["minute"] or 0), int(parts["second"] or 0), int(f"{parts.get('below') or '':0<6}"[:6]))
    return datetime(int(parts["year"] or 0), month, int(parts["day"] or 0), *time, tzinfo=_zone(parts.get("zone")))


def _zone(written: str | None) -> timezone | None:
    if written is None:
        return None
    if written in ("Z", "UTC", "GMT"):
        return UTC
    digits = f"{written[1:].replace(':', ''):0<4}"
    ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-ahead if written[0] == "-" else ahead)
