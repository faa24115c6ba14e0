"""The formats, and detection of a file's format by its suffix, else by its first line."""

import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ipa.errors import did_you_mean
from ipa.traces.checks import Counts, TraceError, bad_count
from ipa.traces.readers.access_log import is_access_log, read_access_log
from ipa.traces.readers.columns import COUNT_NAMES, LOG_NAMES, TIME_NAMES
from ipa.traces.readers.datasets import (
    is_burst_gpt,
    is_invocations,
    is_invocations_per_minute,
    read_burst_gpt,
    read_invocations,
    read_invocations_per_minute,
)
from ipa.traces.readers.from_columns import SPREAD, step_words
from ipa.traces.readers.parquet import read_parquet
from ipa.traces.readers.prometheus import is_prometheus, read_prometheus
from ipa.traces.readers.stored import PACKINGS, Stored, opened
from ipa.traces.readers.tables import read_csv, read_json_lines
from ipa.traces.readers.twitter_stream import is_tar, read_twitter_stream
from ipa.traces.reading import NOTHING_SAID, Reading
from ipa.traces.trace import Trace, spread

_LINES_LOOKED_AT = 1000

_DIGITS_AND_SPACE = (string.digits + string.whitespace).encode()


def is_plain_counts(line: bytes) -> bool:
    """Whether a line holds nothing but whole numbers."""
    return not line.translate(None, _DIGITS_AND_SPACE)


def read_plain_counts(stored: Stored, hints: Reading, seed: int) -> Trace:
    """The trace of a file of counts. Raises TraceError with file, line and column."""
    times = hints.model_copy(update={"step": None})
    if times.said:
        raise TraceError(
            f"{stored.path}: plain counts, one for each second or read.step, hold no times; {times.in_vain}"
        )
    content = b"".join(stored.lines)
    counts = _counts(content, str(stored.path))
    width = _width_of_table(content, counts)
    if width:
        raise TraceError(
            f"{stored.path}: rows of {width} numbers, the first of which rises by equal steps, as times do; give the "
            "file a header and commas, such as second,count"
        )
    words = "plain counts, one per second" if hints.step is None else f"plain counts per {step_words(hints.step)}"
    per_second = spread(counts, hints.step or 1, np.random.default_rng(seed))
    return Trace.of_counts(counts=per_second, reading=words + (SPREAD if (hints.step or 1) > 1 else ""), **stored.about)


def _width_of_table(content: bytes, counts: Counts) -> int:
    """How many numbers each line has, if at least two, and if the first ones rise by equal steps; else 0."""
    lines = [line for line in content.split(b"\n", _LINES_LOOKED_AT)[:_LINES_LOOKED_AT] if line.strip()]
    width = len(lines[0].split()) if lines else 1
    if width < 2 or len(lines) < 3 or len(counts) % width:
        return 0
    steps = np.diff(counts.reshape(-1, width)[:, 0])
    is_table = steps[0] > 0 and (steps == steps[0]).all() and all(len(line.split()) == width for line in lines)
    return width if is_table else 0


def _counts(content: bytes, path: str) -> Counts:
    # Two million numbers in 30 ms: one pass over the bytes proves that numpy's parser will meet
    # only digits, so that only an invalid file is parsed token by token.
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
        return "not a number" + ("; a table needs a header, such as timestamp,count" if "," in token else "")
    if fault is None:
        return "not written as a whole number"
    return f"{fault[1]}; if these are times, give them a header, such as timestamp" if "large" in fault[1] else fault[1]


@dataclass(frozen=True)
class Format:
    """A format: its suffixes, the test of its first line, and its reader.

    If a first line matches several formats, the first of them counts. A format without suffixes is detected by the
    first line, whatever the file's name.
    """

    suffixes: tuple[str, ...]
    knows: Callable[[bytes], bool]
    read: Callable[[Stored, Reading, int], Trace]


def _is_header(line: bytes) -> bool:
    names = line.decode(errors="replace").lower().strip("\ufeff").split(",")
    return any(name.strip(' "\r\n') in (*TIME_NAMES, *COUNT_NAMES, *LOG_NAMES) for name in names)


FORMATS = (
    Format((), is_invocations_per_minute, read_invocations_per_minute),
    Format((), is_invocations, read_invocations),
    Format((), is_burst_gpt, read_burst_gpt),
    Format((".tar", ".tgz"), is_tar, read_twitter_stream),
    Format((".json",), is_prometheus, read_prometheus),
    Format((".parquet",), lambda line: line.startswith(b"PAR1"), read_parquet),
    Format((".jsonl", ".ndjson"), lambda line: line.lstrip(b"\xef\xbb\xbf \t").startswith(b"{"), read_json_lines),
    Format((".log",), is_access_log, read_access_log),
    Format((".csv",), _is_header, read_csv),
    Format((".txt", ""), is_plain_counts, read_plain_counts),
)

_ANYTHING = (".json", ".log", ".txt", "")
"""Ambiguous suffixes: the first line is examined before."""


def read(path: str | Path, hints: Reading = NOTHING_SAID, seed: int = 0) -> Trace:
    """The trace that a file holds, named after the file; its sha256 is that of the file as stored.

    `hints` say of its times what the file does not. `seed` decides where requests fall that are counted per minute or
    another step longer than a second.

    Raises TraceError, naming the file and the place in it, for a file that cannot be read or unpacked, one of no known
    format, an empty one, and any value that is no count or no time.
    """
    with opened(Path(path)) as stored:
        if stored.is_empty:
            reason = "nothing writes to this pipe" if Path(path).is_fifo() else "the file is empty"
            raise TraceError(f"{path}: {reason}")
        stored.skip_bad_lines = hints.skip_bad_lines
        return _format(stored).read(stored, hints, seed)


def _format(stored: Stored) -> Format:
    suffix = stored.content_name.suffix.lower()
    by_header = next((form for form in FORMATS if not form.suffixes and form.knows(stored.first)), None)
    by_suffix = by_header or next((form for form in FORMATS if suffix in form.suffixes), None)
    if by_suffix is not None and (by_header or suffix not in _ANYTHING):
        return by_suffix
    by_content = next((form for form in FORMATS if form.knows(stored.first)), by_suffix)
    if by_content is None:
        suffixes = [suffix_of_form for form in FORMATS for suffix_of_form in form.suffixes if suffix_of_form]
        raise TraceError(
            f"{stored.path}: unknown suffix {suffix!r}, and its content is of no known format; supported: "
            f"{', '.join(suffixes)}, and names without a suffix; each also packed as {', '.join(PACKINGS)}"
            f"{did_you_mean(suffix, (*suffixes, *PACKINGS))}"
        )
    return by_content
