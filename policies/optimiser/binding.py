"""Which constraint keeps a better configuration out."""

from __future__ import annotations

from collections.abc import Sequence

from ipa.policies.optimiser.ladder import MOST_THROUGHPUT, NO_ACCURACY, SLA_EXCESS, Answer
from ipa.policies.optimiser.options import SLACK, StageOptions, options
from ipa.policies.optimiser.problem import Problem
from ipa.policies.optimiser.solvers import Solver

CONSTRAINTS = ("sla", "cores", "replicas")


def binding(problem: Problem, answer: Answer, best: Solver) -> str:
    """The constraint that gains most when it alone is lifted; among equals, the first of `CONSTRAINTS`.

    "sla+cores" if only lifting both gains anything, "none" if nothing does. On a lower rung: what ruled out the rungs
    above, where "variants" is the wish for certain variants. Solves again only if a constraint was in the way.
    """
    if answer.rung == NO_ACCURACY:
        return "variants"
    if answer.rung == SLA_EXCESS:
        return _kept_the_sla_out(problem, answer, best)
    if answer.rung == MOST_THROUGHPUT:
        return _kept_the_load_out(problem, answer)
    gains = relaxation_gains(problem, answer, best)
    most = max(gains.values())
    if most > 0:
        return next(name for name in CONSTRAINTS if gains[name] == most)
    if answer.pick.held == ("sla", "cores"):
        both = _gain(problem, answer, answer.stages, best, sla_ns=None, limit=None)
        return "sla+cores" if both else "none"
    return "none"


def relaxation_gains(problem: Problem, answer: Answer, best: Solver) -> dict[str, int]:
    """By how much the objective of an optimal answer rises when one constraint is lifted, for each of them.

    Exact, in units of the scales' U W. A constraint that the solver never needed gains nothing.
    """
    held: tuple[str, ...] = answer.pick.held
    sla_ns, limit = answer.sla_ns, answer.limit_cores
    gains = dict.fromkeys(CONSTRAINTS, 0)
    if len(held) == 1 and answer.pick.free_loss is not None:
        gains[held[0]] = _rise(problem, answer, answer.pick.free_loss)
        held = ()
    if "sla" in held:
        gains["sla"] = _gain(problem, answer, answer.stages, best, sla_ns=None, limit=limit)
    if "cores" in held:
        gains["cores"] = _gain(problem, answer, answer.stages, best, sla_ns=sla_ns, limit=None)
    if problem.replicas or any(stage.cut for stage in answer.stages):
        free = options(problem, answer.wanted, replicas_bound=False)
        gains["replicas"] = _gain(problem, answer, free, best, sla_ns=sla_ns, limit=limit)
    return gains


def _gain(
    problem: Problem,
    answer: Answer,
    stages: Sequence[StageOptions],
    best: Solver,
    *,
    sla_ns: int | None,
    limit: int | None,
) -> int:
    relaxed = best(stages, sla_ns, limit, answer.reward)
    return 0 if relaxed is None else _rise(problem, answer, relaxed.loss)


def _rise(problem: Problem, answer: Answer, loss: int) -> int:
    """By how much the objective of a loss exceeds that of the answer."""
    shift = problem.programme.table.scales.shift
    return (answer.pick.loss >> shift) - (loss >> shift)


def _kept_the_sla_out(problem: Problem, answer: Answer, best: Solver) -> str:
    """ "cores" or "replicas" if the SLA could be kept without them, else "sla"."""
    sla_ns = problem.programme.table.sla_ns
    if sum(min(stage.latency_ns) for stage in answer.stages) <= sla_ns:
        return "cores"
    if problem.replicas or any(stage.cut for stage in answer.stages):
        free = options(problem, answer.wanted, replicas_bound=False)
        if best(free, sla_ns, answer.limit_cores, 0) is not None:
            return "replicas"
    return "sla"


def _kept_the_load_out(problem: Problem, answer: Answer) -> str:
    """ "cores" if more of the load could be sustained without their limit, else "replicas"."""
    table, most = problem.programme.table, problem.programme.max_replicas
    uncapped = [
        (problem.replicas or {}).get(stage.name, most)
        * max(row.throughput_rps for row in stage.rows if row.variant in names)
        for stage, names in zip(table.stages, answer.wanted, strict=True)
    ]
    chosen = zip(answer.stages, answer.pick.indices, strict=True)
    sustained = min(stage.replicas[i] * stage.rows[i].throughput_rps for stage, i in chosen)
    unlimited = min(problem.load_rps, *uncapped)
    large = answer.limit_cores != problem.limit_cores
    return "cores" if large or unlimited > sustained * (1 + SLACK) else "replicas"
