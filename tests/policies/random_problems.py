"""Random problems of any size whose SLA, and if wanted whose cores, are too few for what would be best."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ipa.policies.optimiser import Problem, Programme
from ipa.policies.optimiser.exact import exact
from ipa.policies.optimiser.ladder import wanted_variants
from ipa.policies.optimiser.problem import Knapsack, options
from ipa.profiles import Defaults, Figure, Pipeline, Stage, Variant


def tight(
    seed: int, stages: int, variants: int, batches: int, accuracy: str = "product", *, few_cores: bool = False
) -> Problem:
    """The problem of `seed`, always the same; batches are 1, 2, 4, ...

    The SLA lies between the least planned latency and that of the best configuration without an
    SLA; so do the cores with `few_cores`.
    """
    rng = Random(f"{seed} {stages} {variants} {batches}")
    programme = Programme(
        Pipeline(
            "random",
            "",
            tuple(stage(rng, f"s{k}", variants, batches) for k in range(stages)),
            Defaults(alpha=1.0, load_margin=0.0),
        ),
        alpha=rng.choice([5.0, 20.0, 50.0, 200.0]) * (2 if accuracy == "product" else stages),
        beta=0.5,
        gamma=1e-6,
        accuracy=accuracy,
        sla_s=1e4,
    )
    free = Problem(programme, float(rng.randint(3, 60)))
    offered = options(free, wanted_variants(free)[0])
    best = exact(Knapsack(offered, programme.table.flow, reward=programme.table.scales.reward))
    assert best is not None
    chosen = list(zip(offered, best.indices, strict=True))
    least_ns = sum(min(stage.latency_ns) for stage in offered)
    spent_ns = sum(stage.latency_ns[i] for stage, i in chosen)
    sla_s = (least_ns + rng.uniform(0.02, 0.6) * (spent_ns - least_ns)) / 1e9
    least_cores = sum(min(stage.cores) for stage in offered)
    cores = sum(stage.cores[i] for stage, i in chosen)
    limit = int(least_cores + rng.uniform(0.3, 0.9) * (cores - least_cores)) if few_cores else None
    made = Problem(replace(programme, sla_s=sla_s), free.load_rps, limit_cores=limit)
    # Whatever the load, these are computed once, and not to be timed.
    assert made.programme.table.sla_ns
    assert made.programme.drop_limits
    return made


def stage(rng: Random, name: str, variants: int, batches: int) -> Stage:
    """A stage of so many variants, each with so many batch sizes."""
    quickest_s = rng.uniform(0.02, 0.1)
    return Stage(
        name, "task", 1.0, 1.0, tuple(_variant(rng, i, variants, batches, quickest_s) for i in range(variants))
    )


def _variant(rng: Random, i: int, variants: int, batches: int, quickest_s: float) -> Variant:
    """The larger i, the more accurate, slower and larger on the whole; latency is about affine in the batch."""
    single_s = quickest_s * (1 + i * rng.uniform(0.3, 0.7))
    fixed = rng.uniform(0.3, 0.8)
    cores = 1 << int(5 * i / max(variants - 1, 1) * rng.uniform(0.5, 1.0))
    figures = []
    for batch in (1 << power for power in range(batches)):
        mean_s = round(single_s * (fixed + (1 - fixed) * batch) * rng.uniform(0.97, 1.03), 5)
        figures.append(Figure(cores, batch, mean_s, round(mean_s * rng.uniform(1.1, 1.4), 5), batch / mean_s))
    accuracy = round(min(0.999, 0.5 + 0.45 * (i + rng.random()) / variants), 4)
    return Variant(f"v{i}", accuracy, cores, 8.0, tuple(figures))
