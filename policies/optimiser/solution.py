"""The optimiser's entry point: from a problem to a configuration and its reasons."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from ipa.policies.interface import Configuration, StageConfiguration
from ipa.policies.optimiser.ladder import (
    MOST_THROUGHPUT,
    NO_ACCURACY,
    OPTIMAL,
    SLA_EXCESS,
    Answer,
    climb,
    wanted_variants,
)
from ipa.policies.optimiser.problem import SLACK, Knapsack, Pick, Problem, Solver, SolverError, options
from ipa.policies.optimiser.programme import Programme
from ipa.policies.optimiser.scales import NS
from ipa.policies.optimiser.solvers import placed, solver_for
from ipa.policies.optimiser.throughput import most_sustained_rps


@dataclass(frozen=True, slots=True)
class Solution:
    """The answer to a problem.

    `rung` is one of `RUNGS`; for `binding` see the function of that name. `objective` has accuracy, pas, cost_cores,
    batch and total. `latency_s` is the planned worst case, to be compared with `sla_s`; `sustained_rps` is the most
    that the configuration serves as planned. `fallback_note` says why the fallback answered in the solver's place; it
    is empty if the solver itself answered.
    """

    configuration: Mapping[str, StageConfiguration]
    rung: str
    binding: str
    objective: Mapping[str, float]
    latency_s: float
    sla_s: float
    sustained_rps: float
    notes: tuple[str, ...] = ()
    fallback_note: str = ""

    @property
    def feasible(self) -> bool:
        """Whether the problem was answered as posed, on the first rung."""
        return self.rung == OPTIMAL


def solve(problem: Problem, *, solver: str = "exact", fallback: str | None = None) -> Solution:
    """The best configuration, or the ladder's fallback; there is always one.

    If the solver cannot answer, the `fallback` does. Raises PolicyError if a solver is unknown, SolverError if the
    solver cannot answer and there is no fallback.
    """
    try:
        return _solution(problem, solver)
    except SolverError as error:
        if fallback is None:
            raise
        return replace(_solution(problem, fallback), fallback_note=f"{fallback} answers instead: {error}")


def _solution(problem: Problem, solver: str) -> Solution:
    best = solver_for(solver, problem.programme)
    answer = climb(problem, best)
    configuration = configured(problem, answer.pick)
    return Solution(
        configuration=configuration,
        rung=answer.rung,
        binding=binding(problem, answer, best),
        objective=problem.programme.score(configuration),
        latency_s=answer.knapsack.latency_ns(answer.pick) / NS,
        sla_s=problem.programme.target_s,
        sustained_rps=answer.pick.sustained_rps,
        notes=answer.notes,
    )


def configured(problem: Problem, pick: Pick) -> dict[str, StageConfiguration]:
    """The configuration of a pick."""
    configuration = {}
    names = problem.programme.table.names
    for k, (name, stage, i) in enumerate(zip(names, pick.stages, pick.indices, strict=True)):
        row = stage.rows[i]
        configuration[name] = _stage_configuration(
            variant=row.variant,
            batch=row.batch,
            replicas=stage.replicas[i],
            batch_timeout_s=problem.programme.batch_timeout_s(
                k, row.batch, problem.load_rps * stage.inflows.least.factor
            ),
            cores=row.cores,
        )
    return configuration


_stage_configuration = lru_cache(maxsize=2**12, typed=True)(StageConfiguration)
"""Caches configurations, so that equal ones are mostly the same object, which is faster to compare."""


CONSTRAINTS = ("sla", "cores", "nodes", "gpus", "replicas", "accuracy")


def binding(problem: Problem, answer: Answer, solver: Solver) -> str:
    """The constraint whose removal alone gains most; among equals, the first of `CONSTRAINTS`.

    "sla+cores" and the like if only removing both gains anything, "none" if nothing does. On a lower rung: the
    constraint that ruled out the rungs above ("variants": the wanted ones). Solves again only if a constraint was
    binding.
    """
    if answer.rung == NO_ACCURACY:
        return "accuracy" if problem.programme.wanted.wants_accuracy and problem.variants is None else "variants"
    if answer.rung == SLA_EXCESS:
        return _kept_the_sla_out(problem, answer, solver)
    if answer.rung == MOST_THROUGHPUT:
        return _kept_the_load_out(problem, answer)
    gains = relaxation_gains(problem, answer, solver)
    most = max(gains.values())
    if most > 0:
        return next(name for name in CONSTRAINTS if gains.get(name) == most)
    if answer.pick.binding:
        limits = answer.knapsack.limits
        for names in (*combinations(limits, 2), *combinations(limits, 3)):
            if _gain(problem, answer, answer.knapsack.without(*names), solver):
                return "+".join(names)
    return "none"


def relaxation_gains(problem: Problem, answer: Answer, solver: Solver) -> dict[str, int]:
    """For each constraint, the rise of the objective of an optimal answer when it alone is lifted.

    Exact, in units of the scales' U W. A constraint that did not matter to the solver gains nothing. Without nodes, all
    other limits of cores remain.
    """
    binding: tuple[str, ...] = answer.pick.binding
    best = placed(solver, problem.room)
    knapsack = answer.knapsack
    gains = {name: 0 for name in CONSTRAINTS if name not in ("nodes", "gpus", "accuracy")}
    if problem.programme.wanted.wants_accuracy:
        every = options(problem, wanted_variants(problem)[0])
        gains["accuracy"] = _gain(problem, answer, replace(knapsack.without("accuracy"), stages=every), best)
    if problem.room.nodes:
        anywhere = placed(solver, replace(problem.room, nodes=()))
        gains["nodes"] = _gain(problem, answer, replace(knapsack, limit_cores=problem.core_limit), anywhere)
    if problem.room.gpus is not None:
        gains["gpus"] = _gain(problem, answer, knapsack, placed(solver, replace(problem.room, gpus=None)))
    if len(binding) == 1 and answer.pick.free_loss is not None:
        gains[binding[0]] = _rise(problem, answer, answer.pick.free_loss)
        binding = ()
    for name in set(binding) - {"accuracy"}:
        gains[name] = _gain(problem, answer, knapsack.without(name), best)
    if _is_bounded(answer):
        free = options(problem, answer.candidates, replicas_bound=False)
        gains["replicas"] = _gain(problem, answer, replace(knapsack, stages=free, bounded=answer.pick), best)
    return gains


def _is_bounded(answer: Answer) -> bool:
    """Whether the allowed numbers of replicas exclude any option."""
    return any(stage.is_bounded for stage in answer.knapsack.stages)


def _gain(problem: Problem, answer: Answer, freed: Knapsack, best: Solver) -> int:
    relaxed = best(freed)
    return 0 if relaxed is None else _rise(problem, answer, relaxed.loss)


def _rise(problem: Problem, answer: Answer, loss: int) -> int:
    """The rise of the objective from the answer to a loss."""
    shift = problem.programme.table.scales.shift
    return (answer.pick.loss >> shift) - (loss >> shift)


def _kept_the_sla_out(problem: Problem, answer: Answer, solver: Solver) -> str:
    """ "cores", "nodes", "gpus" or "replicas" if the SLA could be kept without them, else "sla"."""
    sla_ns, room = problem.programme.table.sla_ns, problem.room
    stages, flow = answer.knapsack.stages, answer.knapsack.flow
    if solver(Knapsack(stages, flow, sla_ns)) is not None:
        within = Knapsack(stages, flow, sla_ns, problem.core_limit)
        if room.gpus is not None and placed(solver, replace(room, gpus=None))(within) is not None:
            return "gpus"
        return "nodes" if room.nodes and solver(within) else "cores"
    if _is_bounded(answer):
        best = placed(solver, room)
        free = options(problem, answer.candidates, replicas_bound=False)
        if best(Knapsack(free, flow, sla_ns, answer.knapsack.limit_cores)) is not None:
            return "replicas"
    return "sla"


def _kept_the_load_out(problem: Problem, answer: Answer) -> str:
    """What limits the load: "gpus", "nodes" or "cores" if more could be sustained without these, else "replicas"."""
    enough_rps = answer.pick.sustained_rps * (1 + SLACK)
    free_rps = most_sustained_rps(problem, answer.candidates, problem.most_cores)
    if problem.room.gpus is not None and not problem.room.nodes and free_rps > enough_rps:
        return "gpus"
    large = answer.knapsack.limit_cores != problem.most_cores
    if not (large or most_sustained_rps(problem, answer.candidates, None) > enough_rps):
        return "replicas"
    without_nodes = (
        problem.room.nodes and most_sustained_rps(problem, answer.candidates, problem.core_limit) > enough_rps
    )
    return "nodes" if without_nodes else "cores"


MOST_KEPT = 2_000

Question = tuple[object, ...]


class CacheCounts(NamedTuple):
    """The numbers of cache hits and misses."""

    hits: int
    misses: int


class SolutionCache:
    """A cache of the solutions of one programme's problems by one solver.

    A solution depends only on its problem, so a cached answer equals a new one. `hits` and `misses` count the
    questions. The oldest answer is evicted when there are very many.
    """

    def __init__(self, programme: Programme, solver: str = "exact", fallback: str | None = None) -> None:
        self._programme, self._solver, self._fallback = programme, solver, fallback
        self._known: dict[Question, Solution] = {}
        self.hits = 0
        self.misses = 0

    @property
    def asked(self) -> CacheCounts:
        """How many questions have been asked so far."""
        return CacheCounts(self.hits, self.misses)

    def hit_rate(self, since: CacheCounts | None = None) -> float:
        """The share of cache hits among the questions asked `since`; 0 without questions."""
        before = CacheCounts(0, 0) if since is None else since
        hits, misses = self.hits - before.hits, self.misses - before.misses
        return hits / (hits + misses) if hits + misses else 0.0

    def kept(self, question: Question) -> Solution | None:
        """The cached answer to a question; None without one."""
        solution = self._known.get(question)
        self.hits += solution is not None
        return solution

    def solve(self, problem: Problem) -> Solution:
        """The solution of a problem, as `solve` finds it. Those of other programmes are not kept."""
        if problem.programme is not self._programme:
            return solve(problem, solver=self._solver, fallback=self._fallback)
        posed = question_of(problem)
        cached = self.kept(posed)
        if cached is not None:
            return cached
        self.misses += 1
        solution = solve(problem, solver=self._solver, fallback=self._fallback)
        if len(self._known) >= MOST_KEPT:
            del self._known[next(iter(self._known))]
        self._known[posed] = solution
        return solution


def question(
    names: Sequence[str],
    load_rps: float,
    limit_cores: int | None,
    limit_gpus: int | None,
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
        limit_gpus,
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
        problem.limit_gpus,
        problem.failed,
        problem.current or {},
        problem.variants,
        problem.keep_variants,
        problem.replicas,
    )
