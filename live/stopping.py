"""What ends a live run early: SIGINT, SIGTERM, or a failure of its backend."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from ipa.live.errors import RunError

INTERRUPTED = "interrupted"


class Stopping:
    """Waits for work to be done, or for a reason to stop.

    The first signal asks the run to end in order. A second one calls `at_once`, which should leave no process behind,
    and ends the program with exit code 1. `failed` is done, with an error, once the run cannot go on.
    """

    def __init__(self, failed: asyncio.Future[None], at_once: Callable[[], object]) -> None:
        self._failed = failed
        self._at_once = at_once
        self._loop = asyncio.get_running_loop()
        self._signalled: asyncio.Future[None] = self._loop.create_future()
        is_main = threading.current_thread() is threading.main_thread()
        self._numbers = (signal.SIGINT, signal.SIGTERM) if is_main else ()  # other threads receive no signals
        for number in self._numbers:
            self._loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self._signalled.done():
            self._at_once()
            os._exit(1)
        self._signalled.set_result(None)

    @property
    def why(self) -> str:
        """Why the run has to end early; empty while it need not."""
        if self._failed.done():
            return str(self._failed.exception())
        return INTERRUPTED if self._signalled.done() else ""

    async def finishes(self, work: Coroutine[Any, Any, object]) -> bool:
        """Do some work, and cancel it where the run has to end first; whether it was done."""
        if self.why:
            work.close()
            return False
        doing = asyncio.ensure_future(work)
        events: set[asyncio.Future[Any]] = {doing, self._signalled, self._failed}
        try:
            await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                doing.result()
                return True
            return False
        finally:
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)

    async def must_finish(self, work: Coroutine[Any, Any, object]) -> None:
        """Do some work without which there is no run. Raises as `check` where the run has to end before it is done."""
        if not await self.finishes(work):
            self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt or RunError, by what ends the run early, if anything does."""
        if self.why:
            raise KeyboardInterrupt if self.why == INTERRUPTED else RunError(self.why)

    async def sleep(self, seconds: float) -> bool:
        """Sleep, unless the run has to end; whether it goes on."""
        await self.finishes(asyncio.sleep(seconds))
        return not self.why

    def close(self) -> None:
        """Leave signals to whoever handled them before."""
        for number in self._numbers:
            self._loop.remove_signal_handler(number)
