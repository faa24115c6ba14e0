"""One look at the cluster after another: made in a thread, logged, and the latest kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from ipa.live.kubernetes.lanes import Parts
from ipa.live.kubernetes.look import Look
from ipa.live.kubernetes.pods import Pod
from ipa.live.kubernetes.reconciler import Reconciler
from ipa.live.kubernetes.threads import Threads
from ipa.policies import Configuration

LOOK_EVERY_S = 2.0
"""The reconcile loop looks at everything this often even if nothing has happened."""
BETWEEN_LOOKS_S = 0.2
"""The least time between two looks, however much happens."""
LOOK_EVERY_WHILE_STOPPED_S = 5.0
LOOK_EVERY_WHILE_CLOSING_S = 0.5
"""While somebody may still wait in a lane that gets no more requests: its replicas go when nobody does."""

log = logging.getLogger("ipa.live.kubernetes.looks")


class Looks:
    """The looks of a `reconciler`; `latest` is the last of them, empty before the first."""

    def __init__(self, reconciler: Reconciler, threads: Threads) -> None:
        self.latest = Look()
        self._reconciler = reconciler
        self._threads = threads

    async def take(
        self,
        wanted: Configuration,
        pods: Sequence[Pod],
        failed: Mapping[str, Mapping[str, float]],
        may_write: Callable[[], bool],
        lanes: Mapping[str, Parts] | None = None,
    ) -> Look:
        """Take another look; for the arguments, see `Reconciler.look`."""
        look = await self._threads.call(self._reconciler.look, wanted, pods, failed, may_write, lanes)
        if look.error:  # what only a person can end is believed until it is seen to have ended
            look = replace(
                look,
                is_held=look.is_held if look.has_read else self.latest.is_held,
                stopped={**_left_out(self.latest.stopped, look.judged), **look.stopped},
                foreign={**self.latest.foreign, **look.foreign},
            )
        for what in look.done:
            log.info("changed", extra={"what": what})
        self._log(look)
        self.latest = look
        return look

    def _log(self, look: Look) -> None:
        """What has changed since the latest look: what keeps the controller from its work, why, and that it is over."""
        for name in (*look.stopped, *(self.latest.stopped.keys() - look.stopped)):
            why = look.stopped.get(name, "")
            if why and why != self.latest.stopped.get(name):
                log.error("stopped: nothing is changed here until somebody acts", extra={"stage": name, "problem": why})
            elif not why:
                log.warning("goes on", extra={"stage": name})
        for name, why in look.foreign.items():
            if self.latest.foreign.get(name) != why:
                log.warning("another sets replicas", extra={"stage": name, "problem": why})
        for why, before, begins, ends in (
            (look.error, self.latest.error, "the cluster could not be read or changed", "the cluster answers again"),
            ("yes" if look.is_held else "", "yes" if self.latest.is_held else "", "held", "no longer held"),
        ):
            if why and why != before:
                log.error(begins, extra={"problem": why} if why != "yes" else {})
            elif before and not why:
                log.warning(ends)
        for stage, why in {**look.failed, **look.out_of_room}.items():
            if why not in (self.latest.failed.get(stage), self.latest.out_of_room.get(stage)):
                log.warning("a stage is not as wanted", extra={"stage": stage, "problem": why})
        for stage, why in look.delays.items():
            if why != self.latest.delays.get(stage):
                log.warning("a stage waits", extra={"stage": stage, "problem": why})

    async def rest(self) -> float:
        """Let the least time between two looks pass; how long the next may then wait if nothing happens [s]."""
        await asyncio.sleep(BETWEEN_LOOKS_S)
        as_usual_s = LOOK_EVERY_WHILE_STOPPED_S if self.latest.stopped else LOOK_EVERY_S
        return self._reconciler.pause_s or (BETWEEN_LOOKS_S if self.latest.done else as_usual_s)


def _left_out(stopped: Mapping[str, str], judged: Collection[str]) -> dict[str, str]:
    """What stopped the parts to which a look has not come."""
    return {name: why for name, why in stopped.items() if name not in judged}
