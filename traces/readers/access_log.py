"""Access logs of web servers, proxies and load balancers: a line for each request, of which only the time is read.

A log with times in whole seconds becomes a trace of counts, so memory grows with its seconds, not with its lines. Finer
times are kept. The order of lines does not matter.
"""

import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from ipa.traces.checks import TraceError
from ipa.traces.readers.columns import NumberColumn
from ipa.traces.readers.dates import moment_of_log, moment_on_clock
from ipa.traces.readers.from_columns import start_us, trace_of_columns
from ipa.traces.readers.notation import EPOCH, NOTHING_SAID, Reading, microseconds, on_clock
from ipa.traces.readers.stored import Stored
from ipa.traces.trace import Trace

_ISO = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)"
_IS_LONG = re.compile(rb"#Fields:\s*date\s+time\s")


@dataclass(frozen=True)
class _Form:
    """A kind of log: the pattern of a line, with its time as the only group, and the meaning of the time.

    `below_s`: whether times are finer than a second.
    """

    words: str
    like: str
    line: re.Pattern[bytes]
    moment: Callable[[str], datetime]
    below_s: bool = False


_COMMON = _Form(
    "Common Log Format",
    'HOST IDENT USER [05/Jan/2026:10:00:00 +0100] "REQUEST" ...',
    re.compile(rb'\S+ \S+ .*?\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "'),
    moment_of_log,
)
_EXTENDED = _Form(
    "W3C extended log format",
    "2026-01-05 10:00:00 FIELD ..., below a line `#Fields: date time ...`",
    re.compile(rb"(\d{4}-\d\d-\d\d[ \t]\d\d:\d\d:\d\d)[ \t]"),
    lambda written: moment_on_clock(written.replace("\t", " ") + "Z"),
)
"""The format of IIS and CloudFront; always in UTC."""

_FORMS = (
    _Form(
        "the format of Envoy and Istio",
        '[2026-01-05T10:00:00.000Z] "REQUEST" ...',
        re.compile(rb"\[(" + _ISO + rb')\] "'),
        moment_on_clock,
        below_s=True,
    ),
    _Form(
        "the format of AWS application load balancers",
        "TYPE TIME app/NAME/ID ... PRIORITY CREATED ...",
        re.compile(rb"(?:https?|h2|grpcs|wss?) " + _ISO + rb' app/.*" (?:-?\d+|-) (' + _ISO + rb') "'),
        moment_on_clock,
        below_s=True,
    ),
    _EXTENDED,
    _COMMON,
)


def _form_of(line: bytes) -> _Form | None:
    return next((form for form in _FORMS if form.line.match(line)), None)


def is_access_log(line: bytes) -> bool:
    """Whether a line is one of an access log."""
    return _form_of(line) is not None


def read_access_log(stored: Stored, hints: Reading, seed: int) -> Trace:
    """The trace of an access log. Raises TraceError, with file and line, if a line does not match its form."""
    if hints.said:
        raise TraceError(f"{stored.path}: an access log says time, unit and zone itself; {hints.in_vain}")
    form = _form_of(stored.first) or _COMMON
    times = _times(stored, form)
    return _exact(stored, form, times, seed) if form.below_s else _counted(stored, form, times)


def _times(stored: Stored, form: _Form) -> Iterator[tuple[int, bytes]]:
    """For each line that is a request its number, and its time as written."""
    is_said = form is not _EXTENDED
    for number, line in enumerate(stored.lines, start=1):
        if not line.strip():
            continue
        if form is _EXTENDED and line.startswith(b"#"):
            is_said = is_said or _IS_LONG.match(line) is not None
            continue
        match = form.line.match(line) if is_said else None
        if match is not None:
            yield number, match[1]
            continue
        shown = line[:80].decode(errors="replace").rstrip()
        stored.pass_over(TraceError(f"{stored.place(number)}: not in {form.words}, {form.like}: {shown!r}"))


def _moment(stored: Stored, form: _Form, number: int, written: bytes) -> datetime | None:
    """The instant of a written time; None if the line is skipped."""
    try:
        return form.moment(written.decode())
    except ValueError as error:
        stored.pass_over(TraceError(f"{stored.place(number)}: {error}"))
        return None


def _counted(stored: Stored, form: _Form, times: Iterator[tuple[int, bytes]]) -> Trace:
    requests: dict[bytes, int] = {}
    instants_us, lines = array("d"), array("q")
    earliest = None
    for number, written in times:
        if written in requests:
            requests[written] += 1
            continue
        moment = _moment(stored, form, number, written)
        if moment is None:
            continue
        requests[written] = 1
        earliest = moment if earliest is None else min(earliest, moment)
        instants_us.append(microseconds(moment - EPOCH))
        lines.append(number)
    if earliest is None:
        raise TraceError(f"{stored.path}: no line in {form.words}{stored.passed_over}")
    instants = np.array(instants_us).astype(np.int64)
    seconds = (instants - start_us(instants, lambda index: stored.place(lines[index]))) // 1_000_000
    counts = np.bincount(seconds, np.fromiter(requests.values(), np.int64)).astype(np.int64)
    reading = f"{form.words}, counted per second{stored.passed_over}"
    return Trace.of_counts(counts=counts, reading=reading, starts_at=earliest, **stored.about)


def _exact(stored: Stored, form: _Form, times: Iterator[tuple[int, bytes]], seed: int) -> Trace:
    instants_us, lines = array("d"), array("q")
    zone = None
    for number, written in times:
        moment = _moment(stored, form, number, written)
        if moment is not None:
            zone = zone or moment.tzinfo
            instants_us.append(microseconds(moment - EPOCH))
            lines.append(number)
    if not lines:
        raise TraceError(f"{stored.path}: no line in {form.words}{stored.passed_over}")
    notation = on_clock(form.words, zone)
    column = NumberColumn("", np.array(instants_us), str(stored.path), "line", lines, notation)
    return trace_of_columns([column], {}, stored, NOTHING_SAID, seed)
