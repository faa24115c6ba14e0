"""The folded model in Gurobi: one environment per process, with models that are cached and updated in place.

There is one model per layout, so a decision for another load only changes coefficients. It is reset before each
solution, because the choice among equals must not depend on earlier answers. Not thread-safe.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date

import gurobipy as gp
import numpy as np

from ipa.policies.optimiser.folded import FixedModel, Folded, fold, pick_of
from ipa.policies.optimiser.problem import Knapsack, Pick, SolverError

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


_environments: dict[int, gp.Env] = {}
_models: dict[FixedModel, KeptModel] = {}


def best(knapsack: Knapsack) -> Pick | None:
    """As `exact`. Raises SolverError without a licence, if the model is too large for it, or if Gurobi fails."""
    folded = fold(knapsack)
    if folded is None:
        return None
    try:
        model = _model(folded)
        model.update(folded)
        cuts: list[gp.Constr] = []
        try:
            while (indices := model.solved(folded)) is not None:
                pick = pick_of(knapsack, indices)
                if pick is not None:
                    return pick
                cuts.append(model.without(folded.binaries(indices)))
            return None
        finally:
            model.model.remove(cuts)
    except gp.GurobiError as error:
        raise SolverError(_explained(error, folded)) from error


def expiry() -> date | None:
    """The day on which the licence in use expires; None: never. Raises SolverError if there is no valid licence."""
    try:
        with gp.Model(env=_environment()) as model:
            number = int(model.LicenseExpiration)
    except gp.GurobiError as error:
        raise SolverError(_explained(error, None)) from error
    never = number == 99999999
    return None if never else date(number // 10000, number // 100 % 100, number % 100)


class KeptModel:
    """A Gurobi model of one layout."""

    def __init__(self, folded: Folded, env: gp.Env) -> None:
        self.model = gp.Model(env=env)
        binaries = folded.layout.options
        kinds = [gp.GRB.BINARY] * binaries + [gp.GRB.CONTINUOUS] * (len(folded.cost) - binaries)
        self._x = [
            self.model.addVar(ub=1.0, obj=cost, vtype=kind)
            for cost, kind in zip(folded.cost.tolist(), kinds, strict=True)
        ]
        terms: list[tuple[list[float], list[gp.Var]]] = [([], []) for _ in folded.low]
        triples = zip(folded.rows.tolist(), folded.columns.tolist(), folded.entries.tolist(), strict=True)
        for row, column, entry in triples:
            terms[row][0].append(entry)
            terms[row][1].append(self._x[column])
        self._rows = [
            self.model.addLConstr(gp.LinExpr(*row_terms), gp.GRB.EQUAL if low == high else gp.GRB.LESS_EQUAL, high)
            for row_terms, low, high in zip(terms, folded.low.tolist(), folded.high.tolist(), strict=True)
        ]
        self._cost, self._entries = folded.cost, folded.entries
        self.model.update()

    def update(self, folded: Folded) -> None:
        """Change the figures that differ from those of the latest decision, with the same layout."""
        if not np.array_equal(folded.cost, self._cost):
            self.model.setAttr(gp.GRB.Attr.Obj, self._x, folded.cost.tolist())
        for at in np.flatnonzero(folded.entries[: folded.changing] != self._entries[: folded.changing]).tolist():
            row, column = self._rows[folded.rows[at]], self._x[folded.columns[at]]
            self.model.chgCoeff(row, column, float(folded.entries[at]))
        self._cost, self._entries = folded.cost, folded.entries

    def solved(self, folded: Folded) -> tuple[int, ...] | None:
        """The option of each stage at the optimum; None if the model is infeasible."""
        self.model.reset(1)
        self.model.optimize()
        status = self.model.Status
        if status in (gp.GRB.INFEASIBLE, gp.GRB.INF_OR_UNBD):
            return None
        if status != gp.GRB.OPTIMAL:
            raise SolverError(f"solver='gurobi' stopped without an answer (status {status}); use solver='exact'")
        return folded.picked(self.model.getAttr(gp.GRB.Attr.X, self._x))

    def without(self, binaries: Sequence[int]) -> gp.Constr:
        """Rule out one pick, given by its binaries."""
        chosen_binaries = gp.LinExpr([1.0] * len(binaries), [self._x[i] for i in binaries])
        return self.model.addLConstr(chosen_binaries, gp.GRB.LESS_EQUAL, len(binaries) - 1.0)


def _model(folded: Folded) -> KeptModel:
    """The cached model of a layout, made on first use; the oldest is evicted if there are too many."""
    env = _environment()
    if folded.layout not in _models:
        if len(_models) >= KEPT_MODELS:
            _models.pop(next(iter(_models))).model.dispose()
        _models[folded.layout] = KeptModel(folded, env)
    return _models[folded.layout]


def _environment() -> gp.Env:
    """The environment of this process; one inherited by a fork is not used."""
    process = os.getpid()
    if process not in _environments:
        _models.clear()
        _environments.clear()
        env = gp.Env(empty=True)
        env.setParam("OutputFlag", 0)
        env.start()
        for name, value in PARAMETERS.items():
            env.setParam(name, value)
        _environments[process] = env
    return _environments[process]


def _explained(error: gp.GurobiError, folded: Folded | None) -> str:
    otherwise = "use solver='exact' or 'highs', or set solver_fallback='highs'"
    if error.errno == NO_LICENCE:
        return (
            f"solver='gurobi': no valid licence, or it has expired (error {NO_LICENCE}: {error}); upgrade gurobipy for "
            f"a fresh size-limited one, name your own licence file in GRB_LICENSE_FILE, or {otherwise}"
        )
    if error.errno == TOO_LARGE and folded is not None:
        return (
            f"solver='gurobi': {len(folded.cost)} variables and {len(folded.low)} constraints are too many for the "
            f"size-limited licence of gurobipy, which allows 2,000 of each (error {TOO_LARGE}); "
            f"install a full licence, lower batch_cap, or {otherwise}"
        )
    return f"solver='gurobi' failed (error {error.errno}: {error}); {otherwise}"
