"""The load as policies see it: requests per second before and after any moment of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipa.sim.model import FloatArray, IntArray

Spans = Sequence[tuple[float, float]]

FUTURE_S = 120
"""How many seconds of the future a policy sees if it reads them."""

PAST_STEPS = 1
"""The last step whose observation carries the past; a policy learns from it once."""

MOST_LOADS, MOST_SECONDS = 16, 2**13
"""This many loads of up to this many seconds are kept with their windows, for further runs on the same load."""

MOST_WINDOWS = 2**10
"""The windows kept of each load, about a kilobyte each: at most 22 MB in all."""


class _Seconds(NamedTuple):
    """The per-second counts of a load, and windows of them by their beginning, made at first use."""

    counts: tuple[float, ...]
    windows: dict[int, tuple[float, ...]]

    def window(self, begin: int, length: int) -> tuple[float, ...]:
        """`length` seconds from `begin` on; the same object each time, so that caches find it quickly."""
        window = self.windows.get(begin)
        if window is None:
            window = self.counts[begin : begin + length]
            if len(self.counts) <= MOST_SECONDS and len(self.windows) < MOST_WINDOWS:
                self.windows[begin] = window
        return window


def _seconds(counts: FloatArray, window_s: int) -> _Seconds:
    """The `_Seconds` of these counts; all windows must be `window_s` long."""
    if len(counts) > MOST_SECONDS:
        return _Seconds(tuple(counts.tolist()), {})
    return _kept(counts.tobytes(), window_s)


@lru_cache(maxsize=MOST_LOADS)
def _kept(counts: bytes, _: int) -> _Seconds:
    return _Seconds(tuple(np.frombuffer(counts).tolist()), {})


class LoadView:
    """Per-second counts of requests around any moment of a run, including the time before its start.

    `history_rps` holds the counts of the seconds before the run, newest last. If it is empty, the run's first ten
    seconds are repeated instead (rule 9; in a shorter run, its whole seconds, at least one). If it is shorter than
    `history_s`, the seconds before it have no sample (NaN).

    `starts_s`: the wall-clock time at the start of the run [s since 1970]; None if the load has none.

    `outages`: (start, end) of the times without metrics [s]; their seconds are never sampled (NaN).
    """

    def __init__(
        self,
        arrivals_s: FloatArray,
        history_rps: FloatArray | IntArray,
        history_s: int,
        duration_s: float = inf,
        starts_s: float | None = None,
        outages: Spans = (),
    ) -> None:
        self._starts_s = starts_s
        self._outages = outages
        self._past_rps = history_rps
        self._arrivals_s = arrivals_s
        self._history_s = history_s
        past_rps = history_rps
        if not len(past_rps):
            seconds = int(max(1.0, min(10.0, duration_s)))
            past_rps = np.tile(self._between(np.arange(seconds + 1)), history_s // seconds + 1)
        history = np.full(history_s, np.nan)
        length = min(history_s, len(past_rps))
        history[history_s - length :] = past_rps[len(past_rps) - length :]
        self._history: tuple[float, ...] = tuple(history.tolist())
        until_s = int(arrivals_s[-1]) + 1 if len(arrivals_s) else 0
        # Whole seconds up to the last request, and a window after it, for any later moment.
        self._until_s = until_s + history_s
        self._counts = np.zeros(self._until_s)
        self._counts[:until_s] = self._between(np.arange(until_s + 1))
        sampled = self._sampled(self._counts, np.arange(self._until_s + 1))
        self._seconds = _seconds(np.concatenate([history, sampled]), history_s)
        self._ahead: dict[float, tuple[float, ...]] = {}

    def look_ahead(self, times_s: Iterable[float]) -> Iterable[tuple[float, ...]]:
        """What `before` will return at these times; kept until the next call."""
        self._ahead = {time_s: self.before(time_s) for time_s in times_s}
        return self._ahead.values()

    def before(self, time_s: float) -> tuple[float, ...]:
        """The counts of the seconds [t - k, t - k + 1) up to t = `time_s`, newest last."""
        ahead = self._ahead.get(time_s)
        if ahead is not None:
            return ahead
        if time_s == int(time_s):
            return self._seconds.window(min(int(time_s), self._until_s), self._history_s)
        # A second that lies partly before the start counts as history.
        seconds = min(int(time_s), self._history_s)
        edges_s = time_s - np.arange(seconds, -1, -1)
        return (*self._history[seconds:], *self._sampled(self._between(edges_s), edges_s).tolist())

    def is_dark(self, time_s: float) -> bool:
        """Whether a moment of the run lies in an outage of the metrics."""
        return bool(self._outages) and any(start <= time_s < end for start, end in self._outages)

    def past(self, step: int, time_s: float) -> tuple[float, ...]:
        """The counts of the seconds before those of `before(time_s)`, newest last; empty after step `PAST_STEPS`."""
        if step > PAST_STEPS:
            return ()
        # How many seconds `before` reaches back beyond the start of the run.
        seconds_seen = max(0, self._history_s - int(time_s))
        earlier_rps = self._past_rps[: max(0, len(self._past_rps) - seconds_seen)]
        return tuple(np.asarray(earlier_rps, dtype=np.float64).tolist())

    def clock_s(self, time_s: float) -> float | None:
        """The wall-clock time [s since 1970] at a moment of the run; None if the load has none."""
        return None if self._starts_s is None else self._starts_s + time_s

    def after(self, time_s: float, duration_s: float) -> tuple[float, ...]:
        """The counts of the next whole seconds, at most `FUTURE_S`, up to the end of the run."""
        seconds = min(FUTURE_S, int(duration_s - time_s))
        if time_s == int(time_s):
            counts = self._counts[int(time_s) : int(time_s) + seconds].tolist()
            return (*counts, *[0.0] * (seconds - len(counts)))
        return tuple(self._between(time_s + np.arange(seconds + 1)).tolist())

    def busiest_minute_rps(self, duration_s: float) -> float:
        """The highest mean of 60 seconds in a row, or that of all where the run is shorter."""
        seconds = max(1, int(duration_s))
        sums = self._between(np.arange(seconds + 1)).cumsum()
        length = min(seconds, 60)
        return float((sums[length - 1 :] - np.concatenate([[0.0], sums[:-length]])).max()) / length

    def _sampled(self, counts: FloatArray, edges_s: npt.NDArray[Any]) -> FloatArray:
        """The counts between the edges; NaN if the time between two edges overlaps an outage."""
        if not self._outages:
            return counts
        sampled = counts.copy()
        for start, end in self._outages:
            sampled[(edges_s[1:] > start) & (edges_s[:-1] < end)] = np.nan
        return sampled

    def _between(self, edges_s: npt.NDArray[Any]) -> FloatArray:
        come = self._arrivals_s.searchsorted(edges_s)
        return (come[1:] - come[:-1]).astype(np.float64)
