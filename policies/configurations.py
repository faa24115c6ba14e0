"""Configurations of a pipeline: what one may be, and the lightest one."""

from __future__ import annotations

from collections.abc import Mapping

from policies.interface import Configuration, PolicyError, StageConfiguration
from policies.scale_only import lightest
from profiles import Pipeline


def lightest_configuration(pipeline: Pipeline) -> Configuration:
    """One replica of the lightest variant at every stage, batch size 1, on its base cores."""
    return {
        stage.name: StageConfiguration(
            variant=lightest(stage),
            batch=1,
            replicas=1,
            batch_timeout_s=0.0,
            cores=stage.variant(lightest(stage)).base_cores,
        )
        for stage in pipeline.stages
    }


def check_configuration(pipeline: Pipeline, configuration: Configuration) -> None:
    """Raise PolicyError for a configuration that this pipeline cannot have, naming stage, value and what is allowed."""
    expected = [stage.name for stage in pipeline.stages]
    if not isinstance(configuration, Mapping) or sorted(configuration) != sorted(expected):
        given = sorted(configuration) if isinstance(configuration, Mapping) else configuration
        raise PolicyError(f"the configuration names the stages {given}; the pipeline has {expected}")
    for stage in pipeline.stages:
        wanted = configuration[stage.name]
        variants = [variant.name for variant in stage.variants]
        if wanted.variant not in variants:
            raise PolicyError(
                f"stage {stage.name!r}: unknown variant {wanted.variant!r}; allowed: {', '.join(variants)}"
            )
        variant = stage.variant(wanted.variant)
        if wanted.cores not in variant.cores:
            raise PolicyError(
                f"stage {stage.name!r}: {wanted.cores} cores are not profiled for "
                f"{variant.name!r}; allowed: {', '.join(map(str, variant.cores))}"
            )
        largest = variant.max_batch(wanted.cores)
        if not (_is_whole(wanted.batch) and 1 <= wanted.batch <= largest):
            raise PolicyError(
                f"stage {stage.name!r}: batch {wanted.batch!r}; allowed for {variant.name!r}: "
                f"whole numbers from 1 to {largest}"
            )
        if not (_is_whole(wanted.replicas) and wanted.replicas >= 1):
            raise PolicyError(f"stage {stage.name!r}: replicas {wanted.replicas!r}; allowed: whole numbers from 1")
        if not 0.0 <= wanted.batch_timeout_s < float("inf"):
            raise PolicyError(
                f"stage {stage.name!r}: batch_timeout_s {wanted.batch_timeout_s!r}; allowed: finite seconds from 0"
            )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
