"""SimPy with absolute times and the model's order within one instant.

SimPy's own `timeout(delay)` adds the delay to the clock, and `now + (t - now)` is not always `t`: a timer could fire an
ulp before its deadline. The model's times are absolute, so they go on SimPy's queue as they are. Within one instant,
SimPy goes by priority and then by the order in which events were made; a priority is the model's rank, then the stage.

Nothing in the model waits for an event, or asks what became of one, so an event is no object: it is the call that is
to be made. SimPy's clock, queue and `run` are used as they are, and its own events and processes work beside the calls.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import simpy
from simpy.core import StopSimulation

Call = Callable[[Any, float], object]
"""What happens: it gets what it is about, and the present time."""


class Environment(simpy.Environment):
    """A SimPy environment for a pipeline of `stages` stages, in which what happens to them is a call."""

    def __init__(self, stages: int) -> None:
        super().__init__()
        self.stages = stages

    def priority(self, rank: int, stage: int = 0) -> int:
        """SimPy's priority within an instant: by rank, then by stage."""
        return rank * self.stages + stage

    def at(self, time_s: float, priority: float, call: Call, about: Any = None) -> None:
        """Make the call at `time_s`; within that instant, priority and then the order of scheduling decide."""
        heappush(self._queue, (time_s, priority, next(self._eid), call, about))  # type: ignore[misc]

    def step(self) -> None:
        """Make the calls that are due before SimPy's next event, such as a timeout of a process of your own, then let
        that happen."""
        queue: list[Any] = self._queue
        while queue:
            entry = heappop(queue)
            try:
                now_s, _, _, call, about = entry
            except ValueError:  # an event of SimPy's own has one part less
                heappush(queue, entry)
                break
            self._now = now_s
            call(about, now_s)
        super().step()

    def stop(self, value: object) -> None:
        """Leave `run`, which returns `value`; called again, it goes on with what is due next."""
        raise StopSimulation(value)
