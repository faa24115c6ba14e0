"""Answers already given: a question that comes again in a run is not solved again."""

from __future__ import annotations

from ipa.policies.optimiser.problem import Problem
from ipa.policies.optimiser.programme import Programme
from ipa.policies.optimiser.solution import Solution, solve

MOST_KEPT = 10_000

Question = tuple[object, ...]


class Answers:
    """The solutions of one programme's problems by one solver, each computed once.

    A solution depends only on its problem, so a kept answer is the same as a new one. `hits` and `misses` count the
    questions asked. The oldest answer goes when there are very many.
    """

    def __init__(self, programme: Programme, solver: str = "exact", fallback: str | None = None) -> None:
        self._programme, self._solver, self._fallback = programme, solver, fallback
        self._known: dict[Question, Solution] = {}
        self.hits = 0
        self.misses = 0

    @property
    def hit_rate(self) -> float:
        """The share of questions that had been answered before; 0 if nothing was asked."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0

    def solve(self, problem: Problem) -> Solution:
        """The solution of a problem, as `solve` finds it. Those of other programmes are not kept."""
        if problem.programme is not self._programme:
            return solve(problem, solver=self._solver, fallback=self._fallback)
        asked = question(problem)
        known = self._known.get(asked)
        if known is not None:
            self.hits += 1
            return known
        self.misses += 1
        solution = solve(problem, solver=self._solver, fallback=self._fallback)
        if len(self._known) >= MOST_KEPT:
            del self._known[next(iter(self._known))]
        self._known[asked] = solution
        return solution


def question(problem: Problem) -> Question:
    """Everything that the answer depends on besides the programme, hashable.

    Of the present configuration, that is each stage's variant and batch size, which are preferred among equals.
    """
    names, current = problem.programme.table.names, problem.current or {}
    variants, replicas = problem.variants, problem.replicas
    return (
        problem.load_rps,
        problem.limit_cores,
        None if variants is None else tuple(tuple(sorted(variants.get(name, ()))) for name in names),
        problem.keep_variants,
        None if replicas is None else tuple(replicas[name] for name in names),
        tuple(tuple(sorted(problem.failed.get(name, ()))) for name in names),
        tuple((current[name].variant, current[name].batch) if name in current else None for name in names),
    )
