"""The greatest load that a limited number of cores and replicas can sustain."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import inf

from ipa.policies.optimiser.options import replicas_for
from ipa.policies.optimiser.table import Row


def most_sustained_rps(
    stages: Sequence[Sequence[Row]],
    load_rps: float,
    limit_cores: float,
    most_replicas: int,
    fixed: Sequence[int] | None,
) -> float:
    """The greatest rate up to `load_rps` that all stages can serve within `limit_cores` in all.

    It is `load_rps`, or the throughput of a whole number of replicas of some row, so the search is among these. 0 if
    even one replica for each stage (or the `fixed` ones) takes too many cores.
    """
    useful = [_useful(rows) for rows in stages]
    rates = {load_rps}
    for k, rows in enumerate(useful):
        counts = [fixed[k]] if fixed else range(1, most_replicas + 1)
        for row in rows:
            for n in counts:
                if n * row.throughput_rps >= load_rps or n * row.cores > limit_cores:
                    break
                rates.add(n * row.throughput_rps)
    rising = sorted(rates)

    def too_much(rate_rps: float) -> bool:
        cores = _cores(useful, rate_rps, most_replicas, fixed)
        return cores == inf or cores > limit_cores

    sustained = bisect_right(rising, False, key=too_much)
    return rising[sustained - 1] if sustained else 0.0


def fewest_cores(stages: Sequence[Sequence[Row]], fixed: Sequence[int] | None) -> int:
    """The cores of one replica (or the `fixed` ones) of the smallest variant of every stage."""
    return sum(min(row.cores for row in rows) * (fixed[k] if fixed else 1) for k, rows in enumerate(stages))


def _useful(rows: Sequence[Row]) -> list[Row]:
    """The rows whose throughput no row with as few cores reaches."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.cores, -row.throughput_rps)):
        if not kept or row.throughput_rps > kept[-1].throughput_rps:
            kept.append(row)
    return kept


def _cores(stages: Sequence[Sequence[Row]], rate_rps: float, most: int, fixed: Sequence[int] | None) -> float:
    """The fewest cores that sustain a rate; infinite if the replicas are not enough."""
    total = 0.0
    for k, rows in enumerate(stages):
        allowed = fixed[k] if fixed else most
        total += min(
            (
                (fixed[k] if fixed else n) * row.cores
                for row in rows
                if (n := replicas_for(rate_rps, row.throughput_rps)) <= allowed
            ),
            default=inf,
        )
    return total
