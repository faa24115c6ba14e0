"""The solvers by name, and constraints outside their model: nodes and GPUs, and accuracies of pairs of variants.

All solvers agree in the objective. `exact` is built in. `gurobi` and `highs` come with the extras of their names, are
imported at first use and take chains only. Their answers differ from those of `exact` only among equals.

Nodes: all replicas must fit by first fit, which is no sum over the stages and so cannot be in a model. Whether they fit
depends only on the *shape* of each stage: cores and GPUs of a replica, and their number. The solver first ignores
nodes. If the shapes of its pick do not fit, the picks are partitioned into those that differ in the shape of the first
stage, those that have it and differ in that of the second, and so on, and the solver finds the best of each part. The
best pick of all parts that fits is the optimum (Lawler 1972, on the k best solutions).

GPUs: their sum is limited in the same way.

Pairs: with a fixed variant of the first stage, the accuracy of a pair depends on the second stage alone. So the best
pick is the best over all variants of the first stage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from functools import partial
from heapq import heappop, heappush
from importlib.util import find_spec
from itertools import count

from ipa.policies import checks
from ipa.policies.optimiser.exact import exact
from ipa.policies.optimiser.problem import Knapsack, Pick, Shape, Solver, SolverError, StageOptions
from ipa.policies.optimiser.programme import Programme
from ipa.profiles import Pipeline, Room


def gurobi(knapsack: Knapsack) -> Pick | None:
    """As `exact`, with Gurobi. Raises SolverError if not installed or licensed, or the model is too large."""
    check_installed("gurobi")
    from ipa.policies.optimiser.gurobi import best

    return best(knapsack)


def highs(knapsack: Knapsack) -> Pick | None:
    """As `exact`, with HiGHS. Raises SolverError if not installed."""
    check_installed("highs")
    from ipa.policies.optimiser.highs import best

    return best(knapsack)


def gurobi_licence_expiry() -> date | None:
    """The day on which Gurobi's licence expires, None for never. Raises SolverError if not installed or licensed."""
    check_installed("gurobi")
    from ipa.policies.optimiser.gurobi import expiry

    return expiry()


SOLVERS: Mapping[str, Solver] = {"exact": exact, "gurobi": gurobi, "highs": highs}


def solver_for(name: str, programme: Programme) -> Solver:
    """The solver of that name for a programme. Raises PolicyError if unknown, SolverError if it solves chains only."""
    best = SOLVERS[checks.choice("solver", name, SOLVERS)]
    if programme.pipeline.graph is not None and name != "exact":
        raise SolverError(takes_chains(name, programme.pipeline))
    return with_pairs(best, programme.table.scales.pairs)


def takes_chains(name: str, pipeline: Pipeline) -> str:
    """Why a general solver cannot answer for a graph, in words."""
    return (
        f"solver={name!r} takes chains only: the stages of {pipeline.name} form a graph, where the replicas that an "
        "option needs may depend on the variants before it; use solver='exact'"
    )


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


def with_pairs(best: Solver, pairs: Mapping[str, Mapping[str, int]]) -> Solver:
    """The solver for two stages whose variants have these joint accuracies; the solver itself if there are none."""

    def best_pair(knapsack: Knapsack) -> Pick | None:
        if not knapsack.reward and not knapsack.least_accuracy:
            return best(knapsack)
        first, second = knapsack.stages
        by_first = [best(replace(knapsack, stages=stages, bounded=None)) for stages in _by_first(first, second, pairs)]
        picks = [pick for pick in by_first if pick is not None]
        if not picks:
            return None
        # A limit matters if it left a variant without any pick, or if another pick depends on it.
        is_short = len(picks) < len(by_first)
        binding = [name for name in knapsack.limits if is_short or any(name in pick.binding for pick in picks)]
        free = [pick.free_loss for pick in picks if pick.free_loss is not None]
        free_loss = min(free) if len(free) == len(by_first) else None
        return replace(min(picks, key=lambda pick: pick.loss), binding=tuple(binding), free_loss=free_loss)

    return best_pair if pairs else best


def _by_first(
    first: StageOptions, second: StageOptions, pairs: Mapping[str, Mapping[str, int]]
) -> Iterator[tuple[StageOptions, ...]]:
    """For each variant of the first stage, both stages' options with it."""
    for variant in dict.fromkeys(row.variant for row in first.rows):
        indices = [i for i, row in enumerate(first.rows) if row.variant == variant]
        first_alone = replace(first.only(indices), accuracy=[1] * len(indices))
        yield (first_alone, replace(second, accuracy=[pairs[variant][row.variant] for row in second.rows]))


PACKAGES: Mapping[str, str] = {"gurobi": "gurobipy", "highs": "highspy"}
"""Solver -> the package that the extra of the same name installs."""


def check_installed(name: str) -> None:
    """Raise SolverError, which names the extra to install, if the solver's package is missing."""
    package = PACKAGES.get(name)
    if package is not None and find_spec(package) is None:
        raise SolverError(
            f"solver={name!r} needs {package}: pip install '.[{name}]' in the checkout, or use solver='exact'"
        )
