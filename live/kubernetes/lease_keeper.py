"""Holding the Lease for as long as a run lasts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ipa.live.kubernetes.lease import Lease
from ipa.live.kubernetes.threads import Threads

log = logging.getLogger("ipa.live.kubernetes.lease_keeper")


class LeaseKeeper:
    """Takes a Lease, renews it and gives it back; with no Lease (None), nobody else writes.

    `report` is what each renewal publishes for `ipa live status`.
    """

    def __init__(self, lease: Lease | None, threads: Threads, report: Callable[[], str]) -> None:
        self._lease = lease
        self._threads = threads
        self._report = report

    @property
    def is_held(self) -> bool:
        """Whether no other controller can be writing; may be asked from any thread."""
        return self._lease is None or self._lease.is_held

    @property
    def trouble(self) -> str:
        """Why the Lease is not held, if it is not."""
        if self._lease is None:
            return ""
        if self._lease.problem:
            return f"not renewed: {self._lease.problem}"
        return "not renewed in time" if self._lease.holder in ("", self._lease.identity) else self._held_by

    async def take(self) -> None:
        """Wait until no other controller writes."""
        lease, said = self._lease, ""
        while lease is not None and not await self._acquire(lease):
            if (why := lease.problem or self._held_by) != said:
                log.warning("waiting for the Lease", extra={"problem": why})
                said = why
            await asyncio.sleep(lease.retry_s)
        if said:
            log.warning("the Lease is ours")

    async def keep(self, on_lost: Callable[[str], object]) -> None:
        """Renew the Lease until another controller has taken it; `on_lost` is then told so."""
        lease, said = self._lease, ""
        while lease is not None:
            await asyncio.sleep(lease.retry_s)
            if not await self._acquire(lease) and lease.is_lost:
                on_lost(f"another controller has taken over: {lease.holder}")
                return
            if lease.problem != said:
                said = lease.problem
                log.warning("the Lease is not renewed" if said else "the Lease is renewed again", extra=_problem(said))

    async def release(self) -> None:
        """Let the next controller have the Lease at once."""
        if self._lease is not None:
            await asyncio.to_thread(self._lease.release)

    @property
    def _held_by(self) -> str:
        return f"held by {self._lease.holder}" if self._lease else ""

    async def _acquire(self, lease: Lease) -> bool:
        lease.report = self._report()
        return await self._threads.call(lease.acquire)


def _problem(said: str) -> dict[str, str]:
    return {"problem": said} if said else {}
