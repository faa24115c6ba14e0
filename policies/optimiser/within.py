"""The best plan of a problem within each number of cores, from a limit down to the fewest that any plan takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ipa.policies.optimiser.ladder import climb
from ipa.policies.optimiser.problem import Problem, Solver
from ipa.policies.optimiser.scales import NS
from ipa.policies.optimiser.solvers import solver_for


@dataclass(frozen=True, slots=True)
class Within:
    """The best plan within some number of cores; it takes `cores`, and is the best within all numbers between.

    `total` is its objective. `met` is 1 if it sustains the load within the SLA; otherwise the share of the load that it
    sustains x the share that the SLA is of its planned latency, each at most 1.
    """

    cores: int
    total: float
    met: float


def best_within(problem: Problem) -> Iterator[Within]:
    """The best plans within falling numbers of cores, from the problem's limit on, wherever the plan changes.

    Each is what the ladder answers, by the exact solver. Ends with the fewest cores of any plan, or with the first plan
    if the problem has no limit of cores.
    """
    solver = solver_for("exact", problem.programme)
    while True:
        best = _best(problem, solver)
        if problem.limit_cores is not None and best.cores > problem.limit_cores:
            return
        yield best
        if best.cores <= 1 or problem.limit_cores is None:
            return
        problem = replace(problem, limit_cores=best.cores - 1)


def _best(problem: Problem, solver: Solver) -> Within:
    answer = climb(problem, solver)
    programme, pick, load_rps = problem.programme, answer.pick, problem.load_rps
    chosen = [stage.rows[i] for stage, i in pick.chosen]
    score = programme.table.scales.parts([row.variant for row in chosen], pick.cores, sum(row.batch for row in chosen))
    latency_s = answer.knapsack.latency_ns(pick) / NS
    met = min(1.0, programme.target_s / latency_s) if latency_s > 0 else 1.0
    if load_rps > 0:
        met *= min(1.0, pick.sustained_rps / load_rps)
    return Within(pick.cores, score["total"], met)
