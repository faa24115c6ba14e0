"""The live clock of the control loop: a step is due at every interval, and one that would be late is skipped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import ceil, inf
from typing import Protocol

from ipa.live.deadline import Call
from ipa.policies import Backend, Controller, Entry


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
    until_s: float = inf,
    on_step: Callable[[Entry], object] = lambda _: None,
    *,
    first: int = 1,
    since_s: float = 0.0,
    applied_by: Backend | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    stopping: asyncio.Event | None = None,
) -> None:
    """Step at `since_s` + k x `interval_s`, k = 1, 2, ..., before `until_s`; `first` is the number of the first step.

    A step whose moment has passed before the one before it was done is skipped; the journal shows it: the numbers have
    a gap, and the next entry's outcome says why. `applied_by`: the backend that steps act on, if not `backend` itself.
    `stopping`, once set, ends the loop after a `sleep`; a step that has begun is ended first.
    """
    turn, late = 1, ""
    while since_s + turn * interval_s < until_s:
        await sleep(max(since_s + turn * interval_s - backend.now_s, 0.0))
        if stopping is not None and stopping.is_set():
            return
        step = first + turn - 1
        backend.begin_step(step, late)
        on_step(await _in_thread(lambda: controller.step(applied_by or backend)))
        following = max(turn + 1, ceil((backend.now_s - since_s) / interval_s))
        late = _skipped(step + 1, step + following - turn - 1, step)
        turn = following


def _skipped(first: int, last: int, during: int) -> str:
    if last < first:
        return ""
    which = f"step {first} was" if first == last else f"steps {first} to {last} were"
    return f"{which} skipped: step {during} took too long"


async def _in_thread(function: Callable[[], Entry]) -> Entry:
    """A step in a thread of its own: it may wait for this event loop, which goes on meanwhile."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    call = Call(function, lambda: loop.call_soon_threadsafe(done.set))
    await done.wait()
    return call.result()
