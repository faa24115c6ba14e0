"""The programme for a general solver, as plain arrays: one binary per option, every term linear.

    minimise    sum c x - R p_S              x[k, i] binary: stage k takes its option i
    subject to  sum_i x[k, i] = 1
                sum t x <= T,  sum u x <= U  time and cores, where they are limited
                sum_g z[k, g] = p_(k-1)      p_0 = 1,  p_k = sum_g a[k, g] z[k, g]
                0 <= z[k, g] <= sum of x[k, i] over the options i of accuracy g
                p_S >= A                     where there is a least accuracy

Replicas are folded into the options. The product of accuracies is a flow: the product so far enters stage k and passes
through the accuracy picked there. If accuracies do not count, there is no flow. Columns are the x, stage by stage, then
the z; rows are in the order above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod

import numpy as np
from numpy.typing import NDArray

from ipa.policies.optimiser.problem import Knapsack, Pick

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

# Solvers have absolute tolerances of about 1e-9, which large units make relatively smaller.
ROW_UNIT, COST_UNIT = 1e3, 1e6


@dataclass(frozen=True, slots=True)
class FixedModel:
    """The fixed part of a model, while only figures change: its columns, rows and entries.

    For each stage, `accuracies` has the distinct accuracies as shares, rising, and `groups` the index of each option's
    accuracy among them. Without flow there is a single accuracy. `least`: the required accuracy of the pipeline, as a
    share of the highest.
    """

    groups: tuple[tuple[int, ...], ...]
    accuracies: tuple[tuple[float, ...], ...]
    limited: tuple[bool, bool]
    flow: bool
    least: float | None

    @property
    def options(self) -> int:
        """The number of binaries."""
        return sum(map(len, self.groups))


@dataclass(frozen=True, slots=True)
class Folded:
    """A model: minimise `cost` x subject to `low` <= A x <= `high`; entries of A as triples, 0 <= x <= 1.

    The first `layout.options` columns are binary. With the same layout, only `cost` and the first `changing` entries
    depend on the load; none of these entries is 0.
    """

    layout: FixedModel
    cost: Floats
    rows: Ints
    columns: Ints
    entries: Floats
    changing: int
    low: Floats
    high: Floats

    def binaries(self, indices: Sequence[int]) -> list[int]:
        """The columns of a pick."""
        starts = [0, *accumulate(map(len, self.layout.groups))]
        return [start + i for start, i in zip(starts, indices, strict=False)]

    def picked(self, x: Sequence[float]) -> tuple[int, ...]:
        """Each stage's option in a solution."""
        picks, start = [], 0
        for group in self.layout.groups:
            values = x[start : start + len(group)]
            picks.append(max(range(len(group)), key=values.__getitem__))
            start += len(group)
        return tuple(picks)


def fold(knapsack: Knapsack) -> Folded | None:
    """The model of a knapsack; None if it is obviously infeasible."""
    if knapsack.is_hopeless():
        return None
    stages, reward = knapsack.stages, knapsack.reward
    flow = reward > 0 or knapsack.least_accuracy > 0
    spent = _shares([stage.latency_ns for stage in stages], knapsack.sla_ns)
    used = _shares([stage.cores for stage in stages], knapsack.limit_cores)
    levels = [sorted(set(stage.accuracy)) if flow else [1] for stage in stages]
    top = prod(level[-1] for level in levels)
    # A solver may accept a pick just below the least accuracy due to rounding; `pick_of` rejects it.
    least = knapsack.least_accuracy / top * (1 - 1e-6) if knapsack.least_accuracy else None
    layout = FixedModel(
        groups=tuple(
            tuple(level.index(value) if flow else 0 for value in stage.accuracy)
            for stage, level in zip(stages, levels, strict=True)
        ),
        accuracies=tuple(tuple(value / max(level[-1], 1) for value in level) for level in levels),
        limited=(knapsack.sla_ns is not None, knapsack.limit_cores is not None),
        flow=flow,
        least=least,
    )
    highest = reward * top
    unit = max(1, highest, *(max(stage.loss) - min(stage.loss) for stage in stages))
    costs = [COST_UNIT * ((value - min(stage.loss)) / unit) for stage in stages for value in stage.loss]
    return _written(layout, costs, [*spent, *used], COST_UNIT * (highest / unit))


