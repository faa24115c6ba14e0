"""What a pipeline says besides its profiles: published parameters, where figures come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ipa.profiles.errors import did_you_mean, listed


@dataclass(frozen=True)
class Published:
    """The parameters of the published runs of a pipeline.

    The objective weighs `alpha` x accuracy - `beta` x cores - `gamma` x batch sizes, the stages'
    accuracies combined by `accuracy` ("product", "sum" or "average"), each "raw" or as a "rank",
    none below `accuracy_floor`. Batches go up to `batch_cap`; the planned load is forecast x (1 +
    `load_margin`), the planned throughput the profiled x `throughput_share`. `candidates` are the
    variants that the optimiser had to choose from (stage -> names; a stage left out: all).
    `scale_only` fixes the variants of the scale-only baselines ("low", "high": stage -> variant),
    `switch_only_replicas` the replicas of the switch-only one.
    """

    alpha: float = 1.0
    beta: float = 1.0
    gamma: float = 1e-6
    accuracy: str = "product"
    accuracy_scale: str = "raw"
    accuracy_floor: float = 0.0
    batch_cap: int = 64
    load_margin: float = 0.0
    throughput_share: float = 1.0
    candidates: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    scale_only: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    switch_only_replicas: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Provenance:
    """Where figures come from: measured, interpolated, calibrated or assumed; the source, law or reason."""

    kind: str
    text: str


def published_problem(
    published: Published, stages: Mapping[str, Sequence[str]]
) -> tuple[tuple[str | int, ...], str] | None:
    """Where published parameters name what the pipeline (stage -> variants) lacks, and the text.

    A baseline must name every stage, and variants of that stage; candidates name any stages, and at
    least one variant of each. None where all is well.
    """
    baselines: dict[tuple[str, ...], Mapping[str, object]] = {
        ("scale_only", label): chosen for label, chosen in published.scale_only.items()
    }
    if published.switch_only_replicas:
        baselines[("switch_only_replicas",)] = published.switch_only_replicas
    for path, by_stage in {**baselines, ("candidates",): published.candidates}.items():
        for stage in by_stage:
            if stage not in stages:
                hint = did_you_mean(stage, stages)
                return (*path, stage), f"no stage is called {stage!r}{hint}; stages: {listed(stages)}"
    for path, by_stage in baselines.items():
        for stage in stages:
            if stage not in by_stage:
                return path, f"the stage {stage!r} is missing"
    return next(filter(None, (_variant_problem(*named, stages) for named in _variants_named(published))), None)


def _variants_named(published: Published) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Every variant that is named: where, at which stage, its name."""
    for label, chosen in published.scale_only.items():
        for stage, variant in chosen.items():
            yield ("scale_only", label, stage), stage, variant
    for stage, variants in published.candidates.items():
        for place, variant in enumerate(variants):
            yield ("candidates", stage, place), stage, variant


def _variant_problem(
    path: tuple[str | int, ...], stage: str, variant: str, stages: Mapping[str, Sequence[str]]
) -> tuple[tuple[str | int, ...], str] | None:
    if variant in stages[stage]:
        return None
    hint = did_you_mean(variant, stages[stage])
    return path, f"{stage} has no variant {variant!r}{hint}; variants: {listed(stages[stage])}"
