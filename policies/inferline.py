"""InferLine: a plan for a sample of the load, then a tuner that compares the load with the sample on every time scale.

Source: Crankshaw et al., InferLine: Latency-Aware Provisioning and Scaling for Prediction Serving Pipelines, SoCC 2020.

*Plan*, once, see below. It gives batches, replicas k and, for each stage, the provisioning ratio rho = mean load /
(replicas needed x throughput mu).

*Scale up*, at once. The traffic envelope of a load holds, for windows of the pipeline's service time doubled again and
again up to 60 s, the most requests in any window of that length, as a rate. If the envelope of the last minute exceeds
the sample's, and r is the greatest rate at which it does:  k = ceil(r / (mu rho)), never fewer than there are.

*Scale down*, only after 15 s without a change. With r the greatest mean of 5 s in the last 30 s, and rho_p = min rho
over the stages, the most cautious one:  k = ceil(r / (mu rho_p)), never more than there are, and no fewer than the
envelope asks for.

Departures from the paper: variants and hardware are fixed, so the planner has no downgrade. Its simulation of the
sample is a fluid queue, second by second (see below). The load is known as counts per second, so the smallest window is
1 s, and it is compared at control steps instead of at every arrival (an interval of 1 or 2 s comes close). In a graph,
a stage's throughput counts in requests: in items / its scale factor, the items per request. The paper does not replan
for some hours, and neither does this.

*The plan* (section 4 of the paper, without its choice of hardware) starts with batches of 1 and one replica at each
stage, and adds a replica where the throughput is least until the SLA is met. Then it repeats the change that saves
most cores while the SLA is still met: one replica less at a stage, or a larger batch there and as many fewer replicas
as that allows; of equal savings, the earlier stage and the smaller batch. (In the paper a larger batch is a step of its
own, which saves nothing until the next.)

*Is the SLA met?* The paper simulates the sample request by request. Here each stage is a fluid queue, second by second:
what a stage cannot serve within a second waits, and what it serves arrives at the next stage. The latency of a second
is the sum over the stages of the backlog at its end / capacity, the wait for a batch to fill, and the batch's p99; in a
graph, the greatest such sum of all ways, where joins wait and a stage gets what all before it have served. It must keep
the SLA for the best 99 % of requests, and no stage may carry less than the mean load. Queueing within a second is
invisible, which is negligible with an SLA of seconds, but not with one below about 0.1 s.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, inf
from typing import TYPE_CHECKING, Any, TypeVar

from ipa.policies import checks
from ipa.policies.interface import Memory, Observation, PolicyError
from ipa.policies.optimiser import replicas_for
from ipa.policies.scaler import BATCHLESS_PARAMETERS, EPSILON, Scaled, Scaler, Served, moment

if TYPE_CHECKING:
    from ipa.profiles import Pipeline


T = TypeVar("T")
Replicas = tuple[int, ...]
PERCENTILE = 0.99
BISECTIONS = 20
LEAST_FACTOR = 1e-9
"""Lower bound on the items per request of a stage in a graph."""
LEAST_RHO = 1e-6
"""A sample with almost no load would otherwise make any later load ask for unlimited replicas."""


@dataclass(frozen=True, slots=True)
class Size:
    """A batch size of a stage's variant, and what one replica does with it.

    `fill_s`: until a batch is full, and before that what the stage's join waits.
    """

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


Parents = Sequence[Sequence[int]]
"""For each stage, in topological order, the positions of those right before it."""


def plan(
    sample_rps: Sequence[float],
    choices: Sequence[Sequence[Size]],
    sla_s: float,
    max_replicas: Sequence[int],
    parents: Parents,
) -> InferLinePlan:
    """The plan for a sample, a count for each second; `choices`: the batch sizes of each stage, rising from 1.

    If not even `max_replicas` keep the SLA, the plan is not feasible: it has batches of 1 and the replicas at which the
    search ended. If the batches alone take longer than the SLA, it has the replicas for the mean load.
    """
    world = _World(sample_rps, choices, sla_s, parents)
    sizes = tuple(stage[0] for stage in choices)
    # Fewer could not carry the mean load, so the search would first add up to these anyway.
    needed = [replicas_for(world.mean_rps, size.throughput_rps) for size in sizes]
    replicas = tuple(map(min, max_replicas, needed))
    hopeless = batching_s(sizes, parents) > sla_s
    while not world.keeps(sizes, replicas):
        growing = [k for k, count in enumerate(replicas) if count < max_replicas[k]]
        if hopeless or not growing:
            return InferLinePlan(sizes, replicas, (1.0,) * len(sizes), False)
        least = min(growing, key=lambda k: replicas[k] * sizes[k].throughput_rps)
        replicas = _with(replicas, least, replicas[least] + 1)
    while (better := world.cheaper(sizes, replicas)) is not None:
        sizes, replicas = better
    rho = tuple(world.rho(k, sizes, replicas) for k in range(len(sizes)))
    return InferLinePlan(sizes, replicas, rho, True)


def batching_s(sizes: Sequence[Size], parents: Parents) -> float:
    """The p99 latencies of the batches, added up along the slowest way [s]."""
    return max(_finished([size.latency_s for size in sizes], parents))


def _finished(own_s: Sequence[float], parents: Parents) -> list[float]:
    """When each stage has finished, that starts with the last of its parents."""
    finished_s: list[float] = []
    for spent_s, before in zip(own_s, parents, strict=True):
        finished_s.append(max((finished_s[i] for i in before), default=0.0) + spent_s)
    return finished_s


def latency_s(sample_rps: Sequence[float], sizes: Sequence[Size], replicas: Sequence[float], parents: Parents) -> float:
    """The latency that 99 % of the sample's requests keep [s]; infinite if a stage carries less than the mean load.

    Replicas may be fractions.
    """
    total = sum(sample_rps)
    least = min(k * size.throughput_rps for k, size in zip(replicas, sizes, strict=True))
    if least * len(sample_rps) < total * (1 - EPSILON):
        return inf
    least_s = max(_finished([size.latency_s + size.fill_s for size in sizes], parents))
    served: list[list[float]] = []
    waits: list[list[float]] = []
    for size, count, before in zip(sizes, replicas, parents, strict=True):
        arriving = served[before[0]] if len(before) == 1 else _joined([served[i] for i in before]) or sample_rps
        passed, waits_s = _served(arriving, count * size.throughput_rps)
        served.append(passed)
        waits.append([wait_s + size.latency_s + size.fill_s for wait_s in waits_s])
    latencies_s = [max(_finished(own_s, parents)) for own_s in zip(*waits, strict=True)]
    return _late_beyond([latency - least_s for latency in latencies_s], sample_rps, least_s)


def _joined(served: Sequence[Sequence[float]]) -> list[float]:
    """What comes to a stage that waits for several: in each second, what all of them have served."""
    slowest = [min(done) for done in zip(*(accumulate(each) for each in served), strict=True)]
    return [total - before for total, before in zip(slowest, [0.0, *slowest], strict=False)]


def _served(arriving: Sequence[float], capacity: float) -> tuple[list[float], list[float]]:
    """What a fluid queue serves in each second, and how long what is left at its end waits [s]."""
    served, waits_s, backlog = [], [], 0.0
    for arrivals in arriving:
        waiting = backlog + arrivals
        backlog = max(0.0, waiting - capacity)
        served.append(waiting - backlog)
        waits_s.append(backlog / capacity)
    return served, waits_s


def _late_beyond(waits_s: Sequence[float], sample_rps: Sequence[float], batching_s: float) -> float:
    """The wait that 99 % of the requests keep, and what all of them take besides."""
    total = sum(sample_rps)
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
    parents: Parents

    @property
    def mean_rps(self) -> float:
        return sum(self.sample_rps) / len(self.sample_rps)

    def keeps(self, sizes: Sequence[Size], replicas: Sequence[float]) -> bool:
        return latency_s(self.sample_rps, sizes, replicas, self.parents) <= self.sla_s

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


LONGEST_WINDOW_S = 60


class InferLine(Scaler):
    """InferLine at fixed variants; batches are planned.

    `sample_rps`: the load to plan for, a count for each second; None: the load in the first observation. `stable_s`:
    the time without a change before scaling down. `recent_s`: the window whose busiest part sets the replicas to scale
    down to. `bucket_s`: the length of that part. For other parameters except `batch` see `Scaler`. Each decision of a
    plan that cannot meet the SLA has the rung "sla-excess". PolicyError: an impossible value.
    """

    further_parameters = BATCHLESS_PARAMETERS

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        sample_rps: Sequence[float] | None = None,
        stable_s: float = 15.0,
        recent_s: int = 30,
        bucket_s: int = 5,
        **scaler: Any,
    ) -> None:
        super().__init__(pipeline, **scaler)
        self.sample_rps = None if sample_rps is None else _sample(sample_rps)
        self.stable_s = checks.number("stable_s", stable_s, at_least=0)
        self.recent_s = checks.integer("recent_s", recent_s)
        self.bucket_s = checks.integer("bucket_s", bucket_s)

    def scale(self, observation: Observation, memory: Memory, stages: Sequence[Served]) -> Scaled:
        """The replicas for this step. Memory: the plan, the replicas wanted, and when these last changed."""
        now_s = observation.time_s
        planned = memory["plan"] if "plan" in memory else self._plan(observation, stages)
        # Not what is configured: the last decision may not be in force yet, and would be undone.
        last_replicas = memory.get("replicas", planned["replicas"])
        replicas = [last_replicas[stage.name] for stage in stages]
        changed_s = moment(memory.get("changed_s", now_s), now_s)
        stages = self.served(observation, planned["batch"])
        rho = planned["rho"]
        excess_rps = _excess(planned["envelope"], observation.load_rps[-LONGEST_WINDOW_S:])
        needed = [0 if excess_rps is None else replicas_for(excess_rps, s.throughput_rps * rho[s.name]) for s in stages]
        tuned = [max(pair) for pair in zip(replicas, needed, strict=True)]
        if tuned == replicas and now_s - changed_s >= self.stable_s - EPSILON:
            recent_rps = peak_rps(observation.load_rps[-self.recent_s :], self.bucket_s)
            cautious = [replicas_for(recent_rps, s.throughput_rps * min(rho.values())) for s in stages]
            tuned = [min(old, max(pair)) for old, *pair in zip(replicas, needed, cautious, strict=True)]
        tuned = [stage.bounded(count) for stage, count in zip(stages, tuned, strict=True)]
        return Scaled(
            replicas=tuned,
            memory={
                "plan": planned,
                "replicas": {stage.name: count for stage, count in zip(stages, tuned, strict=True)},
                "changed_s": changed_s if tuned == replicas else now_s,
            },
            notes=[] if excess_rps is None else [f"the load's envelope exceeds the sample's: {excess_rps:g} rps"],
            batches=planned["batch"],
            shortfall="" if planned["feasible"] else "sla-excess",
        )

    def _plan(self, observation: Observation, stages: Sequence[Served]) -> dict[str, Any]:
        """The plan and the sample's envelope, JSON-able."""
        sample = self.sample_rps or [count for count in observation.load_rps if count == count]
        mean_rps = sum(sample) / len(sample)
        choices = [self._sizes(k, stage, mean_rps * stage.factor) for k, stage in enumerate(stages)]
        parents = self._programme.table.flow.parents
        best: InferLinePlan = plan(sample, choices, self._programme.target_s, [s.most for s in stages], parents)
        service_s = max(1, ceil(batching_s(best.sizes, parents) - EPSILON))
        windows = [service_s]
        while windows[-1] * 2 <= LONGEST_WINDOW_S:
            windows.append(windows[-1] * 2)
        names = [stage.name for stage in stages]
        return {
            "batch": dict(zip(names, (size.batch for size in best.sizes), strict=True)),
            "replicas": {stage.name: stage.bounded(count) for stage, count in zip(stages, best.replicas, strict=True)},
            "rho": dict(zip(names, best.rho, strict=True)),
            "envelope": [[window_s, peak_rps(sample, window_s)] for window_s in windows],
            "feasible": best.feasible,
        }

    def _sizes(self, stage: int, served: Served, items_rps: float) -> list[Size]:
        """The batch sizes that a stage may have, as the planner takes them."""
        variant, programme = served.variant, self._programme
        graph = programme.pipeline.graph
        joining_s = graph.wait_s(programme.table.stages[stage].name) if graph else 0.0
        return [
            Size(
                batch=batch,
                throughput_rps=self._throughput_rps(variant, batch) / max(served.factor, LEAST_FACTOR),
                latency_s=variant.p99_s(batch),
                fill_s=joining_s + programme.batch_timeout_s(stage, batch, items_rps),
                cores=variant.base_cores,
            )
            for batch in variant.planned_batches(programme.batch_cap)
        ]


