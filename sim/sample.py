"""Records of a sample of the requests and of the slowest ones, from a run that is handed over piece by piece; and where
the time of all completed requests went.

A request is known to be slow only when it has ended. So all unfinished requests are recorded, in a moving window that
keeps memory bounded. For a graph, whose engines keep all items, see `ipa.sim.graph.sample`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ipa.sim.aggregates import ExactSum
from ipa.sim.interface import Batches, Engine, Handover
from ipa.sim.intervals import Intervals
from ipa.sim.model import FloatArray, IntArray
from ipa.sim.records import Records, Visits, records_of

KINDS = ("hop", "batch", "queue", "service")
"""The hop to the stage; the wait until the last request of the batch came; the wait for a replica; the service."""


@dataclass(frozen=True)
class Counted:
    """What accompanies the records of a sample: counts of the whole run by interval, and the sampled requests' numbers.

    The other requests with records are the slowest. `accuracy`: of each request with records, by the variants that
    served it; NaN if a stage of a chain has not served it. `filled_s`: for each stage, when the last request of its
    batch was enqueued, of each request with records, in a graph of each of its items; NaN where it was not served.
    `spent_s`: the time that all completed requests spent at each stage, by `KINDS`; shape (stages, kinds).
    """

    intervals: Intervals
    sample: IntArray
    accuracy: FloatArray
    filled_s: tuple[FloatArray, ...]
    spent_s: FloatArray


def slowest(request: IntArray, took_s: FloatArray, most: int) -> IntArray:
    """The places of the requests that took longest; ties go to the earlier request."""
    return np.lexsort((request, -took_s))[:most]


class Spent:
    """Adds up the time that requests spent at each stage on each of `KINDS`; the parts add up to their latency."""

    def __init__(self, stages: int, hop_s: float) -> None:
        self._hop_s = hop_s
        self._sums = [[ExactSum() for _ in KINDS] for _ in range(stages)]

    def add(self, arrival_s: FloatArray, visits: Visits, filled_s: FloatArray, places: IntArray) -> None:
        """Add the completed requests at these places of `visits` and `filled_s`; `arrival_s` has one entry for each."""
        left_s = arrival_s
        for position, sums in enumerate(self._sums):
            enqueue_s = left_s if position == 0 else left_s + self._hop_s
            later_s = (part[position][places] for part in (filled_s, visits.start_s, visits.finish_s))
            moments_s = (left_s, enqueue_s, *later_s)
            for total, (begin_s, end_s) in zip(sums, pairwise(moments_s), strict=True):
                total.add(end_s - begin_s)
            left_s = moments_s[-1]

    def totals_s(self) -> FloatArray:
        """The sums in seconds, shape (stages, kinds)."""
        return np.array([[total.value() for total in sums] for sums in self._sums])


@dataclass(frozen=True)
class _SampledRequests:
    """Some requests: their visits, and when the last request of each one's batch was enqueued; (stages, requests)."""

    visits: Visits
    filled_s: FloatArray

    @classmethod
    def none_yet(cls, stages: int, requests: int) -> _SampledRequests:
        return cls(Visits.none_yet(stages, requests), np.full((stages, requests), np.nan))

    def where(self, chosen: IntArray | slice) -> _SampledRequests:
        return _SampledRequests(self.visits.where(chosen), self.filled_s[:, chosen])

    def followed_by(self, others: _SampledRequests) -> _SampledRequests:
        return _SampledRequests(
            self.visits.followed_by(others.visits), np.concatenate([self.filled_s, others.filled_s], axis=-1)
        )


@dataclass(frozen=True)
class _Kept:
    """Requests that have ended, in any order; `took_s`: from arrival to end, 0 where it is not needed."""

    request: IntArray
    took_s: FloatArray
    part: _SampledRequests

    def where(self, chosen: IntArray) -> _Kept:
        return _Kept(self.request[chosen], self.took_s[chosen], self.part.where(chosen))

    def followed_by(self, others: _Kept) -> _Kept:
        return _Kept(
            np.concatenate([self.request, others.request]),
            np.concatenate([self.took_s, others.took_s]),
            self.part.followed_by(others.part),
        )


