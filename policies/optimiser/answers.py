"""Answers already given: a question that comes again, in this run or another, is not solved again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ipa.policies.interface import Configuration
from ipa.policies.optimiser.problem import Problem
from ipa.policies.optimiser.programme import Programme
from ipa.policies.optimiser.solution import Solution, solve

MOST_KEPT = 2_000

Question = tuple[object, ...]


class Asked(NamedTuple):
    """How many questions had been answered before, and how many had not."""

    hits: int
    misses: int


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
    def asked(self) -> Asked:
        """How many questions have been asked so far."""
        return Asked(self.hits, self.misses)

    def hit_rate(self, since: Asked | None = None) -> float:
        """The share of questions that had been answered before, of those asked `since`; 0 if nothing was asked."""
        before = Asked(0, 0) if since is None else since
        hits, misses = self.hits - before.hits, self.misses - before.misses
        return hits / (hits + misses) if hits + misses else 0.0

    def kept(self, asked: Question) -> Solution | None:
        """The answer to a question that has been asked before; None if it has not, or not lately."""
        known = self._known.get(asked)
        self.hits += known is not None
        return known

    def solve(self, problem: Problem) -> Solution:
        """The solution of a problem, as `solve` finds it. Those of other programmes are not kept."""
        if problem.programme is not self._programme:
            return solve(problem, solver=self._solver, fallback=self._fallback)
        asked = question_of(problem)
        known = self.kept(asked)
        if known is not None:
            return known
        self.misses += 1
        solution = solve(problem, solver=self._solver, fallback=self._fallback)
        if len(self._known) >= MOST_KEPT:
            del self._known[next(iter(self._known))]
        self._known[asked] = solution
        return solution


def question(
    names: Sequence[str],
    load_rps: float,
    limit_cores: int | None,
    failed: Mapping[str, Collection[str]],
    current: Configuration,
    variants: Mapping[str, Collection[str]] | None = None,
    keep_variants: bool = True,
    replicas: Mapping[str, int] | None = None,
) -> Question:
    """Everything that the answer to a `Problem` of these fields depends on besides the programme, hashable.

    `names`: those of the stages. Of the present configuration, that is each stage's variant and batch size, which are
    preferred among equals.
    """
    return (
        load_rps,
        limit_cores,
        None if variants is None else tuple([tuple(sorted(variants.get(name, ()))) for name in names]),
        keep_variants,
        None if replicas is None else tuple([replicas[name] for name in names]),
        tuple([tuple(sorted(failed.get(name, ()))) for name in names]) if any(failed.values()) else None,
        tuple([(current[name].variant, current[name].batch) if name in current else None for name in names]),
    )


def question_of(problem: Problem) -> Question:
    """The question that a problem asks."""
    return question(
        problem.programme.table.names,
        problem.load_rps,
        problem.limit_cores,
        problem.failed,
        problem.current or {},
        problem.variants,
        problem.keep_variants,
        problem.replicas,
    )
