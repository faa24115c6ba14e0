"""What ends a live run early: a signal or a failure of its backend; and what signals do before and after it.

SIGHUP is that of a terminal which has been closed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any

from ipa.live.errors import RunError

INTERRUPTED = "interrupted"


def heeded() -> tuple[signal.Signals, ...]:
    """The signals that end a run, without those that this process ignores since its start (`nohup`, `&` in a script).

    None in another thread than the main one, which receives no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return ()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return tuple(number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None))


def leave_closed_terminal() -> None:
    """Have what is printed go nowhere where it would go to a terminal that has been closed: writing there fails."""
    for output in (1, 2):
        with suppress(OSError):  # one that is closed
            if stat.S_ISCHR(os.fstat(output).st_mode) and not os.isatty(output):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, output)
                os.close(nowhere)


class Interrupts:
    """How a command handles signals around its live run, within a `with` block.

    Before the run there is nothing to save: the program ends at once, with exit code 1 (an exception could be raised
    where nothing can catch it). Once it has begun (see `Stopping`), its results are to be written: one signal is
    tolerated, and a second one ends the program at once. `on_end` is called before that. A terminal that is closed may
    send SIGHUP twice, which counts as one.
    """

    def __init__(self, on_end: Callable[[], object] = lambda: None) -> None:
        self._on_end = on_end
        self._before: dict[signal.Signals, Any] = {}
        self.has_begun = False
        self._is_asked = False

    def __enter__(self) -> Interrupts:
        self._before = {number: signal.signal(number, self) for number in heeded()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            leave_closed_terminal()
        if self.has_begun and (not self._is_asked or number == signal.SIGHUP):
            self._is_asked = True
            return
        self._on_end()
        with suppress(OSError):
            os.write(2, b"Aborted!\n")
        os._exit(1)


class Stopping:
    """Waits for work to be done, or for a reason to stop; to be made in an event loop, as the first thing of a run.

    The first signal asks the run to end in order. A second one ends the program with exit code 1; `at_once` of `follow`
    leaves no process behind. Signals that the process ignores stay ignored. SIGHUP counts as in `Interrupts`.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._failed: dict[str, asyncio.Future[None]] = {}
        self._at_once: list[Callable[[], object]] = []
        self._signalled: asyncio.Future[None] = self._loop.create_future()
        self._before = {number: signal.getsignal(number) for number in heeded()}
        for number, before in self._before.items():
            if isinstance(before, Interrupts):
                before.has_begun = True
            self._loop.add_signal_handler(number, self._on_signal, number)

    def follow(self, failed: asyncio.Future[None], at_once: Callable[[], object], name: str = "") -> None:
        """`failed` is done, with an error, once the run cannot go on; `at_once` ends its processes without waiting.

        To be called for each backend of a run; if there are several, errors begin with the `name`.
        """
        self._failed[name] = failed
        self._at_once.append(at_once)

    def _on_signal(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP:
            leave_closed_terminal()
        if self._signalled.done():
            if number == signal.SIGHUP:
                return
            for at_once in self._at_once:
                at_once()
            os._exit(1)
        self._signalled.set_result(None)

    @property
    def why(self) -> str:
        """Why the run has to end early; empty while it need not."""
        for name, failed in self._failed.items():
            if failed.done():
                return ": ".join(filter(None, (name, str(failed.exception()))))
        return INTERRUPTED if self._signalled.done() else ""

    async def finishes(self, work: Coroutine[Any, Any, object]) -> bool:
        """Do some work, and cancel it if the run has to end first; returns whether it was done."""
        if self.why:
            work.close()
            return False
        doing = asyncio.ensure_future(work)
        events: set[asyncio.Future[Any]] = {doing, self._signalled, *self._failed.values()}
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
        """Do some work without which there is no run. Raises as `check` if the run has to end before it is done."""
        if not await self.finishes(work):
            self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt or RunError, by what ends the run early, if anything does."""
        if self.why:
            raise KeyboardInterrupt if self.why == INTERRUPTED else RunError(self.why)

    async def sleep(self, seconds: float) -> bool:
        """Sleep until the run has to end, at the longest; returns whether the run goes on."""
        await self.finishes(asyncio.sleep(seconds))
        return not self.why

    def close(self) -> None:
        for number, before in self._before.items():
            self._loop.remove_signal_handler(number)
            signal.signal(number, before)
