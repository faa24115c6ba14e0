"""Choosing: plans of a programme, and how one configuration differs from another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil, log2
from typing import Any, NamedTuple

from ipa.policies.interface import Configuration, Observation, ReplicaCounts
from ipa.policies.optimiser import Answers, Problem, Programme, Solution

DOUBLED_IN = 17
"""Rates are planned for in equal steps, of which so many double one: 4 % each. So a request that is counted a second
earlier or later seldom changes a plan, and a load twice as large has twice the plan."""
STEADY = 0.05
"""A planned rate stays while less by no more than this would do."""


class Aim(NamedTuple):
    """A programme and its answers."""

    programme: Programme
    answers: Answers

    def solved(self, problem: Problem, fixed: Mapping[str, list[str]]) -> Solution:
        """The best plan in which some stages keep their variants, if there is any such plan."""
        if fixed:
            found = self.answers.solve(replace(problem, variants=fixed))
            if found.feasible:
                return found
        return self.answers.solve(problem)


class Rates(NamedTuple):
    """What is planned for [rps]: in calm, insurance included; what is needed now, at least that; what is due
    whatever it costs, with insurance against grave risks alone; the load to come; and what other variants have to
    serve, as the last minute had it."""

    calm_rps: float
    need_rps: float
    due_rps: float
    peak_rps: float
    minute_rps: float = 0.0


def steadied(calm_rps: float, need_rps: float, seen: dict[str, Any], name: str) -> tuple[float, float]:
    """The rates in whole steps, or those of the decision before where they are higher by no more than `STEADY`; `seen`
    remembers them by the name."""
    rates = (_stepped(calm_rps, round), _stepped(need_rps, round))
    before = seen.get(name, rates)
    kept = [old if new <= old <= new / (1 - STEADY) else new for new, old in zip(rates, before, strict=True)]
    seen[name] = kept
    return kept[0], max(kept)


def rounded_up(rate_rps: float) -> float:
    """The least rate in whole steps that is no lower."""
    return _stepped(rate_rps, lambda steps: ceil(steps - 1e-9))


def cores_of(configuration: Configuration) -> int:
    """The cores of all desired replicas."""
    return sum(stage.total_cores for stage in configuration.values())


def change_price(core_weight: float, variants: Mapping[str, str], then: Configuration, start_up_s: float) -> float:
    """What a change of variants costs, in objective x seconds: the new replicas start beside the old ones."""
    return core_weight * changed_cores(variants, then) * start_up_s


def changed_cores(variants: Mapping[str, str], then: Configuration) -> int:
    """The cores of the replicas that start where stages get another variant than theirs of now (stage -> variant)."""
    return sum(each.total_cores for name, each in then.items() if each.variant != variants[name])


def variant_of_each(configuration: Configuration) -> dict[str, str]:
    """Stage -> its variant."""
    return {name: stage.variant for name, stage in configuration.items()}


def lower_of(*limits_cores: int | None) -> int | None:
    """The lowest of some limits of cores; None: no limit."""
    return min((limit for limit in limits_cores if limit is not None), default=None)


def variants_of(configuration: Configuration) -> dict[str, list[str]]:
    """Stage -> its variant, as a problem wants it."""
    return {name: [stage.variant] for name, stage in configuration.items()}


def is_any_starting(observation: Observation) -> bool:
    """Whether any replica is starting."""
    return any(counts.starting for stage in observation.stages.values() for counts in stage.replicas.values())


def not_fewer(configuration: Configuration, observation: Observation) -> dict[str, int]:
    """Stage -> its replicas in force, where the configuration keeps its variant and some are starting: with fewer
    replicas, those would be the ones to go."""
    found = {}
    for name, stage in observation.stages.items():
        at_hand = stage.configuration
        counts = stage.replicas.get(at_hand.variant)
        if counts is not None and counts.starting and configuration[name].variant == at_hand.variant:
            found[name] = at_hand.replicas
    return found


def starting_in_vain(plan: Configuration, observation: Observation) -> Configuration:
    """What is in force at stages that are behind, where a plan gives up what is starting for other replicas that have
    yet to start. Behind: more waits than a batch at each ready replica."""
    found = {}
    for name, stage in observation.stages.items():
        now, wanted = stage.configuration, plan[name]
        if now.is_mix or now.variant in (wanted.variant, *stage.failed_variants):
            continue
        at_hand, other = (stage.replicas.get(variant, ReplicaCounts()) for variant in (now.variant, wanted.variant))
        is_behind = stage.queue_length > now.batch * max(at_hand.ready, 1)
        if is_behind and at_hand.starting and other.ready < wanted.replicas:
            found[name] = now
    return found


def same_replicas(one: Configuration, other: Configuration) -> bool:
    """Whether two plans have the same replicas: their batches may differ."""
    return all(
        (stage.variant, stage.replicas, stage.cores) == (other[name].variant, other[name].replicas, other[name].cores)
        for name, stage in one.items()
    )


def _stepped(rate_rps: float, whole: Callable[[float], int]) -> float:
    return 2.0 ** (whole(DOUBLED_IN * log2(rate_rps)) / DOUBLED_IN) if rate_rps > 0 else rate_rps
