"""The packages that some solvers need, and the error of a solver that cannot answer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from ipa.policies.interface import PolicyError

PACKAGES: Mapping[str, str] = {"gurobi": "gurobipy", "highs": "highspy"}
"""Solver -> the package that the extra of the same name installs."""


class SolverError(PolicyError):
    """A solver that cannot answer here: not installed, without a licence, or with one that is too small."""


def check_installed(name: str) -> None:
    """SolverError if the solver's package is missing; it names the extra to install."""
    package = PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        raise SolverError(
            f"solver={name!r} needs {package}: pip install '.[{name}]' in the checkout, or use solver='exact'"
        )
