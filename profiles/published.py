"""What a pipeline says besides its profiles: published parameters, where figures come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from profiles.errors import did_you_mean, listed


@dataclass(frozen=True)
class Published:
    """The parameters of the published runs of a pipeline.

    The objective weighs `alpha` x accuracy - `beta` x cores - `gamma` x batch sizes, the stages'
    accuracies combined by `accuracy` ("product", "sum" or "average"), each "raw" or as a "rank",
    none below `accuracy_floor`. Batches go up to `batch_cap`; the planned load is forecast x (1 +
    `load_margin`), the planned throughput the profiled x `throughput_share`. `scale_only` fixes the
    variants of the scale-only baselines ("low", "high": stage -> variant), `switch_only_replicas`
    the replicas of the switch-only one.
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
    scale_only: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    switch_only_replicas: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Provenance:
    """Where figures come from: measured, interpolated or assumed, and the source, law or reason."""

    kind: str
    text: str


def published_problem(
    scale_only: Mapping[str, Mapping[str, str]],
    switch_only_replicas: Mapping[str, int],
    stages: Mapping[str, Sequence[str]],
) -> tuple[tuple[str, ...], str] | None:
    """Where published parameters name what the pipeline (stage -> variants) lacks, and the text.

    A baseline must name every stage, and variants of that stage. None where all is well.
    """
    named: dict[tuple[str, ...], Mapping[str, object]] = {
        ("scale_only", label): chosen for label, chosen in scale_only.items()
    }
    if switch_only_replicas:
        named[("switch_only_replicas",)] = switch_only_replicas
    for path, by_stage in named.items():
        for stage in by_stage:
            if stage not in stages:
                hint = did_you_mean(stage, stages)
                text = f"no stage is called {stage!r}{hint}; stages: {listed(stages)}"
                return (*path, stage), text
        for stage in stages:
            if stage not in by_stage:
                return path, f"the stage {stage!r} is missing"
    for label, chosen in scale_only.items():
        for stage, variant in chosen.items():
            if variant not in stages[stage]:
                hint = did_you_mean(variant, stages[stage])
                text = f"{stage} has no variant {variant!r}{hint}; variants: {listed(stages[stage])}"
                return ("scale_only", label, stage), text
    return None
