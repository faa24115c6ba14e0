"""What a little more of what is limited would bring: one core, 10 ms of SLA. Solved again, not estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ipa.policies.interface import StageConfiguration
from ipa.policies.optimiser.problem import Problem
from ipa.policies.optimiser.solution import Solution, solve

MORE_SLA_S = 0.01


@dataclass(frozen=True, slots=True)
class Price:
    """The answer with a little more of something.

    `gain`: by how much the objective rises; None where the answer is not feasible with it, or was not without. `rung`,
    `latency_s` and `sustained_rps` as in `Solution`.
    """

    gain: float | None
    rung: str
    latency_s: float
    sustained_rps: float
    configuration: Mapping[str, StageConfiguration]


def price_of_core(problem: Problem, solution: Solution, solver: str = "exact") -> Price | None:
    """What one core more brings; None where cores are not limited."""
    if problem.limit_cores is None:
        return None
    return _price(solution, solve(replace(problem, limit_cores=problem.limit_cores + 1), solver=solver))


def price_of_sla(problem: Problem, solution: Solution, solver: str = "exact") -> Price:
    """What `MORE_SLA_S` more of SLA bring."""
    programme = problem.programme
    longer = replace(programme, sla_s=programme.target_s + MORE_SLA_S, drop_limits_s=programme.drop_limits)
    return _price(solution, solve(replace(problem, programme=longer), solver=solver))


def _price(before: Solution, after: Solution) -> Price:
    both = before.feasible and after.feasible
    gain = after.objective["total"] - before.objective["total"] if both else None
    return Price(gain, after.rung, after.latency_s, after.sustained_rps, after.configuration)
