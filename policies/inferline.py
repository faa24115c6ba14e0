"""InferLine: a plan for a sample of the load, then a tuner that compares the load with the sample on every time scale.

Source: Crankshaw et al., InferLine: Latency-Aware Provisioning and Scaling for Prediction Serving Pipelines, SoCC 2020.

*Plan*, once: see `ipa.policies.inferline_plan`. It gives batches, replicas k and, for each stage, the provisioning
ratio rho = mean load / (replicas needed x throughput mu).

*Scale up*, at once. The traffic envelope of a load holds, for windows of the pipeline's service time doubled again and
again up to 60 s, the most requests in any window of that length, as a rate. If the envelope of the last minute exceeds
the sample's, and r is the greatest rate at which it does:  k = ceil(r / (mu rho)), never fewer than there are.

*Scale down*, only after 15 s without a change. With r the greatest mean of 5 s in the last 30 s, and rho_p = min rho
over the stages, the most cautious one:  k = ceil(r / (mu rho_p)), never more than there are, and no fewer than the
envelope asks for.

Departures from the paper: variants and hardware are fixed, so the planner has no downgrade. Its simulation of the
sample is a fluid queue, second by second (see there). The load is known as counts per second, so the smallest window is
1 s, and it is compared at control steps instead of at every arrival (an interval of 1 or 2 s comes close). Every stage
sees the pipeline's load (scale factors are 1 in a chain). The paper does not replan for some hours, and neither does
this.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import ceil
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.inferline_plan import InferLinePlan, Size, plan
from ipa.policies.interface import Memory, Observation, PolicyError
from ipa.policies.optimiser import planned_batches, replicas_for
from ipa.policies.scaler import BATCHLESS_PARAMETERS, Scaled, Scaler, Served, moment

if TYPE_CHECKING:
    from ipa.profiles import Pipeline

LONGEST_WINDOW_S = 60
EPSILON = 1e-9


class InferLine(Scaler):
    """InferLine at fixed variants; batches are planned.

    `sample_rps`: the load to plan for, a count for each second; None: the load in the first observation. `stable_s`:
    how long nothing must have changed before scaling down. `recent_s`: scaling down goes to the busiest part of so many
    last seconds. `bucket_s`: how long that part is. For other parameters except `batch` see `Scaler`. A plan that
    cannot meet the SLA says so at every step (rung
    "sla-excess"). PolicyError: an impossible value.
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
        checks.known("parameter", scaler, BATCHLESS_PARAMETERS)
        super().__init__(pipeline, **scaler)
        self.sample_rps = None if sample_rps is None else _sample(sample_rps)
        self.stable_s = checks.number("stable_s", stable_s, at_least=0)
        self.recent_s = checks.integer("recent_s", recent_s)
        self.bucket_s = checks.integer("bucket_s", bucket_s)

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        own = ("sample_rps", "stable_s", "recent_s", "bucket_s", *BATCHLESS_PARAMETERS)
        return {key: getattr(self, key) for key in own}

    def scale(self, observation: Observation, memory: Memory, stages: Sequence[Served]) -> Scaled:
        """The replicas for this step. Memory: the plan, the replicas wanted, and when these last changed."""
        now_s = observation.time_s
        planned = memory["plan"] if "plan" in memory else self._plan(observation, stages)
        # Not what is configured: the last decision may not be in force yet, and would be undone.
        wanted = memory.get("replicas", planned["replicas"])
        replicas = [wanted[stage.name] for stage in stages]
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
        tuned = [self.bounded(count) for count in tuned]
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
        choices = [self._sizes(k, stage, mean_rps) for k, stage in enumerate(stages)]
        found: InferLinePlan = plan(sample, choices, self._programme.target_s, self.max_replicas)
        service_s = max(1, ceil(sum(size.latency_s for size in found.sizes) - EPSILON))
        windows = [service_s]
        while windows[-1] * 2 <= LONGEST_WINDOW_S:
            windows.append(windows[-1] * 2)
        names = [stage.name for stage in stages]
        return {
            "batch": dict(zip(names, (size.batch for size in found.sizes), strict=True)),
            "replicas": dict(zip(names, map(self.bounded, found.replicas), strict=True)),
            "rho": dict(zip(names, found.rho, strict=True)),
            "envelope": [[window_s, peak_rps(sample, window_s)] for window_s in windows],
            "feasible": found.feasible,
        }

    def _sizes(self, stage: int, served: Served, mean_rps: float) -> list[Size]:
        """The batch sizes that a stage may have, as the planner takes them."""
        variant = served.variant
        return [
            Size(
                batch=batch,
                throughput_rps=self._throughput_rps(variant, batch),
                latency_s=variant.p99_s(batch),
                fill_s=self._programme.batch_timeout_s(stage, batch, mean_rps),
                cores=variant.base_cores,
            )
            for batch in planned_batches(variant, self._programme.batch_cap)
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
    seen = [(peak_rps(load_rps, window_s), planned_rps) for window_s, planned_rps in envelope]
    return max((rate for rate, planned_rps in seen if rate > planned_rps + EPSILON), default=None)


def _sample(given: Sequence[float]) -> list[float]:
    if not isinstance(given, (list, tuple)) or not given:
        raise PolicyError(f"sample_rps={given!r} must be a list of counts, one per second")
    return [checks.number("sample_rps", count, at_least=0) for count in given]
