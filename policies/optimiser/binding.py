"""Which constraint keeps a better configuration out."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from ipa.policies.optimiser.ladder import MOST_THROUGHPUT, NO_ACCURACY, SLA_EXCESS, Answer
from ipa.policies.optimiser.options import SLACK, StageOptions, options
from ipa.policies.optimiser.placed import placed
from ipa.policies.optimiser.problem import Problem
from ipa.policies.optimiser.solvers import Solver
from ipa.policies.optimiser.throughput import most_sustained_rps

CONSTRAINTS = ("sla", "cores", "nodes", "replicas")


def binding(problem: Problem, answer: Answer, solver: Solver) -> str:
    """The constraint that gains most when it alone is lifted; among equals, the first of `CONSTRAINTS`.

    "sla+cores" if only lifting both gains anything, "none" if nothing does. On a lower rung: what ruled out the rungs
    above, where "variants" is the wish for certain variants. Solves again only if a constraint was in the way.
    """
    if answer.rung == NO_ACCURACY:
        return "variants"
    if answer.rung == SLA_EXCESS:
        return _kept_the_sla_out(problem, answer, solver)
    if answer.rung == MOST_THROUGHPUT:
        return _kept_the_load_out(problem, answer)
    gains = relaxation_gains(problem, answer, solver)
    most = max(gains.values())
    if most > 0:
        return next(name for name in CONSTRAINTS if gains.get(name) == most)
    if answer.pick.held == ("sla", "cores"):
        both = _gain(problem, answer, answer.stages, solver, sla_ns=None, limit=None)
        return "sla+cores" if both else "none"
    return "none"


def relaxation_gains(problem: Problem, answer: Answer, solver: Solver) -> dict[str, int]:
    """By how much the objective of an optimal answer rises when one constraint is lifted, for each of them.

    Exact, in units of the scales' U W. A constraint that the solver never needed gains nothing. Without nodes, all
    other limits of cores remain.
    """
    held: tuple[str, ...] = answer.pick.held
    best = placed(solver, problem.nodes)
    sla_ns, limit = answer.sla_ns, answer.limit_cores
    gains = {name: 0 for name in CONSTRAINTS if problem.nodes or name != "nodes"}
    if problem.nodes:
        gains["nodes"] = _gain(problem, answer, answer.stages, solver, sla_ns=sla_ns, limit=problem.limit_cores)
    if len(held) == 1 and answer.pick.free_loss is not None:
        gains[held[0]] = _rise(problem, answer, answer.pick.free_loss)
        held = ()
    if "sla" in held:
        gains["sla"] = _gain(problem, answer, answer.stages, best, sla_ns=None, limit=limit)
    if "cores" in held:
        gains["cores"] = _gain(problem, answer, answer.stages, best, sla_ns=sla_ns, limit=None)
    if _is_bounded(problem, answer):
        free = options(problem, answer.wanted, replicas_bound=False)
        gains["replicas"] = _gain(problem, answer, free, best, sla_ns=sla_ns, limit=limit)
    return gains


def _is_bounded(problem: Problem, answer: Answer) -> bool:
    """Whether the numbers of replicas that are allowed leave anything out."""
    at_least = any(problem.bounds(name)[0] > 1 for name in problem.programme.table.names)
    return bool(problem.replicas) or at_least or any(stage.cut for stage in answer.stages)


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


def _kept_the_sla_out(problem: Problem, answer: Answer, solver: Solver) -> str:
    """ "cores", "nodes" or "replicas" if the SLA could be kept without them, else "sla"."""
    sla_ns = problem.programme.table.sla_ns
    if sum(min(stage.latency_ns) for stage in answer.stages) <= sla_ns:
        return "nodes" if problem.nodes and solver(answer.stages, sla_ns, problem.limit_cores, 0) else "cores"
    if _is_bounded(problem, answer):
        best = placed(solver, problem.nodes)
        free = options(problem, answer.wanted, replicas_bound=False)
        if best(free, sla_ns, answer.limit_cores, 0) is not None:
            return "replicas"
    return "sla"


def _kept_the_load_out(problem: Problem, answer: Answer) -> str:
    """What keeps the load out: "nodes" or "cores" if more could be sustained without these, else "replicas"."""
    table = problem.programme.table
    uncapped = [
        (problem.replicas or {}).get(stage.name, problem.bounds(stage.name)[1])
        * max(row.throughput_rps for row in stage.rows if row.variant in names)
        for stage, names in zip(table.stages, answer.wanted, strict=True)
    ]
    chosen = zip(answer.stages, answer.pick.indices, strict=True)
    sustained = min(stage.replicas[i] * stage.rows[i].throughput_rps for stage, i in chosen)
    unlimited = min(problem.load_rps, *uncapped)
    large = answer.limit_cores != problem.most_cores
    if not (large or unlimited > sustained * (1 + SLACK)):
        return "replicas"
    return "nodes" if problem.nodes and _without_nodes_rps(problem, answer) > sustained * (1 + SLACK) else "cores"


def _without_nodes_rps(problem: Problem, answer: Answer) -> float:
    """The load that could be sustained if replicas did not have to fit nodes."""
    stages = problem.programme.table.stages
    return most_sustained_rps(
        [stage.select(names, problem.load_rps <= 0).rows for stage, names in zip(stages, answer.wanted, strict=True)],
        problem.load_rps,
        inf if problem.limit_cores is None else problem.limit_cores,
        [problem.bounds(stage.name) for stage in stages],
        [problem.replicas[stage.name] for stage in stages] if problem.replicas else None,
    )
