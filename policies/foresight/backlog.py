"""What waits, and the least rate of service at which it and what comes is in time."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

from ipa.policies.configurations import factors_of
from ipa.policies.foresight.forecast import Level, Reach
from ipa.policies.foresight.memory import StageMemory
from ipa.policies.interface import Observation, StageObservation
from ipa.profiles import Pipeline, Stage

CATCH_SHARE = 0.8
"""Of the SLA, within which what waits is to be served."""
LEAST_REST_S = 2.0
"""What is due sooner after the new replicas than this is given up: it would ask for any number of them."""
MOST = 3.0
"""A backlog asks for at most so many times the load to come."""
BUSY_S = 0.5
"""A saturated stage has at least so much work waiting."""
FADES_S = 1800.0
"""What was found of a stage's throughput fades within so much."""
FEWEST = 30
"""Requests: a stage that completed fewer in a step says nothing of its throughput."""


def serves_rps(stage: Stage, seen: StageObservation) -> float:
    """What the ready replicas of a stage serve by their profiles [rps]."""
    return sum(
        counts.ready
        * (variant := stage.variant(name)).throughput_rps(min(seen.configuration.batch, variant.max_batch()))
        for name, counts in seen.replicas.items()
    )


LEAST_FACTOR = 1e-3
"""Items per request: a stage of a graph with fewer counts as one with these."""


def factors_now(pipeline: Pipeline, observation: Observation) -> Mapping[str, float]:
    """Stage -> the items per request that come to it with the variants that are wanted now; 1 in a chain."""
    factors = factors_of(pipeline, {name: seen.configuration.variant for name, seen in observation.stages.items()})
    return {name: max(factor, LEAST_FACTOR) for name, factor in factors.items()}


def waiting_before(pipeline: Pipeline, observation: Observation) -> dict[str, float]:
    """Stage -> the requests that wait there, and at the stages before it, whose items are still to come."""
    factors, names = factors_now(pipeline, observation), list(pipeline.by_name)
    here = {name: observation.stages[name].queue_length / factors[name] for name in names}
    if pipeline.graph is None:
        return dict(zip(names, accumulate(here.values()), strict=True))
    before = {name: pipeline.graph.ancestors(name) for name in names}
    return {name: here[name] + sum(here[each] for each in names if each in before[name]) for name in names}


def required_rps(
    pipeline: Pipeline,
    known: Mapping[str, StageMemory],
    observation: Observation,
    level: Level,
    reach: Reach,
    sla_s: float,
) -> float:
    """The least rate at which all that waits and comes until the next decision's replicas is served in time [rps].

    With the replicas at hand, where that does; else new ones serve from `lead_s` on, and those at hand until then.
    """
    wait_s, end_s, coming_rps = CATCH_SHARE * sla_s, reach.lead_s + reach.step_s, level.coming_rps
    waits, factors, most_rps = waiting_before(pipeline, observation), factors_now(pipeline, observation), 0.0
    for stage in pipeline.stages:
        seen, waiting = observation.stages[stage.name], waits[stage.name]
        have_rps = serves_rps(stage, seen) * known[stage.name].reaches / factors[stage.name]
        rate_rps = max((waiting + coming_rps * by_s) / (by_s + wait_s) for by_s in (0.0, end_s))
        if rate_rps > have_rps:
            left = waiting - have_rps * reach.lead_s
            dues_s = (max(0.0, reach.lead_s + LEAST_REST_S - wait_s), end_s)
            rates = [(left + coming_rps * by_s) / (by_s + wait_s - reach.lead_s) for by_s in dues_s]
            rate_rps = max(have_rps, *rates)
        most_rps = max(most_rps, rate_rps)
    return min(most_rps, MOST * coming_rps)


def noted(stage: Stage, seen: StageObservation, before: StageMemory | None, step_s: float) -> StageMemory:
    """What the next step has to know of a stage.

    One that was saturated now and at the step before, and whose replicas were the same all along, shows what they
    really serve: half of what they fall short of their profiles by is believed at each such step.
    """
    is_settled = not any(counts.starting or counts.draining for counts in seen.replicas.values())
    ready = {name: counts.ready for name, counts in seen.replicas.items() if counts.ready} if is_settled else None
    now = StageMemory(seen.queue_length, ready, seen.configuration.batch)
    if before is None:
        return now
    rate_rps = serves_rps(stage, seen)
    full = max(2 * sum((ready or {}).values()) * now.batch, BUSY_S * rate_rps)
    is_same = bool(ready) and (ready, now.batch) == (before.ready, before.batch)
    if is_same and min(before.waiting, now.waiting) >= full and seen.completions >= FEWEST:
        reaches = before.reaches + 0.5 * (min(1.0, seen.completions / (step_s * rate_rps)) - before.reaches)
    else:
        reaches = before.reaches + (1.0 - before.reaches) * min(1.0, step_s / FADES_S)
    return StageMemory(now.waiting, now.ready, now.batch, round(reaches, 4))
