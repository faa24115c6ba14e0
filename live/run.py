"""The two uses of the live loop: a run that sends a load and ends with it, and a controller that sends none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf

from ipa.live.kept import Keeper
from ipa.live.live_controller import LiveController
from ipa.live.loop import Loop, in_loop
from ipa.live.sending import Finished, Schedule, Sending, View
from ipa.live.setup import Setup
from ipa.policies import Configuration, Entry

LEAD_S = 0.5
"""From everything being ready to t = 0."""


def run_with_load(
    setup: Setup,
    controller: LiveController,
    initial: Configuration,
    schedule: Schedule,
    on_view: Callable[[View], object] = lambda _: None,
    keeper: Keeper | None = None,
) -> Finished:
    """Send a load, and run until each of its requests has ended; `initial` is ready at t = 0.

    `on_view` is called every second with how the run stands; `keeper` keeps on disk what has ended. A signal or a
    failure once the load is being sent ends the run early; before that they raise (see `in_loop`).
    """

    async def send(loop: Loop) -> Finished:
        sending = Sending(schedule, loop.backend, controller.journal, loop.folder, on_view, keeper)
        origin_s = time.monotonic() + LEAD_S
        await loop.stopping.must_finish(loop.backend.start(origin_s))
        sending.start(origin_s)
        is_over, _ = await asyncio.gather(
            loop.stopping.finishes(sending.until_all_ended()),
            loop.take_steps(until_s=schedule.duration_s),
        )
        return await sending.finish("" if is_over else loop.stopping.why)

    return in_loop(send, setup, controller, initial)


def run_without_load(
    setup: Setup,
    controller: LiveController,
    initial: Configuration,
    duration_s: float | None = None,
    on_step: Callable[[Entry], object] = lambda _: None,
) -> None:
    """Control a pipeline whose load comes from elsewhere, for `duration_s` (None: without end) or until a signal.

    Steps are due at multiples of the interval on the gateway's clock; `on_step` is called with each new entry. Raises
    as `in_loop`, and RunError for a failure later on; a signal raises nothing.
    """

    async def control(loop: Loop) -> None:
        await loop.stopping.must_finish(loop.backend.start(0.0))
        now_s = loop.backend.now_s
        await loop.take_steps(
            since_s=now_s // setup.interval_s * setup.interval_s,
            until_s=inf if duration_s is None else now_s + duration_s,
        )
        loop.stopping.check()

    with suppress(KeyboardInterrupt):
        in_loop(control, setup, controller, initial, on_step)
