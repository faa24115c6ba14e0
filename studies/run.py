"""`simulate(scenario) -> Run`: the Python face of the simulator; the command line only calls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from time import perf_counter
from typing import Any

from ipa import profiles, traces
from ipa.policies import (
    Bounds,
    Configuration,
    CoreLimit,
    Entry,
    OptimisingPolicy,
    Policy,
    PolicyError,
    StageConfiguration,
    TimeLimit,
    check_configuration,
    create,
    describe,
    lightest_configuration,
)
from ipa.profiles import Pipeline
from ipa.sim import (
    ControlSettings,
    Counted,
    FloatArray,
    Records,
    StageModel,
    World,
    choose_engine,
    rules,
    simulate_policy,
    stage_models,
    stream,
    summary_of,
)
from ipa.studies.errors import ScenarioError
from ipa.studies.loads import Load
from ipa.studies.report import Shown
from ipa.studies.scenario import Scenario, check_stage_names
from ipa.studies.size import check_size
from ipa.studies.tables import Tables, tables_from, tables_of
from ipa.traces import Trace


@dataclass(frozen=True, repr=False)
class Run(Shown):
    """A finished run: the scenario, what was simulated, and the figures.

    `records` and `entries` hold what the scenario's key `records` says, and `counted` what there is beside a sample;
    the summary is of all.
    `summary` holds the stable names of the documentation; `tables` the tidy tables, made when first asked for.
    `decisions_reused` is the share of decisions that the policy had already found for an equal question, None for a
    policy that does not remember them.
    """

    scenario: Scenario
    pipeline: Pipeline
    trace: Trace
    policy: Mapping[str, Any]
    initial: Configuration
    entries: tuple[Entry, ...]
    records: Records
    summary: dict[str, Any]
    decisions_reused: float | None
    counted: Counted | None = field(default=None, kw_only=True)

    @cached_property
    def tables(self) -> Tables:
        """The tables `requests`, `stages`, `decisions` and `replicas`, those of `COUNTED` with a sample, and `resizes`
        where replicas are resized in place."""
        names = tables_of(self.scenario.records, self.scenario.resize)
        return tables_from(names, self.pipeline, self.initial, self.entries, self.records, self.counted)

    @property
    def starts_at(self) -> datetime | None:
        """When the load begins on a clock of its own; None where it has none."""
        return self.trace.starts_at

    @property
    def accuracies(self) -> dict[str, dict[str, float]]:
        """Stage -> variant -> accuracy, from 0 to 1."""
        return {
            stage.name: {variant.name: variant.accuracy for variant in stage.variants} for stage in self.pipeline.stages
        }

    @property
    def further(self) -> Mapping[str, Any]:
        """What else the manifest says of a run that is more than a simulation."""
        return {}


@dataclass(frozen=True)
class Prepared:
    """A scenario with everything it names found and checked, ready to run."""

    pipeline: Pipeline
    policy: Policy
    trace: Trace
    initial: Configuration | None
    sla_s: float


def prepare(scenario: Scenario) -> Prepared:
    """Find and check everything that a scenario names.

    Raises EngineError, ProfileError, TraceError, PolicyError or ScenarioError, all ValueErrors, for what cannot be
    used.
    """
    choose_engine(scenario.engine)
    pipeline = profiles.load(scenario.pipeline)
    check_stage_names(pipeline, "initial", scenario.initial or {})
    check_stage_names(pipeline, "drop_limits_s", scenario.drop_limits_s)
    check_stage_names(pipeline, "kubernetes.stages", scenario.kubernetes.stages)
    pipeline = pipeline.with_limits(scenario.sla_s, scenario.drop_limits_s)
    policy = create(scenario.policy.name, pipeline, scenario.policy.parameters)
    trace = load_of(scenario).trace()
    check_size(scenario, trace, len(pipeline.stages))
    return Prepared(
        pipeline=pipeline,
        policy=policy,
        trace=trace,
        initial=initial_configuration(scenario, pipeline),
        sla_s=pipeline.sla_s,
    )


def simulate(scenario: Scenario, on_step: Callable[[float], object] = lambda _: None) -> Run:
    """Run a scenario. Same scenario, same tables, byte for byte.

    `on_step` is called after every decision with the share of the trace that is over, from 0 to 1.

    Raises as `prepare`, before anything has run; PolicyError for a decision that cannot be carried out; LawError should
    the run break a law of the model.
    """
    started_s = perf_counter()
    prepared = prepare(scenario)
    pipeline, trace = prepared.pipeline, prepared.trace
    simulated = simulate_policy(
        pipeline,
        TimeLimit(guarded(prepared.policy, scenario, pipeline)),
        models_of(scenario, pipeline),
        world_of(scenario, trace.duration_s, prepared.sla_s),
        _control(scenario, prepared.initial),
        arrivals_of(scenario, trace),
        trace.history_counts.astype(float),
        scenario.seed,
        on_step,
    )
    figures = summary_of(simulated.totals, simulated.planned, prepared.sla_s, scenario.price_per_core)
    summary = {
        "pipeline": pipeline.name,
        "policy": scenario.policy.title,
        "trace": trace.name,
        "seed": scenario.seed,
        "engine": simulated.engine,
        "records": scenario.records,
        **figures,
        "wall_s": perf_counter() - started_s,
    }
    return Run(
        scenario=scenario,
        pipeline=pipeline,
        trace=trace,
        policy=describe(prepared.policy),
        initial=simulated.initial,
        entries=tuple(simulated.entries),
        records=simulated.records,
        counted=simulated.counted,
        summary=summary,
        decisions_reused=prepared.policy.answers.hit_rate if isinstance(prepared.policy, OptimisingPolicy) else None,
    )


def load_of(scenario: Scenario) -> Load:
    """The load of a scenario."""
    return Load(scenario.trace, scenario.window, scenario.scale, scenario.scaling, scenario.seed, scenario.time_hints)


def models_of(scenario: Scenario, pipeline: Pipeline) -> tuple[StageModel, ...]:
    """The stages of a scenario as the engines see them."""
    return stage_models(
        pipeline,
        sampled=scenario.service_times == "lognormal",
        dispatch_overhead_s=scenario.dispatch_overhead_s,
        start_up_extra_s=scenario.start_up_extra_s,
    )


def arrivals_of(scenario: Scenario, trace: Trace) -> FloatArray:
    """When the requests of the trace arrive; shape (requests,), sorted, in [0, duration)."""
    return traces.arrivals(trace, scenario.arrivals, stream(scenario.seed, "arrivals"))


def world_of(scenario: Scenario, duration_s: float, sla_s: float) -> World:
    """The settings of the scenario's world."""
    return World(
        duration_s=duration_s,
        bound_s=rules.bound_s(sla_s),
        hop_s=scenario.hop_s,
        stop_s=scenario.stop_s,
        decision_delay_s=scenario.decision_delay_s,
        start_up_sigma=scenario.start_up_sigma,
        max_surge=scenario.max_surge,
        max_unavailable=scenario.max_unavailable,
        dispatch=scenario.dispatch,
        drop=scenario.drop,
        resize=scenario.resize,
    )


