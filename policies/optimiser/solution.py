"""The optimiser's entry point: from a problem to a configuration and its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from ipa.policies.interface import StageConfiguration
from ipa.policies.optimiser.binding import binding
from ipa.policies.optimiser.exact import Pick
from ipa.policies.optimiser.ladder import OPTIMAL, Answer, climb
from ipa.policies.optimiser.packages import SolverError
from ipa.policies.optimiser.pairs import with_pairs
from ipa.policies.optimiser.problem import Problem
from ipa.policies.optimiser.scales import NS
from ipa.policies.optimiser.solvers import solver_named
from ipa.policies.quick import maker_of


@dataclass(frozen=True, slots=True)
class Solution:
    """The answer to a problem.

    `rung` is one of `RUNGS`; for `binding` see `binding.binding`. `objective` has accuracy, pas, cost_cores, batch and
    total. `latency_s` is the planned worst case, to be compared with `sla_s`; `sustained_rps` is the most that the
    configuration serves as planned. `fallback_note` says why the fallback answered in the solver's place; it is empty
    if the solver itself answered.
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
    """The best configuration, or else the ladder's; there is always one.

    If the solver cannot answer, the `fallback` does. PolicyError: an unknown solver. SolverError: the solver cannot
    answer and there is no fallback.
    """
    try:
        return _solution(problem, solver)
    except SolverError as error:
        if fallback is None:
            raise
        return replace(_solution(problem, fallback), fallback_note=f"{fallback} answers instead: {error}")


def _solution(problem: Problem, solver: str) -> Solution:
    best = with_pairs(solver_named(solver), problem.programme.table.scales.pairs)
    answer = climb(problem, best)
    configuration = configured(problem, answer, answer.pick)
    chosen = list(zip(answer.stages, answer.pick.indices, strict=True))
    return Solution(
        configuration=configuration,
        rung=answer.rung,
        binding=binding(problem, answer, best),
        objective=problem.programme.score(configuration),
        latency_s=sum(stage.latency_ns[i] for stage, i in chosen) / NS,
        sla_s=problem.programme.target_s,
        sustained_rps=min(s.replicas[i] * s.rows[i].throughput_rps for s, i in chosen),
        notes=answer.notes,
    )


def configured(problem: Problem, answer: Answer, pick: Pick) -> dict[str, StageConfiguration]:
    """The configuration that a pick of an answer's options stands for."""
    configuration = {}
    names = problem.programme.table.names
    for k, (name, stage, i) in enumerate(zip(names, answer.stages, pick.indices, strict=True)):
        row = stage.rows[i]
        configuration[name] = _stage_configuration(
            variant=row.variant,
            batch=row.batch,
            replicas=stage.replicas[i],
            batch_timeout_s=problem.programme.batch_timeout_s(k, row.batch, problem.load_rps),
            cores=row.cores,
        )
    return configuration


_stage_configuration = lru_cache(maxsize=2**12, typed=True)(maker_of(StageConfiguration))
"""Equal ones are mostly the same object, which is quickly found to be equal."""
