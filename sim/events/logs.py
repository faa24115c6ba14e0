"""The batches started and the requests dropped at a stage of the SimPy engine, in lists that grow."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ipa.sim.interface import Batches, Drops


@dataclass(slots=True)
class BatchLog:
    """The batches in order of start; `requests` holds their members, batch after batch, each batch up to its `end`."""

    requests: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    start_s: list[float] = field(default_factory=list)
    finish_s: list[float] = field(default_factory=list)
    replica: list[int] = field(default_factory=list)

    def since(self, batch: int) -> Batches:
        """The batches from number `batch` on, as arrays."""
        begin = self.end[batch - 1] if batch else 0
        return Batches(
            np.array(self.requests[begin:], dtype=np.int64),
            np.diff(self.end[batch:], prepend=begin).astype(np.int64),
            np.array(self.start_s[batch:], dtype=np.float64),
            np.array(self.finish_s[batch:], dtype=np.float64),
            np.array(self.replica[batch:], dtype=np.int64),
        )


@dataclass(slots=True)
class DropLog:
    """The dropped requests in order, and when each was dropped."""

    requests: list[int] = field(default_factory=list)
    dropped_s: list[float] = field(default_factory=list)

    def arrays(self) -> Drops:
        """The same as arrays."""
        return Drops(np.array(self.requests, dtype=np.int64), np.array(self.dropped_s, dtype=np.float64))
