"""Measures a variant on some cores: its start-up, its points, and the slowdown by replicas beside it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from ipa.live.errors import RunError
from ipa.live.profiling import machine, repeats
from ipa.live.profiling.machine import Clocks, ModelServer, process_s, usable_cores
from ipa.live.profiling.repeats import TimeEstimate
from ipa.live.profiling.samples import Samples, made_up, read_samples
from ipa.live.profiling.values import Content, Effort, Overhead, Point, Start, Target, TimesBeside
from ipa.live.serving import Probe, in_event_loop

T = TypeVar("T")

TIMEOUT_S = 300.0
"""How long a batch may take."""
ROUNDS = 20
"""How often a replica is measured alone and beside others, in turn."""
OVERHEAD_S = 1.0


@dataclass
class Session:
    """A running model on `cores` cores, and the requests for it."""

    target: Target
    cores: int
    probe: Probe
    samples: Samples
    effort: Effort
    pids: tuple[int, ...] = ()

    async def point(self, batch: int) -> Point:
        """Measure batches of that size. Raises ProbeError."""
        pool, effort = self.samples.pool(batch, self.effort.seed), self.effort
        draws = iter(pool)
        before, used_s = Clocks.read(self.pids), process_s(os.getpid())
        latencies = await repeats.one_after_another(
            self.probe, draws, batch, self.cores, within=effort.within, longest_s=effort.longest_s
        )
        used_s = process_s(os.getpid()) - used_s
        busy = await repeats.always_with_work(
            self.probe, draws, batch, self.cores, within=effort.within, longest_s=effort.longest_s / 4
        )
        elsewhere = before.until(Clocks.read(self.pids))
        mean, p99 = repeats.mean_of(latencies.seconds), repeats.p99_of(latencies.seconds)
        return Point(
            stage=self.target.stage,
            variant=self.target.variant,
            cores=self.cores,
            batch=batch,
            count=len(latencies.seconds),
            mean_s=mean.value,
            mean_within=_known(mean),
            p99_s=p99.value,
            p99_within=_known(p99),
            outliers=repeats.outliers_in(latencies.seconds),
            throughput_rps=batch * busy.value,
            throughput_within=_known(busy),
            client_s=used_s / (len(latencies.seconds) + latencies.warm_up),
            steal=elsewhere.steal,
            others=elsewhere.others,
            content=_by_kind(latencies),
        )

    async def overhead(self, batch: int, nothing_there: Probe) -> Overhead:
        """The mean time of a batch with a model that does nothing. Raises ProbeError."""
        draws = iter(self.samples.pool(batch, self.effort.seed))
        times_s = await repeats.mean_s(nothing_there, draws, batch, self.cores, OVERHEAD_S)
        half = times_s[len(times_s) // 2 :] or times_s
        return Overhead(self.target.stage, self.target.variant, batch, fmean(half))


# ---- where sessions come from ----


@asynccontextmanager
async def opened(
    target: Target, cores: int, effort: Effort, log: Path
) -> AsyncIterator[tuple[Session, ModelServer | None]]:
    """A session, and our server for it; None if the target has a server of its own.

    Raises RunError and ProbeError if no server answers, LiveError if no requests can be made for it.
    """
    async with serving(target, cores, log) as (probe, server):
        samples = await _samples(target, probe, effort)
        yield Session(target, cores, probe, samples, effort, () if server is None else (server.pid,)), server


@asynccontextmanager
async def serving(
    target: Target, cores: int, log: Path, options: Sequence[str] = ()
) -> AsyncIterator[tuple[Probe, ModelServer | None]]:
    """A client of the target's server, and the server if it is ours, with these further options. Raises as `opened`."""
    if target.folder is None:
        probe = Probe(target.url, target.variant, TIMEOUT_S)
        try:
            if not await probe.is_ready():
                raise RunError(f"{target.url}: no V2 server answers there with {target.variant!r} ready")
            yield probe, None
        finally:
            await probe.close()
        return
    placed_cores, rest = placed(cores, 0)
    backend = ("folder", "--file", str(target.folder), *options)
    async with ModelServer(backend, target.variant, cores, placed_cores, log, TIMEOUT_S) as server:
        with _pinned(rest):
            yield server.probe, server


