"""One chaos: the faults of a schedule under load, and the judgement."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from tests.live.chaos.history import SILENT, UNREACHABLE, History
from tests.live.chaos.invariants import Bounds, Broken, broken
from tests.live.chaos.load import Load
from tests.live.chaos.pipeline import NAME
from tests.live.chaos.schedule import Fault, Kind, schedule

LOAD_RPS = 10.0
"""The weakest configuration that is drawn, one large replica with batches of 1 at each stage, serves 33."""
PROBES = 20
LOOKED_AT_EVERY_S = 0.25
STANDS = 4
"""How many looks in a row must find everything as it should be."""


log = logging.getLogger("chaos")


class World(Protocol):
    """What the faults act on."""

    history: History

    @property
    def url(self) -> str: ...

    async def open(self) -> None: ...

    async def unlike_wanted(self) -> str: ...

    async def close(self) -> None: ...

    async def kill(self) -> None: ...


class Faults(Protocol):
    """Does to a world what a fault says."""

    async def do(self, fault: Fault) -> None: ...


@dataclass(frozen=True)
class Surroundings:
    """Where there can be chaos: its faults, one every `every_s` on average, what it allows, how its world is made."""

    kinds: Sequence[Kind]
    every_s: float
    bounds: Bounds
    make: Callable[[History, Path, int, float], tuple[World, Faults]]


@dataclass(frozen=True)
class Verdict:
    """What came of one chaos."""

    faults: tuple[Fault, ...]
    history: History
    broken: list[Broken]

    @property
    def figures(self) -> dict[str, Any]:
        """What happened, in numbers."""
        history = self.history
        names = {UNREACHABLE: "unreachable", SILENT: "no answer"}
        statuses = Counter(answer.status for answer in history.answers)
        memory = {
            part: round(max(each.resident_bytes for each in history.usage if each.part == part) / 2**20)
            for part in sorted({each.part for each in history.usage})
        }
        return {
            "faults": dict(sorted(Counter(f"{each.kind} {each.target}" for each in self.faults).items())),
            "missed": len(history.missed),
            "requests": len(history.asked),
            "answers": {str(names.get(key, key)): count for key, count in sorted(statuses.items())},
            "hostile": len(history.hostile),
            "outage_s": round(sum(each.until_s - each.from_s for each in history.outages[1:]), 1),
            "gateways": len(history.lives),
            "recorded": sum(len(life.records) for life in history.lives),
            "most_memory_mb": memory,
            "most_descriptors": max((each.descriptors for each in history.usage), default=0),
            "converged_s": history.converged_s and round(history.converged_s, 1),
        }


def loopback() -> Surroundings:
    """This machine."""
    from tests.live.chaos.loopback import BOUNDS, LoopbackWorld
    from tests.live.chaos.loopback_faults import EVERY_S, KINDS, LoopbackFaults

    def make(history: History, folder: Path, seed: int, seconds: float) -> tuple[World, Faults]:
        world = LoopbackWorld(history, folder, seed, seconds)
        return world, LoopbackFaults(world)

    return Surroundings(KINDS, EVERY_S, BOUNDS, make)


def chaos(on: Surroundings, seed: int, seconds: float, faults: tuple[Fault, ...] | None = None) -> Verdict:
    """Chaos of so many seconds by a seed, or with the faults of another schedule."""
    faults = schedule(seed, seconds, on.kinds, on.every_s) if faults is None else faults
    history = History()
    with tempfile.TemporaryDirectory(prefix="ipa-chaos-") as folder:
        asyncio.run(_under_load(on, history, Path(folder), seed, seconds, faults))
    return Verdict(faults, history, broken(history, on.bounds))


async def _under_load(
    on: Surroundings, history: History, folder: Path, seed: int, seconds: float, faults: Sequence[Fault]
) -> None:
    world, hands = on.make(history, folder, seed, seconds)
    load = Load(history, lambda: world.url, NAME, LOAD_RPS)
    loading: asyncio.Task[None] | None = None
    try:
        await world.open()
        loading = asyncio.create_task(load.run())
        start_s = time.monotonic()
        await asyncio.gather(*(_at(start_s + fault.at_s, hands, fault) for fault in faults))
        await _converge(world, on.bounds.converges_within_s)
        load.stop()
        await loading
        await _probe(world, load, on.bounds.converges_within_s)
        await world.close()
    finally:
        if loading is not None:
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading
        await world.kill()


async def _at(moment_s: float, hands: Faults, fault: Fault) -> None:
    await asyncio.sleep(max(0.0, moment_s - time.monotonic()))
    log.info(fault.line())
    await hands.do(fault)


async def _converge(world: World, within_s: float) -> None:
    """Wait until everything stands as it should, several looks in a row."""
    history, since_s = world.history, time.monotonic()
    stood = 0
    while time.monotonic() < since_s + within_s:
        before, history.standing = history.standing, await world.unlike_wanted()
        if history.standing != before:
            log.info(history.standing or "everything stands")
        if not history.standing:
            if stood == 0:
                first_s = time.monotonic()
            stood += 1
            if stood == STANDS:
                history.converged_s = first_s - since_s
                return
        else:
            stood = 0
        await asyncio.sleep(LOOKED_AT_EVERY_S)


async def _probe(world: World, load: Load, within_s: float) -> None:
    """Requests to a pipeline that stands as it should, one by one, until some in a row are served."""
    import aiohttp

    history, until_s = world.history, time.monotonic() + within_s
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60.0)) as session:
        while time.monotonic() < until_s and history.probes != [200] * PROBES:
            history.probes = [*history.probes[1 - PROBES :], await load.ask(session)]


def cluster(is_alone: bool = False) -> Surroundings:
    """The cluster that KUBECONFIG names; `is_alone`: nobody else uses it."""
    from tests.live.chaos.cluster import BOUNDS, ClusterWorld
    from tests.live.chaos.cluster_faults import ALONE, EVERY_S, KINDS, ClusterFaults

    def make(history: History, folder: Path, seed: int, _: float) -> tuple[World, Faults]:
        world = ClusterWorld(history, folder, seed)
        return world, ClusterFaults(world)

    return Surroundings(ALONE if is_alone else KINDS, EVERY_S, BOUNDS, make)


SURROUNDINGS: Mapping[str, Callable[[], Surroundings]] = {
    "loopback": loopback,
    "cluster": cluster,
    "cluster-alone": partial(cluster, is_alone=True),
}


def surroundings(name: str) -> Surroundings:
    """Surroundings by name."""
    return SURROUNDINGS[name]()
