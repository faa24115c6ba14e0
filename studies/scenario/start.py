"""The configuration that is ready when a run starts, and the keys of a scenario for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from ipa.policies import (
    Configuration,
    PolicyError,
    StageConfiguration,
    check_configuration,
    lightest_configuration,
    mix_of,
)
from ipa.profiles import FileModel, Pipeline, refusal
from ipa.studies.scenario.errors import ScenarioError
from ipa.studies.scenario.ranges import Counting, NotNegative, Positive


class PartStart(FileModel):
    """What is ready of one variant of a mix at the start; `cores` None: the variant's base cores."""

    variant: str = Field(description="the variant")
    share: Positive = Field(description="its share of the requests; all add up to 1")
    batch: Counting = Field(default=1, description="the batch size")
    replicas: Counting = Field(default=1, description="the number of replicas")
    cores: Counting | None = Field(default=None, description="cores per replica; default: the variant's base cores")
    batch_timeout_s: NotNegative = Field(default=0.0, description="the longest wait for a batch to fill")


class StageStart(FileModel):
    """What is ready at a stage at the start: a variant, or a mix; `cores` None: the variant's base cores."""

    variant: str | None = Field(default=None, description="the variant; required without `mix`")
    batch: Counting = Field(default=1, description="the batch size")
    replicas: Counting = Field(default=1, description="the number of replicas")
    cores: Counting | None = Field(default=None, description="cores per replica; default: the variant's base cores")
    batch_timeout_s: NotNegative = Field(default=0.0, description="the longest wait for a batch to fill")
    mix: list[PartStart] | None = Field(
        default=None, min_length=1, description="several variants at once, in place of the other keys"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        fields = type(self).model_fields.items()
        beside = [name for name, field in fields if name != "mix" and getattr(self, name) != field.default]
        if self.mix is not None and beside:
            raise refusal(f"with mix, give {', '.join(beside)} in its entries")
        if self.mix is None and self.variant is None:
            raise refusal("the key variant is missing, or mix")
        return self


def ready_at_start(pipeline: Pipeline, initial: Mapping[str, StageStart]) -> Configuration:
    """The configuration at the start, by default the lightest. Raises ScenarioError for an impossible one."""
    configuration = dict(lightest_configuration(pipeline))
    for stage, start in initial.items():
        known = {variant.name: variant.base_cores for variant in pipeline.stage(stage).variants}
        parts = [start] if start.mix is None else start.mix
        configuration[stage] = mix_of([_configuration_of(part, known) for part in parts])
    try:
        check_configuration(pipeline, configuration)
    except PolicyError as error:
        raise ScenarioError(f"initial: {error}") from None
    return configuration


def _configuration_of(start: StageStart | PartStart, base_cores: Mapping[str, int]) -> StageConfiguration:
    variant = start.variant or ""
    cores = base_cores.get(variant, 0) if start.cores is None else start.cores
    share = start.share if isinstance(start, PartStart) else 1.0
    return StageConfiguration(variant, start.batch, start.replicas, start.batch_timeout_s, cores, share)
