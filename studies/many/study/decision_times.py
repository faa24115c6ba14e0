"""The time of one decision: the exact solver on pipelines of many sizes, measured on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from statistics import median
from time import perf_counter

from ipa.policies.optimiser import Problem, Programme, solve
from ipa.profiles import Defaults, Figure, Pipeline, Stage, Variant

SIZES = (1, 3, 5, 7, 9)
BATCHES = 7
PROBLEMS = 5

Shape = tuple[int, ...]
"""The number of variants of each stage."""


@dataclass(frozen=True)
class Timing:
    """The median time of one decision over `PROBLEMS` random problems of a size."""

    shape: Shape
    batches: int
    seconds: float

    @property
    def is_regular(self) -> bool:
        """Whether all stages have the same number of variants, and all `BATCHES` batch sizes."""
        return len(set(self.shape)) == 1 and self.batches == BATCHES


def measure(further: Iterable[tuple[Shape, int]] = ()) -> list[Timing]:
    """The time of a decision for 1 to 9 stages with 1 to 9 variants and batches of 1 to 64, each from scratch: it
    includes the programme's tables, which a run makes only once.

    `further`: other sizes, each with its number of batch sizes. The SLA lies between the fastest configuration and the
    best one without an SLA, so that it binds.
    """
    _seconds(_problem(0, (2, 2), 2))  # warm-up: loading and compiling are not part of a decision
    sizes = [((variants,) * stages, BATCHES) for stages in SIZES for variants in SIZES]
    return [
        Timing(shape, batches, median(_seconds(_problem(seed, shape, batches)) for seed in range(PROBLEMS)))
        for shape, batches in dict.fromkeys([*sizes, *further])
    ]


def _seconds(problem: Problem) -> float:
    started_s = perf_counter()
    solve(problem)
    return perf_counter() - started_s


def _problem(seed: int, shape: Shape, batches: int) -> Problem:
    rng = Random(f"{seed} {shape} {batches}")
    stages = tuple(_stage(rng, f"stage-{number}", variants, batches) for number, variants in enumerate(shape))
    # Between a single request and full batches of the slowest variants: most configurations are too slow.
    least_s = sum(min(variant.p99_s(1) for variant in stage.variants) for stage in stages)
    programme = Programme(Pipeline("random", "", stages, Defaults()), alpha=60.0, beta=0.5, sla_s=3.0 * least_s)
    return Problem(programme, float(rng.randint(3, 60)))


def _stage(rng: Random, name: str, variants: int, batches: int) -> Stage:
    quickest_s = rng.uniform(0.02, 0.1)
    of_variants = tuple(_variant(rng, place, variants, batches, quickest_s) for place in range(variants))
    return Stage(name, "task", 1.0, 1.0, of_variants)


def _variant(rng: Random, place: int, variants: int, batches: int, quickest_s: float) -> Variant:
    """A random variant. Later ones tend to be more accurate, slower and larger; latency is near-affine in the batch."""
    single_s = quickest_s * (1 + place * rng.uniform(0.3, 0.7))
    fixed = rng.uniform(0.3, 0.8)
    cores = 1 << int(5 * place / max(variants - 1, 1) * rng.uniform(0.5, 1.0))
    figures = []
    for batch in (1 << power for power in range(batches)):
        mean_s = single_s * (fixed + (1 - fixed) * batch) * rng.uniform(0.97, 1.03)
        figures.append(Figure(cores, batch, mean_s, mean_s * rng.uniform(1.1, 1.4), batch / mean_s))
    accuracy = min(0.999, 0.5 + 0.45 * (place + rng.random()) / variants)
    return Variant(f"variant-{place}", accuracy, cores, 8.0, tuple(figures))