def _control(scenario: Scenario, initial: Configuration | None) -> ControlSettings:
    return ControlSettings(
        interval_s=scenario.interval_s,
        history_s=scenario.history_s,
        limit_cores=scenario.limit_cores,
        initial=initial,
        fields=("latency", "busy_fraction", "concurrency") if scenario.journal == "full" else (),
        engine=scenario.engine,
        records=scenario.records,
    )


def initial_configuration(scenario: Scenario, pipeline: Pipeline) -> Configuration | None:
    """What is ready at the start; None for a warm start. Raises ScenarioError for what the pipeline lacks."""
    if scenario.start == "warm":
        return None
    configuration = dict(lightest_configuration(pipeline))
    for stage, start in (scenario.initial or {}).items():
        cores = start.cores
        if cores is None:
            known = {variant.name: variant.base_cores for variant in pipeline.stage(stage).variants}
            cores = known.get(start.variant, 0)
        configuration[stage] = StageConfiguration(
            start.variant, start.batch, start.replicas, start.batch_timeout_s, cores
        )
    try:
        check_configuration(pipeline, configuration)
    except PolicyError as error:
        raise ScenarioError(f"initial: {error}") from None
    return configuration


def guarded(policy: Policy, scenario: Scenario, pipeline: Pipeline) -> Policy:
    """The policy within the bounds and the core limit that the scenario sets."""
    bounds = scenario.guards
    if bounds.min_replicas > 1 or bounds.max_replicas is not None:
        policy = Bounds(policy, pipeline, bounds.min_replicas, bounds.max_replicas)
    if scenario.limit_cores is not None:
        policy = CoreLimit(policy, pipeline)
    return policy
