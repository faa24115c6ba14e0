"""When live control steps are due. Time is made of numbers here; nothing is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ipa.live.errors import RunError
from ipa.live.loop import Loop
from ipa.policies import (
    Applied,
    Controller,
    Entry,
    Journal,
)
from tests.live.clockwork import PIPELINE, Clockwork, Counts


def loop_of(
    backend: Clockwork, journal: Journal, first: int = 1, sleep: Callable[[float], Awaitable[bool]] | None = None
) -> Loop:
    controller: Any = Controller(PIPELINE, Counts(), journal)
    controller.first_step = first
    setup: Any = SimpleNamespace(interval_s=10.0)
    stopping: Any = SimpleNamespace(sleep=sleep or backend.sleep)
    return Loop(setup, controller, backend, stopping, Path(), lambda _: None)  # type: ignore[arg-type]


def steps(lasting_s: Mapping[int, float], duration_s: float = 60.0, first: int = 1) -> tuple[Clockwork, list[Entry]]:
    backend, journal = Clockwork(lasting_s), Journal()
    asyncio.run(loop_of(backend, journal, first).take_steps(until_s=duration_s))
    return backend, journal.entries


def test_steps_are_due_at_every_interval_before_the_end() -> None:
    backend, entries = steps({})
    assert backend.begun == [(1, 10.0), (2, 20.0), (3, 30.0), (4, 40.0), (5, 50.0)]
    assert [entry.outcome for entry in entries] == [Applied(True)] * 5


def test_a_step_that_lasts_does_not_shift_those_after_it() -> None:
    assert steps({2: 4.0})[0].begun == [(1, 10.0), (2, 20.0), (3, 30.0), (4, 40.0), (5, 50.0)]


def test_steps_that_would_be_late_are_skipped_and_the_journal_says_so() -> None:
    backend, entries = steps({2: 23.0})  # 20 to 43: the moments of 3 and 4 have passed
    assert backend.begun == [(1, 10.0), (2, 20.0), (5, 50.0)]
    assert [entry.observation.step for entry in entries] == [1, 2, 5]
    assert entries[-1].outcome == Applied(True, "steps 3 to 4 were skipped: step 2 took too long")
    assert entries[-1].decision.memory == {"steps": 3}


def test_a_step_that_the_journal_has_no_room_for_ends_the_run_and_is_not_applied() -> None:
    class Full(Journal):
        def decided(self, entry: Entry) -> None:
            if entry.observation.step == 3:
                raise RunError("journal.jsonl: cannot be written: No space left on device")
            super().decided(entry)

    backend, journal = Clockwork({}), Full()
    asyncio.run(loop_of(backend, journal).take_steps(until_s=60.0))
    assert backend.problems == ["journal.jsonl: cannot be written: No space left on device"]
    assert [entry.observation.step for entry in journal.entries] == [1, 2]


def test_one_late_step_alone_is_skipped() -> None:
    assert steps({3: 11.0})[1][-1].outcome == Applied(True, "step 4 was skipped: step 3 took too long")


def test_a_controller_that_goes_on_numbers_its_steps_on() -> None:
    assert steps({}, duration_s=25.0, first=8)[0].begun == [(8, 10.0), (9, 20.0)]


def test_without_an_end_steps_go_on_until_told_to_stop_on_a_clock_that_began_long_before() -> None:
    """It is 28,803 s there; step 42 at 28,820 lasts until 28,845, and step 45 is the last."""
    backend, journal = Clockwork({42: 25.0}), Journal()
    backend.now_s = 28_803.0

    async def sleep(seconds: float) -> bool:
        return await backend.sleep(seconds) and backend.step < 45

    asyncio.run(loop_of(backend, journal, 41, sleep).take_steps(since_s=28_800.0))
    assert backend.begun == [(41, 28_810.0), (42, 28_820.0), (45, 28_850.0)]
    assert journal.entries[-1].outcome == Applied(True, "steps 43 to 44 were skipped: step 42 took too long")
