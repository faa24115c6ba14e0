"""What a live controller remembers of the load for a forecast by the season."""

from __future__ import annotations

import asyncio
from math import nan
from types import SimpleNamespace
from typing import Any

from ipa.live.monitoring import Reading, SourceError
from ipa.live.observer import Observer
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
