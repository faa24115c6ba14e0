"""Variants by name: the lightest one, a pipeline's `low` and `high`, and what replaces a variant that has failed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.interface import PolicyError

if TYPE_CHECKING:
    from ipa.profiles import Pipeline, Stage


def explicit_variants(pipeline: Pipeline, variants: str | Mapping[str, str]) -> dict[str, str]:
    """Stage -> variant, from a name or from such a mapping.

    A name is one of the pipeline's `scale_only` ("low", "high"). PolicyError: an unknown name, stage or variant.
    """
    stages = {stage.name: [v.name for v in stage.variants] for stage in pipeline.stages}
    if isinstance(variants, str):
        named = pipeline.defaults.scale_only
        if variants not in named:
            raise PolicyError(
                f"variants={variants!r} is none of: {', '.join(named)}"
                f"{checks.nearest(variants, named)}; or name one per stage: {', '.join(stages)}"
            )
        variants = named[variants]
    given = checks.mapping("variants", variants, stages)
    for stage, variant in given.items():
        refuse_excluded(pipeline, stage, variant)
    return {stage: checks.choice(f"variants.{stage}", variant, stages[stage]) for stage, variant in given.items()}


def refuse_excluded(pipeline: Pipeline, stage: str, variant: object) -> None:
    """PolicyError, with the reason, for a variant that the limits of the cluster have taken out of the pipeline."""
    why = pipeline.limits.excluded.get(stage, {}).get(str(variant))
    if why:
        left = ", ".join(each.name for each in pipeline.stage(stage).variants)
        raise PolicyError(f"stage {stage!r}: {why}; allowed: {left}")


def variants_argument(argument: str, pipeline: Pipeline) -> dict[str, Any]:
    """The parameter `variants` from "high" or from one variant per stage, "yolov5s,resnet50"."""
    names = argument.split(",")
    if argument in pipeline.defaults.scale_only or len(names) != len(pipeline.stages):
        return {"variants": argument}
    stages = [stage.name for stage in pipeline.stages]
    return {"variants": dict(zip(stages, names, strict=True))}


def lightest(stage: Stage, failed: Collection[str] = ()) -> str:
    """The variant with the fewest base cores, then the least accuracy, among those that have not failed (if any)."""
    return stage.lightest(failed).name


def standing(stage: Stage, wanted: str, failed: Collection[str]) -> str:
    """The wanted variant or, once it has failed to start, the lightest that has not (if any)."""
    every_one_failed = all(variant.name in failed for variant in stage.variants)
    return wanted if wanted not in failed or every_one_failed else lightest(stage, failed)
