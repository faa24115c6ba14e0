"""The programme of a chain for a general solver, Gurobi or HiGHS: one binary per option, every term linear.

    minimise    sum c x - R p_S              x[k, i] binary: stage k takes its option i
    subject to  sum_i x[k, i] = 1
                sum t x <= T,  sum u x <= U  time and cores, where they are limited
                sum_g z[k, g] = p_(k-1)      p_0 = 1,  p_k = sum_g a[k, g] z[k, g]
                0 <= z[k, g] <= sum of x[k, i] over the options i of accuracy g
                p_S >= A                     where there is a least accuracy

Replicas are folded into the options. The product of accuracies is a flow: the product so far enters stage k and passes
through the accuracy picked there. If accuracies do not count, there is no flow. Both solvers get the same arrays, and
answer each problem afresh, so no answer depends on earlier ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import accumulate, pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ipa.policies.optimiser.problem import Knapsack, Pick, SolverError

if TYPE_CHECKING:
    import gurobipy

# Solvers have absolute tolerances of about 1e-9, which large units make relatively smaller.
ROW_UNIT, COST_UNIT = 1e3, 1e6

NO_LICENCE, TOO_LARGE = 10009, 10010
"""Gurobi's numbers of errors."""


@dataclass(frozen=True, slots=True)
class Model:
    """Minimise `cost` x subject to `low` <= A x <= `high` and 0 <= x <= 1.

    `rows`: the entries of A, as (column, value) pairs of each row. `starts`: the first column of each stage's options,
    and at last their number, after which columns are continuous.
    """

    cost: Sequence[float]
    rows: Sequence[Sequence[tuple[int, float]]]
    low: Sequence[float]
    high: Sequence[float]
    starts: Sequence[int]

    def picked(self, x: Sequence[float]) -> tuple[int, ...]:
        """Each stage's option in a solution."""
        return tuple(max(range(start, end), key=x.__getitem__) - start for start, end in pairwise(self.starts))

    def without(self, indices: Sequence[int]) -> Model:
        """The model without one pick."""
        cut = [(start + i, 1.0) for start, i in zip(self.starts, indices, strict=False)]
        return replace(self, rows=[*self.rows, cut], low=[*self.low, -np.inf], high=[*self.high, len(indices) - 1.0])


def model_of(knapsack: Knapsack) -> Model:
    """The model of a knapsack."""
    stages, reward = knapsack.stages, knapsack.reward
    starts = [0, *accumulate(len(stage.rows) for stage in stages)]
    rows: list[list[tuple[int, float]]] = []
    low: list[float] = []
    high: list[float] = []

    def add(row: list[tuple[int, float]], least: float, most: float) -> None:
        rows.append(row)
        low.append(least)
        high.append(most)

    for start, end in pairwise(starts):
        add([(column, 1.0) for column in range(start, end)], 1.0, 1.0)
    for limit, spendings in (
        (knapsack.sla_ns, [stage.latency_ns for stage in stages]),
        (knapsack.limit_cores, [stage.cores for stage in stages]),
    ):
        if limit is not None:
            add(list(enumerate(_shares(spendings, limit))), -np.inf, ROW_UNIT)
    top = prod(max(stage.accuracy) for stage in stages)
    unit = max(1, reward * top, *(max(stage.loss) - min(stage.loss) for stage in stages))
    cost = [COST_UNIT * ((loss - min(stage.loss)) / unit) for stage in stages for loss in stage.loss]
    if reward or knapsack.least_accuracy:
        column, before = starts[-1], [(-1, 1.0)]  # what enters the first stage is 1
        for k, stage in enumerate(stages):
            levels = sorted(set(stage.accuracy))
            flows = {level: column + g for g, level in enumerate(levels)}
            entering = [(flow, -share) for flow, share in before if flow >= 0]
            add([*((flow, 1.0) for flow in flows.values()), *entering], float(k == 0), float(k == 0))
            for level, flow in flows.items():
                taking = [(starts[k] + i, -1.0) for i, accuracy in enumerate(stage.accuracy) if accuracy == level]
                add([(flow, 1.0), *taking], -np.inf, 0.0)
            before = [(flow, level / max(levels[-1], 1)) for level, flow in flows.items()]
            column += len(levels)
        cost += [0.0] * (column - len(cost))
        for flow, share in before:
            cost[flow] = -COST_UNIT * (reward * top / unit) * share
        if knapsack.least_accuracy:
            # A solver may accept a pick just below the least accuracy due to rounding; `_best` rejects it.
            least = knapsack.least_accuracy / top * (1 - 1e-6)
            add([(flow, -share * ROW_UNIT) for flow, share in before], -np.inf, -least * ROW_UNIT)
    return Model(cost, rows, low, high, starts)


def _shares(spendings: Sequence[Sequence[int]], limit: int) -> list[float]:
    """Each option's share of what the least-spending options leave of a limit.

    An option that takes more than all of that counts as twice as much, which is still infeasible.
    """
    spare = max(limit - sum(map(min, spendings)), 1)
    return [ROW_UNIT * min((spent - min(stage)) / spare, 2.0) for stage in spendings for spent in stage]


def _best(knapsack: Knapsack, solved: Callable[[Model], Sequence[float] | None]) -> Pick | None:
    """The best pick, with its loss in whole numbers. One that breaks a limit, even by a nanosecond, is ruled out."""
    if knapsack.is_hopeless():
        return None
    model = model_of(knapsack)
    while (x := solved(model)) is not None:
        indices = model.picked(x)
        loss = sum([stage.loss[i] for stage, i in zip(knapsack.stages, indices, strict=True)])
        pick = Pick(knapsack.stages, indices, loss, knapsack.limits)
        if not knapsack.broken(pick):
            return replace(pick, loss=loss - knapsack.reward * knapsack.accuracy(pick))
        model = model.without(indices)
    return None


