"""The faults on this machine, and what each does."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ipa.live.plane import LOOPBACK
from tests.live.chaos.hostile import HOSTILE, attack
from tests.live.chaos.loopback import LOOKED_AT_EVERY_S, LoopbackWorld
from tests.live.chaos.pipeline import draw_configuration
from tests.live.chaos.schedule import Fault, Kind
from tests.live.world import is_alive

RESTART_S = 6.0
"""A restart of the whole run takes about so long on two busy cores."""
HOUR_S = 3600.0


def draw_attacks(drawn: random.Random) -> Mapping[str, Any]:
    """Some hostile requests, and what decides their details."""
    return {"how": [drawn.choice(list(HOSTILE)) for _ in range(drawn.randint(2, 8))], "seed": drawn.randrange(2**31)}


def draw_hours(drawn: random.Random) -> Mapping[str, Any]:
    """An hour or a day, forward or back."""
    return {"by_s": drawn.choice((-24, -1, 1, 24)) * HOUR_S}


def draw_delay(drawn: random.Random) -> Mapping[str, Any]:
    """A delay of each piece of data, each way."""
    return {"delay_s": round(drawn.uniform(0.02, 0.5), 3)}


KINDS = (
    Kind("reconfigure", "policy", 5, draw=draw_configuration),
    Kind("kill", "replica", 5),
    Kind("kill", "gateway", rests_s=RESTART_S),
    Kind("kill", "launcher", rests_s=RESTART_S),
    Kind("kill", "load", rests_s=RESTART_S),
    Kind("kill", "controller", rests_s=RESTART_S),
    Kind("pause", "replica", 2, lasts_s=(0.2, 5.0)),
    Kind("pause", "gateway", lasts_s=(0.2, 3.0)),
    Kind("pause", "launcher", lasts_s=(0.2, 4.0)),
    Kind("pause", "controller", lasts_s=(0.5, 5.0)),
    Kind("slow", "replicas", 2, lasts_s=(1.0, 6.0), draw=draw_delay),
    Kind("slow", "control", lasts_s=(1.0, 6.0), draw=draw_delay),
    Kind("cut", "replicas", 2, lasts_s=(0.2, 4.0)),
    Kind("cut", "control", lasts_s=(0.2, 6.0)),
    Kind("silence", "replicas", lasts_s=(0.5, 5.0)),
    Kind("silence", "control", lasts_s=(0.5, 6.0)),
    Kind("attack", "gateway", 4, lasts_s=(0.5, 4.0), draw=draw_attacks),
    Kind("clock", "all", 2, draw=draw_hours),
    Kind("rival", "controller"),
)
EVERY_S = 1.2


class LoopbackFaults:
    """Does to a world what a fault says; each method takes as long as its fault lasts."""

    def __init__(self, world: LoopbackWorld) -> None:
        self._world = world
        self._attacks = 0
        self._rivals = 0

    async def do(self, fault: Fault) -> None:
        """One fault, from its beginning to its end."""
        await getattr(self, fault.kind)(fault)

    def _victim(self, fault: Fault) -> int | None:
        there = self._world.parts(fault.target)
        if not there:
            self._world.history.missed.append(fault.line())
            return None
        return there[int(fault.parameters["pick"] * len(there))]

    async def reconfigure(self, fault: Fault) -> None:
        """The policy wants something else."""
        self._world.wanted.set(fault.parameters["wanted"])

    async def kill(self, fault: Fault) -> None:
        """SIGKILL; without any part but a replica the run ends."""
        if (pid := self._victim(fault)) is None:
            return
        if fault.target != "replica":
            self._world.killed = f"the {fault.target} was killed"
            self._world.went_down()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    async def pause(self, fault: Fault) -> None:
        """SIGSTOP, and SIGCONT."""
        if (pid := self._victim(fault)) is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(fault.lasts_s)
            finally:
                os.kill(pid, signal.SIGCONT)

    async def slow(self, fault: Fault) -> None:
        """The network delays what passes."""
        link = self._world.relays.links[fault.target]
        link.delays_s.append(fault.parameters["delay_s"])
        await asyncio.sleep(fault.lasts_s)
        link.delays_s.remove(fault.parameters["delay_s"])

    async def cut(self, fault: Fault) -> None:
        """The network breaks all connections and takes no new ones."""
        link = self._world.relays.links[fault.target]
        link.cut()
        await asyncio.sleep(fault.lasts_s)
        link.cuts -= 1

    async def silence(self, fault: Fault) -> None:
        """The network takes connections, and nothing arrives."""
        link = self._world.relays.links[fault.target]
        link.silence(1)
        await asyncio.sleep(fault.lasts_s)
        link.silence(-1)

    async def attack(self, fault: Fault) -> None:
        """Hostile requests, all at once."""
        drawn = random.Random(fault.parameters["seed"])
        names = [f"h{self._attacks + number}" for number in range(len(fault.parameters["how"]))]
        self._attacks += len(names)
        port = self._world.port
        self._world.history.hostile += await asyncio.gather(
            *(
                attack(name, how, drawn, LOOPBACK, port, fault.lasts_s)
                for name, how in zip(names, fault.parameters["how"], strict=True)
            )
        )

    async def clock(self, fault: Fault) -> None:
        """The time of day is set."""
        self._world.clock.step(fault.parameters["by_s"])

    async def rival(self, fault: Fault) -> None:
        """A second controller with the same state file, which may not begin while the first is there."""
        first = self._world.parts("controller")
        if not (first and self._world.is_up):
            self._world.history.missed.append(fault.line())
            return
        self._rivals += 1
        process = await self._world.start(f"rival-{self._rivals}")  # one that may begin leaves results
        ending = asyncio.create_task(process.communicate())
        while not ending.done() and is_alive(first[0]):
            await asyncio.wait([ending], timeout=LOOKED_AT_EVERY_S)
        if not ending.done():  # it may begin now
            process.terminate()
        told = (await ending)[1].decode(errors="replace")
        if is_alive(first[0]) and "another controller is writing this journal" not in told:
            how = f"ended with {process.returncode}, not refused: {told[-500:]}"
            self._world.history.defects.append(f"a second controller {how}")
