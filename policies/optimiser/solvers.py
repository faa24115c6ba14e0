"""The solvers by name, and constraints outside their model: nodes and GPUs.

All solvers agree in the objective. `exact` is built in. `gurobi` and `highs` come with the extras of their names, are
imported at first use and take chains only, and no accuracies of pairs. Their answers differ from those of `exact` only
among equals.

Nodes: all replicas must fit by first fit, which is no sum over the stages and so cannot be in a model. Whether they fit
depends only on the *shape* of each stage: cores and GPUs of a replica, and their number. The solver first ignores
nodes. If the shapes of its pick do not fit, the picks are partitioned into those that differ in the shape of the first
stage, those that have it and differ in that of the second, and so on, and the solver finds the best of each part. The
best pick of all parts that fits is the optimum (Lawler 1972, on the k best solutions).

GPUs: their sum is limited in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from functools import partial
from heapq import heappop, heappush
from importlib.util import find_spec
from itertools import count

from ipa.policies import checks
from ipa.policies.optimiser.exact import exact
from ipa.policies.optimiser.problem import Knapsack, Pick, Shape, Solver, SolverError
from ipa.policies.optimiser.programme import Programme
from ipa.profiles import Room


def gurobi(knapsack: Knapsack) -> Pick | None:
    """As `exact`, with Gurobi. Raises SolverError if not installed or licensed, or the model is too large."""
    check_installed("gurobi")
    from ipa.policies.optimiser.general import gurobi

    return gurobi(knapsack)


def highs(knapsack: Knapsack) -> Pick | None:
    """As `exact`, with HiGHS. Raises SolverError if not installed."""
    check_installed("highs")
    from ipa.policies.optimiser.general import highs

    return highs(knapsack)


def gurobi_licence_expiry() -> date | None:
    """The day on which Gurobi's licence expires, None for never. Raises SolverError if not installed or licensed."""
    check_installed("gurobi")
    from ipa.policies.optimiser.general import gurobi_expiry

    return gurobi_expiry()


SOLVERS: Mapping[str, Solver] = {"exact": exact, "gurobi": gurobi, "highs": highs}


def solver_for(name: str, programme: Programme) -> Solver:
    """The solver of that name for a programme. Raises PolicyError if unknown, SolverError if it solves chains only."""
    best = SOLVERS[checks.choice("solver", name, SOLVERS)]
    why = cannot_take(name, programme)
    if why:
        raise SolverError(why)
    return best


def cannot_take(name: str, programme: Programme) -> str:
    """Why a solver cannot answer for a programme, in words; empty if it can."""
    if name == "exact":
        return ""
    if programme.pipeline.graph is not None:
        return (
            f"solver={name!r} takes chains only: the stages of {programme.pipeline.name} form a graph, where the "
            "replicas that an option needs may depend on the variants before it; use solver='exact'"
        )
    if programme.accuracy == "pairs":
        return f"solver={name!r} does not take accuracy='pairs'; use solver='exact', or accuracy='product'"
    return ""


Part = tuple[Callable[[Shape], bool], ...]
"""For each stage, whether it may have a shape."""


def placed(best: Solver, room: Room) -> Solver:
    """The solver restricted to picks that find room; the solver itself if there is any amount."""
    if not room.is_limited:
        return best

    def best_placed(knapsack: Knapsack) -> Pick | None:
        limit = knapsack.limit_cores
        if room.nodes and not any(row.gpus for stage in knapsack.stages for row in stage.rows):
            limit = sum(room.nodes) if limit is None else min(limit, sum(room.nodes))

        def best_of(part: Part) -> Pick | None:
            chosen = [stage.shaped(is_allowed) for stage, is_allowed in zip(knapsack.stages, part, strict=True)]
            pick = best(replace(knapsack, stages=chosen, limit_cores=limit, bounded=None))
            return None if pick is None else replace(pick, binding=knapsack.limits, free_loss=None)

        def fits_alone(shape: Shape) -> bool:
            return room.fits([shape])

        return _first_that_fits((fits_alone,) * len(knapsack.stages), room, best_of)

    return best_placed


def _first_that_fits(whole: Part, room: Room, best_of: Callable[[Part], Pick | None]) -> Pick | None:
    """The pick of least loss that fits; parts are searched in the order of their bounds."""
    waiting: list[tuple[int, int, Part, Pick]] = []
    numbers = count()

    def push(part: Part) -> None:
        pick = best_of(part)
        if pick is not None:
            heappush(waiting, (pick.loss, next(numbers), part, pick))

    push(whole)
    while waiting:
        _, _, part, pick = heappop(waiting)
        picked = [stage.shape(i) for stage, i in pick.chosen]
        if room.fits(picked):
            return pick
        for k, shape in enumerate(picked):
            push((*part[:k], partial(_is_another, shape, part[k]), *part[k + 1 :]))
            part = (*part[:k], shape.__eq__, *part[k + 1 :])
    return None


def _is_another(shape: Shape, is_allowed: Callable[[Shape], bool], another: Shape) -> bool:
    return another != shape and is_allowed(another)


PACKAGES: Mapping[str, str] = {"gurobi": "gurobipy", "highs": "highspy"}
"""Solver -> the package that the extra of the same name installs."""


def check_installed(name: str) -> None:
    """Raise SolverError, which names the extra to install, if the solver's package is missing."""
    package = PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        raise SolverError(
            f"solver={name!r} needs {package}: pip install '.[{name}]' in the checkout, or use solver='exact'"
        )
