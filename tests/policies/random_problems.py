"""Random problems: small enough to try everything, or of any size and with too little for what would be best.

A seed makes a problem: drawn figure by figure by hypothesis, it takes longer than its answer.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ipa.policies import StageConfiguration
from ipa.policies.optimiser import Problem, Programme
from ipa.policies.optimiser.exact import exact
from ipa.policies.optimiser.ladder import wanted_variants
from ipa.policies.optimiser.problem import Knapsack, options
from ipa.profiles import Defaults, Figure, Pipeline, Stage, Variant
from tests import tiny

# Coarse figures, so that equal objectives and latencies exactly at the SLA are common.
ACCURACIES = (0.4, 0.5, 0.6, 0.641, 0.8)
SECONDS = (0.05, 0.1, 0.15, 0.2)
LOADS_RPS = (0.0, 0.4, 1.0, 5.0, 10.0, 13.7, 40.0, 95.0)


def small(rng: Random, most_stages: int = 3, most_replicas: int = 100) -> Problem:
    """Up to three variants a stage and three batch sizes a variant, with all that a chain may have but limits."""
    made = small_pipeline(rng, most_stages)
    of_pairs = len(made.stages) == 2 and rng.random() < 0.5
    if of_pairs:
        made = replace(made, pair_accuracies=pair_accuracies(rng, made))
    programme = Programme(
        made,
        alpha=rng.choice((0.0, 1.0, 2.0, 10.0, 37.5)),
        beta=rng.choice((0.0, 0.5, 1.0)),
        gamma=rng.choice((0.0, 1e-6, 0.1)),
        accuracy="pairs" if of_pairs else rng.choice(("product", "sum", "average")),
        accuracy_scale="raw" if of_pairs else rng.choice(("raw", "rank")),
        accuracy_floor=rng.choice((0.0, 0.05, 0.5)),
        batch_cap=rng.choice((1, 2, 8)),
        throughput_share=rng.choice((1.0, 0.5)),
        max_replicas=rng.randint(1, 3) if most_replicas < 100 else 100,
    )
    wishes = {stage.name: [rng.choice(stage.variants).name] for stage in made.stages if rng.random() < 0.25}
    fixed = {stage.name: rng.randint(1, 3) for stage in made.stages}
    return Problem(
        programme,
        rng.choice(LOADS_RPS),
        limit_cores=rng.randint(1, 15) if rng.random() < 0.5 else None,
        variants=wishes or None,
        replicas=fixed if rng.random() < 0.5 else None,
        current=at_hand(rng, made) if rng.random() < 0.5 else None,
    )


def small_pipeline(rng: Random, most_stages: int = 3) -> Pipeline:
    """One to three stages, each of one to three variants."""
    stages = [
        [_small_variant(rng, f"v{i}") for i in range(rng.randint(1, 3))] for _ in range(rng.randint(1, most_stages))
    ]
    return tiny.pipeline(*stages, sla_s=rng.choice((0.1, 0.2, 0.3, 0.45, 0.6, 1.0, 3.0)))


def _small_variant(rng: Random, name: str) -> Variant:
    seconds, batches = rng.choice(SECONDS), {}
    for batch in (1, 3, 4)[: rng.randint(1, 3)]:
        batches[batch] = seconds
        seconds += rng.choice(SECONDS)
    return tiny.variant(name, rng.choice(ACCURACIES), rng.randint(1, 3), batches)


def pair_accuracies(rng: Random, of: Pipeline) -> dict[str, dict[str, float]]:
    """Accuracies of pairs that need not be like any product."""
    first, second = ([variant.name for variant in stage.variants] for stage in of.stages)
    return {a: {b: rng.choice((0.0, 0.11, 0.35, 0.5, 0.503, 0.9, 1.0)) for b in second} for a in first}


def at_hand(rng: Random, of: Pipeline) -> dict[str, StageConfiguration]:
    """Some variant and batch size at each stage."""
    variants = {stage.name: rng.choice(stage.variants) for stage in of.stages}
    return {
        name: StageConfiguration(each.name, rng.choice(each.batches()), 1, 0.0, each.base_cores)
        for name, each in variants.items()
    }


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
