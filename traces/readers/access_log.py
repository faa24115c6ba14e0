"""Access logs of web servers (Apache, nginx, Caddy, ...) in Common Log Format, or Combined, which begins with it.

    192.0.2.7 - - [05/Jan/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 2326

Of a line only the time is read, which is exact to a second, so that the log is a trace of counts; the order of lines
does not matter. Memory grows with the seconds of the log, not with its lines.
"""

import re
from array import array
from datetime import datetime, timedelta, timezone

import numpy as np

from ipa.traces.checks import TraceError
from ipa.traces.readers.columns import start_us
from ipa.traces.readers.notation import EPOCH, TimeHints, microseconds
from ipa.traces.readers.stored import Stored
from ipa.traces.trace import Trace

_LINE = re.compile(rb'\S+ \S+ .*?\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "')
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def is_access_log(line: bytes) -> bool:
    """Whether a line is one of an access log."""
    return _LINE.match(line) is not None


def read_access_log(stored: Stored, hints: TimeHints, seed: int) -> Trace:
    """The trace of an access log. Raises TraceError, with file and line, for a line without host, user and time."""
    if hints:
        raise TraceError(f"{stored.path}: an access log says time, unit and zone itself; {hints.in_vain}")
    requests: dict[bytes, int] = {}
    instants_us, lines = array("d"), array("q")
    earliest = None
    for number, line in enumerate(stored.lines, start=1):
        match = _LINE.match(line)
        if match is None:
            if not line.strip():
                continue
            shown = line[:80].decode(errors="replace").rstrip()
            raise TraceError(
                f"{stored.place(number)}: not in Common Log Format, HOST IDENT USER [05/Jan/2026:10:00:00 +0100] "
                f'"REQUEST" ...: {shown!r}'
            )
        written = match[1]
        if written in requests:
            requests[written] += 1
            continue
        requests[written] = 1
        moment = _moment(written.decode(), stored.place(number))
        earliest = moment if earliest is None else min(earliest, moment)
        instants_us.append(microseconds(moment - EPOCH))
        lines.append(number)
    assert earliest is not None, "a file that is an access log has a line"
    instants = np.array(instants_us).astype(np.int64)
    seconds = (instants - start_us(instants, lambda index: stored.place(lines[index]))) // 1_000_000
    counts = np.bincount(seconds, np.fromiter(requests.values(), np.int64)).astype(np.int64)
    return Trace.of_counts(
        counts=counts, reading="Common Log Format, counted per second", starts_at=earliest, **stored.about
    )


def _moment(written: str, place: str) -> datetime:
    """The instant of `05/Jan/2026:10:00:00 +0100`, whatever the language of this machine."""
    day, month, rest = written.split("/")
    year, hour, minute, second = rest[:13].split(":")
    sign = -1 if written[-5] == "-" else 1
    try:
        zone = timezone(sign * timedelta(hours=int(written[-4:-2]), minutes=int(written[-2:])))
        if not 1990 <= int(year) < 2100:
            raise ValueError
        return datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=zone)
    except ValueError:
        raise TraceError(f"{place}: {written!r} is not a time from 1990 to 2100") from None
