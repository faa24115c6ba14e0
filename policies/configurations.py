"""Valid configurations: checks of decisions, variants by name, and a pipeline's lightest configuration."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any, TypeGuard

from ipa.policies import checks
from ipa.policies.interface import Configuration, Decision, Observation, PolicyError, StageConfiguration
from ipa.profiles import Limits, Pipeline, Stage

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


def check_decision(
    pipeline: Pipeline, decision: object, right: dict[str, StageConfiguration] | None = None
) -> Decision:
    """`decision` itself, if every backend can carry it out and a journal can hold it; PolicyError otherwise.

    It needs a configuration that the pipeline can have, finite numbers, notes that are strings, and a `why` that JSON
    can hold. `right`: as in `check_configuration`.
    """
    if not isinstance(decision, Decision):
        raise PolicyError(f"decide returned {type(decision).__name__}, not an ipa.policies.Decision")
    check_configuration(pipeline, decision.configuration, right)
    if not _is_mapping(decision.memory):
        raise PolicyError(f"memory {decision.memory!r}; allowed: a mapping, {{}} for none")
    _check_number("forecast_rps", decision.forecast_rps)
    _check_number("planned_load_rps", decision.planned_load_rps)
    if decision.objective is not None:
        if not _is_mapping(decision.objective):
            raise PolicyError(f"objective {decision.objective!r}; allowed: a mapping of names to numbers, or None")
        if not all(map(_is_finite, decision.objective.values())):
            for name, value in decision.objective.items():
                _check_number(f"objective {name!r}", value)
    if not isinstance(decision.rung, str) or not (decision.binding is None or isinstance(decision.binding, str)):
        raise PolicyError(
            f"rung {decision.rung!r}, binding {decision.binding!r}; allowed: text for both, or None for binding"
        )
    if not isinstance(decision.feasible, bool):
        raise PolicyError(f"feasible {decision.feasible!r}; allowed: True or False")
    notes = decision.notes
    if not isinstance(notes, tuple) or (notes and not all(isinstance(note, str) for note in notes)):
        raise PolicyError(f"notes {notes!r}; allowed: a tuple of texts")
    if decision.why is not None:
        _check_why(decision.why)
    return decision


def _check_why(why: object) -> None:
    if not _is_mapping(why):
        raise PolicyError(f"why {why!r}; allowed: a mapping, or None")
    try:
        json.dumps(why)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"why {why!r}; allowed: what JSON can hold: {error}") from None


def as_permitted(pipeline: Pipeline, observation: Observation) -> Observation:
    """The observation as if variants that were ruled out meanwhile had never run, so that policies need not know them.

    Such a stage appears with as many replicas of the lightest variant, none of which exists.
    """
    lightest_ones, stages = lightest_configuration(pipeline), dict(observation.stages)
    for stage in pipeline.stages:
        stage_observation = stages[stage.name]
        configuration = stage_observation.configuration
        if configuration.variant not in stage.largest_batches:
            configuration = replace(lightest_ones[stage.name], replicas=configuration.replicas)
        replicas = {
            name: counts for name, counts in stage_observation.replicas.items() if name in stage.largest_batches
        }
        stages[stage.name] = replace(stage_observation, configuration=configuration, replicas=replicas)
    return replace(observation, stages=stages)


def _check_number(name: str, value: object) -> None:
    if value is not None and not _is_finite(value):
        raise PolicyError(f"{name} {value!r}; allowed: a finite number, or None")


def check_configuration(
    pipeline: Pipeline, configuration: object, right: dict[str, StageConfiguration] | None = None
) -> None:
    """PolicyError for a configuration that the pipeline cannot have: the stage, the value, and what is allowed.

    `right`: stage -> the configuration last found right, by an earlier call for this pipeline. The same object is not
    checked again; others are noted here.
    """
    right = {} if right is None else right
    if not _is_mapping(configuration) or configuration.keys() != pipeline.by_name.keys():
        names = list(configuration) if isinstance(configuration, Mapping) else configuration
        raise PolicyError(f"the configuration names the stages {names!r}; the pipeline has {list(pipeline.by_name)}")
    for stage in pipeline.stages:
        stage_configuration = configuration[stage.name]
        if stage.name in right and right[stage.name] is stage_configuration:
            continue
        if pipeline.limits.excluded and isinstance(stage_configuration, StageConfiguration):
            refuse_excluded(pipeline, stage.name, stage_configuration.variant)
        try:
            check_stage(stage, stage_configuration, pipeline.limits)
        except PolicyError as error:
            raise PolicyError(f"stage {stage.name!r}: {error}") from None
        if type(stage_configuration) is StageConfiguration:  # a subclass may change afterwards
            right[stage.name] = stage_configuration


def check_stage(stage: Stage, chosen: object, limits: Limits) -> None:
    """PolicyError for what is no configuration of the stage: the value, and what is allowed."""
    if not isinstance(chosen, StageConfiguration):
        raise PolicyError(f"{checks.shown(chosen)} is not an ipa.policies.StageConfiguration")
    largest = stage.largest_batches
    if not isinstance(chosen.variant, str) or chosen.variant not in largest:
        raise PolicyError(
            f"unknown variant {chosen.variant!r}{checks.nearest(chosen.variant, largest)}; "
            f"allowed: {', '.join(largest)}"
        )
    by_cores = largest[chosen.variant]
    if not (_is_whole(chosen.cores) and chosen.cores in by_cores):
        raise PolicyError(
            f"{chosen.cores!r} cores are not profiled for {chosen.variant!r}; allowed: {', '.join(map(str, by_cores))}"
        )
    own_cores = stage.variant(chosen.variant).own_cores(chosen.cores)
    if own_cores > limits.largest_node:
        raise PolicyError(
            f"a replica of {chosen.variant!r} with {own_cores} cores; the largest node has {limits.largest_node:g}"
        )
    most = by_cores[chosen.cores]
    if not (_is_whole(chosen.batch) and 1 <= chosen.batch <= most):
        raise PolicyError(f"batch {chosen.batch!r}; allowed for {chosen.variant!r}: whole numbers from 1 to {most}")
    if not (_is_whole(chosen.replicas) and 0 <= chosen.replicas <= MOST_REPLICAS):
        raise PolicyError(f"replicas {chosen.replicas!r}; allowed: whole numbers from 0 to {MOST_REPLICAS}")
    if not (_is_finite(chosen.batch_timeout_s) and chosen.batch_timeout_s >= 0.0):
        raise PolicyError(f"batch_timeout_s {chosen.batch_timeout_s!r}; allowed: finite seconds from 0")


def _is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    return type(value) is dict or isinstance(value, Mapping)  # the first is quick


def _is_whole(value: object) -> bool:
    return type(value) is int or (isinstance(value, int) and not isinstance(value, bool))


def _is_finite(value: object) -> bool:
    if type(value) is float:
        return isfinite(value)
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def factors_of(pipeline: Pipeline, variants: Mapping[str, str]) -> Mapping[str, float]:
    """Stage -> the items per request that come to it on average with these variants, by stage; 1 in a chain."""
    if pipeline.graph is None:
        return dict.fromkeys(pipeline.by_name, 1.0)
    return pipeline.graph.factors(list(pipeline.by_name), variants)


LEAST_FACTOR = 1e-3
"""Lower bound on the items per request of a stage in a graph, where something is divided by them."""


def carried_rps(stage: Stage, factor: float) -> float:
    """The arrival rate that any plan carries at a stage which `factor` items per request reach: that of one replica of
    the slowest variant. 0 from a factor of 1 on.

    A few items waiting behind a rare branch stand for many requests, and yet require no replica more.
    """
    return min(variant.throughput_rps(1) for variant in stage.variants) / factor if factor < 1.0 else 0.0


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
    variant_by_stage = checks.mapping("variants", variants, stages)
    for stage, variant in variant_by_stage.items():
        refuse_excluded(pipeline, stage, variant)
    return {
        stage: checks.choice(f"variants.{stage}", variant, stages[stage]) for stage, variant in variant_by_stage.items()
    }


def refuse_excluded(pipeline: Pipeline, stage: str, variant: object) -> None:
    """PolicyError, with the reason, for a variant that the limits of the cluster have taken out of the pipeline."""
    why = pipeline.limits.excluded.get(stage, {}).get(str(variant))
    if why:
        remaining = ", ".join(permitted.name for permitted in pipeline.stage(stage).variants)
        raise PolicyError(f"stage {stage!r}: {why}; allowed: {remaining}")


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


def standing(stage: Stage, preferred: str, failed: Collection[str]) -> str:
    """The preferred variant or, once it has failed to start, the lightest that has not (if any)."""
    every_one_failed = all(variant.name in failed for variant in stage.variants)
    return preferred if preferred not in failed or every_one_failed else lightest(stage, failed)
