"""The defaults that a pipeline gives to policies: weights, assumptions, the baselines' choices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ipa.profiles.errors import did_you_mean, listed


@dataclass(frozen=True)
class Defaults:
    """The parameters that policies take from a pipeline, for a published one those of its published runs.

    The objective weighs `alpha` x accuracy - `beta` x cores - `gamma` x batch sizes, the stages'
    accuracies combined by `accuracy` ("product", "sum", "average", or "pairs": what was measured of
    two together), each "raw" or as a "rank", none below `accuracy_floor`. Batches go up to
    `batch_cap`; the planned load is forecast x (1 + `load_margin`), the planned throughput the
    profiled x `throughput_share`. `candidates` are the variants that the optimiser has to choose
    from (stage -> names; a stage left out: all).
    `scale_only` fixes the variants of the scale-only baselines ("low", "high": stage -> variant),
    `switch_only_replicas` the replicas of the switch-only one.

    A `Pipeline` fills in what is missing (an `alpha` of None, "low" and "high", the replicas) by the rules of
    `ipa.profiles.default_rules`, which are made for forecasts of `load_rps`. `by_rule` names what was not given.
    """

    load_rps: float = 20.0
    alpha: float | None = None
    beta: float = 1.0
    gamma: float = 1e-6
    accuracy: str = "product"
    accuracy_scale: str = "raw"
    accuracy_floor: float = 0.0
    batch_cap: int = 4096
    load_margin: float = 0.2
    throughput_share: float = 1.0
    candidates: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    scale_only: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    switch_only_replicas: Mapping[str, int] = field(default_factory=dict, hash=False)
    by_rule: tuple[str, ...] = field(default=(), compare=False)


CONSTANTS = (
    "beta",
    "gamma",
    "accuracy",
    "accuracy_scale",
    "accuracy_floor",
    "batch_cap",
    "load_margin",
    "throughput_share",
)
"""The defaults whose rule is one value for all pipelines: that of the class."""


def defaults_problem(
    defaults: Defaults, stages: Mapping[str, Sequence[str]]
) -> tuple[tuple[str | int, ...], str] | None:
    """The place and text of the first name in the defaults that the pipeline (stage -> variants) lacks.

    A baseline must name every stage, and variants of that stage; candidates name any stages, and at
    least one variant of each. None where all is well.
    """
    baselines: dict[tuple[str, ...], Mapping[str, object]] = {
        ("scale_only", label): chosen for label, chosen in defaults.scale_only.items()
    }
    if defaults.switch_only_replicas:
        baselines[("switch_only_replicas",)] = defaults.switch_only_replicas
    for path, by_stage in {**baselines, ("candidates",): defaults.candidates}.items():
        for stage in by_stage:
            if stage not in stages:
                hint = did_you_mean(stage, stages)
                return (*path, stage), f"no stage is called {stage!r}{hint}; stages: {listed(stages)}"
    for path, by_stage in baselines.items():
        for stage in stages:
            if stage not in by_stage:
                return path, f"the stage {stage!r} is missing"
    return next(filter(None, (_variant_problem(*named, stages) for named in _variants_named(defaults))), None)


def defaults_within(defaults: Defaults, stages: Mapping[str, Sequence[str]]) -> Defaults:
    """The defaults without what names variants that are not in `stages` (stage -> variants).

    Of candidates, only these names are removed; a stage without any left has all its variants.
    """
    candidates = {
        stage: [name for name in names if name in stages[stage]] for stage, names in defaults.candidates.items()
    }
    return replace(
        defaults,
        candidates={stage: names for stage, names in candidates.items() if names},
        scale_only={
            label: chosen
            for label, chosen in defaults.scale_only.items()
            if all(variant in stages[stage] for stage, variant in chosen.items())
        },
    )


def _variants_named(defaults: Defaults) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Every variant that is named: where, at which stage, its name."""
    for label, chosen in defaults.scale_only.items():
        for stage, variant in chosen.items():
            yield ("scale_only", label, stage), stage, variant
    for stage, variants in defaults.candidates.items():
        for place, variant in enumerate(variants):
            yield ("candidates", stage, place), stage, variant


def _variant_problem(
    path: tuple[str | int, ...], stage: str, variant: str, stages: Mapping[str, Sequence[str]]
) -> tuple[tuple[str | int, ...], str] | None:
    if variant in stages[stage]:
        return None
    hint = did_you_mean(variant, stages[stage])
    return path, f"{stage} has no variant {variant!r}{hint}; variants: {listed(stages[stage])}"
