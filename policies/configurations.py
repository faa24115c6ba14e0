"""What a policy may answer: checks of decisions and configurations, and a pipeline's lightest configuration."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, TypeGuard

from ipa.policies import checks
from ipa.policies.interface import Configuration, Decision, PolicyError, StageConfiguration
from ipa.policies.variants import lightest
from ipa.profiles import Pipeline, Stage

MOST_REPLICAS = 10_000
"""The most replicas of a stage. More are a policy's mistake, which would use up all memory before anyone noticed."""


def lightest_configuration(pipeline: Pipeline) -> Configuration:
    """One replica of the lightest variant at every stage, with batch size 1 and its base cores."""
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


def check_decision(pipeline: Pipeline, decision: object) -> Decision:
    """`decision` itself, if every backend can carry it out and a journal can hold it; PolicyError otherwise.

    It needs a configuration that the pipeline can have, finite numbers, and notes that are strings.
    """
    if not isinstance(decision, Decision):
        raise PolicyError(f"decide returned {type(decision).__name__}, not an ipa.policies.Decision")
    check_configuration(pipeline, decision.configuration)
    if not _is_mapping(decision.memory):
        raise PolicyError(f"memory {decision.memory!r}; allowed: a mapping, {{}} for none")
    _check_number("forecast_rps", decision.forecast_rps)
    _check_number("planned_load_rps", decision.planned_load_rps)
    if decision.objective is not None:
        if not _is_mapping(decision.objective):
            raise PolicyError(f"objective {decision.objective!r}; allowed: a mapping of names to numbers, or None")
        for name, value in decision.objective.items():
            if not _is_finite(value):
                _check_number(f"objective {name!r}", value)
    if not isinstance(decision.rung, str) or not isinstance(decision.binding, str | None):
        raise PolicyError(f"rung {decision.rung!r}, binding {decision.binding!r}; allowed: texts, binding or None")
    if not isinstance(decision.feasible, bool):
        raise PolicyError(f"feasible {decision.feasible!r}; allowed: True or False")
    notes = decision.notes
    if not isinstance(notes, tuple) or (notes and not all(isinstance(note, str) for note in notes)):
        raise PolicyError(f"notes {notes!r}; allowed: a tuple of texts")
    return decision


def _check_number(name: str, value: object) -> None:
    if value is not None and not _is_finite(value):
        raise PolicyError(f"{name} {value!r}; allowed: a finite number, or None")


def check_configuration(pipeline: Pipeline, configuration: object) -> None:
    """PolicyError for a configuration that the pipeline cannot have: the stage, the value, and what is allowed."""
    if not _is_mapping(configuration) or configuration.keys() != pipeline.by_name.keys():
        given = list(configuration) if isinstance(configuration, Mapping) else configuration
        raise PolicyError(f"the configuration names the stages {given!r}; the pipeline has {list(pipeline.by_name)}")
    for stage in pipeline.stages:
        try:
            _check_stage(stage, configuration[stage.name])
        except PolicyError as error:
            raise PolicyError(f"stage {stage.name!r}: {error}") from None


def _check_stage(stage: Stage, wanted: object) -> None:
    if not isinstance(wanted, StageConfiguration):
        raise PolicyError(f"{wanted!r} is not an ipa.policies.StageConfiguration")
    largest = stage.largest_batches
    if not isinstance(wanted.variant, str) or wanted.variant not in largest:
        raise PolicyError(
            f"unknown variant {wanted.variant!r}{checks.nearest(wanted.variant, largest)}; "
            f"allowed: {', '.join(largest)}"
        )
    by_cores = largest[wanted.variant]
    if not (_is_whole(wanted.cores) and wanted.cores in by_cores):
        raise PolicyError(
            f"{wanted.cores!r} cores are not profiled for {wanted.variant!r}; allowed: {', '.join(map(str, by_cores))}"
        )
    most = by_cores[wanted.cores]
    if not (_is_whole(wanted.batch) and 1 <= wanted.batch <= most):
        raise PolicyError(f"batch {wanted.batch!r}; allowed for {wanted.variant!r}: whole numbers from 1 to {most}")
    if not (_is_whole(wanted.replicas) and 1 <= wanted.replicas <= MOST_REPLICAS):
        raise PolicyError(f"replicas {wanted.replicas!r}; allowed: whole numbers from 1 to {MOST_REPLICAS}")
    if not (_is_finite(wanted.batch_timeout_s) and wanted.batch_timeout_s >= 0.0):
        raise PolicyError(f"batch_timeout_s {wanted.batch_timeout_s!r}; allowed: finite seconds from 0")


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return type(value) is dict or isinstance(value, Mapping)  # the first is quick


def _is_whole(value: object) -> bool:
    return type(value) is int or (isinstance(value, int) and not isinstance(value, bool))


def _is_finite(value: object) -> bool:
    if type(value) is float:
        return isfinite(value)
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
