"""The live clock of the control loop: a step is due at every interval, and one that would be late is skipped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Protocol

from live.deadline import Call
from policies import Backend, Controller, Entry


class SteppedBackend(Backend, Protocol):
    """A backend that is told the number of the step to come."""

    @property
    def now_s(self) -> float:
        """The run's clock."""
        ...

    def begin_step(self, step: int, late: str = "") -> None: ...


async def control(
    controller: Controller,
    backend: SteppedBackend,
    interval_s: float,
    duration_s: float,
    on_step: Callable[[Entry], object] = lambda _: None,
    first: int = 1,
    applied_by: Backend | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Step at every multiple of `interval_s` before `duration_s`; `first` is the number of the first step.

    A step whose moment has passed before the one before it was done is skipped; the journal shows it: the numbers have
    a gap, and the next entry's outcome says why. `applied_by`: the backend that steps act on, if not `backend` itself.
    """
    turn, late = 1, ""
    while turn * interval_s < duration_s:
        await sleep(max(turn * interval_s - backend.now_s, 0.0))
        step = first + turn - 1
        backend.begin_step(step, late)
        on_step(await in_thread(lambda: controller.step(applied_by or backend)))
        following = max(turn + 1, ceil(backend.now_s / interval_s))
        late = _skipped(step + 1, step + following - turn - 1, step)
        turn = following


def _skipped(first: int, last: int, during: int) -> str:
    if last < first:
        return ""
    which = f"step {first} was" if first == last else f"steps {first} to {last} were"
    return f"{which} skipped: step {during} took too long"


async def in_thread(function: Callable[[], Entry]) -> Entry:
    """A step in a thread of its own: it may wait for this event loop, which goes on meanwhile."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    call = Call(function, lambda: loop.call_soon_threadsafe(done.set))
    await done.wait()
    return call.result()
