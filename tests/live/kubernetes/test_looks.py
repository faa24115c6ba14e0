"""What is logged of one look at the cluster after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("kubernetes")

from ipa.live.kubernetes.look import Look
from ipa.live.kubernetes.looks import Looks
from ipa.live.log_lines import Lines


class Given:
    """A reconciler whose looks are given, and threads that do not run beside."""

    def __init__(self, *looks: Look) -> None:
        self._looks = iter(looks)

    def look(self, *_: object) -> Look:
        return next(self._looks)

    async def call(self, function: Callable[..., Any], *given: Any) -> Any:
        return function(*given)


def test_what_a_stage_waits_for_is_logged_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    one, other = (Look(delays={"sort": why}) for why in ("no node takes it", "not ready"))
    given = Given(one, one, other, Look(), other)
    looks = Looks(given, given)  # type: ignore[arg-type]

    async def taken() -> None:
        for _ in range(5):
            await looks.take({}, (), {}, lambda: True)

    asyncio.run(taken())
    assert [Lines().format(record).partition(" ")[2] for record in caplog.records] == [
        f"warning: a stage waits: stage: sort; problem: {why}" for why in ("no node takes it", "not ready", "not ready")
    ]
