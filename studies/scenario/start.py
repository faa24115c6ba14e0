"""The configuration that is ready when a run starts, and the keys of a scenario for it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from ipa.policies import (
    Configuration,
    PolicyError,
    StageConfiguration,
    check_configuration,
    lightest_configuration,
)
from ipa.profiles import FileModel, Pipeline
from ipa.studies.scenario.errors import ScenarioError
from ipa.studies.scenario.ranges import Counting, NotNegative


class StageStart(FileModel):
    """What is ready at a stage at the start; `cores` None: the variant's base cores."""

    variant: str = Field(description="the variant")
    batch: Counting = Field(default=1, description="the batch size")
    replicas: Counting = Field(default=1, description="the number of replicas")
    cores: Counting | None = Field(default=None, description="cores per replica; default: the variant's base cores")
    batch_timeout_s: NotNegative = Field(default=0.0, description="the longest wait for a batch to fill")


def ready_at_start(pipeline: Pipeline, initial: Mapping[str, StageStart]) -> Configuration:
    """The configuration at the start, by default the lightest. Raises ScenarioError for an impossible one."""
    configuration = dict(lightest_configuration(pipeline))
    for stage, start in initial.items():
        base_cores = {variant.name: variant.base_cores for variant in pipeline.stage(stage).variants}
        cores = base_cores.get(start.variant, 0) if start.cores is None else start.cores
        configuration[stage] = StageConfiguration(
            start.variant, start.batch, start.replicas, start.batch_timeout_s, cores
        )
    try:
        check_configuration(pipeline, configuration)
    except PolicyError as error:
        raise ScenarioError(f"initial: {error}") from None
    return configuration
