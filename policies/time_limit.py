"""A time limit for decisions in simulations: a policy that does not return is stopped, and the error says where."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import Self

from ipa.policies.interface import Decision, Memory, Observation, Policy, PolicyError, reads

DECISION_LIMIT_S = 60.0
"""How long a policy may take over one decision of a simulation: as long as over the first of a live run."""


class TimeLimit:
    """Raises PolicyError out of a decision that takes longer than `limit_s`, in real time, within `with`.

    A decision that is in time is not touched. There is no limit outside `with`, outside the main thread or without
    POSIX signals, and none for a library that does not return to Python. The clock is wound for all decisions within
    `with`, not for each: when it rings, it is wound again for what the decision under way, if there is one, has left.
    """

    def __init__(self, policy: Policy, limit_s: float = DECISION_LIMIT_S) -> None:
        self.policy = policy
        self.limit_s = limit_s
        self._began_s: float | None = None  # when the decision under way began

    @property
    def reads(self) -> tuple[str, ...]:
        return reads(self.policy)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The policy's decision. PolicyError: none within the limit."""
        self._began_s = monotonic()
        try:
            return self.policy.decide(observation, memory)
        finally:
            self._began_s = None

    def __enter__(self) -> Self:
        self._clock = _clock(self._ring, self.limit_s)
        self._clock.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._clock.__exit__(None, None, None)

    def _ring(self, _: int, __: FrameType | None) -> None:
        left_s = self.limit_s if self._began_s is None else self.limit_s - (monotonic() - self._began_s)
        signal.setitimer(signal.ITIMER_REAL, left_s if left_s > 0.0 else self.limit_s)
        if left_s <= 0.0:
            raise PolicyError(f"no decision within {self.limit_s:g} s")


@contextmanager
def in_time(subject: str, limit_s: float = DECISION_LIMIT_S) -> Iterator[None]:
    """Raises PolicyError out of what takes longer, in real time; where there is no limit, see `TimeLimit`."""

    def late(_: int, __: FrameType | None) -> None:
        raise PolicyError(f"no {subject} within {limit_s:g} s")

    with _clock(late, limit_s):
        yield


@contextmanager
def _clock(ring: Callable[[int, FrameType | None], None], limit_s: float) -> Iterator[None]:
    """Calls `ring` once so much real time has passed within `with`, where there are signals for it."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
