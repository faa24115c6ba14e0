"""Scale-only, after FA2: fixed variants; batches and replicas follow the load at the least cost.

Source: FA2, Fast, Accurate Autoscaling for Serving Deep Learning Inference with SLA Guarantees, RTAS 2022, as a
baseline of IPA (JSys 2024): FA2-low with the lightest variants, FA2-high with heavy ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.configurations import explicit_variants, variants_argument
from ipa.policies.ipa import OptimisingPolicy

if TYPE_CHECKING:
    from ipa.profiles import Pipeline


class ScaleOnly(OptimisingPolicy):
    """The optimiser with given variants.

    `variants`: a name in the pipeline's `scale_only` ("low", "high"), or stage -> variant. `keep_variants`: keep them
    even if nothing is feasible with them. `candidates`: stage -> variants that may replace one that has failed to
    start; None, or a missing stage: all. For other parameters see `OptimisingPolicy`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        variants: str | Mapping[str, str] = "low",
        keep_variants: bool = True,
        candidates: Mapping[str, Collection[str]] | None = None,
        **planning: Any,
    ) -> None:
        super().__init__(pipeline, candidates={} if candidates is None else candidates, **planning)
        self.variants = explicit_variants(pipeline, variants)
        for stage in pipeline.stages:
            names = [variant.name for variant in self.programme.candidates_of(stage)]
            checks.choice(f"variants.{stage.name}", self.variants[stage.name], names)
        self.fixed = {
            "variants": {stage: (variant,) for stage, variant in self.variants.items()},
            "keep_variants": checks.flag("keep_variants", keep_variants),
        }

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        own = {"variants": self.variants, "keep_variants": self.fixed["keep_variants"]}
        return {**own, **super().parameters}

    @staticmethod
    def from_argument(argument: str, pipeline: Pipeline) -> dict[str, Any]:
        """The parameters of `scale-only:low` or, with one variant per stage, `scale-only:yolov5s,resnet50`."""
        return variants_argument(argument, pipeline)
