"""The greatest load that cores and replicas sustain, and the fewest cores that sustain a load."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from math import inf

from ipa.policies.optimiser.problem import Knapsack, Problem, Solver, options, replicas_for
from ipa.policies.optimiser.programme import Row


def most_sustained_rps(
    stages: Sequence[Sequence[Row]],
    load_rps: float,
    limit_cores: float,
    bounds: Sequence[tuple[int, int]],
    fixed: Sequence[int] | None,
    fits: Callable[[float], bool] = lambda _: True,
) -> float:
    """The greatest rate up to `load_rps` that all stages can serve with at most `limit_cores` in total.

    `bounds`: the fewest and the most replicas of each stage. `fits`: a further condition on a rate, which must hold for
    every lower rate too. The answer is `load_rps` or the throughput of a whole number of replicas of some row; the
    search is among these. 0 if even one replica for each stage (or the `fixed` ones) takes too many cores.
    """
    useful = [_useful(rows) for rows in stages]
    rates = {load_rps}
    for k, rows in enumerate(useful):
        counts = [fixed[k]] if fixed else range(1, bounds[k][1] + 1)
        for row in rows:
            for n in counts:
                if n * row.throughput_rps >= load_rps or n * row.cores > limit_cores:
                    break
                rates.add(n * row.throughput_rps)
    rising = sorted(rates)

    def too_much(rate_rps: float) -> bool:
        cores = _cores_for(useful, rate_rps, bounds, fixed)
        return cores == inf or cores > limit_cores or not fits(rate_rps)

    sustained = bisect_right(rising, False, key=too_much)
    return rising[sustained - 1] if sustained else 0.0


def most_of_graph_rps(
    problem: Problem, wanted: Sequence[Collection[str]], best: Solver, limit_cores: int | None
) -> float:
    """As `most_sustained_rps`, for a graph."""
    load, flow, tables = problem.load_rps, problem.programme.table.flow, problem.programme.table.stages
    assert flow is not None

    def too_much(rate_rps: float) -> bool:
        stages = options(problem, wanted, sustain_rps=rate_rps)
        return best(Knapsack(stages, limit_cores=limit_cores, flow=flow)) is None

    rates = {load}
    for stage, names, inflows in zip(tables, wanted, flow.inflows, strict=True):
        fixed = problem.replicas[stage.name] if problem.replicas else 0
        counts = [fixed] if fixed else range(1, problem.bounds(stage.name)[1] + 1)
        throughputs_rps = {row.throughput_rps for row in stage.select(names, load <= 0).rows}
        for factor in {inflow.factor for inflow in inflows} - {0.0}:
            rates.update(rate for n in counts for each in throughputs_rps if (rate := n * each / factor) < load)
    rising = sorted(rates)
    sustained = bisect_right(rising, False, key=too_much)
    return rising[sustained - 1] if sustained else 0.0


def fewest_cores(stages: Sequence[Sequence[Row]], replicas: Sequence[int]) -> int:
    """The cores of this many replicas of the smallest variant of every stage."""
    return sum(min(row.cores for row in rows) * count for rows, count in zip(stages, replicas, strict=True))


def _useful(rows: Sequence[Row]) -> list[Row]:
    """The rows whose throughput no other row with at most as many cores reaches."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.cores, -row.throughput_rps)):
        if not kept or row.throughput_rps > kept[-1].throughput_rps:
            kept.append(row)
    return kept


def _cores_for(
    stages: Sequence[Sequence[Row]],
    rate_rps: float,
    bounds: Sequence[tuple[int, int]],
    fixed: Sequence[int] | None,
) -> float:
    """The fewest cores that sustain a rate; infinite if the allowed replicas are not enough."""
    total = 0.0
    for k, rows in enumerate(stages):
        least, most = (fixed[k], fixed[k]) if fixed else bounds[k]
        total += min(
            (max(least, n) * row.cores for row in rows if (n := replicas_for(rate_rps, row.throughput_rps)) <= most),
            default=inf,
        )
    return total
