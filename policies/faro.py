"""Faro: the fewest replicas of the greatest utility under sampled forecasts, and a reactive step between the plans.

Source: Jeon et al., A House United Within Itself: SLO-Awareness for On-Premises Containerized ML Inference Clusters via
Faro, EuroSys 2025 (Faro-Sum). Each stage is a job; its SLO is its share of the SLA.

*Plan*, every `solve_s`: loads are sampled from the forecast, and each stage gets the fewest replicas whose mean utility
over the samples is that of `max_replicas` (see `ipa.policies.faro_utility`, also for how start-ups count). Where the
cores are limited, the stages compete: a replica is taken away where the sum of utilities falls least per core, until
all fit. *React*, at every step: a stage that has violated its SLO for 30 s gets one replica more; then the 30 s begin
anew. Only the next plan takes it back.

Departures: the paper plans every 5 minutes with forecasts (N-HiTS) of the requests of each minute; the forecasts here
reach 60 s, and so does the plan. A sample is the load of the busiest second of the horizon, taken as steady. The paper
optimises a relaxed problem with COBYLA, rounds up, and then removes replicas that bring nothing; as utility never falls
with the replicas, the same is found here by bisection, exactly. Batches are new: see there. Left out are the variants
that drop requests on purpose and those for fairness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.faro_utility import Load, StageUtility
from ipa.policies.interface import Memory, Observation, Predictor
from ipa.policies.predictors import DEFAULT_PREDICTOR, Outlook
from ipa.policies.scaler import SCALER_PARAMETERS, Scaled, Scaler, Served, moment

if TYPE_CHECKING:
    from ipa.profiles import Pipeline

EPSILON = 1e-9


class Faro(Scaler):
    """Faro at fixed variants and batches; use it with an interval of 10 s.

    `predictor`: gives the forecast whose distribution is sampled. `horizon_s`: how far it looks; None: `solve_s`.
    `solve_s`: the time between two plans. `samples`: how many loads are drawn for a plan. `percentile`: the share of
    the requests that must keep the SLO. `exponent`: how steeply the utility falls beyond the SLO; it matters only where
    cores are limited. `overload_s`: how long a stage must have violated its SLO to get one replica more. For other
    parameters see `Scaler`. Without a forecast, a plan stays as it is. PolicyError: an impossible value.
    """

    further_parameters = SCALER_PARAMETERS

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
        checks.known("parameter", scaler, SCALER_PARAMETERS)
        super().__init__(pipeline, **scaler)
        self.solve_s = checks.number("solve_s", solve_s, at_least=1)
        self.outlook = Outlook(predictor, horizon_s=self.solve_s if horizon_s is None else horizon_s)
        self.reads = (*self.outlook.reads, "latency")
        self.samples = checks.integer("samples", samples)
        self.percentile = checks.number("percentile", percentile, at_least=0.5, at_most=0.9999)
        self.exponent = checks.number("exponent", exponent, above=0)
        self.overload_s = checks.number("overload_s", overload_s, at_least=0)

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        outlook = self.outlook.parameters
        own = ("solve_s", "samples", "percentile", "exponent", "overload_s")
        return {
            "predictor": outlook["predictor"],
            "horizon_s": outlook["horizon_s"],
            **{key: getattr(self, key) for key in own},
            **super().parameters,
        }

    def scale(self, observation: Observation, memory: Memory, stages: Sequence[Served]) -> Scaled:
        """The replicas for this step.

        Memory: when the last plan was made, the replicas wanted, and since when each stage has violated its SLO.
        """
        now_s = observation.time_s
        since = self._violated_since(now_s, stages, memory.get("violated_since_s", {}))
        solved_s = moment(memory["solved_s"], now_s) if "solved_s" in memory else None
        if solved_s is None or now_s - solved_s >= self.solve_s - EPSILON:
            forecast = self.outlook.forecast(observation)
            if not forecast.is_missing:
                draw = Random(f"faro {observation.seed} {observation.step}").random
                samples = [forecast.at(draw()) for _ in range(self.samples)]
                plan = self._planned(samples, stages, observation.limit_cores)
                return Scaled(plan, _memory(now_s, stages, plan, since), forecast.point_rps, max(samples))
        # Not what is configured: the last decision may not be in force yet, and would be undone.
        wanted = memory.get("replicas", {})
        replicas = [wanted.get(stage.name, stage.replicas) for stage in stages]
        notes = []
        for k, stage in enumerate(stages):
            if stage.name in since and now_s - since[stage.name] >= self.overload_s - EPSILON:
                since[stage.name] = now_s
                replicas[k] = self.bounded(replicas[k] + 1)
                notes.append(f"{stage.name}: has violated its SLO for {self.overload_s:g} s, one replica more")
        return Scaled(replicas, _memory(solved_s, stages, replicas, since), notes=notes)

    def _violated_since(self, now_s: float, stages: Sequence[Served], before: Mapping[str, float]) -> dict[str, float]:
        """Stage -> since when it has violated its SLO; those that do not are missing."""
        return {stage.name: moment(before.get(stage.name, now_s), now_s) for stage in stages if self._violates(stage)}

    def _planned(self, samples_rps: Sequence[float], stages: Sequence[Served], limit_cores: int | None) -> list[int]:
        """The replicas of the greatest utility, and no more than it takes."""
        utilities = [self._utility(k, stage, samples_rps) for k, stage in enumerate(stages)]
        counts = [each.fewest(self.min_replicas, self.max_replicas) for each in utilities]
        cores = [stage.variant.base_cores for stage in stages]
        used = sum(count * each for count, each in zip(counts, cores, strict=True))
        while limit_cores is not None and used > limit_cores:
            spare = [k for k, count in enumerate(counts) if count > self.min_replicas]
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
            load=Load(samples_rps, target, self.percentile, self.exponent),
            throughput_rps=stage.throughput_rps,
            batch=stage.batch,
            service_s=stage.variant.p99_s(stage.batch),
            fill_s=partial(self._programme.batch_timeout_s, position, stage.batch),
            ready=stage.ready,
            late_share=min(1.0, stage.variant.start_up_s / self.outlook.horizon_s),
        )

    def _violates(self, stage: Served) -> bool:
        """Whether the stage has violated its SLO since the last step."""
        latency = stage.seen.latency
        slow = latency is not None and latency.p99_s > self._pipeline.stage(stage.name).sla_s
        return slow or stage.seen.drops > 0


def _memory(
    solved_s: float | None, stages: Sequence[Served], replicas: Sequence[int], since: Mapping[str, float]
) -> dict[str, Any]:
    wanted = {stage.name: count for stage, count in zip(stages, replicas, strict=True)}
    planned = {} if solved_s is None else {"solved_s": solved_s}
    return {**planned, "replicas": wanted, "violated_since_s": dict(since)}
