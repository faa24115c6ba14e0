"""Any solver, held to the nodes of a cluster: all replicas must find a node, by first fit.

First fit is no sum over the stages, so it stands in no model. What fits depends on the *shape* of each stage alone: the
cores of a replica, and the replicas. So the solver is asked without nodes; if the shapes of its pick do not fit, the
picks are parted into those that differ in the shape of the first stage, those that have it and differ in that of the
second, and so on, and the solver is asked for the best of each part. The best pick that fits, of all parts, is the best
that there is (Lawler 1972, on the k best solutions).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from ipa.policies.optimiser.exact import Pick
from ipa.policies.optimiser.options import StageOptions
from ipa.profiles import fits_nodes

if TYPE_CHECKING:
    from ipa.policies.optimiser.solvers import Solver

Shape = tuple[int, int]
"""The cores of a replica, and how many replicas."""

Part = tuple[tuple[int, ...], ...]
"""For each stage, the options that are left, by index."""


def placed(best: Solver, nodes: Sequence[int]) -> Solver:
    """The solver, whose picks fit nodes with these cores; the solver itself if there are none to fit."""
    if not nodes:
        return best

    def best_placed(
        stages: Sequence[StageOptions], sla_ns: int | None, limit_cores: int | None, reward: int
    ) -> Pick | None:
        limit = sum(nodes) if limit_cores is None else min(limit_cores, sum(nodes))

        def best_of(part: Part) -> Pick | None:
            if not all(part):
                return None
            chosen = [stage.only(left) for stage, left in zip(stages, part, strict=True)]
            pick = best(chosen, sla_ns, limit, reward)
            if pick is None:
                return None
            held = (("sla",) if sla_ns is not None else ()) + (("cores",) if limit_cores is not None else ())
            return Pick(tuple(left[i] for left, i in zip(part, pick.indices, strict=True)), pick.loss, held)

        return _first_that_fits([_shapes(stage) for stage in stages], nodes, best_of)

    return best_placed


def _shapes(stage: StageOptions) -> list[Shape]:
    return [(row.cores, replicas) for row, replicas in zip(stage.rows, stage.replicas, strict=True)]


def _first_that_fits(
    shapes: Sequence[Sequence[Shape]], nodes: Sequence[int], best_of: Callable[[Part], Pick | None]
) -> Pick | None:
    """The pick of least loss that fits; parts are asked in the order of the best that they may still hold."""
    waiting: list[tuple[int, int, Part, Pick]] = []

    def ask(part: Part) -> None:
        pick = best_of(part)
        if pick is not None:
            heappush(waiting, (pick.loss, len(asked), part, pick))
            asked.append(pick)

    asked: list[Pick] = []
    # What does not even fit alone fits with nothing.
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
