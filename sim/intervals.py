"""A run in intervals of time: the requests that arrived in each, their outcomes and latencies, and the queues.

All figures are whole numbers, so they do not depend on the order of counting and both engines give the same. The bins
serve wherever time is divided into intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import NamedTuple, Self

import numpy as np

from ipa.sim.aggregates import Buckets
from ipa.sim.interface import BoolArray, Handover
from ipa.sim.model import FloatArray, IntArray, World
from ipa.sim.records import COMPLETED, DROPPED, FAILED, Records

MOST_INTERVALS = 1500
"""How many intervals a run has at most."""


def interval_s(duration_s: float) -> float:
    """The width of a run's intervals: 1 s up to 25 minutes, else the least sufficient one of 2, 5, 10, ... s."""
    return round_up(max(1.0, duration_s / MOST_INTERVALS))


def round_up(value: float) -> float:
    """The least number 1, 2 or 5 x 10^k that is at least the value."""
    power = 10.0 ** floor(log10(value))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value * (1 - 1e-9))


def bin_edges(duration_s: float, width_s: float) -> FloatArray:
    """The edges of the bins over the duration; the last bin may be narrower."""
    inner = np.arange(ceil(duration_s / width_s - 1e-9)) * width_s
    return np.append(inner, duration_s)


def bin_numbers(time_s: FloatArray, edges_s: FloatArray) -> IntArray:
    """The number of the bin of each moment; the last bin includes its end."""
    return np.clip(np.searchsorted(edges_s, time_s, side="right") - 1, 0, len(edges_s) - 2)


LATENCY_ERROR = 0.01
"""The largest relative difference between a latency and the middle of its bucket."""


_PIECE = 2**20


@dataclass(frozen=True)
class Intervals:
    """The counts of I intervals between `edges_s`, shape (I + 1,); all have one width, but the last may be narrower.

    By the interval of arrival, shape (I,): `requests`, and how many of them were `completed` (and `late`), `dropped`,
    `failed` or `unfinished`; `quietest_rps` and `busiest_rps` are the requests of its quietest and busiest second.
    `became_late`: requests whose time in the system reached the SLA in the interval; `late_waiting`: late requests
    in the system at its end; shape (I,).

    `latency_count` completed requests that arrived in interval `latency_interval` had about the latency `latency_s`,
    the middle of a bucket (see `LATENCY_ERROR`); shape (L,).

    By stage and the interval of the event, shape (stages, I): the requests, in a graph the items, that were `enqueued`,
    `started`, `finished`, `dropped_at` (includes those that failed while waiting) and `interrupted` (those in service).
    `answered`: in a graph, the requests that completed in the interval, shape (I,); None for a chain, where these are
    the ones that finished at the last stage.
    """

    stages: tuple[str, ...]
    edges_s: FloatArray
    requests: IntArray
    quietest_rps: IntArray
    busiest_rps: IntArray
    completed: IntArray
    late: IntArray
    dropped: IntArray
    failed: IntArray
    unfinished: IntArray
    became_late: IntArray
    late_waiting: IntArray
    latency_interval: IntArray
    latency_s: FloatArray
    latency_count: IntArray
    enqueued: IntArray
    started: IntArray
    finished: IntArray
    dropped_at: IntArray
    interrupted: IntArray
    answered: IntArray | None


