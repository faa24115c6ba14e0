"""The live runs of a fleet: all its pipelines in one event loop, with one arbiter between their controllers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ipa.live.loop import LEAD_S, Loop, Setup, opened
from ipa.live.sending import Finished, Schedule, Sending, View
from ipa.live.sharing import LiveArbiter, NoAnswerError, SharingController
from ipa.live.stopping import Stopping
from ipa.policies import Configuration, Entry, Journal

T = TypeVar("T")


@dataclass(frozen=True)
class FleetMember:
    """A pipeline of a live fleet: its settings, its controller, and what is ready at first."""

    setup: Setup
    controller: SharingController
    initial: Configuration


@dataclass(frozen=True)
class MemberLoad:
    """The load of a pipeline; `on_view` is called every second."""

    schedule: Schedule
    on_view: Callable[[View], object] = lambda _: None


def run_fleet_with_load(
    members: Mapping[str, FleetMember], loads: Mapping[str, MemberLoad], arbiter: LiveArbiter
) -> dict[str, Finished]:
    """Send the loads of all pipelines from one t = 0 on, and run until each of their requests has ended.

    A pipeline that has ended is closed, and leaves its cores to the others. What ends one early ends all; see
    `run_with_load`, also for what it raises.
    """

    async def send(loop: Loop, load: MemberLoad, origin_s: float) -> Finished:
        journal = loop.controller.journal
        sending = Sending(load.schedule, loop.backend, journal, loop.folder, load.on_view)
        finished = await loop.send(sending, load.schedule.duration_s, origin_s)
        await loop.backend.close()
        with suppress(NoAnswerError):  # then its cores stay its own
            await asyncio.to_thread(arbiter.leave, loop.name)
        return finished

    async def main() -> dict[str, Finished]:
        async with _all_opened(members) as (loops, stopping):
            origin_s = time.monotonic() + LEAD_S
            for loop in loops.values():
                await stopping.must_finish(loop.backend.start(origin_s))
            finished = await _together(send(loop, loads[name], origin_s) for name, loop in loops.items())
            return dict(zip(loops, finished, strict=True))

    return asyncio.run(main())


def run_fleet_without_load(
    members: Mapping[str, FleetMember],
    duration_s: float | None = None,
    on_step: Callable[[str, Entry], object] = lambda *_: None,
    recalls: Mapping[str, Callable[[Journal], object]] | None = None,
) -> None:
    """Control the pipelines, whose loads come from elsewhere, for `duration_s` (None: without end) or until a signal.

    What ends one early ends all; see `run_without_load`, also for what it raises.
    """

    async def main() -> None:
        async with _all_opened(members, on_step) as (loops, _):
            await _together(loop.resume((recalls or {}).get(name, lambda _: None)) for name, loop in loops.items())
            for loop in loops.values():
                claim_cores = await asyncio.to_thread(loop.backend.claim_cores)
                await asyncio.to_thread(members[loop.name].controller.stands, claim_cores)
            await _together(loop.take_over(duration_s) for loop in loops.values())

    with suppress(KeyboardInterrupt):
        asyncio.run(main())


@asynccontextmanager
async def _all_opened(
    members: Mapping[str, FleetMember], on_step: Callable[[str, Entry], object] = lambda *_: None
) -> AsyncIterator[tuple[dict[str, Loop], Stopping]]:
    """The backends of all pipelines, opened at once."""
    with closing(Stopping()) as stopping:
        async with AsyncExitStack() as stack:
            loops = await _together(
                stack.enter_async_context(
                    opened(each.setup, each.controller, each.initial, stopping, partial(on_step, name), name=name)
                )
                for name, each in members.items()
            )
            yield dict(zip(members, loops, strict=True)), stopping


class _InterruptedError(Exception):
    """KeyboardInterrupt in a task: raised as itself, it would leave the event loop before anything is closed."""


async def _together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of works that are done at once; if one fails, the others are cancelled, and it is raised."""

    async def result(work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        except KeyboardInterrupt:
            raise _InterruptedError from None

    tasks = [asyncio.ensure_future(result(work)) for work in works]
    try:
        return await asyncio.gather(*tasks)
    except _InterruptedError:
        raise KeyboardInterrupt from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
