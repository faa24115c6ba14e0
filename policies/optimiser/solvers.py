"""The solvers by name: any of them can answer, and all agree in the objective.

`exact` is built in. `gurobi` and `highs` come with the extras of their names and are imported when
first asked; their answers may differ from it among equals only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec

from ipa.policies import checks
from ipa.policies.interface import PolicyError
from ipa.policies.optimiser.exact import Pick, exact
from ipa.policies.optimiser.options import StageOptions

Solver = Callable[[Sequence[StageOptions], int | None, int | None, int], Pick | None]
"""(options per stage, SLA [ns], cores, reward) -> least loss - reward x product of accuracies."""

PACKAGES: Mapping[str, str] = {"gurobi": "gurobipy", "highs": "highspy"}
"""Solver -> the package that its extra, of the same name, installs."""


class SolverError(PolicyError):
    """A solver that cannot answer here: not installed, without a licence, too small a one."""


def gurobi(stages: Sequence[StageOptions], sla_ns: int | None, limit_cores: int | None, reward: int) -> Pick | None:
    """The same by Gurobi. SolverError: not installed, no licence, a model too large for it."""
    check_installed("gurobi")
    from ipa.policies.optimiser.gurobi import best

    return best(stages, sla_ns, limit_cores, reward)


def highs(stages: Sequence[StageOptions], sla_ns: int | None, limit_cores: int | None, reward: int) -> Pick | None:
    """The same by HiGHS. SolverError: not installed."""
    check_installed("highs")
    from ipa.policies.optimiser.highs import best

    return best(stages, sla_ns, limit_cores, reward)


SOLVERS: Mapping[str, Solver] = {"exact": exact, "gurobi": gurobi, "highs": highs}


def solver_named(name: str) -> Solver:
    """The solver of that name; PolicyError for an unknown one."""
    return SOLVERS[checks.choice("solver", name, SOLVERS)]


def check_installed(name: str) -> None:
    """SolverError for a solver whose package is missing, with the extra to install."""
    package = PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        raise SolverError(
            f"solver={name!r} needs {package}: pip install 'ipa-pipelines[{name}]', or use solver='exact'"
        )