def _shares(spendings: Sequence[Sequence[int]], limit: int | None) -> list[float]:
    """Each option's share of what the least-spending options leave of a limit, plus 1, so that it is never 0.

    An option that takes more than all of that counts as twice as much, which is still infeasible.
    """
    if limit is None:
        return []
    spare = limit - sum(map(min, spendings))
    return [
        ROW_UNIT * (1.0 + min((spent - min(stage_spendings)) / max(spare, 1), 2.0))
        for stage_spendings in spendings
        for spent in stage_spendings
    ]


def _written(layout: FixedModel, costs: list[float], limited: list[float], reward: float) -> Folded:
    count, stages = layout.options, len(layout.groups)
    stage_of = np.repeat(np.arange(stages, dtype=np.int32), [len(group) for group in layout.groups])
    every = np.arange(count, dtype=np.int32)
    limits = sum(layout.limited)
    # The limits come first, so that the entries that change with the load come first.
    rows = [np.repeat(stages + np.arange(limits, dtype=np.int32), count), stage_of]
    columns = [np.tile(every, limits), every]
    entries = [np.array(limited), np.ones(count)]
    cost = np.array(costs)
    low = [1.0] * stages + [-np.inf] * limits
    high = [1.0] * stages + [ROW_UNIT * (stages + 1.0)] * limits
    if layout.flow:
        sizes = [len(levels) for levels in layout.accuracies]
        starts = np.cumsum([0, *sizes], dtype=np.int32)
        flows = np.arange(starts[-1], dtype=np.int32)
        at = np.repeat(np.arange(stages, dtype=np.int32), sizes)
        through = np.concatenate([np.array(levels) for levels in layout.accuracies])
        first, link = stages + limits, 2 * stages + limits
        onward = at < stages - 1
        group_of = starts[stage_of] + np.concatenate([np.array(group, dtype=np.int32) for group in layout.groups])
        rows += [first + at, first + 1 + at[onward], link + flows, link + group_of]
        columns += [count + flows, count + flows[onward], count + flows, every]
        entries += [np.ones(len(flows)), -through[onward], np.ones(len(flows)), -np.ones(count)]
        cost = np.concatenate([cost, np.where(onward, 0.0, -reward * through)])
        low += [1.0] + [0.0] * (stages - 1) + [-np.inf] * len(flows)
        high += [1.0] + [0.0] * (stages - 1) + [0.0] * len(flows)
        if layout.least is not None:
            rows.append(np.full((~onward).sum(), len(low), dtype=np.int32))
            columns.append(count + flows[~onward])
            entries.append(-through[~onward] * ROW_UNIT)
            low.append(-np.inf)
            high.append(-layout.least * ROW_UNIT)
    return Folded(
        layout=layout,
        cost=cost,
        rows=np.concatenate(rows).astype(np.int32),
        columns=np.concatenate(columns).astype(np.int32),
        entries=np.concatenate(entries),
        changing=limits * count,
        low=np.array(low),
        high=np.array(high),
    )


def pick_of(knapsack: Knapsack, indices: tuple[int, ...]) -> Pick | None:
    """A solver's pick with its loss in whole numbers; None if it breaks a limit, even by a nanosecond."""
    loss = sum([stage.loss[i] for stage, i in zip(knapsack.stages, indices, strict=True)])
    pick = Pick(knapsack.stages, indices, loss, knapsack.limits)
    return None if knapsack.broken(pick) else replace(pick, loss=loss - knapsack.reward * knapsack.accuracy(pick))
