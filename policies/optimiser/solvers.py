"""The solvers by name, and constraints outside their model: nodes, and accuracies of pairs of variants.

All solvers agree in the objective. `exact` is built in. `gurobi` and `highs` come with the extras of their names, are
imported at first use and take chains only. Their answers differ from those of `exact` only among equals.

Nodes: all replicas must fit by first fit, which is no sum over the stages and so cannot be in a model. Whether they fit
depends only on the *shape* of each stage: the cores of a replica, and the number of replicas. The solver first ignores
nodes. If the shapes of its pick do not fit, the picks are partitioned into those that differ in the shape of the first
stage, those that have it and differ in that of the second, and so on, and the solver finds the best of each part. The
best pick of all parts that fits is the optimum (Lawler 1972, on the k best solutions).

Pairs: with a fixed variant of the first stage, the accuracy of a pair depends on the second stage alone. So the best
pick is the best over all variants of the first stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from heapq import heappop, heappush
from importlib.util import find_spec

from ipa.policies import checks
from ipa.policies.optimiser.exact import exact
from ipa.policies.optimiser.problem import Knapsack, Pick, Solver, SolverError, StageOptions
from ipa.policies.optimiser.programme import Programme
from ipa.profiles import Pipeline, fits_nodes


def gurobi(asked: Knapsack) -> Pick | None:
    """As `exact`, with Gurobi. Raises SolverError if not installed or licensed, or the model is too large."""
    check_installed("gurobi")
    from ipa.policies.optimiser.gurobi import best

    return best(asked)


def highs(asked: Knapsack) -> Pick | None:
    """As `exact`, with HiGHS. Raises SolverError if not installed."""
    check_installed("highs")
    from ipa.policies.optimiser.highs import best

    return best(asked)


def gurobi_licence_expiry() -> date | None:
    """The day on which Gurobi's licence expires, None for never. Raises SolverError if not installed or licensed."""
    check_installed("gurobi")
    from ipa.policies.optimiser.gurobi import expiry

    return expiry()


SOLVERS: Mapping[str, Solver] = {"exact": exact, "gurobi": gurobi, "highs": highs}


def solver_named(name: str) -> Solver:
    """The solver of that name. Raises PolicyError if it is unknown."""
    return SOLVERS[checks.choice("solver", name, SOLVERS)]


def solver_for(name: str, programme: Programme) -> Solver:
    """The solver of that name for a programme. Raises PolicyError if unknown, SolverError if it solves chains only."""
    best = solver_named(name)
    if programme.pipeline.graph is not None and name != "exact":
        raise SolverError(takes_chains(name, programme.pipeline))
    return with_pairs(best, programme.table.scales.pairs)


def takes_chains(name: str, pipeline: Pipeline) -> str:
    """Why a general solver cannot answer for a graph, in words."""
    return f"solver={name!r} takes chains only, and the stages of {pipeline.name} form a graph; use solver='exact'"


Shape = tuple[int, int]
"""The cores of a replica, and the number of replicas."""

Part = tuple[tuple[int, ...], ...]
"""For each stage, the indices of the remaining options."""


def placed(best: Solver, nodes: Sequence[int]) -> Solver:
    """The solver restricted to picks that fit nodes with these cores; the solver itself if there are no nodes."""
    if not nodes:
        return best

    def best_placed(asked: Knapsack) -> Pick | None:
        limit = sum(nodes) if asked.limit_cores is None else min(asked.limit_cores, sum(nodes))

        def best_of(part: Part) -> Pick | None:
            if not all(part):
                return None
            chosen = tuple(stage.only(left) for stage, left in zip(asked.stages, part, strict=True))
            pick = best(replace(asked, stages=chosen, limit_cores=limit))
            if pick is None:
                return None
            return Pick(tuple(left[i] for left, i in zip(part, pick.indices, strict=True)), pick.loss, asked.limits)

        return _first_that_fits([_shapes(stage) for stage in asked.stages], nodes, best_of)

    return best_placed


def _shapes(stage: StageOptions) -> list[Shape]:
    return [(row.cores, replicas) for row, replicas in zip(stage.rows, stage.replicas, strict=True)]


def _first_that_fits(
    shapes: Sequence[Sequence[Shape]], nodes: Sequence[int], best_of: Callable[[Part], Pick | None]
) -> Pick | None:
    """The pick of least loss that fits; parts are searched in the order of their bounds."""
    waiting: list[tuple[int, int, Part, Pick]] = []

    def ask(part: Part) -> None:
        pick = best_of(part)
        if pick is not None:
            heappush(waiting, (pick.loss, len(asked), part, pick))
            asked.append(pick)

    asked: list[Pick] = []
    # An option that does not fit alone fits with no others.
    alone = [[i for i, shape in enumerate(each) if fits_nodes([shape], nodes)] for each in shapes]
    ask(tuple(map(tuple, alone)))
    while waiting:
        _, _, part, pick = heappop(waiting)
        chosen = [each[i] for each, i in zip(shapes, pick.indices, strict=True)]
        if fits_nodes(chosen, nodes):
            return pick
        for k, (each, shape) in enumerate(zip(shapes, chosen, strict=True)):
            others = tuple(i for i in part[k] if each[i] != shape)
            ask((*part[:k], others, *part[k + 1 :]))
            part = (*part[:k], tuple(i for i in part[k] if each[i] == shape), *part[k + 1 :])
    return None


def with_pairs(best: Solver, pairs: Mapping[str, Mapping[str, int]]) -> Solver:
    """The solver for two stages whose variants have these joint accuracies; the solver itself if there are none."""

    def best_pair(asked: Knapsack) -> Pick | None:
        if not asked.reward and not asked.least_accuracy:
            return best(asked)
        first, second = asked.stages
        tried = [(indices, best(replace(asked, stages=stages))) for indices, stages in _by_first(first, second, pairs)]
        found = [
            replace(pick, indices=(indices[pick.indices[0]], pick.indices[1]))
            for indices, pick in tried
            if pick is not None
        ]
        if not found:
            return None
        # A limit matters if it left a variant without any pick, or if another pick depends on it.
        held = [each for each in asked.limits if len(found) < len(tried) or any(each in pick.held for pick in found)]
        chosen = min(found, key=lambda pick: pick.loss)
        free = [pick.free_loss for pick in found if pick.free_loss is not None]
        free_loss = min(free) if len(free) == len(tried) else None
        return replace(chosen, held=tuple(held), free_loss=free_loss)

    return best_pair if pairs else best


def _by_first(
    first: StageOptions, second: StageOptions, pairs: Mapping[str, Mapping[str, int]]
) -> Iterator[tuple[list[int], tuple[StageOptions, ...]]]:
    """For each variant of the first stage, the indices of its options, and both stages' options with it."""
    for variant in dict.fromkeys(row.variant for row in first.rows):
        indices = [i for i, row in enumerate(first.rows) if row.variant == variant]
        one = replace(first.only(indices), accuracy=[1] * len(indices))
        yield indices, (one, replace(second, accuracy=[pairs[variant][row.variant] for row in second.rows]))


PACKAGES: Mapping[str, str] = {"gurobi": "gurobipy", "highs": "highspy"}
"""Solver -> the package that the extra of the same name installs."""


def check_installed(name: str) -> None:
    """Raise SolverError, which names the extra to install, if the solver's package is missing."""
    package = PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        raise SolverError(
            f"solver={name!r} needs {package}: pip install '.[{name}]' in the checkout, or use solver='exact'"
        )
