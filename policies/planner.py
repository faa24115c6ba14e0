"""The Planner of NVIDIA Dynamo: a slow loop that plans ahead, and a fast one that follows the queue.

Source: NVIDIA Dynamo, "Planner Design" and "Planner Guide" (docs.nvidia.com/dynamo, versions 0.9 and 1.0), with its
defaults and both loops on. For each stage, whose target is its share of the SLA:

*Throughput-based*, every 180 s: a correction factor says how much slower the stage was than its profile,

    correction = observed latency / expected latency

and the batch is the one of the greatest throughput h that is expected to keep target / correction (the rule for decode
workers, which batch). With the forecast of the load, replicas n = ceil(load / h) are the floor of the fast loop.

*Load-based*, every 5 s: the next request is estimated to take as long as the batches before it on its replica, and its
own. Above the target: one replica more. One fewer where, with one fewer, the requests at the stage still fit into the
running batches, and the estimate is within 80 % of the target; never below the floor. While replicas start, or more run
than are wanted, nothing changes but by the floor.

Departures: the Planner controls workers of language models and counts tokens; here it is requests, a worker is a
replica, and the size of its running batch is chosen rather than the outcome of continuous batching. Latency and
expectation are a stage's median and mean, with the wait for the batch to fill. Its predictors (ARIMA by default, or a
Kalman filter with a local linear trend) see the requests of each interval; the default here is Holt's method, that
filter in its steady state, which sees the busiest second of each 10 s. The estimate comes from the profile instead of a
regression on measurements, and is one for the stage, which has one queue, instead of one for each worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.interface import Memory, Observation, Predictor
from ipa.policies.optimiser import replicas_for
from ipa.policies.predictors import Outlook
from ipa.policies.scaler import BATCHLESS_PARAMETERS, EPSILON, Scaled, Scaler, Served, exists, moment, recent_rps

if TYPE_CHECKING:
    from ipa.profiles import Pipeline


class Planner(Scaler):
    """Dynamo's Planner at fixed variants; batches are planned. Use it with an interval of 5 s.

    `predictor`: gives the load of the slow loop. `horizon_s`: how far it looks; None: `throughput_interval_s`.
    `throughput_interval_s`: the time between two steps of the slow loop. `load_interval_s`: the time between two steps
    of the fast loop. `down_sensitivity`: the share of the target that a stage with one replica fewer must keep.
    `correction`: whether observed latencies correct the profile. For other parameters except `batch` see `Scaler`.
    Without a forecast, floors and batches stay. PolicyError: an impossible value.
    """

    further_parameters = BATCHLESS_PARAMETERS

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        predictor: str | Mapping[str, Any] | Predictor = "holt",
        horizon_s: float | None = None,
        throughput_interval_s: float = 180.0,
        load_interval_s: float = 5.0,
        down_sensitivity: float = 0.8,
        correction: bool = True,
        **scaler: Any,
    ) -> None:
        super().__init__(pipeline, **scaler)
        self.throughput_interval_s = checks.number("throughput_interval_s", throughput_interval_s, at_least=1)
        self.load_interval_s = checks.number("load_interval_s", load_interval_s, above=0)
        self.outlook = Outlook(predictor, horizon_s=self.throughput_interval_s if horizon_s is None else horizon_s)
        self.reads = (*self.outlook.reads, "latency", "concurrency")
        self.down_sensitivity = checks.number("down_sensitivity", down_sensitivity, above=0, at_most=1)
        self.correction = checks.flag("correction", correction)

    def scale(self, observation: Observation, memory: Memory, stages: Sequence[Served]) -> Scaled:
        """The replicas for this step.

        Memory: when each loop last ran; the batches and floors planned; and what has been observed of each stage since,
        as [completions, the sum of their observed latencies, that of their expected ones].
        """
        now_s = observation.time_s
        measured = self._measured(observation, stages, memory.get("measured", {}))
        plan: Mapping[str, Any] = memory.get("plan", {"batch": {stage.name: 1 for stage in stages}, "floor": {}})
        times = {loop: moment(time_s, now_s) for loop, time_s in memory.get("times_s", {}).items()}
        forecast_rps: float | None = None
        notes: list[str] = []
        if "slow" not in times or now_s - times["slow"] >= self.throughput_interval_s - EPSILON:
            load_rps = self.outlook.rps(observation)
            if load_rps == load_rps:
                forecast_rps = load_rps
                plan, notes = self._planned(load_rps, stages, measured)
                times["slow"], measured = now_s, {}
        stages = self.served(observation, plan["batch"])
        replicas = [stage.replicas for stage in stages] if exists(stages) else [stage.least for stage in stages]
        if "fast" not in times or now_s - times["fast"] >= self.load_interval_s - EPSILON:
            times["fast"] = now_s
            replicas = [self._stepped(stage, count) for stage, count in zip(stages, replicas, strict=True)]
        replicas = [max(count, plan["floor"].get(s.name, 1)) for count, s in zip(replicas, stages, strict=True)]
        return Scaled(
            replicas=replicas,
            memory={"plan": plan, "times_s": times, "measured": measured},
            forecast_rps=forecast_rps,
            notes=notes,
            batches=plan["batch"],
        )

    # ---- the slow loop ----

    def _measured(
        self, observation: Observation, stages: Sequence[Served], before: Mapping[str, Any]
    ) -> dict[str, Sequence[float]]:
        """What has been observed of each stage since the slow loop last ran."""
        load_rps = recent_rps(observation, max(1, round(observation.elapsed_s)))
        measured: dict[str, Sequence[float]] = {}
        for stage in stages:
            count, observed_s, expected_s = before.get(stage.name, (0, 0.0, 0.0))
            latency, new = stage.observed.latency, stage.observed.completions
            if latency is not None and latency.p50_s == latency.p50_s:
                configured = stage.observed.configuration
                batch = min(configured.batch, stage.variant.max_batch())
                items_rps = load_rps * stage.factor
                filled = max(1, min(batch, 1 + int(items_rps * configured.batch_timeout_s)))
                fill_s = min(configured.batch_timeout_s, (filled - 1) / items_rps if items_rps > 0 else 0.0)
                count += new
                observed_s += new * latency.p50_s
                expected_s += new * (fill_s / 2 + stage.variant.mean_s(filled))
            measured[stage.name] = (count, observed_s, expected_s)
        return measured

    def _planned(
        self, load_rps: float, stages: Sequence[Served], measured: Mapping[str, Sequence[float]]
    ) -> tuple[dict[str, Any], list[str]]:
        """Batches and floors for a load, and the corrections that were made."""
        batches, floors, notes = {}, {}, []
        for k, stage in enumerate(stages):
            _, observed_s, expected_s = measured[stage.name]
            correction = observed_s / expected_s if self.correction and expected_s > 0 else 1.0
            items_rps = load_rps * stage.factor
            batch = self._batch(k, stage, items_rps, correction)
            batches[stage.name] = batch
            floors[stage.name] = stage.bounded(replicas_for(items_rps, self._throughput_rps(stage.variant, batch)))
            notes.append(f"{stage.name}: {correction:.3g} times the expected latency, batches of {batch}")
        return {"batch": batches, "floor": floors}, notes

    def _batch(self, position: int, stage: Served, load_rps: float, correction: float) -> int:
        """The batch of the greatest throughput that is expected to keep the corrected target; else 1."""
        corrected_s = self._target_s(stage) / correction if correction > 0 else self._target_s(stage)
        fitting = [
            batch
            for batch in stage.variant.planned_batches(self._programme.batch_cap)
            if self._programme.batch_timeout_s(position, batch, load_rps) / 2 + stage.variant.mean_s(batch)
            <= corrected_s + EPSILON
        ]
        return max(fitting, key=lambda batch: self._throughput_rps(stage.variant, batch), default=1)

    # ---- the fast loop ----

    def _stepped(self, stage: Served, replicas: int) -> int:
        """One replica more or fewer, or as many; `replicas` are those that are wanted."""
        if stage.starting or stage.ready != replicas:
            return replicas
        target_s = self._target_s(stage)
        if self._next_s(stage, replicas) > target_s:
            return stage.bounded(replicas + 1)
        fits = stage.concurrency < (replicas - 1) * stage.batch
        if fits and self._next_s(stage, replicas - 1) <= self.down_sensitivity * target_s:
            return stage.bounded(replicas - 1)
        return replicas

    def _next_s(self, stage: Served, replicas: int) -> float:
        """The latency that the next request is estimated to have [s]."""
        batches = ceil((stage.observed.queue_length + 1) / (replicas * stage.batch) - EPSILON)
        return batches * stage.variant.mean_s(stage.batch)

    def _target_s(self, stage: Served) -> float:
        return self._pipeline.stage(stage.name).sla_s
