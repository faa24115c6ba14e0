"""The solvers by name. Any of them can answer, and all agree in the objective.

`exact` is built in. `gurobi` and `highs` come with the extras of their names, and are imported when first asked. Their
answers differ from those of `exact` only among equals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date

from ipa.policies import checks
from ipa.policies.optimiser.exact import Pick, exact
from ipa.policies.optimiser.options import StageOptions
from ipa.policies.optimiser.packages import check_installed

Solver = Callable[[Sequence[StageOptions], int | None, int | None, int], Pick | None]
"""(options per stage, SLA [ns], cores, reward) -> least loss - reward x product of accuracies."""


def gurobi(stages: Sequence[StageOptions], sla_ns: int | None, limit_cores: int | None, reward: int) -> Pick | None:
    """As `exact`, with Gurobi. SolverError: not installed, no licence, or a model too large for the licence."""
    check_installed("gurobi")
    from ipa.policies.optimiser.gurobi import best

    return best(stages, sla_ns, limit_cores, reward)


def highs(stages: Sequence[StageOptions], sla_ns: int | None, limit_cores: int | None, reward: int) -> Pick | None:
    """As `exact`, with HiGHS. SolverError: not installed."""
    check_installed("highs")
    from ipa.policies.optimiser.highs import best

    return best(stages, sla_ns, limit_cores, reward)


def gurobi_licence_expiry() -> date | None:
    """The day on which Gurobi's licence expires, None for never. SolverError: not installed, no valid licence."""
    check_installed("gurobi")
    from ipa.policies.optimiser.gurobi import expiry

    return expiry()


SOLVERS: Mapping[str, Solver] = {"exact": exact, "gurobi": gurobi, "highs": highs}


def solver_named(name: str) -> Solver:
    """The solver of that name; PolicyError for an unknown one."""
    return SOLVERS[checks.choice("solver", name, SOLVERS)]
