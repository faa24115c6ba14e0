"""The answer of Prometheus to a range query: the saved JSON of `/api/v1/query_range`.

- A value counts the requests of the step that ends at its time, as `sum(increase(requests_total[1m]))` does with a step
  of a minute. `increase` handles counters that were reset.
- Series of counters, named `..._total` or `..._count`, are read by their increase from step to step. A counter that
  falls was reset to 0.
- Several series are summed. A series without a sample in a step had no requests in it. A step without a sample of any
  series is a gap: an error, or filled as the caller says.
- `increase` extrapolates, so values have fractions: each step is rounded so that each cumulative sum is within half a
  request.
"""

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import numpy as np

from ipa.traces.checks import LONGEST_S, Numbers, TraceError, bad_count
from ipa.traces.readers.from_columns import SPREAD, step_words
from ipa.traces.readers.notation import EPOCH, Reading
from ipa.traces.readers.stored import Stored
from ipa.traces.trace import Trace, spread

Filling = Literal["refuse", "zero", "linear"]
"""The treatment of gaps: an error, zero requests, or linear interpolation."""

_COUNTER = re.compile(r".*_(total|count)")
_ANSWER = re.compile(
    rb'\s*\{\s*("status"\s*:\s*"(success|error)"\s*,\s*"(data|error|errorType|infos|isPartial|warnings)"\s*:|\Z)'
)


@dataclass(frozen=True, eq=False)
class Series:
    """A series of an answer: its labels, and samples at rising times [ms since 1970]; none is NaN."""

    labels: tuple[tuple[str, str], ...]
    times_ms: Numbers
    values: Numbers

    @property
    def is_counter(self) -> bool:
        """Whether the values are those of a counter; PromQL functions would have removed its name."""
        return _COUNTER.fullmatch(dict(self.labels).get("__name__", "")) is not None


@dataclass(frozen=True)
class Steps:
    """Consecutive steps; `start_s` is since 1970."""

    start_s: int
    step_s: int
    count: int


def is_prometheus(line: bytes) -> bool:
    """Whether a first line begins an answer of Prometheus, or is the `{` of a formatted one."""
    return _ANSWER.match(line) is not None


