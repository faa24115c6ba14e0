"""All plans for a load that are Pareto-optimal in accuracy and cores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ipa.policies.optimiser.problem import Problem
from ipa.policies.optimiser.solution import Solution, solve


def pareto_plans(problem: Problem, *, solver: str = "exact") -> list[Solution]:
    """The plans that keep SLA, load and limits and that no other such plan beats, by rising cores; empty for none.

    Another plan beats one that it equals or betters in both cores and accuracy, as the programme combines it. Of plans
    with the same cores and accuracy, the one that the rule for ties prefers (fewest cores, smallest batches, ...).
    Their objective is that of the problem's programme. Raises as `solve`.
    """
    return list(reversed(list(_by_falling_accuracy(problem, solver))))


def _by_falling_accuracy(problem: Problem, solver: str) -> Iterator[Solution]:
    """The most accurate plan, of these the one with the fewest cores; then the same with fewer cores than that."""
    programme = problem.programme
    accurate = replace(problem, programme=replace(programme, alpha=1.0, beta=0.0, gamma=0.0))
    while True:
        found = solve(accurate, solver=solver)
        if not found.feasible:
            return
        score = programme.score(found.configuration)
        yield replace(found, objective=score)
        if score["cost_cores"] <= 1:
            return
        accurate = replace(accurate, limit_cores=round(score["cost_cores"]) - 1)
