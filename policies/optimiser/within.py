"""The best plan of a problem within each number of cores or GPUs, from a limit down to the fewest of any plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ipa.policies.optimiser.ladder import MOST_THROUGHPUT, Answer, climb, wanted_variants
from ipa.policies.optimiser.problem import Problem
from ipa.policies.optimiser.scales import NS
from ipa.policies.optimiser.solvers import solver_for
from ipa.policies.optimiser.throughput import SustainedRates


@dataclass(frozen=True, slots=True)
class Within:
    """The best plan within a number of cores, or GPUs, which is the best within all numbers from `units` to that.

    `total` is its objective. `met` is 1 if it sustains the load within the SLA, and if it sustains it later, the share
    that the SLA is of its planned latency. If not, `total` is that of the fewest units that sustain the load (where
    not even the limit does: of the plan within the limit), and `met` is that share of these units x the share of the
    load that can be sustained.
    """

    units: int
    total: float
    met: float


def best_within(problem: Problem) -> Iterator[Within]:
    """The best plans within falling numbers of cores, from the problem's limit on, by the exact solver.

    Ends with the fewest cores of any plan; there is none without a limit of cores.
    """
    solver = solver_for("exact", problem.programme)
    candidates, *_ = wanted_variants(problem)
    carrying, limit_cores = climb(problem, solver), problem.limit_cores
    units, rate_rps = carrying.pick.cores, carrying.pick.sustained_rps
    rates = SustainedRates(problem, problem.most_cores)
    while limit_cores is not None and units <= limit_cores:
        yield _within(problem, carrying, units, rate_rps)
        limit_cores = units - 1
        rate_rps = rates.most_rps(candidates, min(limit_cores, problem.most_cores or limit_cores))
        if rate_rps >= problem.load_rps:
            carrying = climb(replace(problem, limit_cores=limit_cores), solver)
            units, rate_rps = carrying.pick.cores, carrying.pick.sustained_rps
        elif rate_rps > 0:
            units = limit_cores
        else:
            return


def best_within_gpus(problem: Problem) -> Iterator[Within]:
    """As `best_within`, for GPUs; there is none without a limit of GPUs."""
    solver = solver_for("exact", problem.programme)
    carrying: Answer | None = None
    limit_gpus = problem.limit_gpus
    while limit_gpus is not None and limit_gpus >= 0:
        problem = replace(problem, limit_gpus=limit_gpus)
        answer = climb(problem, solver)
        gpus = sum(stage.rows[i].gpus * stage.replicas[i] for stage, i in answer.pick.chosen)
        if gpus > limit_gpus:  # not even the fewest replicas have room
            return
        if carrying is None or answer.rung != MOST_THROUGHPUT:
            carrying = answer
        yield _within(problem, carrying, gpus, answer.pick.sustained_rps)
        limit_gpus = gpus - 1


def _within(problem: Problem, carrying: Answer, units: int, sustained_rps: float) -> Within:
    """So many units sustain `sustained_rps`; `carrying`: the plan of the fewest units that sustain the load."""
    programme, pick = problem.programme, carrying.pick
    chosen = [stage.rows[i] for stage, i in pick.chosen]
    score = programme.table.scales.parts([row.variant for row in chosen], pick.cores, sum(row.batch for row in chosen))
    latency_s = carrying.knapsack.latency_ns(pick) / NS
    met = min(1.0, programme.target_s / latency_s) if latency_s > 0 else 1.0
    if problem.load_rps > 0:
        met *= min(1.0, sustained_rps / problem.load_rps)
    return Within(units, score["total"], met)
