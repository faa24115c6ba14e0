"""Logs of a stage of the SimPy engine: batches started and requests dropped, in lists until they are handed over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ipa.sim.interface import Batches, Drops
from ipa.sim.model import FloatArray, IntArray


@dataclass(slots=True)
class BatchLog:
    """The batches in order of start; `requests` holds their members, batch after batch, `size` of each.

    `past_batches` earlier ones, with `past_requests` members, have been handed over.
    """

    requests: list[int] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    finish_s: list[float] = field(default_factory=list)
    replica: list[int] = field(default_factory=list)
    past_batches: int = 0
    past_requests: int = 0

    @property
    def served(self) -> int:
        """How many requests have been in batches so far."""
        return self.past_requests + len(self.requests)

    def since(self, batch: int) -> Batches:
        """The batches from number `batch` on, as arrays; they must not have been handed over."""
        batch -= self.past_batches
        size = self.size[batch:]
        return Batches(
            _whole_numbers(self.requests[len(self.requests) - sum(size) :]),
            _whole_numbers(size),
            _moments_s(self.start_s[batch:]),
            _moments_s(self.finish_s[batch:]),
            _whole_numbers(self.replica[batch:]),
        )

    def hand_over(self) -> Batches:
        """Return the batches since the last handover, and clear them here."""
        fresh = self.since(self.past_batches)
        self.past_batches += len(fresh.size)
        self.past_requests += len(fresh.requests)
        for column in (self.requests, self.size, self.start_s, self.finish_s, self.replica):
            column.clear()
        return fresh


@dataclass(slots=True)
class DropLog:
    """The requests that left unserved, in order, as in `Drops`; `past` earlier ones have been handed over.

    `failed` of all of them failed, and `interrupted` of these were in service.
    """

    requests: list[int] = field(default_factory=list)
    dropped_s: list[float] = field(default_factory=list)
    finish_s: list[float] = field(default_factory=list)
    past: int = 0
    failed: int = 0
    interrupted: int = 0

    @property
    def dropped(self) -> int:
        """How many requests have left unserved so far."""
        return self.past + len(self.requests)

    def arrays(self, since: int = 0) -> Drops:
        """The drops kept here, from place `since` on, as arrays."""
        columns = (self.requests[since:], self.dropped_s[since:], self.finish_s[since:])
        return Drops(_whole_numbers(columns[0]), *map(_moments_s, columns[1:]))

    def hand_over(self) -> Drops:
        """Return the drops since the last handover, and clear them here."""
        fresh = self.arrays()
        self.past += len(fresh.requests)
        for column in (self.requests, self.dropped_s, self.finish_s):
            column.clear()
        return fresh


def _whole_numbers(values: Sequence[int]) -> IntArray:
    return np.fromiter(values, np.int64, len(values))  # faster than np.array, which reads each value twice


def _moments_s(values: Sequence[float]) -> FloatArray:
    return np.fromiter(values, np.float64, len(values))
