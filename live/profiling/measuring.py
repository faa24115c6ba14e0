"""Measures a variant on some cores: its start-up and its points."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

from ipa.live.errors import RunError
from ipa.live.profiling import machine, repeats
from ipa.live.profiling.machine import Clocks, ModelServer, process_s, usable_cores
from ipa.live.profiling.repeats import TimeEstimate
from ipa.live.profiling.samples import Samples, made_up, read_samples
from ipa.live.profiling.values import Content, Effort, Overhead, Point, Start, Target
from ipa.live.serving import Probe, in_event_loop

T = TypeVar("T")

TIMEOUT_S = 300.0
"""How long a batch may take."""
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
    placed_cores, rest = placed(cores)
    backend = ("folder", "--file", str(target.folder), *options)
    async with ModelServer(backend, target.variant, cores, placed_cores, log, TIMEOUT_S) as server:
        with _pinned(rest):
            yield server.probe, server


@asynccontextmanager
async def does_nothing(cores: int, log: Path) -> AsyncIterator[Probe]:
    backend = (f"{machine.__file__}:{machine.Nothing.__name__}",)
    async with ModelServer(backend, "nothing", cores, placed(cores)[0], log, TIMEOUT_S) as up:
        yield up.probe


def started(target: Target, cores: int, server: ModelServer) -> Start:
    return Start(target.stage, target.variant, cores, server.start_up_s, server.memory_mb)


def placed(cores: int) -> tuple[list[int], list[int]]:
    """The core numbers of a replica of `cores` cores, and the others (all, if there are none)."""
    usable = usable_cores()
    return usable[:cores], usable[cores:] or usable


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
