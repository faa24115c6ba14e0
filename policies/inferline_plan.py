"""InferLine's planner: the cheapest batches and replicas that keep the SLA on a sample of the load.

Source: InferLine, SoCC 2020, section 4, without its choice of hardware. *Start* with batches of 1 and one replica at
each stage, and add a replica where the throughput is least until the SLA is met. *Then* repeat the change that saves
most cores while the SLA is still met: one replica less at a stage, or a larger batch there and as many fewer replicas
as that allows; of equal savings, the earlier stage and the smaller batch. (In the paper a larger batch is a step of its
own, which saves nothing until the next.)

*Is the SLA met?* The paper simulates the sample request by request. Here each stage is a fluid queue, second by second:
what a stage cannot serve within a second waits, and what it serves arrives at the next stage. The latency of a second
is the sum over the stages of the backlog at its end / capacity, the wait for a batch to fill, and the batch's p99. It
must keep the SLA for the best 99 % of requests, and no stage may carry less than the mean load. Queueing within a
second is invisible, which is negligible with an SLA of seconds, but not with one below about 0.1 s.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from ipa.policies.optimiser import replicas_for

T = TypeVar("T")
Replicas = tuple[int, ...]
PERCENTILE = 0.99
BISECTIONS = 20
LEAST_RHO = 1e-6
"""A sample with almost no load would otherwise make any later load ask for unlimited replicas."""
EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Size:
    """A batch size of a stage's variant, and what one replica does with it."""

    batch: int
    throughput_rps: float
    latency_s: float
    fill_s: float
    cores: int


@dataclass(frozen=True, slots=True)
class InferLinePlan:
    """For each stage a batch size, replicas, and the provisioning ratio rho.

    rho is mean load / (replicas needed x throughput). The replicas needed may be a fraction: the least that keep the
    SLA with the other stages as planned. (The paper divides by the planned whole number; with 1 or 2 replicas, rounding
    up would look like slack.) For a sample without load rho is 1.
    """

    sizes: tuple[Size, ...]
    replicas: tuple[int, ...]
    rho: tuple[float, ...]
    feasible: bool


def plan(
    sample_rps: Sequence[float], choices: Sequence[Sequence[Size]], sla_s: float, max_replicas: int
) -> InferLinePlan:
    """The plan for a sample, a count for each second; `choices`: the batch sizes of each stage, rising from 1.

    If not even `max_replicas` keep the SLA, the plan is not feasible: it has batches of 1 and the replicas at which the
    search ended. If the batches alone take longer than the SLA, it has the replicas for the mean load.
    """
    world = _World(sample_rps, choices, sla_s)
    sizes = tuple(stage[0] for stage in choices)
    # Fewer could not carry the mean load, so the search would first add up to these anyway.
    replicas = tuple(min(max_replicas, replicas_for(world.mean_rps, size.throughput_rps)) for size in sizes)
    hopeless = sum(size.latency_s for size in sizes) > sla_s
    while not world.keeps(sizes, replicas):
        growing = [k for k, count in enumerate(replicas) if count < max_replicas]
        if hopeless or not growing:
            return InferLinePlan(sizes, replicas, (1.0,) * len(sizes), False)
        least = min(growing, key=lambda k: replicas[k] * sizes[k].throughput_rps)
        replicas = _with(replicas, least, replicas[least] + 1)
    while (better := world.cheaper(sizes, replicas)) is not None:
        sizes, replicas = better
    rho = tuple(world.rho(k, sizes, replicas) for k in range(len(sizes)))
    return InferLinePlan(sizes, replicas, rho, True)


def latency_s(sample_rps: Sequence[float], sizes: Sequence[Size], replicas: Sequence[float]) -> float:
    """The latency that 99 % of the sample's requests keep [s]; infinite if a stage carries less than the mean load.

    Replicas may be fractions.
    """
    total = sum(sample_rps)
    least = min(k * size.throughput_rps for k, size in zip(replicas, sizes, strict=True))
    if least * len(sample_rps) < total * (1 - EPSILON):
        return inf
    batching_s = sum(size.latency_s + size.fill_s for size in sizes)
    waits_s, arriving = [0.0] * len(sample_rps), list(sample_rps)
    for size, count in zip(sizes, replicas, strict=True):
        capacity, backlog = count * size.throughput_rps, 0.0
        for second, arrivals in enumerate(arriving):
            waiting = backlog + arrivals
            backlog = max(0.0, waiting - capacity)
            arriving[second] = waiting - backlog
            waits_s[second] += backlog / capacity
    late, allowed = 0.0, (1 - PERCENTILE) * total
    for wait_s, requests in sorted(zip(waits_s, sample_rps, strict=True), reverse=True):
        late += requests
        if late > allowed:
            return wait_s + batching_s
    return batching_s


@dataclass(frozen=True, slots=True)
class _World:
    """The sample and the choices, for the questions that the search keeps asking."""

    sample_rps: Sequence[float]
    choices: Sequence[Sequence[Size]]
    sla_s: float

    @property
    def mean_rps(self) -> float:
        return sum(self.sample_rps) / len(self.sample_rps)

    def keeps(self, sizes: Sequence[Size], replicas: Sequence[float]) -> bool:
        return latency_s(self.sample_rps, sizes, replicas) <= self.sla_s

    def cheaper(self, sizes: tuple[Size, ...], replicas: tuple[int, ...]) -> tuple[tuple[Size, ...], Replicas] | None:
        """The change that saves most cores; None if there is none."""
        best, best_saving = None, 0
        for k, stage in enumerate(self.choices):
            for size in stage[stage.index(sizes[k]) :]:
                changed = _with(sizes, k, size)
                fewest = self._fewest(changed, replicas, k)
                saving = (replicas[k] - fewest) * size.cores
                if saving > best_saving:
                    best, best_saving = (changed, _with(replicas, k, fewest)), saving
        return best

    def _fewest(self, sizes: tuple[Size, ...], replicas: Replicas, k: int) -> int:
        """The fewest replicas of a stage, at most those there are, that keep the SLA with the others as they are."""
        fewer = range(1, replicas[k])
        return 1 + bisect_left(fewer, True, key=lambda count: self.keeps(sizes, _with(replicas, k, count)))

    def rho(self, k: int, sizes: Sequence[Size], replicas: Sequence[float]) -> float:
        """See `InferLinePlan`."""
        if self.mean_rps == 0:
            return 1.0
        short, enough = 0.0, float(replicas[k])
        for _ in range(BISECTIONS):
            middle = (short + enough) / 2
            if self.keeps(sizes, _with(tuple(replicas), k, middle)):
                enough = middle
            else:
                short = middle
        return max(LEAST_RHO, self.mean_rps / (enough * sizes[k].throughput_rps))


def _with(values: tuple[T, ...], k: int, value: T) -> tuple[T, ...]:
    """The values, with a different one at k."""
    return (*values[:k], value, *values[k + 1 :])
