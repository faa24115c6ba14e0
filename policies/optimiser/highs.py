"""The folded model in HiGHS, rebuilt for every decision."""

from __future__ import annotations

import highspy
import numpy as np

from ipa.policies.optimiser.folded import Folded, fold, pick_of
from ipa.policies.optimiser.problem import Knapsack, Pick, SolverError

OPTIONS: dict[str, bool | int | float] = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 0,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 0.0,
    "mip_feasibility_tolerance": 1e-9,
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
}


class QuietHighs(highspy.Highs):
    """HiGHS without its callbacks, whose set-up prints a banner on stdout."""

    def __init__(self) -> None:
        super(highspy.Highs, self).__init__()
        for name, value in OPTIONS.items():
            self.setOptionValue(name, value)


def best(knapsack: Knapsack) -> Pick | None:
    """As `exact`. Raises SolverError if HiGHS gives up."""
    folded = fold(knapsack)
    if folded is None:
        return None
    solver = QuietHighs()
    solver.passModel(_model(folded))
    while (indices := _solved(solver, folded)) is not None:
        pick = pick_of(knapsack, indices)
        if pick is not None:
            return pick
        binaries = folded.binaries(indices)
        solver.addRow(-np.inf, len(binaries) - 1.0, len(binaries), np.array(binaries, np.int32), np.ones(len(binaries)))
    return None


def _model(folded: Folded) -> highspy.HighsLp:
    model = highspy.HighsLp()
    count, binaries = len(folded.cost), folded.layout.options
    model.num_col_, model.num_row_ = count, len(folded.low)
    model.col_cost_, model.col_lower_, model.col_upper_ = folded.cost, np.zeros(count), np.ones(count)
    model.row_lower_, model.row_upper_ = folded.low, folded.high
    order = np.lexsort((folded.rows, folded.columns))
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = np.searchsorted(folded.columns[order], np.arange(count + 1)).astype(np.int32)
    model.a_matrix_.index_ = folded.rows[order]
    model.a_matrix_.value_ = folded.entries[order]
    kinds = [highspy.HighsVarType.kInteger] * binaries + [highspy.HighsVarType.kContinuous] * (count - binaries)
    model.integrality_ = kinds
    return model


def _solved(solver: highspy.Highs, folded: Folded) -> tuple[int, ...] | None:
    """The option of each stage at the optimum; None if the model is infeasible."""
    solver.run()
    status = solver.getModelStatus()
    if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
        return None
    if status != highspy.HighsModelStatus.kOptimal:
        raise SolverError(f"solver='highs' stopped without an answer ({status}); use solver='exact'")
    return folded.picked(list(solver.getSolution().col_value))
