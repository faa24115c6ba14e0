"""The inputs of a scenario's run: load, arrivals, policy, the stages as the engines see them, and the world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ipa import profiles, traces
from ipa.policies import Policy, create
from ipa.profiles import Pipeline, listed
from ipa.sim import FloatArray, IntArray, StageModel, World, rules, stage_models, stream
from ipa.studies.scenario.errors import ScenarioError
from ipa.studies.scenario.files import (
    check_gpu_limit,
    check_stage_names,
    with_gpu_price,
    with_profile,
    within_limits,
)
from ipa.studies.scenario.loads import Load
from ipa.studies.scenario.scenario import Scenario
from ipa.traces import Trace


def load_of(scenario: Scenario) -> Load:
    """The load of a scenario."""
    sha256 = scenario.trace_sha256.get(scenario.trace, "")
    read = scenario.read
    return Load(scenario.trace, scenario.window, scenario.scale, scenario.scaling, scenario.seed, read, sha256)


def whole_trace(scenario: Scenario, seed: int) -> Trace:
    """The trace that a scenario's load is cut from, as it is before it is scaled. Raises as `Load.trace`."""
    return replace(load_of(scenario), windows=None, scale=1.0, seed=seed).trace()


def pipeline_of(scenario: Scenario) -> Pipeline:
    """The scenario's pipeline with its limits, batch and start-up times, on its cluster.

    Raises as `profiles.load` and `Pipeline.with_limits`, and ScenarioError for an unknown stage.
    """
    pipeline = profiles.load(scenario.pipeline)
    check_stage_names(pipeline, "drop_limits_s", scenario.drop_limits_s)
    pipeline = with_profile(pipeline, scenario).with_limits(scenario.sla_s, scenario.drop_limits_s)
    if scenario.start_up_s is not None:
        pipeline = pipeline.with_start_up(scenario.start_up_s)
    pipeline = with_gpu_price(pipeline, scenario)
    check_gpu_limit(pipeline, scenario)
    return within_limits(pipeline, scenario)


def policy_of(scenario: Scenario, pipeline: Pipeline) -> Policy:
    """The scenario's policy, with the facts of the scenario's world that it needs. Raises as `policies.create`."""
    return create(scenario.policy.name, pipeline, scenario.policy.parameters, scenario.facts)


def models_of(scenario: Scenario, pipeline: Pipeline) -> tuple[StageModel, ...]:
    """The stages of a scenario as the engines see them."""
    return stage_models(
        pipeline,
        sampled=scenario.service_times == "lognormal",
        dispatch_overhead_s=scenario.dispatch_overhead_s,
        start_up_extra_s=scenario.start_up_extra_s,
        service_factor=scenario.service_factor,
    )


def arrivals_of(scenario: Scenario, trace: Trace) -> FloatArray:
    """When the requests of the trace arrive; shape (requests,), sorted, in [0, duration)."""
    return traces.arrivals(trace, scenario.arrivals, stream(scenario.seed, "arrivals"))


def token_columns_of(scenario: Scenario, pipeline: Pipeline, trace: Trace) -> dict[str, IntArray]:
    """What the load's file says of each request in the columns that its stages of language models name; (requests,).

    Raises ScenarioError for a load that is not a CSV file with a row for each request, and as `traces.numbers_beside`.
    """
    tokens = [stage.tokens for stage in pipeline.stages if stage.tokens is not None]
    names = list(dict.fromkeys(name for stage_tokens in tokens for name in stage_tokens.columns or ()))
    if not names:
        return {}
    if trace.rows is None or scenario.read.skip_bad_lines or not Path(scenario.trace).is_file():
        raise ScenarioError(
            f"trace {scenario.trace}: tokens are those of its columns {listed(names)}, which takes a CSV file with a "
            "row for each request, all of which can be read"
        )
    columns = traces.numbers_beside(Path(scenario.trace), names)
    return {name: values[trace.rows] for name, values in zip(names, columns, strict=True)}


def later(due_s: FloatArray, late_s: float, duration_s: float) -> FloatArray:
    """The arrivals of requests that are `late_s` after their due times.

    No request comes after the duration, or before an earlier due one.
    """
    if not late_s:
        return due_s
    return np.minimum(np.maximum.accumulate(due_s + late_s), np.nextafter(duration_s, 0.0))


def core_limit(scenario: Scenario) -> int | None:
    """The most cores that may exist: `limit_cores`, or `cores_at_most` of the policy's goal if that is less."""
    goal = scenario.policy.parameters.get("goal")
    at_most = goal.get("cores_at_most") if isinstance(goal, Mapping) else None
    return min((limit for limit in (scenario.limit_cores, at_most) if limit is not None), default=None)


def world_of(scenario: Scenario, duration_s: float, sla_s: float) -> World:
    """The settings of the scenario's world."""
    return World(
        duration_s=duration_s,
        bound_s=rules.bound_s(sla_s),
        hop_s=scenario.hop_s,
        stop_s=scenario.stop_s,
        decision_delay_s=scenario.decision_delay_s,
        max_surge=scenario.max_surge,
        max_unavailable=scenario.max_unavailable,
        dispatch=scenario.dispatch,
        drop=scenario.drop,
        sla_s=sla_s,
        removal=scenario.removal,
        limit_cores=core_limit(scenario),
        limit_gpus=scenario.limit_gpus,
        when_full=scenario.when_full,
    )
