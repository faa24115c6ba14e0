"""Counts as plain text: whole numbers separated by white space, the requests of one second each."""

import re
import string
from itertools import islice

import numpy as np

from ipa.traces.checks import Counts, TraceError, bad_count
from ipa.traces.readers.notation import TimeHints
from ipa.traces.readers.stored import Stored
from ipa.traces.trace import Trace

_DIGITS_AND_SPACE = (string.digits + string.whitespace).encode()


def is_plain_counts(line: bytes) -> bool:
    """Whether a line holds nothing but whole numbers."""
    return not line.translate(None, _DIGITS_AND_SPACE)


def read_plain_counts(stored: Stored, hints: TimeHints, seed: int) -> Trace:
    """The trace of a file of counts. Raises TraceError with file, line and column."""
    if hints:
        raise TraceError(f"{stored.path}: plain counts, one for each second, hold no times; {hints.in_vain}")
    counts = _counts(b"".join(stored.lines), str(stored.path))
    return Trace.of_counts(counts=counts, **stored.about)


def _counts(content: bytes, path: str) -> Counts:
    # Two million numbers in 30 ms: one sweep over the bytes proves that numpy's parser will meet
    # nothing but digits, so that only a file with a fault in it is gone through token by token.
    if not is_plain_counts(content):
        tokens = enumerate(content.split())
        raise _refusal(content, next(at for at, token in tokens if not token.isdigit()), path)
    counts = np.fromstring(content, np.int64, sep=" ")
    fault = bad_count(counts)
    if fault:
        raise _refusal(content, fault[0], path)
    return counts


def _refusal(content: bytes, index: int, path: str) -> TraceError:
    match = next(islice(re.finditer(rb"\S+", content), index, None))
    line_start = content.rfind(b"\n", 0, match.start()) + 1
    line = content.count(b"\n", 0, line_start) + 1
    column = match.start() - line_start + 1
    token = match.group()[:40].decode(errors="replace")
    return TraceError(f"{path}, line {line}, column {column}: number {index + 1} is {token!r}: {_reason(token)}")


def _reason(token: str) -> str:
    try:
        fault = bad_count(np.array([float(token)]))
    except ValueError:
        return "not a number"
    if fault is None:
        return "not written as a whole number"
    return f"{fault[1]}; if these are times, give them a header, such as timestamp" if "large" in fault[1] else fault[1]
