"""The batches started and the requests dropped at a stage of the SimPy engine, in lists that grow until handed over."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ipa.sim.interface import Batches, Drops


@dataclass(slots=True)
class BatchLog:
    """The batches in order of start; `requests` holds their members, batch after batch, each batch up to its `end`.

    `past_batches` earlier ones, of `past_requests`, have been handed over.
    """

    requests: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
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
        begin = self.end[batch - 1] if batch else 0
        return Batches(
            np.array(self.requests[begin:], dtype=np.int64),
            np.diff(self.end[batch:], prepend=begin).astype(np.int64),
            np.array(self.start_s[batch:], dtype=np.float64),
            np.array(self.finish_s[batch:], dtype=np.float64),
            np.array(self.replica[batch:], dtype=np.int64),
        )

    def hand_over(self) -> Batches:
        """The batches since the last time, which are forgotten here."""
        fresh = self.since(self.past_batches)
        self.past_batches += len(fresh.size)
        self.past_requests += len(fresh.requests)
        for column in (self.requests, self.end, self.start_s, self.finish_s, self.replica):
            column.clear()
        return fresh


@dataclass(slots=True)
class DropLog:
    """The dropped requests in order, and when each was dropped; `past` earlier ones have been handed over."""

    requests: list[int] = field(default_factory=list)
    dropped_s: list[float] = field(default_factory=list)
    past: int = 0

    @property
    def dropped(self) -> int:
        """How many requests have been dropped so far."""
        return self.past + len(self.requests)

    def arrays(self) -> Drops:
        """The same as arrays."""
        return Drops(np.array(self.requests, dtype=np.int64), np.array(self.dropped_s, dtype=np.float64))

    def hand_over(self) -> Drops:
        """The drops since the last time, which are forgotten here."""
        fresh = self.arrays()
        self.past += len(fresh.requests)
        self.requests.clear()
        self.dropped_s.clear()
        return fresh