# ---- HiGHS ----

HIGHS_OPTIONS: dict[str, Any] = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 0,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 0.0,
    "mip_feasibility_tolerance": 1e-9,
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
}


def highs(knapsack: Knapsack) -> Pick | None:
    """As `exact`. Raises SolverError if HiGHS gives up."""
    return _best(knapsack, _by_highs)


def _by_highs(model: Model) -> Sequence[float] | None:
    import highspy

    class Quiet(highspy.Highs):
        """HiGHS without its callbacks, whose set-up prints a banner on stdout."""

        def __init__(self) -> None:
            super(highspy.Highs, self).__init__()

    solver, lp, count = Quiet(), highspy.HighsLp(), len(model.cost)
    for name, value in HIGHS_OPTIONS.items():
        solver.setOptionValue(name, value)
    lp.num_col_, lp.num_row_ = count, len(model.rows)
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = np.array(model.cost), np.zeros(count), np.ones(count)
    lp.row_lower_, lp.row_upper_ = np.array(model.low), np.array(model.high)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.array([0, *accumulate(map(len, model.rows))], np.int32)
    lp.a_matrix_.index_ = np.array([column for row in model.rows for column, _ in row], np.int32)
    lp.a_matrix_.value_ = np.array([value for row in model.rows for _, value in row])
    binaries = model.starts[-1]
    kinds = highspy.HighsVarType
    lp.integrality_ = [kinds.kInteger] * binaries + [kinds.kContinuous] * (count - binaries)
    solver.passModel(lp)
    solver.run()
    status = solver.getModelStatus()
    if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
        return None
    if status != highspy.HighsModelStatus.kOptimal:
        raise SolverError(f"solver='highs' stopped without an answer ({status}); use solver='exact'")
    return list(solver.getSolution().col_value)


# ---- Gurobi ----

GUROBI_PARAMETERS: dict[str, float] = {
    "Threads": 1,
    "Seed": 0,
    "MIPGap": 0.0,
    "MIPGapAbs": 0.0,
    "FeasibilityTol": 1e-9,
    "OptimalityTol": 1e-9,
    "IntFeasTol": 1e-9,
}

_environments: dict[int, gurobipy.Env] = {}
"""The environment of this process, which takes long to start; one inherited by a fork is not used."""


def gurobi(knapsack: Knapsack) -> Pick | None:
    """As `exact`. Raises SolverError without a licence, if the model is too large for it, or if Gurobi fails."""
    return _best(knapsack, _by_gurobi)


def _by_gurobi(model: Model) -> Sequence[float] | None:
    import gurobipy as gp

    try:
        with gp.Model(env=_environment()) as solver:
            binaries = model.starts[-1]
            x = [
                solver.addVar(ub=1.0, obj=cost, vtype=gp.GRB.BINARY if i < binaries else gp.GRB.CONTINUOUS)
                for i, cost in enumerate(model.cost)
            ]
            for row, low, high in zip(model.rows, model.low, model.high, strict=True):
                terms = gp.LinExpr([value for _, value in row], [x[column] for column, _ in row])
                solver.addLConstr(terms, gp.GRB.EQUAL if low == high else gp.GRB.LESS_EQUAL, high)
            solver.optimize()
            if solver.Status in (gp.GRB.INFEASIBLE, gp.GRB.INF_OR_UNBD):
                return None
            if solver.Status != gp.GRB.OPTIMAL:
                raise SolverError(
                    f"solver='gurobi' stopped without an answer (status {solver.Status}); use solver='exact'"
                )
            return list(solver.getAttr(gp.GRB.Attr.X, x))
    except gp.GurobiError as error:
        raise SolverError(_explained(error, model)) from error


def gurobi_expiry() -> date | None:
    """The day on which the licence in use expires; None: never. Raises SolverError if there is no valid licence."""
    import gurobipy as gp

    try:
        with gp.Model(env=_environment()) as model:
            number = int(model.LicenseExpiration)
    except gp.GurobiError as error:
        raise SolverError(_explained(error, None)) from error
    never = number == 99999999
    return None if never else date(number // 10000, number // 100 % 100, number % 100)


def _environment() -> gurobipy.Env:
    import gurobipy as gp

    process = os.getpid()
    if process not in _environments:
        _environments.clear()
        env = gp.Env(empty=True)
        env.setParam("OutputFlag", 0)
        env.start()
        for name, value in GUROBI_PARAMETERS.items():
            env.setParam(name, value)
        _environments[process] = env
    return _environments[process]


def _explained(error: gurobipy.GurobiError, model: Model | None) -> str:
    otherwise = "use solver='exact' or 'highs', or set solver_fallback='highs'"
    if error.errno == NO_LICENCE:
        return (
            f"solver='gurobi': no valid licence, or it has expired (error {NO_LICENCE}: {error}); upgrade gurobipy for "
            f"a fresh size-limited one, name your own licence file in GRB_LICENSE_FILE, or {otherwise}"
        )
    if error.errno == TOO_LARGE and model is not None:
        return (
            f"solver='gurobi': {len(model.cost)} variables and {len(model.rows)} constraints are too many for the "
            f"size-limited licence of gurobipy, which allows 2,000 of each (error {TOO_LARGE}); "
            f"install a full licence, lower batch_cap, or {otherwise}"
        )
    return f"solver='gurobi' failed (error {error.errno}: {error}); {otherwise}"