def read_prometheus(stored: Stored, hints: Reading, seed: int) -> Trace:
    """The trace of a saved answer. Raises TraceError if it is invalid, has gaps, or samples not in equal steps."""
    if hints.said:
        raise TraceError(f"{stored.path}: an answer of Prometheus says its times itself; {hints.in_vain}")
    path = str(stored.path)
    try:
        answer = json.loads(b"".join(stored.lines))
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{path}: not a JSON document: {error}") from None
    series = answered_series(answer, path)
    times_ms = np.unique(np.concatenate([part.times_ms for part in series])) if series else np.empty(0, np.int64)
    if len(times_ms) < 2:
        raise TraceError(f"{path}: {len(times_ms)} samples; at least 2 are needed, whose distance is the step")
    step_ms = int(np.diff(times_ms).min())
    before = 0 if series[0].is_counter else 1
    steps = int(times_ms[-1] - times_ms[0]) // step_ms + before
    if step_ms % 1000 or ((times_ms - times_ms[0]) % step_ms).any() or steps * step_ms > LONGEST_S * 1000:
        raise TraceError(
            f"{path}: the samples are not in equal steps of whole seconds, {LONGEST_S:g} s in all; the least distance "
            f"of two is {step_ms / 1000:g} s"
        )
    start_ms = int(times_ms[0]) - before * step_ms
    facts = stored.about
    grid = Steps(start_ms // 1000, step_ms // 1000, steps)
    trace = trace_of_series(series, grid, place=path, seed=seed, name=facts["name"])
    return Trace(
        duration_s=trace.duration_s,
        counts=trace.counts,
        reading=trace.reading,
        starts_at=EPOCH + timedelta(milliseconds=start_ms),
        **facts,
    )


def answered_series(answer: Any, place: str) -> list[Series]:
    """The series of an answer, a parsed JSON document. Raises TraceError, with the place, if it has none."""
    if not isinstance(answer, dict) or answer.get("status") != "success":
        reason = answer.get("error", answer) if isinstance(answer, dict) else answer
        raise TraceError(f"{place}: no answer of Prometheus, or one of an error: {str(reason)[:300]}")
    data = answer.get("data")
    kind = data.get("resultType") if isinstance(data, dict) else None
    if kind != "matrix" or not isinstance(data, dict):
        raise TraceError(f"{place}: resultType is {kind!r}; allowed is 'matrix', which a range query answers")
    try:
        return [_series(entry, place) for entry in data["result"]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise TraceError(f"{place}: not the series of a range query: {type(error).__name__} {error}") from None


def _series(entry: Any, place: str) -> Series:
    if "values" not in entry:
        raise TraceError(f"{place}: a series without values; those of native histograms are not read")
    labels = tuple(sorted((str(name), str(value)) for name, value in entry["metric"].items()))
    times_s, values = np.array([(float(time_s), float(value)) for time_s, value in entry["values"]]).reshape(-1, 2).T
    times_ms = np.rint(times_s * 1000).astype(np.int64)
    shown = "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"
    if (np.diff(times_ms) <= 0).any():
        raise TraceError(f"{place}: the times of the series {shown} do not rise")
    bad = np.isinf(values) | (values < 0)
    if bad.any():
        at = int(np.argmax(bad))
        raise TraceError(f"{place}: the series {shown} at {_clock(times_ms[at])} is {values[at]:g}: not a count")
    has_value = ~np.isnan(values)
    return Series(labels, times_ms[has_value], values[has_value])


def trace_of_series(
    series: list[Series],
    steps: Steps,
    *,
    place: str,
    seed: int,
    name: str,
    filling: Filling = "refuse",
) -> Trace:
    """The trace of these steps; a series may come in several pieces with the same labels.

    `seed` decides where requests fall within a step. Raises TraceError, with the place, if there are no series,
    counters are mixed with other values, or gaps are not to be filled.
    """
    if not any(len(part.values) for part in series):
        raise TraceError(
            f"{place}: no sample: the query matches nothing in this time, or its window holds no two scrapes"
        )
    if len({part.is_counter for part in series}) > 1:
        raise TraceError(f"{place}: counters (..._total, ..._count) among other values; ask for one kind")
    pieces: dict[tuple[tuple[str, str], ...], list[Series]] = {}
    for part in series:
        pieces.setdefault(part.labels, []).append(part)
    of_series = [_increases(parts, steps) for parts in pieces.values()]
    requests = np.nansum(of_series, axis=0)
    gaps: Numbers = np.isnan(np.array(of_series)).all(axis=0)
    filled = _fill(requests, gaps, filling, steps, place)
    counts = np.diff(np.floor(np.cumsum(requests) + 0.5), prepend=0.0)
    fault = bad_count(counts)
    if fault:
        end_s = steps.start_s + (fault[0] + 1) * steps.step_s
        raise TraceError(f"{place}: the step that ends at {_clock(end_s * 1000)}: {fault[1]}")
    step_s = steps.step_s
    return Trace.of_counts(
        name,
        spread(counts.astype(np.int64), step_s, np.random.default_rng(seed)),
        source="Prometheus",
        reading=f"counts per {step_words(step_s)} of Prometheus{filled}{SPREAD if step_s > 1 else ''}",
        starts_at=EPOCH + timedelta(seconds=steps.start_s),
    )


def _increases(pieces: list[Series], steps: Steps) -> Numbers:
    """The requests of one series in each step, float64, shape (steps.count,); NaN where it has no sample."""
    values = np.full(steps.count + 1, np.nan)
    for piece in pieces:
        places = (piece.times_ms - steps.start_s * 1000) // (steps.step_s * 1000)
        within = (places >= 0) & (places <= steps.count)
        values[places[within]] = piece.values[within]
    if not pieces[0].is_counter:
        return values[1:]
    rises = np.diff(values)
    return np.where(rises < 0, values[1:], rises)


def _fill(requests: Numbers, gaps: Numbers, filling: Filling, steps: Steps, place: str) -> str:
    """Fill gaps in place; returns a sentence on it."""
    if not gaps.any():
        return ""
    first = _clock((steps.start_s + (int(np.argmax(gaps)) + 1) * steps.step_s) * 1000)
    gap_words = f"{gaps.sum():,} of {len(gaps):,} steps"
    if filling == "refuse":
        raise TraceError(
            f"{place}: no sample in {gap_words}, the first of which ends at {first}: what came then is not known. "
            "Choose a time without gaps, let the query say 'or vector(0)' for none, or use ipa trace from-prometheus "
            "with --fill zero or --fill linear"
        )
    if filling == "linear":
        sampled = np.flatnonzero(~gaps)
        requests[gaps] = np.interp(np.flatnonzero(gaps), sampled, requests[sampled])
    words = "as without requests" if filling == "zero" else "by straight lines"
    return f", {gap_words} without a sample filled {words}"


def _clock(time_ms: int) -> str:
    return (EPOCH + timedelta(milliseconds=int(time_ms))).isoformat()
