"""The greatest load that cores and replicas sustain, and the fewest cores that sustain a load."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from functools import partial
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
    fewest replicas of each stage take too many cores.
    """
    return SustainedRates(problem, limit_cores).most_rps(variants_by_stage, limit_cores, fits)


class SustainedRates:
    """What `most_sustained_rps` answers for one problem and several limits of cores, none above `most_cores`."""

    def __init__(self, problem: Problem, most_cores: int | None) -> None:
        self._problem = problem
        self._most_cores = inf if most_cores is None else most_cores
        self._by_variants: dict[Variants, _Rates] = {}

    def most_rps(
        self,
        variants_by_stage: Variants,
        limit_cores: int | None,
        fits: Callable[[float, Variants], bool] | None = None,
    ) -> float:
        """As `most_sustained_rps`.

        The variants of deciding stages are fixed one stage after the other, those first with which the greatest rate is
        possible if all later inflows are the least.
        """
        deciding = self._problem.programme.table.flow.deciding
        waiting: list[tuple[float, int, int, Variants]] = []

        def push(fixed: int, variants: Variants) -> None:
            condition = partial(_fits, fits, variants) if fits is not None and fixed == len(deciding) else None
            most_rps = self._of(variants).most_rps(inf if limit_cores is None else limit_cores, condition)
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

    def _of(self, variants: Variants) -> _Rates:
        key = tuple(map(tuple, variants))
        if key not in self._by_variants:
            self._by_variants[key] = _Rates(self._problem, variants, self._most_cores)
        return self._by_variants[key]


def _fits(fits: Callable[[float, Variants], bool], variants: Variants, rate_rps: float) -> bool:
    return fits(rate_rps, variants)


class _Rates:
    """The rates that some variants may sustain at most, if every stage has its least inflow: the load, and what a whole
    number of replicas of some row serves."""

    def __init__(self, problem: Problem, variants_by_stage: Variants, most_cores: float) -> None:
        table, load_rps = problem.programme.table, problem.load_rps
        self._factors = [inflows.least.factor for inflows in table.flow.inflows(variants_by_stage)]
        self._useful = [
            _useful(stage.select(names, load_rps <= 0).rows)
            for stage, names in zip(table.stages, variants_by_stage, strict=True)
        ]
        self._fixed = [problem.replicas[stage.name] for stage in table.stages] if problem.replicas else None
        self._bounds = [problem.bounds(stage.name) for stage in table.stages]
        rates = {load_rps}
        for k, rows in enumerate(self._useful):
            counts = [self._fixed[k]] if self._fixed else range(1, self._bounds[k][1] + 1)
            factor = self._factors[k]
            for row in rows if factor else ():
                for n in counts:
                    if n * row.throughput_rps / factor >= load_rps or n * row.cores > most_cores:
                        break
                    rates.add(n * row.throughput_rps / factor)
        self._rising_rps = sorted(rates)
        self._cores: dict[float, float] = {}

    def most_rps(self, limit_cores: float, fits: Callable[[float], bool] | None) -> float:
        """The greatest of the rates that so many cores sustain; 0 if they sustain none."""

        def too_much(rate_rps: float) -> bool:
            cores = self._cores_for(rate_rps)
            return cores == inf or cores > limit_cores or (fits is not None and not fits(rate_rps))

        sustained = bisect_right(self._rising_rps, False, key=too_much)
        return self._rising_rps[sustained - 1] if sustained else 0.0

    def _cores_for(self, rate_rps: float) -> float:
        cores = self._cores.get(rate_rps)
        if cores is None:
            rates_rps = [rate_rps * factor for factor in self._factors]
            cores = self._cores[rate_rps] = _cores_for(self._useful, rates_rps, self._bounds, self._fixed)
        return cores


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