@asynccontextmanager
async def does_nothing(cores: int, log: Path) -> AsyncIterator[Probe]:
    backend = (f"{machine.__file__}:{machine.Nothing.__name__}",)
    async with ModelServer(backend, "nothing", cores, placed(cores, 0)[0], log, TIMEOUT_S) as up:
        yield up.probe


def started(target: Target, cores: int, server: ModelServer) -> Start:
    return Start(target.stage, target.variant, cores, server.start_up_s, server.memory_mb)


async def beside(target: Target, cores: int, neighbours: int, effort: Effort, log: Path) -> TimesBeside:
    """Measure single requests alone and beside `neighbours` replicas of the same model on as many cores each.

    The two are measured in turn, so that both see the same machine. Raises as `opened`.
    """
    async with AsyncExitStack() as stack:
        session, _ = await stack.enter_async_context(opened(target, cores, effort, log))
        backend = ("folder", "--file", str(target.folder))
        others = [
            await stack.enter_async_context(
                ModelServer(backend, target.variant, cores, placed(cores, n)[0], log, TIMEOUT_S)
            )
            for n in range(1, neighbours + 1)
        ]
        draws = [iter(session.samples.pool(1, effort.seed + n)) for n in range(neighbours + 1)]
        each_s = effort.longest_s / (2 * ROUNDS)
        pids = [*session.pids, *(neighbour.pid for neighbour in others)]
        probes = [neighbour.probe for neighbour in others]
        for server, its in zip([session.probe, *probes], draws, strict=True):
            await repeats.mean_s(server, its, 1, cores, each_s)
        before = Clocks.read(pids)
        alone: list[float] = []
        busy: list[float] = []
        for _ in range(ROUNDS):
            alone.append(fmean(await repeats.mean_s(session.probe, draws[0], 1, cores, each_s)))
            busy.append(fmean(await _among(session.probe, probes, draws, cores, each_s)))
        elsewhere = before.until(Clocks.read(pids))
        ratio = repeats.mean_of([b / a for a, b in zip(alone, busy, strict=True)])
        return TimesBeside(
            target.stage, target.variant, cores, neighbours * cores, fmean(alone), fmean(busy),
            _known(ratio), elsewhere.steal, elsewhere.others,
        )  # fmt: skip


async def _among(
    probe: Probe, others: Sequence[Probe], draws: Sequence[repeats.Draws], cores: int, seconds: float
) -> list[float]:
    """The times of single requests while other replicas serve one after another."""
    until_s = time.monotonic() + seconds
    times_s: list[float] = []

    async def neighbour(other: Probe, its: repeats.Draws) -> None:
        while time.monotonic() < until_s:
            await other.serve(next(its)[1], 1, cores)

    async def ours() -> None:
        times_s.extend(await repeats.mean_s(probe, draws[0], 1, cores, seconds))

    await repeats.gathered([ours(), *(neighbour(*each) for each in zip(others, draws[1:], strict=True))])
    return times_s


def placed(cores: int, number: int) -> tuple[list[int], list[int]]:
    """The core numbers of the `number`-th replica of `cores` cores, and the others (all, if there are none).

    Replicas take cores one after another, and start over when there are no more.
    """
    usable = usable_cores()
    own = set(islice(cycle(usable), number * cores, (number + 1) * cores))
    others = [core for core in usable if core not in own]
    return sorted(own), others or usable


@contextmanager
def _pinned(cores: Sequence[int]) -> Iterator[None]:
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def _samples(target: Target, probe: Probe, effort: Effort) -> Samples:
    inputs = (await probe.metadata()).get("inputs", ())
    if target.samples is not None:
        return read_samples(target.samples, inputs)
    return made_up(inputs, target.shapes or {}, effort.seed)


def _by_kind(latencies: repeats.BatchTimes) -> tuple[Content, ...]:
    counts = Counter(latencies.kinds)
    times_s: dict[str, list[float]] = {kind: [] for kind in sorted(counts)}
    for kind, seconds in zip(latencies.kinds, latencies.seconds, strict=True):
        times_s[kind].append(seconds)
    total = len(latencies.seconds)
    return tuple(
        Content(kind, len(times) / total, fmean(times), repeats.p99_of(times).value) for kind, times in times_s.items()
    )


def _known(estimate: TimeEstimate) -> float | None:
    return estimate.within if isfinite(estimate.within) else None


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns, run to its end in an event loop like the gateway's."""
    results: list[T] = []

    async def run() -> None:
        results.append(await work)

    in_event_loop(run())
    return results[0]
