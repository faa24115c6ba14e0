"""A guard of simulations: a policy that does not come to an end is stopped, and the error says where it was."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from ipa.policies.interface import Decision, Memory, Observation, Policy, PolicyError, reads

DECISION_LIMIT_S = 60.0
"""How long a policy may take over one decision of a simulation: as long as over the first of a live run."""


@dataclass(frozen=True)
class TimeLimit:
    """Raises PolicyError out of a decision that takes longer than `limit_s`, in real time.

    A decision that is in time is not touched. There is no limit outside the main thread or without POSIX signals, and
    none for a library that does not return to Python.
    """

    policy: Policy
    limit_s: float = DECISION_LIMIT_S

    @property
    def reads(self) -> tuple[str, ...]:
        return reads(self.policy)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The policy's decision. PolicyError: none within the limit."""
        with _within(self.limit_s):
            return self.policy.decide(observation, memory)


@contextmanager
def _within(limit_s: float) -> Iterator[None]:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(_: int, __: FrameType | None) -> None:
        raise PolicyError(f"no decision within {limit_s:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