def peak_rps(load_rps: Sequence[float], window_s: int) -> float:
    """The envelope at one window: the greatest mean rate [rps] of `window_s` seconds in a row.

    Seconds without a sample are left out of the mean; 0 where there is none at all. A load shorter than the window is
    one window.
    """
    window = min(window_s, len(load_rps))
    totals = [0.0, *accumulate(count if count == count else 0.0 for count in load_rps)]
    samples = [0, *accumulate(count == count for count in load_rps)]
    sums = zip(totals, totals[window:], samples, samples[window:], strict=False)
    return max(((total - before) / (n - m) for before, total, m, n in sums if n > m), default=0.0)


def _excess(envelope: Sequence[tuple[int, float]], load_rps: Sequence[float]) -> float | None:
    """The greatest rate at which the load's envelope exceeds the planned one; None if it does nowhere."""
    rates_rps = [(peak_rps(load_rps, window_s), planned_rps) for window_s, planned_rps in envelope]
    return max((rate for rate, planned_rps in rates_rps if rate > planned_rps + EPSILON), default=None)


def _sample(counts_rps: Sequence[float]) -> list[float]:
    if not isinstance(counts_rps, (list, tuple)) or not counts_rps:
        raise PolicyError(f"sample_rps={counts_rps!r} must be a list of counts, one per second")
    return [checks.number("sample_rps", count, at_least=0) for count in counts_rps]
