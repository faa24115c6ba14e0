"""Faro: the fewest replicas of the greatest utility under sampled forecasts, and a reactive step between the plans.

Source: Jeon et al., A House United Within Itself: SLO-Awareness for On-Premises Containerized ML Inference Clusters via
Faro, EuroSys 2025 (Faro-Sum). Each stage is a job; its SLO is its share of the SLA.

*Plan*, every `solve_s`: loads are sampled from the forecast, and each stage gets the fewest replicas whose mean utility
over the samples is that of `max_replicas`. Where the cores are limited, the stages compete: a replica is taken away
where the sum of utilities falls least per core, until all fit. *React*, at every step: a stage that has violated its
SLO for 30 s gets one replica more; then the 30 s begin anew. Only the next plan takes it back.

Departures: the paper plans every 5 minutes with forecasts (N-HiTS) of the requests of each minute; the forecasts here
reach 60 s, and so does the plan. A sample is the load of the busiest second of the horizon, taken as steady. The paper
optimises a relaxed problem with COBYLA, rounds up, and then removes replicas that bring nothing; as utility never falls
with the replicas, the same is found here by bisection, exactly. Batches are new: see below. Left out are the variants
that drop requests on purpose and those for fairness.

*Utility*: how well a stage keeps its SLO with so many replicas under a load. With L the latency that a share of the
requests (99 %) keeps:

    utility = min(1, SLO / L) ^ exponent

*Latency*: that of an M/D/c queue, whose waits are about half of those of M/M/c (Erlang C): the waiting time that is
exceeded with probability 1 - p is ln(C / (1 - p)) / (n mu - lambda) / 2 where C > 1 - p, else 0. *Relaxed*, so that
more replicas help even where there are far too few: beyond a utilisation of 95 %, the utility is that at 95 %, times
the load there over the load. *Start-up*: replicas that do not exist yet count only for what is left of the horizon
after they have started.

Two things are not the paper's. It lets the latency grow beyond 95 % and bounds the utility by 1 after that: with many
replicas, which hardly wait at 95 %, a stage with twice the load that it can carry would still be perfect. And here are
batches: they come at load / b and take b / throughput; to the wait come the time in which a batch fills at full
capacity (the batch timeout, if this stage is the bottleneck) and the batch's p99.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import log, sqrt
from random import Random
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.interface import Memory, Observation, Predictor
from ipa.policies.predictors import DEFAULT_PREDICTOR, Outlook
from ipa.policies.scaler import EPSILON, Scaled, Scaler, Served, moment

if TYPE_CHECKING:
    from ipa.profiles import Pipeline


MOST_UTILISATION = 0.95
TOLERANCE = 1e-4
"""Loss of mean utility below which replicas are not needed."""

SURELY_IDLE = 4.0
"""From a + 4 sqrt(a) + 3 servers on, an offered load a waits with a probability below 1e-4."""


@dataclass(frozen=True, slots=True)
class StageLoad:
    """The load and target of a stage: the sampled loads [rps], the SLO, the share that must keep it, the exponent."""

    samples_rps: Sequence[float]
    slo_s: float
    percentile: float
    exponent: float


@dataclass(slots=True)
class StageUtility:
    """The mean utility of a stage over the sampled loads, by its replicas.

    `throughput_rps`, `batch`, `service_s`: of one replica. `fill_s`: from a load that a stage can carry to the time in
    which a batch fills. `ready`: the replicas that serve already. `late_share`: the share of the horizon that new ones
    need to start.
    """

    load: StageLoad
    throughput_rps: float
    batch: int
    service_s: float
    fill_s: Callable[[float], float]
    ready: int = 0
    late_share: float = 0.0
    _steady: dict[int, float] = field(default_factory=dict, repr=False)

    def at(self, replicas: int) -> float:
        """The mean utility over the horizon; never falls with the replicas."""
        if replicas <= self.ready or not self.ready:
            return self._of(replicas)
        return self.late_share * self._of(self.ready) + (1 - self.late_share) * self._of(replicas)

    def fewest(self, least: int, most: int) -> int:
        """The fewest replicas with the utility of the most, up to the tolerance."""
        enough = self.at(most) - TOLERANCE
        return least + bisect_left(range(least, most), True, key=lambda count: self.at(count) >= enough)

    def _of(self, replicas: int) -> float:
        """The mean utility of replicas that all serve."""
        if replicas not in self._steady:
            most_rps = MOST_UTILISATION * replicas * self.throughput_rps
            at_most = self._keeping(most_rps, replicas)
            total = sum(
                at_most * most_rps / load_rps if load_rps > most_rps else self._keeping(load_rps, replicas)
                for load_rps in self.load.samples_rps
            )
            self._steady[replicas] = total / len(self.load.samples_rps)
        return self._steady[replicas]

    def _keeping(self, load_rps: float, replicas: int) -> float:
        """The utility under a load that the replicas carry."""
        fill_s = self.fill_s(replicas * self.throughput_rps)
        queued_s = wait_s(load_rps / self.batch, self.throughput_rps / self.batch, replicas, self.load.percentile)
        late_s = fill_s + queued_s + self.service_s
        return 1.0 if late_s <= self.load.slo_s else (self.load.slo_s / late_s) ** self.load.exponent


def wait_s(arrival_rate: float, service_rate: float, servers: int, percentile: float) -> float:
    """The wait in an M/D/c queue that a share of the customers does not exceed [s]; rates per second, below capacity.

    Half of that in an M/M/c queue.
    """
    offered = arrival_rate / service_rate
    if servers >= offered + SURELY_IDLE * sqrt(offered) + 3:
        return 0.0
    waiting = erlang_c(servers, offered)
    beyond = 1 - percentile
    if waiting <= beyond:
        return 0.0
    return log(waiting / beyond) / (servers * service_rate - arrival_rate) / 2


def erlang_c(servers: int, offered: float) -> float:
    """The probability that a customer has to wait in an M/M/c queue; `offered`, in servers, is below `servers`."""
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked / (1 - offered / servers * (1 - blocked))


class Faro(Scaler):
    """Faro at fixed variants and batches; use it with an interval of 10 s.

    `predictor`: gives the forecast whose distribution is sampled. `horizon_s`: how far it looks; None: `solve_s`.
    `solve_s`: the time between two plans. `samples`: how many loads are drawn for a plan. `percentile`: the share of
    the requests that must keep the SLO. `exponent`: how steeply the utility falls beyond the SLO; it matters only where
    cores are limited. `overload_s`: how long a stage must have violated its SLO to get one replica more. For other
    parameters see `Scaler`. Without a forecast, a plan stays as it is. PolicyError: an impossible value.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        predictor: str | Mapping[str, Any] | Predictor = DEFAULT_PREDICTOR,
        horizon_s: float | None = None,
        solve_s: float = 60.0,
        samples: int = 100,
        percentile: float = 0.99,
        exponent: float = 1.0,
        overload_s: float = 30.0,
        **scaler: Any,
    ) -> None:
        super().__init__(pipeline, **scaler)
        self.solve_s = checks.number("solve_s", solve_s, at_least=1)
        self.outlook = Outlook(predictor, horizon_s=self.solve_s if horizon_s is None else horizon_s)
        self.reads = (*self.outlook.reads, "latency")
        self.samples = checks.integer("samples", samples)
        self.percentile = checks.number("percentile", percentile, at_least=0.5, at_most=0.9999)
        self.exponent = checks.number("exponent", exponent, above=0)
        self.overload_s = checks.number("overload_s", overload_s, at_least=0)

    def scale(self, observation: Observation, memory: Memory, stages: Sequence[Served]) -> Scaled:
        """The replicas for this step.

        Memory: when the last plan was made, the replicas wanted, and since when each stage has violated its SLO.
        """
        now_s = observation.time_s
        before = memory.get("violated_since_s", {})
        since = {stage.name: moment(before.get(stage.name, now_s), now_s) for stage in stages if self._violates(stage)}
        solved_s = moment(memory["solved_s"], now_s) if "solved_s" in memory else None
        if solved_s is None or now_s - solved_s >= self.solve_s - EPSILON:
            forecast = self.outlook.forecast(observation)
            if not forecast.is_missing:
                draw = Random(f"faro {observation.seed} {observation.step}").random
                samples = [forecast.at(draw()) for _ in range(self.samples)]
                plan = self._planned(samples, stages, observation.limit_cores)
                return Scaled(plan, _memory(now_s, stages, plan, since), forecast.point_rps, max(samples))
        # Not what is configured: the last decision may not be in force yet, and would be undone.
        last_replicas = memory.get("replicas", {})
        replicas = [last_replicas.get(stage.name, stage.replicas) for stage in stages]
        notes = []
        for k, stage in enumerate(stages):
            if stage.name in since and now_s - since[stage.name] >= self.overload_s - EPSILON:
                since[stage.name] = now_s
                replicas[k] = stage.bounded(replicas[k] + 1)
                notes.append(f"{stage.name}: has violated its SLO for {self.overload_s:g} s, one replica more")
        return Scaled(replicas, _memory(solved_s, stages, replicas, since), notes=notes)

    def _planned(self, samples_rps: Sequence[float], stages: Sequence[Served], limit_cores: int | None) -> list[int]:
        """The fewest replicas of the greatest utility."""
        utilities = [self._utility(k, stage, samples_rps) for k, stage in enumerate(stages)]
        counts = [utility.fewest(stage.least, stage.most) for utility, stage in zip(utilities, stages, strict=True)]
        cores = [stage.variant.base_cores for stage in stages]
        used = sum(count * utility for count, utility in zip(counts, cores, strict=True))
        while limit_cores is not None and used > limit_cores:
            spare = [k for k, count in enumerate(counts) if count > stages[k].least]
            if not spare:
                break
            lost = {k: (utilities[k].at(counts[k]) - utilities[k].at(counts[k] - 1)) / cores[k] for k in spare}
            least = min(spare, key=lambda k: lost[k])
            counts[least] -= 1
            used -= cores[least]
        return counts

    def _utility(self, position: int, stage: Served, samples_rps: Sequence[float]) -> StageUtility:
        target = self._pipeline.stages[position].sla_s
        return StageUtility(
            load=StageLoad([rate * stage.factor for rate in samples_rps], target, self.percentile, self.exponent),
            throughput_rps=self._throughput_rps(stage.variant, stage.batch),
            batch=stage.batch,
            service_s=stage.variant.p99_s(stage.batch),
            fill_s=partial(self._programme.batch_timeout_s, position, stage.batch),
            ready=stage.ready,
            late_share=min(1.0, stage.variant.start_up_s / self.outlook.horizon_s),
        )

    def _violates(self, stage: Served) -> bool:
        """Whether the stage has violated its SLO since the last step."""
        latency = stage.observed.latency
        slow = latency is not None and latency.p99_s > self._pipeline.stage(stage.name).sla_s
        return slow or stage.observed.drops > 0


def _memory(
    solved_s: float | None, stages: Sequence[Served], replicas: Sequence[int], since: Mapping[str, float]
) -> dict[str, Any]:
    replica_counts = {stage.name: count for stage, count in zip(stages, replicas, strict=True)}
    planned = {} if solved_s is None else {"solved_s": solved_s}
    return {**planned, "replicas": replica_counts, "violated_since_s": dict(since)}
