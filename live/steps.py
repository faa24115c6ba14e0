"""The clock of live control steps: one is due at every interval, and one that would be late is skipped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import ceil
from typing import Protocol

from ipa.live.deadline import Call
from ipa.policies import Entry


class Clocked(Protocol):
    """What steps are taken on: it has the run's clock, and is told the number of the step to come."""

    @property
    def now_s(self) -> float: ...

    def begin_step(self, step: int, late: str = "") -> None: ...


async def take_steps(
    take: Callable[[], Entry],
    on: Clocked,
    interval_s: float,
    sleep: Callable[[float], Awaitable[bool]],
    on_step: Callable[[Entry], object] = lambda _: None,
    *,
    first: int,
    since_s: float,
    until_s: float,
) -> None:
    """Take a step at `since_s` + k x `interval_s`, k = 1, 2, ..., before `until_s`; `first` numbers the first one.

    `take` is called in a thread of its own, `on_step` with what it returned in this one. A step that falls due before
    the previous one is done is skipped, and the journal shows it: the numbers have a gap, and the next entry's outcome
    says why. `sleep` returns False to end the loop early; a step that has begun always ends first.
    """
    turn, late = 1, ""
    while since_s + turn * interval_s < until_s:
        if not await sleep(max(since_s + turn * interval_s - on.now_s, 0.0)):
            return
        step = first + turn - 1
        on.begin_step(step, late)
        on_step(await _in_thread(take))
        following = max(turn + 1, ceil((on.now_s - since_s) / interval_s))
        late = _skipped(step + 1, step + following - turn - 1, step)
        turn = following


def _skipped(first: int, last: int, during: int) -> str:
    if last < first:
        return ""
    which = f"step {first} was" if first == last else f"steps {first} to {last} were"
    return f"{which} skipped: step {during} took too long"


async def _in_thread(function: Callable[[], Entry]) -> Entry:
    """Call a function that may itself wait for this event loop, which goes on meanwhile."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    call = Call(function, lambda: loop.call_soon_threadsafe(done.set))
    await done.wait()
    return call.result()
