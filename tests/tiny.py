"""Pipelines and observations small enough to check by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ipa.policies import Configuration, Observation, ReplicaCounts, StageConfiguration, StageObservation
from ipa.profiles import Defaults, Figure, Pipeline, Stage, Variant


def variant(
    name: str,
    accuracy: float,
    cores: int,
    batches: Mapping[int, float],
    throughputs_rps: Mapping[int, float] | None = None,
) -> Variant:
    """A variant whose batches take `batches` seconds, always; throughput: batch / seconds."""
    return Variant(
        name=name,
        accuracy=accuracy,
        base_cores=cores,
        start_up_s=8.0,
        figures=tuple(
            Figure(cores, batch, seconds, seconds, (throughputs_rps or {}).get(batch, batch / seconds))
            for batch, seconds in batches.items()
        ),
    )


def pipeline(*stages: Sequence[Variant], sla_s: float = 1.0, published: Defaults | None = None) -> Pipeline:
    """Stages "a", "b", ... of the variants given; the SLA is shared evenly."""
    return Pipeline(
        name="tiny",
        description="",
        stages=tuple(
            Stage("abcdef"[k], "task", sla_s / len(stages), 1.0, tuple(variants)) for k, variants in enumerate(stages)
        ),
        defaults=published or Defaults(alpha=1.0, load_margin=0.0),
    )


def two_by_two(published: Defaults | None = None) -> Pipeline:
    """Two stages, each with a small variant (1 core) and a large one (2 cores), batches 1 and 2.

    A replica serves, at batch 1 and 2: small 10 and 12.5 rps, large 5 and 6.25 rps.
    """
    small = {1: 0.1, 2: 0.16}
    large = {1: 0.2, 2: 0.32}
    return pipeline(
        [variant("small", 0.5, 1, small), variant("large", 0.8, 2, large)],
        [variant("small", 0.6, 1, small), variant("large", 0.9, 2, large)],
        published=published,
    )


def published(**changes: object) -> Defaults:
    """Parameters of `two_by_two`."""
    values: dict[str, object] = {
        "alpha": 10.0,
        "beta": 1.0,
        "gamma": 1e-6,
        "batch_cap": 8,
        "load_margin": 0.0,
        "scale_only": {
            "low": {"a": "small", "b": "small"},
            "high": {"a": "large", "b": "large"},
        },
        "switch_only_replicas": {"a": 2, "b": 2},
    }
    return Defaults(**{**values, **changes})  # type: ignore[arg-type]


def configuration(**stages: tuple[str, int, int, int]) -> Configuration:
    """Stage -> (variant, batch, replicas, cores); no batch timeout."""
    return {
        name: StageConfiguration(variant, batch, replicas, 0.0, cores)
        for name, (variant, batch, replicas, cores) in stages.items()
    }


SMALL_ONES = configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1))


def observation(
    load_rps: Sequence[float] = (),
    *,
    at_hand: Configuration = SMALL_ONES,
    limit_cores: int | None = None,
    future_rps: Sequence[float] | None = None,
    failed: Mapping[str, tuple[str, ...]] | None = None,
    queue_length: Mapping[str, int] | None = None,
    arrivals: Mapping[str, int] | None = None,
    time_s: float = 30.0,
    busy: Mapping[str, float] | None = None,
    replicas: Mapping[str, ReplicaCounts] | None = None,
    nothing_runs: bool = False,
    sample_age_s: float = 0.0,
    elapsed_s: float = 10.0,
) -> Observation:
    """What a policy sees at step 3, queues empty and all ready unless said otherwise.

    `replicas`: stage -> those of its variant that exist, `busy`: stage -> busy fraction; `nothing_runs`: as before the
    first request of a warm start.
    """
    return Observation(
        pipeline="tiny",
        step=3,
        seed=0,
        time_s=time_s,
        load_rps=tuple(float(count) for count in load_rps),
        sample_age_s=sample_age_s,
        elapsed_s=elapsed_s,
        limit_cores=limit_cores,
        future_rps=None if future_rps is None else tuple(map(float, future_rps)),
        stages={
            name: StageObservation(
                configuration=stage,
                arrivals=(arrivals or {}).get(name, 0),
                completions=0,
                drops=0,
                failures=0,
                queue_length=(queue_length or {}).get(name, 0),
                in_service=0,
                replicas={}
                if nothing_runs
                else {stage.variant: (replicas or {}).get(name, ReplicaCounts(ready=stage.replicas))},
                busy_fraction=(busy or {}).get(name),
                failed_variants=(failed or {}).get(name, ()),
            )
            for name, stage in at_hand.items()
        },
    )


def chosen(decided: Configuration) -> dict[str, tuple[str, int, int]]:
    """Stage -> (variant, batch, replicas)."""
    return {name: (each.variant, each.batch, each.replicas) for name, each in decided.items()}