class Sampling:
    """Keeps the records of the `chosen` requests, in ascending order, and of the `most` slowest of two kinds.

    The kinds are completed requests, and dropped ones by their time until the drop. Ties go to the earlier request.
    """

    def __init__(self, arrivals_s: FloatArray, stages: int, hop_s: float, chosen: IntArray, most: int) -> None:
        self._arrivals_s, self._stages, self._hop_s = arrivals_s, stages, hop_s
        self._chosen, self._most = chosen, most
        self._first = 0  # the number of the first request in the window
        self._window = _SampledRequests.none_yet(stages, 0)
        self._is_over = np.zeros(0, dtype=bool)  # of each request in the window
        self._batches = [0] * stages
        self._spent = Spent(stages, hop_s)
        self._sample = self._completed = self._dropped = _Kept(np.zeros(0, dtype=np.int64), np.zeros(0), self._window)

    def take(self, handover: Handover) -> None:
        """Add what has happened at a stage since the last call."""
        position, batches, drops = handover.stage, handover.batches, handover.drops
        last = max((int(part.max()) for part in (batches.requests, drops.requests) if len(part)), default=-1)
        self._reach(last + 1)
        self._window.visits.enter(position, batches, drops, self._batches[position], self._first)
        self._fill(position, batches)
        self._batches[position] += len(batches.size)
        if position + 1 == self._stages:
            self._sift(handover.before_s)
            self._move_on()

    def _reach(self, end: int) -> None:
        """Extend the window to the requests before number `end`."""
        missing = end - self._first - len(self._is_over)
        if missing > 0:
            self._window = self._window.followed_by(_SampledRequests.none_yet(self._stages, missing))
            self._is_over = np.concatenate([self._is_over, np.zeros(missing, dtype=bool)])

    def _fill(self, position: int, batches: Batches) -> None:
        """Record when the last request of each batch was enqueued."""
        if not len(batches.size):
            return
        members = batches.requests - self._first
        if position == 0:
            enqueue_s = self._arrivals_s[batches.requests]
        else:
            enqueue_s = self._window.visits.finish_s[position - 1][members] + self._hop_s
        last_s = np.maximum.reduceat(enqueue_s, np.cumsum(batches.size) - batches.size)
        self._window.filled_s[position][members] = np.repeat(last_s, batches.size)

    def _sift(self, before_s: float) -> None:
        """Keep the sampled and the slowest of the requests that have ended since the last call."""
        visits = self._window.visits
        completed = visits.finish_s[-1] <= before_s
        dropped = visits.dropped_stage >= 0
        (ended,) = np.nonzero((completed | dropped) & ~self._is_over)
        self._is_over[ended] = True
        sampled = np.isin(ended + self._first, self._chosen, assume_unique=True)
        self._sample = self._sample.followed_by(self._at(ended[sampled]))
        done = ended[completed[ended]]
        self._spent.add(self._arrivals_s[done + self._first], visits, self._window.filled_s, done)
        self._completed = self._slower(self._completed, done, visits.finish_s[-1])
        self._dropped = self._slower(self._dropped, ended[dropped[ended]], visits.end_s)

    def _at(self, places: IntArray) -> _Kept:
        """The requests at these places of the window."""
        return _Kept(places + self._first, np.zeros(len(places)), self._window.where(places))

    def _slower(self, slow: _Kept, places: IntArray, end_s: FloatArray) -> _Kept:
        """The slowest of `slow` and of the requests at these places of the window; `end_s`: by place."""
        request = places + self._first
        took_s = end_s[places] - self._arrivals_s[request]
        first = slowest(request, took_s, self._most)
        slow = slow.followed_by(_Kept(request[first], took_s[first], self._window.where(places[first])))
        return slow.where(slowest(slow.request, slow.took_s, self._most))

    def _move_on(self) -> None:
        """Discard the leading requests that have ended."""
        gone = len(self._is_over) if self._is_over.all() else int(np.argmin(self._is_over))
        self._window, self._is_over = self._window.where(slice(gone, None)), self._is_over[gone:]
        self._first += gone

    def spent_s(self) -> FloatArray:
        """The time that all completed requests spent at each stage, by `KINDS`; shape (stages, kinds)."""
        return self._spent.totals_s()

    def records(self, engine: Engine) -> tuple[Records, FloatArray]:
        """The records of a finished run, and when the last request of each batch was enqueued; (stages, requests).

        Sampled requests that have not ended are included.
        """
        missing = np.setdiff1d(self._chosen, self._sample.request, assume_unique=True)
        self._reach(int(missing.max(initial=-1)) + 1)
        unfinished = self._at(missing - self._first)
        requests = self._sample.followed_by(unfinished).followed_by(self._completed).followed_by(self._dropped)
        request, place = np.unique(requests.request, return_index=True)
        part = requests.part.where(place)
        return records_of(engine, request, part.visits), part.filled_s
