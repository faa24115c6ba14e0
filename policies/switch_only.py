"""Switch-only, after RIM: fixed replicas; variants and batch sizes follow the load.

Source: RIM, the reactive baseline of IPA (JSys 2024), with fixed, high numbers of replicas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ipa.numbers import number_of
from ipa.policies import checks
from ipa.policies.interface import PolicyError
from ipa.policies.ipa import OptimisingPolicy

if TYPE_CHECKING:
    from ipa.profiles import Pipeline


class SwitchOnly(OptimisingPolicy):
    """The optimiser with given replicas.

    `replicas`: stage -> number; None: the pipeline's. They are moved into the bounds of the pipeline's limits. It may
    choose any option whose replicas sustain the load: n h >= load. For other parameters see `OptimisingPolicy`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        replicas: Mapping[str, int] | None = None,
        **planning: Any,
    ) -> None:
        super().__init__(pipeline, **planning)
        stages = [stage.name for stage in pipeline.stages]
        counts = pipeline.defaults.switch_only_replicas if replicas is None else replicas
        self.replicas = {
            stage: self.allowed(stage, checks.integer(f"replicas.{stage}", count))
            for stage, count in checks.mapping("replicas", counts, stages).items()
        }
        self.fixed = {"replicas": self.replicas}

    def allowed(self, stage: str, count: int) -> int:
        """The number of replicas next to `count` that the pipeline's limits allow."""
        limits = self.programme.pipeline.limits
        return limits.most(stage, max(count, limits.least(stage)))

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        return {"replicas": self.replicas, **super().parameters}

    @staticmethod
    def from_argument(argument: str, pipeline: Pipeline) -> dict[str, Any]:
        """The parameters of `switch-only:3,3` (one number per stage)."""
        return {"replicas": replicas_argument(argument, pipeline)}


def replicas_argument(argument: str, pipeline: Pipeline) -> dict[str, int]:
    """Stage -> replicas from "3,3"; PolicyError if that is not one whole number per stage."""
    stages = [stage.name for stage in pipeline.stages]
    words = argument.split(",")
    counts = [count for count in map(number_of, words) if isinstance(count, int) and count >= 0]
    if not len(words) == len(counts) == len(stages):
        raise PolicyError(f"replicas {argument!r} must be whole numbers, one per stage: {', '.join(stages)}")
    return dict(zip(stages, counts, strict=True))