class Completed(NamedTuple):
    """Requests that have completed, in any order."""

    requests: IntArray
    finish_s: FloatArray
    latency_s: FloatArray

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of all parts together."""
        none = cls(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))
        return cls(*(np.concatenate(columns) for columns in zip(none, *parts, strict=True)))


class IntervalCounts:
    """Counts a run by interval while it is handed over."""

    def __init__(self, arrivals_s: FloatArray, stages: tuple[str, ...], world: World, sla_s: float) -> None:
        self._arrivals_s, self._stages, self._hop_s, self._sla_s = arrivals_s, stages, world.hop_s, sla_s
        self._edges_s = bin_edges(world.duration_s, interval_s(world.duration_s))
        count = len(self._edges_s) - 1
        self._completed, self._late, self._dropped, self._failed = np.zeros((4, count), dtype=np.int64)
        self._enqueued, self._started, self._finished, self._dropped_at, self._interrupted = np.zeros(
            (5, len(stages), count), dtype=np.int64
        )
        self._answered: IntArray | None = None
        self._buckets = Buckets(LATENCY_ERROR)
        self._latencies = np.zeros(count * self._buckets.count, dtype=np.int64)
        self._requests = np.diff(np.searchsorted(arrivals_s, self._edges_s))
        self._enqueued[0] = self._requests
        # Count every request as becoming late; those that end earlier are subtracted later.
        self._became_late, self._late_ended = np.zeros((2, count), dtype=np.int64)
        for begin in range(0, len(arrivals_s), _PIECE):
            self._became_late += self._counts_of(arrivals_s[begin : begin + _PIECE] + sla_s)

    def take(self, handover: Handover, completed: Completed) -> None:
        """Add what has happened at a stage since the last call, and what has completed."""
        position, batches, drops = handover.stage, handover.batches, handover.drops
        self._started[position] += self._counts_of(batches.start_s, batches.size)
        self._finished[position] += self._counts_of(batches.finish_s, batches.size)
        if position + 1 < len(self._stages):
            self._enqueued[position + 1] += self._counts_of(batches.finish_s + self._hop_s, batches.size)
        interrupted = np.isfinite(drops.finish_s)
        if interrupted.any():  # their batches were counted as finished
            never_s = drops.finish_s[interrupted]
            self._finished[position] -= self._counts_of(never_s)
            if position + 1 < len(self._stages):
                self._enqueued[position + 1] -= self._counts_of(never_s + self._hop_s)
            self._interrupted[position] += self._counts_of(drops.dropped_s[interrupted])
        self._dropped_at[position] += self._counts_of(drops.dropped_s[~interrupted])
        self._lose(drops.requests, drops.dropped_s, drops.failed)
        self._complete(completed)

    def take_items(self, records: Records) -> None:
        """Add a finished run of a graph, from the records of all its requests: of a stage, its items are counted."""
        for position, part in enumerate(records.items):
            is_lost, has_started = part.dropped_stage >= 0, np.isfinite(part.start_s[0])
            self._enqueued[position] = self._counts_of(part.enqueue_s[0])
            self._started[position] = self._counts_of(part.start_s[0])
            self._finished[position] = self._counts_of(part.finish_s[0])
            self._dropped_at[position] = self._counts_of(part.end_s[is_lost & ~has_started])
            self._interrupted[position] = self._counts_of(part.end_s[is_lost & has_started])
        lost = np.flatnonzero(np.isin(records.outcome, (DROPPED, FAILED)))
        self._lose(lost, records.end_s[lost], records.outcome[lost] == FAILED)
        completed = np.flatnonzero(records.outcome == COMPLETED)
        end_s = records.end_s[completed]
        self._answered = self._counts_of(end_s)
        self._complete(Completed(completed, end_s, end_s - records.arrival_s[completed]))

    def _lose(self, requests: IntArray, end_s: FloatArray, failed: BoolArray) -> None:
        """Count requests that were dropped or failed."""
        self._dropped += self._counts_of(self._arrivals_s[requests[~failed]])
        self._failed += self._counts_of(self._arrivals_s[requests[failed]])
        self._end(requests, end_s)

    def _complete(self, completed: Completed) -> None:
        self._end(completed.requests, completed.finish_s)
        interval = bin_numbers(self._arrivals_s[completed.requests], self._edges_s)
        self._completed += np.bincount(interval, minlength=len(self._completed))
        self._late += np.bincount(interval[completed.latency_s > self._sla_s], minlength=len(self._late))
        place = interval * self._buckets.count + self._buckets.numbers(completed.latency_s)
        places, counts = np.unique(place, return_counts=True)
        self._latencies[places] += counts

    def _end(self, requests: IntArray, end_s: FloatArray) -> None:
        """Count ended requests as late or not."""
        late_from_s = self._arrivals_s[requests] + self._sla_s
        is_late = end_s > late_from_s
        self._became_late -= self._counts_of(late_from_s[~is_late])
        # A request that ends at the end of an interval is gone by then.
        interval = np.searchsorted(self._edges_s, end_s[is_late]) - 1
        self._late_ended += np.bincount(interval, minlength=len(self._edges_s))[: len(self._late_ended)]

    def _counts_of(self, time_s: FloatArray, size: IntArray | None = None) -> IntArray:
        """How many events, weighted by `size`, fall into each interval; events after the duration do not count."""
        within = time_s < self._edges_s[-1]
        weight = None if size is None else size[within]
        counts = np.bincount(bin_numbers(time_s[within], self._edges_s), weight, minlength=len(self._edges_s) - 1)
        return counts.astype(np.int64)

    def intervals(self) -> Intervals:
        """The counts of a finished run."""
        (places,) = np.nonzero(self._latencies)
        interval, bucket = np.divmod(places, self._buckets.count)
        seconds_s = np.arange(np.ceil(self._edges_s[-1]) + 1.0)
        of_second = np.diff(np.searchsorted(self._arrivals_s, seconds_s))
        first = self._edges_s[:-1].astype(np.int64)
        return Intervals(
            stages=self._stages,
            edges_s=self._edges_s,
            requests=self._requests,
            quietest_rps=np.minimum.reduceat(of_second, first),
            busiest_rps=np.maximum.reduceat(of_second, first),
            completed=self._completed,
            late=self._late,
            dropped=self._dropped,
            failed=self._failed,
            unfinished=self._requests - self._completed - self._dropped - self._failed,
            became_late=self._became_late,
            late_waiting=np.cumsum(self._became_late - self._late_ended),
            latency_interval=interval,
            latency_s=self._buckets.middles(bucket),
            latency_count=self._latencies[places],
            enqueued=self._enqueued,
            started=self._started,
            finished=self._finished,
            dropped_at=self._dropped_at,
            interrupted=self._interrupted,
            answered=self._answered,
        )
