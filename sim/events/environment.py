"""SimPy with absolute times and the model's order within one instant.

SimPy's own `timeout(delay)` adds the delay to the clock, and `now + (t - now)` is not always `t`: a timer could fire an
ulp before its deadline. The model's times are absolute and go on SimPy's queue unchanged. Within one instant, SimPy
orders events by priority and then by creation; a priority combines the model's rank and the stage.

Nothing in the model waits for an event or asks for its result, so an event is not an object but a callback. SimPy's
clock, queue and `run` are used as they are; its own events and processes work beside the callbacks.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import simpy
from simpy.core import StopSimulation

Call = Callable[[Any, float], object]
"""A callback; its arguments are the subject given to `Environment.at`, and the current time."""


class Environment(simpy.Environment):
    """A SimPy environment for a pipeline of `stages` stages, whose events are callbacks."""

    def __init__(self, stages: int) -> None:
        super().__init__()
        self.stages = stages

    def priority(self, rank: int, stage: int = 0) -> int:
        """SimPy's priority within an instant: by rank, then by stage."""
        return rank * self.stages + stage

    def at(self, time_s: float, priority: float, call: Call, subject: Any = None) -> None:
        """Schedule a call at `time_s`; calls of one instant are ordered by priority, then by scheduling."""
        heappush(self._queue, (time_s, priority, next(self._eid), call, subject))  # type: ignore[misc]

    def step(self) -> None:
        """Make the calls that are due before SimPy's own next event, such as a timeout of a process, then process that
        event."""
        queue: list[Any] = self._queue
        while queue:
            entry = heappop(queue)
            try:
                now_s, _, _, call, subject = entry
            except ValueError:  # SimPy's own events have one field less
                heappush(queue, entry)
                break
            self._now = now_s
            call(subject, now_s)
        super().step()

    def stop(self, value: object) -> None:
        """Leave `run`, which returns `value`; the next `run` goes on from here."""
        raise StopSimulation(value)
