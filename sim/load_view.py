"""The load as policies see it: requests by the second, before and after any moment of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.policies import Seasons, seasons_at
from ipa.sim.model import FloatArray, IntArray

Spans = Sequence[tuple[float, float]]

FUTURE_S = 120
"""How many seconds ahead a policy sees if it reads the future."""

PAST_STEPS = 1
"""Up to which step observations carry the past, which a policy learns from once."""


class LoadView:
    """Per-second counts of requests around any moment of a run, the time before its start included.

    `history_rps` holds the counts of the seconds before the run, newest last. Without it, the first ten seconds of the
    run are repeated in its place (rule 9; in a shorter run, its whole seconds, at least one). Where the history is
    shorter than asked for, the seconds before it have no sample (NaN).

    `starts_s`: the time on the wall clock at the start of the run, in seconds since 1970; None where there is none.

    `outages`: (start, end) of the times in which no metrics come [s]. Their seconds are never sampled (NaN).
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
        self._whole: FloatArray | None = None  # what is known of all seconds, once it is asked for
        self._arrivals_s = arrivals_s
        self._history_s = history_s
        history = np.asarray(history_rps, dtype=np.float64)
        if not len(history):
            seconds = int(max(1.0, min(10.0, duration_s)))
            first = np.diff(np.searchsorted(arrivals_s, np.arange(seconds + 1))).astype(np.float64)
            history = np.tile(first, history_s // seconds + 1)
        padded = np.concatenate([np.full(history_s, np.nan), history])
        self._history: tuple[float, ...] = tuple(padded[len(padded) - history_s :].tolist())
        until_s = int(arrivals_s[-1]) + 1 if len(arrivals_s) else 0
        # Whole seconds up to the last request, and enough after it for any moment to be seen from.
        self._until_s = until_s + history_s
        self._counts = (*self._between(np.arange(until_s + 1)), *[0.0] * history_s)
        self._seconds = (*self._history, *self._sampled(self._counts, np.arange(len(self._counts) + 1)))
        self._ahead: dict[float, tuple[float, ...]] = {}

    def look_ahead(self, times_s: Iterable[float]) -> Iterable[tuple[float, ...]]:
        """What `before` will return at these times; it is kept until the next call."""
        self._ahead = {time_s: self.before(time_s) for time_s in times_s}
        return self._ahead.values()

    def before(self, time_s: float) -> tuple[float, ...]:
        """The counts of the seconds [t - k, t - k + 1) up to `time_s`, newest last."""
        if time_s in self._ahead:
            return self._ahead[time_s]
        if time_s == int(time_s):
            at_s = min(int(time_s), self._until_s)
            return self._seconds[at_s : at_s + self._history_s]
        # A second that lies partly before the start counts as history.
        seconds = min(int(time_s), self._history_s)
        edges_s = time_s - np.arange(seconds, -1, -1)
        return (*self._history[seconds:], *self._sampled(self._between(edges_s), edges_s))

    def is_dark(self, time_s: float) -> bool:
        """Whether no metrics come at a moment of the run."""
        return bool(self._outages) and any(start <= time_s < end for start, end in self._outages)

    def past(self, step: int, time_s: float) -> tuple[float, ...]:
        """What is known of the seconds before those of `before(time_s)`, newest last; empty after the first steps."""
        if step > PAST_STEPS:
            return ()
        # `before` reaches so many seconds back beyond the start of the run.
        seen = max(0, self._history_s - int(time_s))
        kept = self._past_rps[: max(0, len(self._past_rps) - seen)]
        return tuple(np.asarray(kept, dtype=np.float64).tolist())

    def seasons(self, time_s: float) -> Seasons:
        """What came around the same time a day and a week before the second that `time_s` lies in; see `seasons_at`."""
        if self._whole is None:
            self._whole = np.concatenate(
                [self._past_rps, self._sampled(self._counts, np.arange(len(self._counts) + 1))]
            )
        return seasons_at(self._whole, len(self._past_rps) + int(time_s))

    def clock_s(self, time_s: float) -> float | None:
        """The time on the wall clock [s since 1970] at a moment of the run; None where there is none."""
        return None if self._starts_s is None else self._starts_s + time_s

    def after(self, time_s: float, duration_s: float) -> tuple[float, ...]:
        """The counts of the whole seconds to come, soonest first, up to the end of the run."""
        seconds = min(FUTURE_S, int(duration_s - time_s))
        if time_s == int(time_s):
            counts = self._counts[int(time_s) : int(time_s) + seconds]
            return (*counts, *[0.0] * (seconds - len(counts)))
        return tuple(self._between(time_s + np.arange(seconds + 1)))

    def _sampled(self, counts: Sequence[float], edges_s: npt.NDArray[Any]) -> Sequence[float]:
        """The counts between the edges, NaN where the time between two edges lies in an outage, if only in part."""
        if not self._outages:
            return counts
        sampled = np.array(counts)
        for start, end in self._outages:
            sampled[(edges_s[1:] > start) & (edges_s[:-1] < end)] = np.nan
        found: list[float] = sampled.tolist()
        return found

    def _between(self, edges_s: npt.NDArray[np.generic]) -> list[float]:
        counts: list[float] = np.diff(np.searchsorted(self._arrivals_s, edges_s)).astype(np.float64).tolist()
        return counts
