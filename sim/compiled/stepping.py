"""The stops of a run: control steps, decisions that take effect, and the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping

from ipa.policies import StageConfiguration
from ipa.sim.model import RunInput
from ipa.sim.rules import APPLICATION, CLOSING, CONTROL, NEVER


class Stepping(ABC):
    """A run that stops where Python has something to do."""

    def __init__(self, run_input: RunInput) -> None:
        self.run_input = run_input
        self.world = run_input.world
        self.arrivals_s = run_input.arrivals_s
        self.now_s = 0.0
        self.end_s = run_input.world.duration_s
        self.limit_cores = run_input.world.limit_cores
        self._pending: deque[tuple[float, Mapping[str, StageConfiguration], int | None]] = deque()

    @abstractmethod
    def _reach(self, time_s: float, rank: int) -> float | None:
        """Run up to (time, rank); returns when the run ended, if it did before, else None."""

    @abstractmethod
    def _has_ended(self) -> bool:
        """Whether all requests have ended."""

    @abstractmethod
    def _configure(self, configuration: Mapping[str, StageConfiguration], limit_cores: int | None) -> None:
        """Put a decision into effect now, within so many cores."""

    def apply(self, configuration: Mapping[str, StageConfiguration]) -> None:
        """Put a decision made now into effect, after the world's decision delay."""
        self._pending.append((self.now_s + self.world.decision_delay_s, configuration, self.limit_cores))

    def steps(self, control_times_s: Iterator[float]) -> Iterator[float]:
        """Run to the end and stop at each of the times, which must be ascending; yields each time."""
        control_s = next(control_times_s, NEVER)
        closing_s, bound_s = self.world.duration_s, self.world.duration_s + self.world.bound_s
        stood_s, stood_rank = -NEVER, CONTROL
        while True:
            time_s, rank = control_s, CONTROL
            if self._pending and self._pending[0][0] < time_s:
                time_s, rank = self._pending[0][0], APPLICATION
            if closing_s < time_s:
                time_s, rank = closing_s, CLOSING
            # Nothing can happen between a control step and an application of the same instant.
            is_there = rank == APPLICATION and stood_rank == CONTROL and time_s == stood_s
            if not is_there:
                ended_s = self._reach(time_s, rank)
                if ended_s is not None:
                    self.end_s = ended_s
                    return
            stood_s, stood_rank = time_s, rank
            self.now_s = time_s
            if rank == CONTROL:
                yield time_s
                control_s = next(control_times_s, NEVER)
            elif rank == APPLICATION:
                self._configure(*self._pending.popleft()[1:])
            elif closing_s == bound_s or self._has_ended():
                self.end_s = time_s
                return
            else:
                closing_s = bound_s
