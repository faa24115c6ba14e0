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

PLANE: Any = SimpleNamespace(
    pipeline=SimpleNamespace(name="sort", stages=[SimpleNamespace(name="sort", fills_batches=True)]),
    seed=1,
    limit_cores=None,
)


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
