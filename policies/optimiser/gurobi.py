"""The folded model in Gurobi: one environment per process, models kept and updated in place.

A model is kept for every layout, so that a decision for another load changes coefficients alone.
Each starts afresh all the same: what an answer is among equals must not hang on earlier answers.
Not for several threads at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

import gurobipy as gp
import numpy as np

from policies.optimiser.exact import Pick
from policies.optimiser.folded import Floats, Folded, Layout, fold, pick_of
from policies.optimiser.options import StageOptions
from policies.optimiser.solvers import SolverError

NO_LICENCE, TOO_LARGE = gp.GRB.Error.NO_LICENSE, gp.GRB.Error.SIZE_LIMIT_EXCEEDED
PARAMETERS: dict[str, float] = {
    "Threads": 1,
    "Seed": 0,
    "MIPGap": 0.0,
    "MIPGapAbs": 0.0,
    "FeasibilityTol": 1e-9,
    "OptimalityTol": 1e-9,
    "IntFeasTol": 1e-9,
}
KEPT_MODELS = 16


def best(stages: Sequence[StageOptions], sla_ns: int | None, limit_cores: int | None, reward: int) -> Pick | None:
    """As `exact`. SolverError: no licence, a model too large for it, any other failure of Gurobi."""
    folded = fold(stages, sla_ns, limit_cores, reward)
    if folded is None:
        return None
    try:
        kept = _kept(folded)
        cuts: list[gp.Constr] = []
        try:
            while (indices := kept.solved(folded)) is not None:
                pick = pick_of(stages, indices, sla_ns, limit_cores, reward)
                if pick is not None:
                    return pick
                cuts.append(kept.without(indices))
            return None
        finally:
            kept.model.remove(cuts)
    except gp.GurobiError as error:
        raise SolverError(explained(error, folded)) from error


class KeptModel:
    """A Gurobi model of one layout."""

    def __init__(self, folded: Folded, env: gp.Env) -> None:
        self.model = gp.Model(env=env)
        binaries = folded.layout.options
        count = len(folded.cost)
        kinds = [gp.GRB.BINARY] * binaries + [gp.GRB.CONTINUOUS] * (count - binaries)
        self._x = self.model.addVars(count, ub=1.0, obj=folded.cost.tolist(), vtype=kinds).values()
        terms: list[list[tuple[float, int]]] = [[] for _ in folded.low]
        for row, column, entry in zip(folded.rows.tolist(), folded.columns.tolist(), folded.entries.tolist(), strict=True):
            terms[row].append((entry, column))
        self._rows = []
        for low, high, row in zip(folded.low.tolist(), folded.high.tolist(), terms, strict=True):
            left = gp.LinExpr([entry for entry, _ in row], [self._x[column] for _, column in row])
            sense = gp.GRB.EQUAL if low == high else gp.GRB.LESS_EQUAL
            self._rows.append(self.model.addLConstr(left, sense, high))
        self._entries, self._cost = folded.entries, folded.cost

    def solved(self, folded: Folded) -> tuple[int, ...] | None:
        """Each stage's option for the figures of `folded`; None where the model is infeasible."""
        self._update(folded)
        self.model.reset(1)
        self.model.optimize()
        if self.model.Status in (gp.GRB.INFEASIBLE, gp.GRB.INF_OR_UNBD):
            return None
        if self.model.Status != gp.GRB.OPTIMAL:
            raise SolverError(f"solver='gurobi' stopped without an answer (status {self.model.Status})")
        return folded.picked(self.model.getAttr(gp.GRB.Attr.X, self._x))

    def without(self, indices: tuple[int, ...]) -> gp.Constr:
        """Rule one pick out."""
        start, terms = 0, []
        for group, i in zip(self.layout_groups, indices, strict=True):
            terms.append(self._x[start + i])
            start += len(group)
        return self.model.addLConstr(gp.quicksum(terms), gp.GRB.LESS_EQUAL, len(indices) - 1)
