"""The greatest load that cores and replicas sustain, and the fewest cores that sustain a load."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from heapq import heappop, heappush
from math import inf

from ipa.policies.optimiser.problem import Problem, replicas_for
from ipa.policies.optimiser.programme import Row

Variants = tuple[Collection[str], ...]
"""Those of each stage."""


def most_sustained_rps(
    problem: Problem,
    variants_by_stage: Variants,
    limit_cores: int | None,
    fits: Callable[[float, Variants], bool] | None = None,
) -> float:
    """The greatest rate up to the load that all stages can serve with these variants and so many cores in total.

    `fits`: a further condition on a rate with some variants, which must hold for every lower rate too. 0 if even the
    fewest replicas of each stage take too many cores. The variants of deciding stages are fixed one stage after the
    other, those first with which the greatest rate is possible if all later inflows are the least.
    """
    deciding = problem.programme.table.flow.deciding
    waiting: list[tuple[float, int, int, Variants]] = []

    def push(fixed: int, variants: Variants) -> None:
        most_rps = _most_rps(problem, variants, limit_cores, fits if fixed == len(deciding) else None)
        heappush(waiting, (-most_rps, -fixed, len(waiting), variants))

    push(0, variants_by_stage)
    while True:
        negative_rps, negative_fixed, _, variants = heappop(waiting)
        fixed = -negative_fixed
        if fixed == len(deciding):
            return -negative_rps
        k = deciding[fixed]
        for name in variants[k]:
            push(fixed + 1, (*variants[:k], (name,), *variants[k + 1 :]))


def _most_rps(
    problem: Problem,
    variants_by_stage: Variants,
    limit_cores: int | None,
    fits: Callable[[float, Variants], bool] | None,
) -> float:
    """As `most_sustained_rps`, if every stage has its least inflow.

    The answer is the load or what a whole number of replicas of some row serves; the search is among these.
    """
    table, load_rps = problem.programme.table, problem.load_rps
    most_cores = inf if limit_cores is None else limit_cores
    factors = [inflows.least.factor for inflows in table.flow.inflows(variants_by_stage)]
    useful = [
        _useful(stage.select(names, load_rps <= 0).rows)
        for stage, names in zip(table.stages, variants_by_stage, strict=True)
    ]
    fixed = [problem.replicas[stage.name] for stage in table.stages] if problem.replicas else None
    bounds = [problem.bounds(stage.name) for stage in table.stages]
    rates = {load_rps}
    for k, rows in enumerate(useful):
        counts = [fixed[k]] if fixed else range(1, bounds[k][1] + 1)
        for row in rows if factors[k] else ():
            for n in counts:
                if n * row.throughput_rps / factors[k] >= load_rps or n * row.cores > most_cores:
                    break
                rates.add(n * row.throughput_rps / factors[k])
    rising = sorted(rates)

    def too_much(rate_rps: float) -> bool:
        cores = _cores_for(useful, [rate_rps * factor for factor in factors], bounds, fixed)
        return cores == inf or cores > most_cores or (fits is not None and not fits(rate_rps, variants_by_stage))

    sustained = bisect_right(rising, False, key=too_much)
    return rising[sustained - 1] if sustained else 0.0


def fewest_cores(stages: Sequence[Sequence[Row]], replicas: Sequence[int]) -> int:
    """The cores of this many replicas of the smallest variant of every stage."""
    return sum(min(row.cores for row in rows) * count for rows, count in zip(stages, replicas, strict=True))


def _useful(rows: Sequence[Row]) -> list[Row]:
    """The rows whose throughput no other row with at most as many cores reaches."""
    useful: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.cores, -row.throughput_rps)):
        if not useful or row.throughput_rps > useful[-1].throughput_rps:
            useful.append(row)
    return useful


def _cores_for(
    stages: Sequence[Sequence[Row]],
    rates_rps: Sequence[float],
    bounds: Sequence[tuple[int, int]],
    fixed: Sequence[int] | None,
) -> float:
    """The fewest cores that sustain a rate at each stage; infinite if the allowed replicas are not enough."""
    total = 0.0
    for k, (rows, rate_rps) in enumerate(zip(stages, rates_rps, strict=True)):
        least, most = (fixed[k], fixed[k]) if fixed else bounds[k]
        total += min(
            (max(least, n) * row.cores for row in rows if (n := replicas_for(rate_rps, row.throughput_rps)) <= most),
            default=inf,
        )
    return total
