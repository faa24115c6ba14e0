"""What is chosen for a rate: variants for the lasting rate, replicas for the need; a change of variants is bought once
staying has cost as much."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log2

from ipa.policies.interface import Configuration, Decision, Observation
from ipa.policies.optimiser import Answers, Problem, Programme, Solution

DOUBLED_IN = 17
"""Rates are planned in steps, of which so many double one: 4 % each, so that a request more seldom changes a plan."""
STAYS_WITHIN = 0.05
"""A planned rate stays while less by no more than this share would do."""


def stepped(rate_rps: float, before_rps: float = 0.0) -> float:
    """The rate in whole steps; the rate before, if that is higher by no more than `STAYS_WITHIN`."""
    found = 2.0 ** (round(DOUBLED_IN * log2(rate_rps)) / DOUBLED_IN) if rate_rps > 0 else rate_rps
    return before_rps if (1 - STAYS_WITHIN) * before_rps <= found <= before_rps else found


@dataclass(frozen=True)
class Planner:
    """Plans of a programme. `start_up_s`: the longest start-up time; `may_wait_s`: what plans leave of the SLA for
    queues [s]."""

    programme: Programme
    answers: Answers
    start_up_s: float
    may_wait_s: float

    def best(self, problem: Problem, lasting_rps: float) -> Solution:
        """The plan for the problem's load, with the variants of the best plan for the lasting rate: a backlog of half a
        minute is no reason to roll out other models."""
        if problem.load_rps <= lasting_rps:
            return self.answers.solve(problem)
        lasting = self.answers.solve(replace(problem, load_rps=lasting_rps))
        swollen = self.with_variants(problem, lasting.configuration)
        return swollen if swollen.feasible else self.answers.solve(problem)

    def with_variants(self, problem: Problem, configuration: Configuration) -> Solution:
        """The best plan with the variants of a configuration."""
        variants = {name: [stage.variant] for name, stage in configuration.items()}
        return self.answers.solve(replace(problem, variants=variants))

    def stays(self, observation: Observation, best: Solution, kept: Solution, lost: float, lasting_rps: float) -> bool:
        """Whether the variants at hand stay: nothing changes while replicas start or much waits, as a change takes old
        replicas away before all new ones serve; and no change is made before staying has lost, in objective x s, what
        the replicas cost that start beside the old ones."""
        if not kept.feasible:
            return False
        if _is_starting(observation):
            return True
        waiting = max(stage.queue_length for stage in observation.stages.values())
        if waiting > self.may_wait_s * lasting_rps:
            return True
        at_hand = observation.configuration
        cores = sum(
            each.total_cores for name, each in best.configuration.items() if each.variant != at_hand[name].variant
        )
        return lost < self.programme.core_weight * cores * self.start_up_s

    def lost_by_staying(self, best: Solution, kept: Solution, before: float, step_s: float) -> float:
        """What staying has lost so far, in objective x s; 0 where the variants at hand are the best."""
        gain = best.objective["total"] - kept.objective["total"]
        return before + gain * step_s if gain > 0 else 0.0


def with_starting(found: Decision, observation: Observation) -> Decision:
    """The decision with no fewer replicas where some are starting: with fewer, those would be the ones to go."""
    if not _is_starting(observation) or observation.limit_cores is not None:
        return found
    configuration = dict(found.configuration)
    for name, stage in observation.stages.items():
        wanted, at_hand = configuration[name], stage.configuration
        if wanted.variant == at_hand.variant and any(counts.starting for counts in stage.replicas.values()):
            configuration[name] = replace(wanted, replicas=max(wanted.replicas, at_hand.replicas))
    return replace(found, configuration=configuration)


def _is_starting(observation: Observation) -> bool:
    return any(counts.starting for stage in observation.stages.values() for counts in stage.replicas.values())
