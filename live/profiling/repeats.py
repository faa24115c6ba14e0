"""Batches are measured until their intervals are narrow enough: estimates of mean and p99, latencies, and throughput.

Latencies are of batches one after another; a throughput is of a server that is always busy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, inf, sqrt
from statistics import fmean, median, quantiles, stdev

import numpy as np
from scipy import special

from ipa.live.serving import Probe, Tensor

BLOCKS = 20
FEWEST = 20
"""With fewer values the interval of a mean is infinite."""
TAIL = 0.01
FAR_OUT = 3.0
"""An outlier is this many interquartile ranges above the third quartile (Tukey's "far out")."""


@dataclass(frozen=True)
class TimeEstimate:
    """A value and its 95 % interval; infinite: too few were measured to bound it."""

    value: float
    low: float
    high: float

    @property
    def within(self) -> float:
        """The larger half of the interval, as a share of the value."""
        return max(self.value - self.low, self.high - self.value) / self.value


def mean_of(values: Sequence[float]) -> TimeEstimate:
    """The mean, with the interval of the means of BLOCKS consecutive blocks (of n / 2, where that is less).

    Blocks, because successive latencies are correlated: a machine is slow for a while. (Batch means: Law and Kelton,
    Simulation Modeling and Analysis.)
    """
    mean = fmean(values)
    if len(values) < FEWEST:
        return TimeEstimate(mean, -inf, inf)
    count = min(BLOCKS, len(values) // 2)
    size = len(values) / count
    blocks = [fmean(values[round(n * size) : round((n + 1) * size)]) for n in range(count)]
    half = float(special.stdtrit(count - 1, 0.975)) * stdev(blocks) / sqrt(count)
    return TimeEstimate(mean, mean - half, mean + half)


def p99_of(values: Sequence[float]) -> TimeEstimate:
    """The p99 (nearest rank), with the interval that its order statistics give; no distribution is assumed.

    The number of n values above the true p99 is binomial (n, 0.01). The interval is unbounded above with fewer than 368
    values.
    """
    ordered, n = sorted(values), len(values)
    value = ordered[ceil((1 - TAIL) * n) - 1]
    fewest, most = np.searchsorted(special.bdtr(np.arange(n + 1), n, TAIL), (0.025, 0.975)).tolist()
    low = ordered[n - 1 - most] if most < n else -inf
    high = ordered[n - fewest] if fewest > 0 else inf
    return TimeEstimate(value, low, high)


LOOKED_AT = 1.25
"""Values are looked at each time their number has grown by this factor."""


@dataclass
class StoppingRule:
    """When there are enough values: the intervals of all `of` are within a share at two looks in succession.

    At one look among many an interval may be narrow by chance, and would then cover the truth in 91 to 93 of 100 cases
    instead of 95; at two in succession, it does in 94 to 95.
    """

    within: float
    of: tuple[Callable[[Sequence[float]], TimeEstimate], ...] = (mean_of, p99_of)
    look_at: int = 100
    was_enough: bool = False

    def is_over(self, values: Sequence[float]) -> bool:
        """Whether these are enough, asked after each further value."""
        if len(values) < self.look_at:
            return False
        self.look_at = int(len(values) * LOOKED_AT) + 1
        is_enough = all(estimate(values).within <= self.within for estimate in self.of)
        before, self.was_enough = self.was_enough, is_enough
        return before and is_enough


def outliers_in(values: Sequence[float]) -> int:
    """How many latencies are outliers. They are only counted, not removed."""
    if len(values) < 4:
        return 0
    first, _, third = quantiles(values, n=4)
    return sum(value > third + FAR_OUT * (third - first) for value in values)


Draws = Iterator[tuple[str, Sequence[Tensor]]]

IN_FLIGHT = 3
"""Batches that a saturated server has: one that it serves, one that waits, one on its way."""
WARM_UP = 5


@dataclass
class BatchTimes:
    """The times of batches, in order, and the kind of each; `warm_up` batches before them do not count."""

    seconds: list[float] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    warm_up: int = 0


async def one_after_another(
    probe: Probe, draws: Draws, size: int, cores: int, *, within: float, longest_s: float
) -> BatchTimes:
    """Latencies of batches, each sent when the one before has been answered.

    They are enough by `StoppingRule` of mean and p99, or after `longest_s`. The warm-up is over once WARM_UP batches
    take no less than those before them (or after a quarter of `longest_s`). Raises ProbeError.
    """
    latencies = BatchTimes()
    latencies.warm_up = await _warm_up(probe, draws, size, cores, longest_s / 4)
    until_s, stopping = time.monotonic() + longest_s, StoppingRule(within)
    while time.monotonic() < until_s or not latencies.seconds:
        kind, inputs = next(draws)
        latencies.seconds.append(await _timed(probe, inputs, size, cores))
        latencies.kinds.append(kind)
        if stopping.is_over(latencies.seconds):
            break
    return latencies


async def always_with_work(
    probe: Probe, draws: Draws, size: int, cores: int, *, within: float, longest_s: float
) -> TimeEstimate:
    """The batches per second of a server that always has IN_FLIGHT batches, measured until it is known to within
    `within`.

    It is the inverse of the mean time between answers. Raises ProbeError.
    """
    gaps_s: list[float] = []
    stopping = StoppingRule(within, (mean_of,))
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
    gaps_s = gaps_s[1 : len(gaps_s) - IN_FLIGHT + 1] or gaps_s  # the first and the last ran beside fewer others
    gap_s = mean_of(gaps_s)
    rate = 1.0 / gap_s.value
    return TimeEstimate(rate, rate * (1 - gap_s.within), rate * (1 + gap_s.within))


async def mean_s(probe: Probe, draws: Draws, size: int, cores: int, seconds: float) -> list[float]:
    """The times of batches, one after another, for `seconds`; at least one."""
    until_s = time.monotonic() + seconds
    times_s: list[float] = []
    while not times_s or time.monotonic() < until_s:
        times_s.append(await _timed(probe, next(draws)[1], size, cores))
    return times_s


async def gathered(work: Sequence[object]) -> None:
    """Run several coroutines at once; the first that fails ends all, and its error is raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]  # type: ignore[call-overload]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _warm_up(probe: Probe, draws: Draws, size: int, cores: int, longest_s: float) -> int:
    until_s = time.monotonic() + longest_s
    times_s: list[float] = []
    while time.monotonic() < until_s:
        times_s += [await _timed(probe, next(draws)[1], size, cores) for _ in range(WARM_UP)]
        if len(times_s) > WARM_UP and median(times_s[-WARM_UP:]) >= 0.97 * median(times_s[-2 * WARM_UP : -WARM_UP]):
            break
    return len(times_s)


async def _timed(probe: Probe, inputs: Sequence[Tensor], size: int, cores: int) -> float:
    began_s = time.perf_counter()
    await probe.serve(inputs, size, cores)
    return time.perf_counter() - began_s
