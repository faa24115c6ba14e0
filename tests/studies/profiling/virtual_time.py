"""An event loop in virtual time: what waits in it waits for no clock of the machine."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

TURN_S = 1e-9
"""What one turn of the loop takes, so that a timer that rings a rounding error early has its time in the next."""


class VirtualTime:
    """A clock that goes forward only as all that runs in its event loop waits for it, read as the module `time`."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def monotonic(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        self._now_s += seconds

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` to its end."""
        with asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner:
            runner.run(work)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualTime) -> None:
        super().__init__(_Selector(clock))
        self._virtual_time = clock

    def time(self) -> float:
        return self._virtual_time.monotonic()


class _Selector(selectors.SelectSelector):
    """Does not wait, but puts the clock forward."""

    def __init__(self, clock: VirtualTime) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "all wait, and not for a time"
        self._clock.advance(max(timeout, TURN_S))
        return super().select(0)
