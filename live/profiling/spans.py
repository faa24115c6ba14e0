"""Latencies of batches one after another, and the throughput of a server that is never without work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from ipa.live.profiling.repeats import Estimate, Stopping, mean_of
from ipa.live.serving import Probe, Tensor

Draws = Iterator[tuple[str, Sequence[Tensor]]]

IN_FLIGHT = 3
"""Batches that a saturated server has: one that it serves, one that waits, one on its way."""
WARM_UP = 5


@dataclass
class Latencies:
    """What batches took, in order, and the kind of each; `warm_up` batches before them do not count."""

    seconds: list[float] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    warm_up: int = 0


async def one_after_another(
    probe: Probe, draws: Draws, size: int, cores: int, *, within: float, longest_s: float
) -> Latencies:
    """Latencies of batches, each sent when the one before has been answered.

    They are enough by `Stopping` for mean and p99, or after `longest_s`. The warm-up is over
    once WARM_UP batches take no less than those before them (or after a quarter of `longest_s`). Raises ProbeError.
    """
    found = Latencies()
    found.warm_up = await _warm_up(probe, draws, size, cores, longest_s / 4)
    until_s, stopping = time.monotonic() + longest_s, Stopping(within)
    while time.monotonic() < until_s or not found.seconds:
        kind, inputs = next(draws)
        found.seconds.append(await _timed(probe, inputs, size, cores))
        found.kinds.append(kind)
        if stopping.is_over(found.seconds):
            break
    return found


async def always_with_work(
    probe: Probe, draws: Draws, size: int, cores: int, *, within: float, longest_s: float
) -> Estimate:
    """The batches per second of a server that has IN_FLIGHT batches at any time, until it is known within that share.

    It is the inverse of the mean time between answers. Raises ProbeError.
    """
    gaps_s: list[float] = []
    stopping = Stopping(within, (mean_of,))
    last_s = time.monotonic()
    until_s = last_s + longest_s

    async def keep_busy() -> None:
        nonlocal last_s
        while not enough.is_set():
            _, inputs = next(draws)
            await probe.serve(inputs, size, cores)
            now_s = time.monotonic()
            gaps_s.append(now_s - last_s)
            last_s = now_s
            if now_s >= until_s or stopping.is_over(gaps_s):
                enough.set()

    enough = asyncio.Event()
    await gathered([keep_busy() for _ in range(IN_FLIGHT)])
    gaps_s = gaps_s[1 : len(gaps_s) - IN_FLIGHT + 1] or gaps_s  # the first and the last were not among others
    gap_s = mean_of(gaps_s)
    rate = 1.0 / gap_s.value
    return Estimate(rate, rate * (1 - gap_s.within), rate * (1 + gap_s.within))


async def mean_s(probe: Probe, draws: Draws, size: int, cores: int, seconds: float) -> list[float]:
    """What batches took, one after another, for so long; at least one."""
    until_s = time.monotonic() + seconds
    found: list[float] = []
    while not found or time.monotonic() < until_s:
        found.append(await _timed(probe, next(draws)[1], size, cores))
    return found


async def gathered(work: Sequence[object]) -> None:
    """Do several things at once; the first that fails ends all, and its error is raised."""
    tasks = [asyncio.ensure_future(each) for each in work]  # type: ignore[call-overload]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _warm_up(probe: Probe, draws: Draws, size: int, cores: int, longest_s: float) -> int:
    until_s = time.monotonic() + longest_s
    taken: list[float] = []
    while time.monotonic() < until_s:
        taken += [await _timed(probe, next(draws)[1], size, cores) for _ in range(WARM_UP)]
        if len(taken) > WARM_UP and median(taken[-WARM_UP:]) >= 0.97 * median(taken[-2 * WARM_UP : -WARM_UP]):
            break
    return len(taken)


async def _timed(probe: Probe, inputs: Sequence[Tensor], size: int, cores: int) -> float:
    began_s = time.perf_counter()
    await probe.serve(inputs, size, cores)
    return time.perf_counter() - began_s
