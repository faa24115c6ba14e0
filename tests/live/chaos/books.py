"""A gateway's books, read all the while, so that what it knew is known when it has been killed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.live.chaos.history import History, Life
from tests.live.world import metric_values

READ_EVERY_S = 0.25
TRIES = 50

Get = Callable[[str], Awaitable[bytes | None]]
"""Reads a path of the control API; None: it does not answer."""


class Books:
    """Reads the control API with `get`, for as long as the gateway lives, and keeps what it says in the history."""

    def __init__(self, history: History, get: Get) -> None:
        self._history = history
        self._get = get
        self._next = 0

    async def run(self) -> None:
        """Read again and again."""
        while True:
            await self.read()
            await asyncio.sleep(READ_EVERY_S)

    async def read(self) -> bool:
        """Read what has been added; whether all of it was there to be read."""
        import orjson

        while True:
            asked_s = time.monotonic()
            text = await self._get(f"/control/records?after={self._next}")
            if text is None:
                return False
            said: dict[str, Any] = orjson.loads(text)
            life = self._life(said["epoch"], asked_s)
            if life is None:
                continue
            life.records += said["records"]
            self._next = said["next"]
            if not said["records"]:
                life.read_s = asked_s
                return True

    def _life(self, epoch: str, now_s: float) -> Life | None:
        """The life of that epoch; None where it is new and was not asked for from its beginning."""
        lives = self._history.lives
        if lives and lives[-1].epoch == epoch:
            return lives[-1]
        lives.append(Life(epoch, now_s, now_s))
        was, self._next = self._next, 0
        return lives[-1] if was == 0 else None

    async def close(self) -> str:
        """Read what is left, with the metrics, at a moment when nothing comes; why that cannot be, if so."""
        for _ in range(TRIES):
            text = await self._get("/metrics") if await self.read() else None
            if text is None:
                return "the gateway does not answer"
            self._sum(metric_values(text.decode()))
            life = self._history.lives[-1]
            if sum(life.ended.values()) == len(life.records):
                break  # else something has ended in between
        return ""

    def _sum(self, values: Mapping[tuple[str, ...], float]) -> None:
        life = self._history.lives[-1]
        life.received = int(values["ipa_requests_received_total",])
        life.inside = int(values["ipa_requests_inside",])
        ended = {key[1]: int(value) for key, value in values.items() if key[0] == "ipa_requests_total"}
        life.ended = Counter(ended)
        life.is_whole = True
