"""The backlog, and the lowest service rate at which it and the arriving requests are served in time."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

from ipa.policies.configurations import LEAST_FACTOR, carried_rps, factors_of
from ipa.policies.foresight.forecast import Level, Reach
from ipa.policies.foresight.memory import StageMemory
from ipa.policies.interface import Observation, StageObservation
from ipa.profiles import Pipeline, Stage

CATCH_SHARE = 0.8
"""Share of the SLA within which the backlog must be served."""
LEAST_REST_S = 2.0
"""Requests due less than this after new replicas serve are given up: they would require any number of replicas."""
MOST = 3.0
"""A backlog requires at most this multiple of the coming load."""
BUSY_S = 0.5
"""Least work waiting at a saturated stage."""
FADES_S = 1800.0
"""Time in which the correction of a stage's throughput fades."""
FEWEST = 30
"""Fewest completions of a step from which a stage's throughput is estimated."""


def serves_rps(stage: Stage, observed: StageObservation) -> float:
    """What the ready replicas of a stage serve by their profiles [rps]."""
    return sum(
        counts.ready
        * (variant := stage.variant(name)).throughput_rps(min(observed.configuration.batch, variant.max_batch()))
        for name, counts in observed.replicas.items()
    )


def factors_now(pipeline: Pipeline, observation: Observation) -> Mapping[str, float]:
    """Stage -> the items per request that come to it with the variants that are wanted now; 1 in a chain."""
    factors = factors_of(
        pipeline, {name: observed.configuration.variant for name, observed in observation.stages.items()}
    )
    return {name: max(factor, LEAST_FACTOR) for name, factor in factors.items()}


def waiting_before(pipeline: Pipeline, observation: Observation) -> dict[str, float]:
    """Stage -> the requests that bring so many items there as wait there and will come from the stages before it."""
    factors, names = factors_now(pipeline, observation), list(pipeline.by_name)
    here = {name: observation.stages[name].queue_length for name in names}
    if pipeline.graph is None:
        return dict(zip(names, map(float, accumulate(here.values())), strict=True))
    variants = {name: observed.configuration.variant for name, observed in observation.stages.items()}
    waiting = dict.fromkeys(names, 0.0)
    for source in filter(here.__getitem__, names):
        onward = pipeline.graph.onward(names, variants, source)
        for name in names:
            waiting[name] += here[source] * onward[name] / factors[name]
    return waiting


def required_rps(
    pipeline: Pipeline,
    memory_by_stage: Mapping[str, StageMemory],
    observation: Observation,
    level: Level,
    reach: Reach,
    sla_s: float,
) -> float:
    """The lowest rate that serves the backlog and all arrivals until the next decision's replicas in time [rps].

    By the present replicas if they suffice; otherwise those serve until `lead_s`, and new ones from then on.
    """
    wait_s, end_s, coming_rps = CATCH_SHARE * sla_s, reach.lead_s + reach.step_s, level.coming_rps
    waits, factors, most_rps = waiting_before(pipeline, observation), factors_now(pipeline, observation), 0.0
    for stage in pipeline.stages:
        observed, waiting = observation.stages[stage.name], waits[stage.name]
        have_rps = serves_rps(stage, observed) * memory_by_stage[stage.name].reaches / factors[stage.name]
        rate_rps = max((waiting + coming_rps * by_s) / (by_s + wait_s) for by_s in (0.0, end_s))
        if rate_rps <= carried_rps(stage, factors[stage.name]):
            continue
        if rate_rps > have_rps:
            backlog = waiting - have_rps * reach.lead_s
            dues_s = (max(0.0, reach.lead_s + LEAST_REST_S - wait_s), end_s)
            rates = [(backlog + coming_rps * by_s) / (by_s + wait_s - reach.lead_s) for by_s in dues_s]
            rate_rps = max(have_rps, *rates)
        most_rps = max(most_rps, rate_rps)
    return min(most_rps, MOST * coming_rps)


def noted(stage: Stage, observed: StageObservation, before: StageMemory | None, step_s: float) -> StageMemory:
    """The memory of a stage for the next step.

    A stage that was saturated at this step and the previous one, with the same replicas, shows their real throughput:
    each such step moves the estimate halfway to it.
    """
    is_settled = not any(counts.starting or counts.draining for counts in observed.replicas.values())
    ready = {name: counts.ready for name, counts in observed.replicas.items() if counts.ready} if is_settled else None
    now = StageMemory(observed.queue_length, ready, observed.configuration.batch)
    if before is None:
        return now
    rate_rps = serves_rps(stage, observed)
    full = max(2 * sum((ready or {}).values()) * now.batch, BUSY_S * rate_rps)
    is_same = bool(ready) and (ready, now.batch) == (before.ready, before.batch)
    if is_same and min(before.waiting, now.waiting) >= full and observed.completions >= FEWEST:
        reaches = before.reaches + 0.5 * (min(1.0, observed.completions / (step_s * rate_rps)) - before.reaches)
    else:
        reaches = before.reaches + (1.0 - before.reaches) * min(1.0, step_s / FADES_S)
    return StageMemory(now.waiting, now.ready, now.batch, round(reaches, 4))
