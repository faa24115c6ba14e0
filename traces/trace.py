"""Traces, with scaling and cutting as functions of plain arrays."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ipa.traces.checks import LONGEST_S, MOST_PER_S, Counts, Numbers, Times, TraceError, bad_count, bad_time, numbers

ALMOST = 1e-9
"""A product this close below a whole number counts as that number: 100 x 0.29 is 29, not 28."""


def floored(counts: Counts, factor: float) -> Counts:
    """floor(count x factor) of each second."""
    _refuse_beyond(counts, factor)
    scaled: Counts = np.floor(counts * factor + ALMOST).astype(np.int64)
    return scaled


def thinned(counts: Counts, factor: float, rng: np.random.Generator) -> Counts:
    """Each request is kept floor(factor) times, and once more with the probability of the fraction."""
    _refuse_beyond(counts, factor)
    whole, fraction = divmod(factor, 1.0)
    return counts * int(whole) + rng.binomial(counts, fraction)


def thinned_times(times_s: Numbers, factor: float, rng: np.random.Generator) -> Numbers:
    """The same for instants: copies of a request have its instant."""
    whole, fraction = divmod(factor, 1.0)
    return np.repeat(times_s, int(whole) + (rng.random(len(times_s)) < fraction))


def moved(times_s: Times, start_s: float, end_s: float, to_s: float) -> Times:
    """The sorted instants of [start_s, end_s), shifted so that start_s becomes to_s.

    Rounding may carry an instant just before end_s onto it; it is then set to the next float below.
    """
    first, last = np.searchsorted(times_s, (start_s, end_s))
    below_s = np.nextafter(to_s + (end_s - start_s), 0.0)
    return np.minimum(times_s[first:last] - start_s + to_s, below_s)


def per_second(times_s: Times, start_s: float, seconds: int) -> Counts:
    """The number of sorted instants in each second from start_s on."""
    edges_s = start_s + np.arange(seconds + 1)
    return np.diff(np.searchsorted(times_s, edges_s)).astype(np.int64, copy=False)


def spread(counts: Counts, step_s: int, rng: np.random.Generator) -> Counts:
    """Counts of steps of `step_s` seconds as counts per second: those of a Poisson process, given each step's count.

    Each request falls into any second of its step with the same probability: a multinomial draw. Shape (len(counts) x
    step_s,); nothing is drawn if a step is a second.
    """
    if step_s == 1:
        return counts
    drawn: Counts = rng.multinomial(counts, np.full(step_s, 1 / step_s)).reshape(-1).astype(np.int64, copy=False)
    return drawn


def _refuse_beyond(counts: Counts, factor: float) -> None:
    if counts.size and counts.max() * factor > MOST_PER_S:
        raise TraceError(
            f"scale {factor:g}: a second of {counts.max():,} requests would have more than the {MOST_PER_S:,} that are "
            "allowed"
        )


HISTORY_S = 600
"""The seconds of history of a synthetic load; thinning draws these first."""

LONGEST_HISTORY_S = 3 * 86_400
"""The most seconds of history of a window: three days, as loads repeat daily, but sometimes skip a day."""

NO_HISTORY: Counts = np.empty(0, np.int64)
NO_HISTORY.setflags(write=False)


@dataclass(frozen=True, eq=False)
class Trace:
    """A load of `duration_s` seconds from 0, immutable; its arrays are read-only.

    Either `counts` (int64, shape (duration_s,): the requests of each second) or `timestamps_s`
    (float64, sorted, 0 <= t < duration_s) is given, the other is None: see `of_counts` and
    `of_timestamps`. `history_counts` are the requests of each second just before 0, newest last,
    empty where nothing is known. `source` says in words where the load is from and what was done
    to it; `sha256` is the digest of that origin: a file as stored, else the load as first made.
    `reading` says in words how the times or counts of a file were understood, where that had to be found out;
    `starts_at` is the time of second 0 on the clock of the origin, None where there is no such clock.
    `unscaled_rps` is the mean rate before the load was scaled, None where it was not. `rows` are the rows, from 0, that
    its requests have in a file with one for each (int64, as long as `timestamps_s`), None where that is not so.

    Traces are equal when their loads are: only kind, duration, load and history count.

    Raises TraceError for any value that is not as said, with its index.
    """

    name: str
    duration_s: float
    counts: Counts | None = field(default=None, repr=False)
    timestamps_s: Times | None = field(default=None, repr=False)
    history_counts: Counts = field(default_factory=lambda: NO_HISTORY, repr=False)
    source: str = "given"
    sha256: str = ""
    reading: str = ""
    starts_at: datetime | None = None
    unscaled_rps: float | None = None
    rows: Counts | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.counts is None) == (self.timestamps_s is None):
            raise TraceError(f"trace {self.name!r}: give counts or timestamps_s, one of the two")
        if not 0 < self.duration_s <= LONGEST_S:
            raise TraceError(
                f"trace {self.name!r}: a trace lasts more than 0 and at most {LONGEST_S:g} s, not {self.duration_s:g}"
            )
        checked: dict[str, object] = {
            "duration_s": float(self.duration_s),
            "history_counts": _counts(self.history_counts, "history_counts"),
        }
        if self.counts is not None:
            checked["counts"] = _counts(self.counts, "counts")
            if len(self.counts) != self.duration_s:
                raise TraceError(f"{len(self.counts)} counts do not last {self.duration_s:g} s")
        if self.timestamps_s is not None:
            checked["timestamps_s"] = _timestamps(self.timestamps_s, self.duration_s)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if not self.sha256:
            object.__setattr__(self, "sha256", self.digest)

    @classmethod
    def of_counts(
        cls,
        name: str,
        counts: ArrayLike,
        *,
        history_counts: ArrayLike = NO_HISTORY,
        source: str = "given",
        sha256: str = "",
        reading: str = "",
        starts_at: datetime | None = None,
    ) -> "Trace":
        """The trace of these requests per second, whole numbers, one second each."""
        array = _counts(counts, "counts")
        history = _counts(history_counts, "history_counts")
        return cls(name, float(len(array)), array, None, history, source, sha256, reading, starts_at)

    @classmethod
    def of_timestamps(
        cls,
        name: str,
        timestamps_s: ArrayLike,
        *,
        duration_s: float | None = None,
        history_counts: ArrayLike = NO_HISTORY,
        source: str = "given",
        sha256: str = "",
    ) -> "Trace":
        """The trace of these sorted instants; unless `duration_s` is given it lasts to the end of
        the last one's second."""
        array = numbers(timestamps_s, "timestamps_s")
        if duration_s is None and array.size == 0:
            raise TraceError(f"trace {name!r}: without timestamps, duration_s must be given")
        times_s = _timestamps(array, math.inf if duration_s is None else duration_s)
        lasts_s = math.floor(times_s[-1]) + 1.0 if duration_s is None else duration_s
        history = _counts(history_counts, "history_counts")
        return cls(name, lasts_s, None, times_s, history, source, sha256)

    @property
    def starts_s(self) -> float | None:
        """The clock's time at second 0, in seconds since 1970, a clock without a zone taken as UTC; None: no clock."""
        if self.starts_at is None:
            return None
        start = self.starts_at
        return (start if start.tzinfo is not None else start.replace(tzinfo=UTC)).timestamp()

    @property
    def kind(self) -> Literal["counts", "timestamps"]:
        return "timestamps" if self.counts is None else "counts"

    @property
    def load(self) -> Numbers:
        """The counts or the timestamps, whichever the trace holds."""
        load = self.timestamps_s if self.counts is None else self.counts
        assert load is not None
        return load

    @property
    def requests(self) -> int:
        """The number of requests, those of the history aside."""
        return len(self.load) if self.counts is None else int(self.counts.sum())

    @property
    def mean_rps(self) -> float:
        """The mean of the requests of each second."""
        return float(self.per_second().mean())

    @property
    def digest(self) -> str:
        """sha256 of the load itself: equal for equal traces, whatever file each was read from."""
        head = f"{self.kind} {self.duration_s!r} {len(self.history_counts)}\n"
        sha = hashlib.sha256(head.encode())
        for array in (self.history_counts, self.load):
            unsigned_zeros = array + 0
            sha.update(unsigned_zeros.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        return sha.hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        return (
            (self.kind, self.duration_s) == (other.kind, other.duration_s)
            and np.array_equal(self.load, other.load)
            and np.array_equal(self.history_counts, other.history_counts)
        )

    def __hash__(self) -> int:
        return int(self.digest[:15], 16)

    def per_second(self) -> Counts:
        """Requests of each second, int64, shape (ceil(duration_s),); a last part counts as one."""
        if self.counts is not None:
            return self.counts
        return per_second(self.load, 0.0, math.ceil(self.duration_s))

    def window(self, windows: Sequence[tuple[float, float]]) -> "Trace":
        """The part from start_s up to, without, end_s; several parts are joined in the order given.

        Windows are in seconds of this trace, whole ones where it holds counts; they may overlap or
        repeat. The history is that of the first window: up to `LONGEST_HISTORY_S` seconds just before it,
        reaching into this trace's own history.

        Raises TraceError for no window, an empty or reversed one, and one outside the trace.
        """
        spans_s = [_span(self, window) for window in windows]
        if not spans_s:
            raise TraceError(f"trace {self.name!r}: no window given; each is (start_s, end_s)")
        parts, rows, total_s = [], [], 0.0
        for start_s, end_s in spans_s:
            parts.append(_cut(self, start_s, end_s, total_s))
            if self.rows is not None:
                rows.append(self.rows[slice(*np.searchsorted(self.load, (start_s, end_s)))])
            total_s += end_s - start_s
        history = _history_before(self, spans_s[0][0])
        words = " then ".join(f"{start_s:.12g}-{end_s:.12g}" for start_s, end_s in spans_s)
        part = self._changed(np.concatenate(parts), total_s, history, f"seconds {words}")
        starts_at = None
        if self.starts_at is not None and len(spans_s) == 1:  # joined windows have no continuous clock
            starts_at = self.starts_at + timedelta(seconds=spans_s[0][0])
        return replace(part, starts_at=starts_at, unscaled_rps=None, rows=np.concatenate(rows) if rows else None)

    def scaled(
        self,
        factor: float,
        how: Literal["thin", "floor"] = "thin",
        rng: np.random.Generator | None = None,
    ) -> "Trace":
        """The same load `factor` times as heavy, its history too; `unscaled_rps` is then the mean before.

        `thin` (draws from `rng`, first for the last `HISTORY_S` of the history): each request is
        kept floor(factor) times and once more with the probability of the fraction, so that the
        mean is right: binomial thinning below 1; above 1 the copies of a timestamp stand at the
        same instant.
        `floor` (counts only): floor(count x factor), as published; a second loses half a request on
        average, which is much of a small count.

        Raises TraceError for a factor that is not finite and above 0, an unknown `how`, `floor` of
        timestamps, `thin` without `rng`, and counts that become too large.
        """
        if not (math.isfinite(factor) and factor > 0):
            raise TraceError(f"scale {factor:g}: should be a finite number above 0")
        rows: Counts | None = None
        if how == "floor":
            if self.counts is None:
                raise TraceError(
                    f"trace {self.name!r} holds timestamps, which cannot be rounded down second by "
                    "second: scale with how='thin', or scale the counts that per_second() gives"
                )
            history = floored(self.history_counts, factor)
            load: Numbers = floored(self.counts, factor)
        elif how == "thin":
            if rng is None:
                raise TraceError("how='thin' draws random numbers: give rng, a numpy Generator")
            # Old history is drawn last, so that a longer history does not change the draws of the load.
            far = max(0, len(self.history_counts) - HISTORY_S)
            near = thinned(self.history_counts[far:], factor, rng)
            if self.counts is None:
                chosen = thinned_times(np.arange(len(self.load)), factor, rng)
                load, rows = self.load[chosen], None if self.rows is None else self.rows[chosen]
            else:
                load = thinned(self.load, factor, rng)
            history = np.concatenate([thinned(self.history_counts[:far], factor, rng), near])
        else:
            raise TraceError(f"how to scale is 'thin' or 'floor', not {how!r}")
        words = f"{'' if how == 'floor' else 'thinned '}x {factor:g}"
        return replace(self._changed(load, self.duration_s, history, words), unscaled_rps=self.mean_rps, rows=rows)

    def _changed(self, load: Numbers, duration_s: float, history: Counts, words: str) -> "Trace":
        counts, times_s = (None, load) if self.counts is None else (load, None)
        return replace(
            self,
            duration_s=duration_s,
            counts=counts,
            timestamps_s=times_s,
            history_counts=history,
            source=f"{self.source}, {words}",
        )


def _counts(values: ArrayLike, subject: str) -> Counts:
    array = numbers(values, subject)
    fault = bad_count(array)
    if fault:
        raise TraceError(f"{subject}[{fault[0]}]: {fault[1]}")
    return _read_only(array, np.int64)


def _timestamps(values: ArrayLike, duration_s: float) -> Times:
    array = numbers(values, "timestamps_s")
    fault = bad_time(array)
    if fault:
        raise TraceError(f"timestamps_s[{fault[0]}]: {fault[1]}")
    steps = array[1:] >= array[:-1]
    if not steps.all():
        at = int(np.argmin(steps)) + 1
        raise TraceError(f"timestamps_s[{at}]: {array[at]} follows {array[at - 1]}; timestamps must be sorted")
    if array.size and array[-1] >= duration_s:
        raise TraceError(f"timestamps_s[{array.size - 1}]: {array[-1]} is not before the end, {duration_s:g} s")
    return _read_only(array, np.float64)


def _read_only(array: Numbers, dtype: type[np.generic]) -> Numbers:
    if array.dtype == dtype and not array.flags.writeable:
        return array
    array = array.astype(dtype)
    array.setflags(write=False)
    return array


def _span(trace: Trace, window: tuple[float, float]) -> tuple[float, float]:
    try:
        start_s, end_s = window
    except (TypeError, ValueError) as error:
        raise TraceError(f"window {window!r}: should be a list of pairs (start_s, end_s)") from error
    length = f"trace {trace.name!r} has seconds 0 to {trace.duration_s:.12g}"
    if not 0 <= start_s < end_s <= trace.duration_s:
        raise TraceError(
            f"window {start_s:.12g}:{end_s:.12g}: should start at 0 or later, end after its start and end within the "
            f"trace; {length}"
        )
    if trace.counts is not None and not (start_s == int(start_s) and end_s == int(end_s)):
        raise TraceError(f"window {start_s:.12g}:{end_s:.12g}: counts can only be cut at whole seconds")
    return float(start_s), float(end_s)


def _cut(trace: Trace, start_s: float, end_s: float, to_s: float) -> Numbers:
    if trace.counts is None:
        return moved(trace.load, start_s, end_s, to_s)
    return trace.counts[int(start_s) : int(end_s)]


def _history_before(trace: Trace, start_s: float) -> Counts:
    seconds = min(LONGEST_HISTORY_S, math.floor(start_s))
    if trace.counts is None:
        within = per_second(trace.load, start_s - seconds, seconds)
    else:
        within = trace.counts[int(start_s) - seconds : int(start_s)]
    if start_s != math.floor(start_s):
        return within  # the seconds of the trace's own history are not aligned with these
    return np.concatenate([trace.history_counts, within])[-LONGEST_HISTORY_S:]
