"""What a live controller observes beyond one reading: what it remembers of the load, and what a missed one said."""

from __future__ import annotations

import asyncio
from math import nan
from types import SimpleNamespace
from typing import Any

from ipa.live.monitoring import Reading, SourceError, StageReading
from ipa.live.observer import Observer
from ipa.live.stage_replicas import StageReplicas
from ipa.policies import StageConfiguration
from ipa.policies.seasons import BEFORE_S, DAY_S

PLANE: Any = SimpleNamespace(pipeline=SimpleNamespace(name="sort"), seed=1, limit_cores=None)


class Counted:
    """A source by which 3 requests came in every second, the last 120 of which it tells; None: it does not answer."""

    def __init__(self, *moments_s: float | None) -> None:
        self._moments_s = iter(moments_s)

    async def read(self, now_s: float) -> Reading:
        time_s = next(self._moments_s)
        if time_s is None:
            raise SourceError("no answer")
        return Reading(time_s, (3.0,) * min(int(time_s), 120), 0.0, {})


def seasons_of(*moments_s: float | None, now_s: float = DAY_S) -> list[Any]:
    async def observed() -> list[Any]:
        observer = Observer(PLANE, (nan,) * 120, Counted(*moments_s), clock=lambda: 0.0)
        steps = enumerate(moments_s, start=1)
        return [(await observer.observe(step, now_s if at is None else at, {})).seasons_rps for step, at in steps]

    return asyncio.run(observed())


def test_after_a_day_a_live_controller_knows_what_came_yesterday() -> None:
    first, second, later = seasons_of(100.0, 200.0, DAY_S + 140.0)
    assert first == second == ((), ())
    assert later == ((3.0,) * 180, ())


def test_a_source_that_does_not_answer_makes_nobody_forget() -> None:
    *_, later = seasons_of(100.0, 200.0, None, DAY_S + 150.0, now_s=201.0)
    assert later[0][:BEFORE_S] == (3.0,) * BEFORE_S


class HalfBusy:
    """A source of a stage whose one replica is busy every other second; it does not answer at 20 s."""

    def __init__(self) -> None:
        self._read_s = 0.0

    async def read(self, now_s: float) -> Reading:
        if now_s == 20.0:
            raise SourceError("no answer")
        busy_s, self._read_s = (now_s - self._read_s) / 2, now_s
        return Reading(now_s, (3.0,) * 10, 0.0, {"sort": StageReading(busy_s=busy_s)})


def test_what_a_missed_reading_did_not_say_is_counted_over_its_time_too() -> None:
    stage = StageReplicas("sort", StageConfiguration("small", 1, 1, 0.0, 1))
    stage.create(0.0).ready_s = 0.0

    async def observed() -> list[tuple[float | None, float]]:
        observer = Observer(PLANE, (nan,) * 10, HalfBusy(), clock=lambda: 0.0)
        seen = [await observer.observe(step, 10.0 * step, {"sort": stage}) for step in (1, 2, 3)]
        return [(each.stages["sort"].busy_fraction, each.elapsed_s) for each in seen]

    assert asyncio.run(observed()) == [(0.5, 10.0), (0.0, 10.0), (0.5, 10.0)]
