"""Calls that block, made in threads beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Makes calls in threads, and remembers those under way.

    Cancelling a task does not stop a call that it has begun in a thread, so `finish` waits for all of them.
    """

    def __init__(self) -> None:
        self._begun: set[asyncio.Future[Any]] = set()

    async def call(self, function: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Call in a thread; the call goes on even if the task that waits for it is cancelled."""
        begun = asyncio.ensure_future(asyncio.to_thread(function, *given, **named))
        self._begun.add(begun)
        begun.add_done_callback(self._begun.discard)
        return await asyncio.shield(begun)

    async def finish(self) -> None:
        """Wait until every call has returned or failed."""
        await asyncio.gather(*self._begun, return_exceptions=True)
