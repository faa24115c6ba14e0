"""SimPy with absolute times and the model's order within one instant.

SimPy's own `timeout(delay)` adds the delay to the clock, and `now + (t - now)` is not always `t`: a timer could then
fire an ulp before its deadline. The model's moments are absolute, so they are put on SimPy's queue as they are. SimPy
orders an instant by priority, then by the order in which events were made; the priority here is the rank of the rule,
then the stage.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from typing import Any

import simpy


class Happening:
    """An event in SimPy's eyes, reusable: the same object is scheduled again once it has happened."""

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
        """What SimPy orders an instant by: the rank, then the stage."""
        return rank * self.stages + stage

    def at(self, time_s: float, priority: int, happening: Happening) -> None:
        """Let `happening` take place at `time_s`, within that instant by priority and order of creation."""
        happening.callbacks = happening.callback_once
        entry: Any = (time_s, priority, next(self._eid), happening)
        heappush(self._queue, entry)
