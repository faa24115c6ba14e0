"""SimPy with absolute times and the model's order within one instant.

SimPy's own `timeout(delay)` adds the delay to the clock, and `now + (t - now)` is not always `t`: a timer could fire an
ulp before its deadline. The model's times are absolute, so they go on SimPy's queue as they are. Within one instant,
SimPy goes by priority and then by the order in which events were made; a priority is the model's rank, then the stage.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from typing import Any

import simpy


class Happening:
    """An event to SimPy, but reusable: the same object can be scheduled again once it has happened."""

    __slots__ = ("_ok", "callback_once", "callbacks", "payload")

    def __init__(self, callback: Callable[[Any], None], payload: Any = None) -> None:
        self._ok = True
        self.callback_once = (callback,)
        self.callbacks: Any = None
        self.payload = payload


class Environment(simpy.Environment):
    """A SimPy environment for a pipeline of `stages` stages."""

    def __init__(self, stages: int) -> None:
        super().__init__()
        self.stages = stages

    def priority(self, rank: int, stage: int = 0) -> int:
        """SimPy's priority within an instant: by rank, then by stage."""
        return rank * self.stages + stage

    def at(self, time_s: float, priority: float, happening: Happening) -> None:
        """Schedule `happening` for `time_s`; within that instant, priority and then the order of scheduling decide."""
        happening.callbacks = happening.callback_once
        entry: Any = (time_s, priority, next(self._eid), happening)
        heappush(self._queue, entry)
