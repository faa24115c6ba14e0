"""`simulate(scenario) -> Run`: the Python interface of the simulator, which the command line calls."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from time import perf_counter
from typing import Any

from ipa.policies import (
    Bounds,
    Ceiling,
    Configuration,
    CoreLimit,
    Entry,
    OptimisingPolicy,
    Policy,
    Reasoned,
    Steady,
    TimeLimit,
    check_cores,
    describe,
    goal_of,
    knows_future,
)
from ipa.policies.optimiser import Programme
from ipa.profiles import Pipeline
from ipa.sim import (
    ControlSettings,
    Counted,
    FloatArray,
    IntArray,
    Records,
    RunInput,
    Simulated,
    simulate_policy,
    summarise,
    summary_of,
)
from ipa.studies.runs.hindsight import HindsightOutcome, best_in_hindsight, is_left_to_hindsight
from ipa.studies.runs.inputs import Inputs
from ipa.studies.runs.objective import served_accuracy
from ipa.studies.runs.run_data import DisplayedRun
from ipa.studies.runs.tables import Tables, tables_from
from ipa.studies.scenario import (
    Scenario,
    ScenarioError,
    Shared,
    check_stage_names,
    later,
    ready_at_start,
    token_columns_of,
    world_of,
)
from ipa.traces import Trace


@dataclass(frozen=True, repr=False)
class Run(DisplayedRun):
    """A finished run: the scenario, what was simulated, and the figures.

    `records` and `entries` are as the scenario's key `records` says; `counted` holds the counts that accompany a
    sample. The summary always covers all requests.
    `summary` has the stable names of the documentation; `tables` are tidy tables, made at first use.
    `inputs`: what it has read.
    `decisions_reused` is the share of decisions that the policy reused from an identical question, None for a policy
    that does not keep them.
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
    inputs: Inputs = field(default=Inputs(), kw_only=True)

    @cached_property
    def tables(self) -> Tables:
        """The tables `requests`, `stages` (in a graph `items`), `decisions` and `replicas`; with a sample also those of
        `COUNTED`."""
        return tables_from(self.pipeline, self.initial, self.entries, self.records, self.counted)

    def objective(self, programme: Programme, cost: str = "cost_mean_cores") -> float:
        """alpha x accuracy - beta x cost, as they came out; `cost`: the figure of the summary. It needs the entries."""
        accuracy = served_accuracy(programme, self.initial, self.entries, self.summary)
        return float(programme.alpha * accuracy - programme.beta * self.summary[cost])

    @property
    def starts_at(self) -> datetime | None:
        """The wall-clock start of the load; None if it has none."""
        return self.trace.starts_at

    @property
    def loss(self) -> str:
        """The warning for a live run that lost too many requests; empty for any other."""
        return ""

    @property
    def accuracies(self) -> dict[str, dict[str, float]]:
        """Stage -> variant -> accuracy, from 0 to 1."""
        return {
            stage.name: {variant.name: variant.accuracy for variant in stage.variants} for stage in self.pipeline.stages
        }

    @property
    def further(self) -> Mapping[str, Any]:
        """Further entries of the manifest for a run that is not a simulation."""
        return {}


@dataclass(frozen=True)
class Prepared:
    """A scenario with everything that it names loaded and checked, ready to run."""

    scenario: Scenario
    pipeline: Pipeline
    policy: Policy
    trace: Trace
    initial: Configuration | None
    sla_s: float
    inputs: Inputs


def prepare(scenario: Scenario, shared: Shared | None = None) -> Prepared:
    """Load and check everything that a scenario names; `shared`: a cache shared with other runs.

    Raises ProfileError, TraceError, PolicyError or ScenarioError, all ValueErrors, for input that cannot
    be used.
    """
    shared = Shared() if shared is None else shared
    pipeline = shared.pipeline(scenario)
    check_stage_names(pipeline, "initial", scenario.initial or {})
    if scenario.limit_cores is not None:
        check_cores(pipeline, "limit_cores", scenario.limit_cores)
    policy = shared.policy(scenario)
    trace = shared.trace(scenario)
    check_size(scenario, trace, visits_of(pipeline), is_graph=pipeline.graph is not None)
    return Prepared(
        scenario=scenario,
        pipeline=pipeline,
        policy=policy,
        trace=trace,
        initial=initial_configuration(scenario, pipeline),
        sla_s=pipeline.sla_s,
        inputs=Inputs.of_run(scenario, trace),
    )


def visits_of(pipeline: Pipeline) -> float:
    """How many stages a request visits; in a graph, its expected number of items with the variants that make most."""
    graph, names = pipeline.graph, [stage.name for stage in pipeline.stages]
    if graph is None:
        return len(names)
    worth: dict[str, float] = {}  # stage -> one item there and all items that follow from it, in items
    heaviest: dict[str, str] = {}
    for stage in reversed(pipeline.stages):
        sent = {
            variant.name: sum(edge.factor(variant.name) * worth[edge.child] for edge in graph.out_of(stage.name))
            for variant in stage.variants
        }
        heaviest[stage.name] = max(sent, key=sent.__getitem__)
        worth[stage.name] = 1.0 + sent[heaviest[stage.name]]
    return sum(graph.factors(names, heaviest).values())


class _OfThread(threading.local):
    """The cache that all runs of a thread share by default."""

    def __init__(self) -> None:
        self.shared = Shared()


_of_thread = _OfThread()

LIVE = "live"
"""The engine's name in the summary of a live run, which has records of all requests."""


def simulate(
    scenario: Scenario,
    on_step: Callable[[float], object] = lambda _: None,
    *,
    shared: Shared | None = None,
    late_s: float = 0.0,
    engine: str | None = None,
) -> Run:
    """Run a scenario. The same scenario gives the same tables, byte for byte.

    `on_step` is called after every decision with the share of the trace that has passed, from 0 to 1. `shared`: a cache
    shared with other runs, by default with all of this thread; for the summaries of many runs see `summaries`.
    With `late_s`, each request reaches the pipeline this much after it was due [s], as with a network delay. Its
    latency counts from when it was due. This needs `records: all`. `engine`: in place of the scenario's, with
    the same results (see `soonest_engine`).

    Raises as `prepare`, before anything has run; PolicyError if a decision cannot be carried out; LawError if the run
    breaks a law of the model.
    """
    started_s = perf_counter()
    shared = _of_thread.shared if shared is None else shared
    prepared = prepare(scenario, shared)
    if is_left_to_hindsight(policy := prepared.policy, scenario):
        programme = policy.programme

        def outcome_of(tried: Scenario) -> HindsightOutcome:
            run = simulate(tried, lambda _: on_step(0.0), shared=shared, late_s=late_s)
            missed = run.summary["below_accuracy_decisions"] + run.summary["above_cores_decisions"]
            return HindsightOutcome(run.summary["sla_violation_rate"], missed, run.objective(programme))

        best = best_in_hindsight(scenario, policy, outcome_of)
        run = simulate(best, on_step, shared=shared, late_s=late_s)
        own = {"policy": scenario.policy.title, "wall_s": perf_counter() - started_s}
        return replace(run, scenario=scenario, summary={**run.summary, **own})
    trace = prepared.trace
    answers = prepared.policy.answers if isinstance(prepared.policy, OptimisingPolicy) else None
    asked_before = None if answers is None else answers.asked
    due_s = shared.arrivals(scenario, trace)
    come_s = later(due_s, late_s, trace.duration_s)
    with TimeLimit(guarded(prepared)) as limited:
        simulated = simulate_policy(*parts_of(prepared, limited, shared, come_s, engine), on_step)
    if come_s is not due_s:
        simulated = replace(simulated, records=replace(simulated.records, arrival_s=due_s))
    figures = figures_with(prepared, simulated, is_late=come_s is not due_s)
    reused = None if answers is None else answers.hit_rate(asked_before)
    summary = summary_with(prepared, simulated.engine, figures, perf_counter() - started_s)
    return run_of(prepared, simulated, summary, reused)


def parts_of(
    prepared: Prepared, policy: Policy, shared: Shared, come_s: FloatArray, engine: str | None = None
) -> tuple[Pipeline, Policy, RunInput, ControlSettings, IntArray]:
    """What a simulated run of a policy consists of, if the requests come at these times; `engine` as in `simulate`."""
    scenario, pipeline, trace = prepared.scenario, prepared.pipeline, prepared.trace
    world = world_of(scenario, trace.duration_s, prepared.sla_s)
    columns = token_columns_of(scenario, pipeline, trace)
    run_input = RunInput(shared.models(scenario), world, come_s, scenario.seed, pipeline.graph, columns)
    return (
        pipeline,
        policy,
        run_input,
        _control(scenario, prepared.initial, trace, engine or scenario.engine),
        trace.history_counts,
    )


def run_of(prepared: Prepared, simulated: Simulated, summary: dict[str, Any], reused: float | None) -> Run:
    """A finished run with its summary; `reused`: the share of its decisions that were reused."""
    return Run(
        scenario=prepared.scenario,
        pipeline=prepared.pipeline,
        trace=prepared.trace,
        policy=describe(prepared.policy),
        initial=simulated.initial,
        entries=tuple(simulated.entries),
        records=simulated.records,
        counted=simulated.counted,
        inputs=prepared.inputs,
        summary=summary,
        decisions_reused=reused,
    )


SHORT_VISITS = 200_000
"""How many requests SimPy passes through a stage while the compiled engine is loaded; a step of a language model takes
as long."""


def soonest_engine(scenario: Scenario) -> str:
    """The engine with which a process that makes this run alone has its results soonest: under `auto`, SimPy's for a
    short run. Raises as `prepare` for a pipeline or load that cannot be used."""
    shared = _of_thread.shared
    if scenario.engine != "auto":
        return scenario.engine
    pipeline = shared.pipeline(scenario)
    steps = sum(stage.tokens.output.mean for stage in pipeline.stages if stage.tokens)  # at most, if none is shared
    visits = shared.trace(scenario).requests * (visits_of(pipeline) + steps)
    return "simpy" if visits <= SHORT_VISITS else "auto"


def figures_with(prepared: Prepared, simulated: Simulated, *, is_late: bool) -> dict[str, Any]:
    """The figures of a run; if requests came late, latencies count from when they were due."""
    sla_s, price = prepared.sla_s, prepared.scenario.price_per_core
    if not is_late:
        return summary_of(prepared.pipeline, simulated.totals, simulated.planned, sla_s, price)
    goal = goal_of(prepared.policy)
    return summarise(prepared.pipeline, simulated.records, simulated.initial, simulated.entries, sla_s, price, goal)


def summary_with(prepared: Prepared, engine: str, figures: Mapping[str, Any], wall_s: float) -> dict[str, Any]:
    """The summary of a run: its identity, its figures, and its wall time."""
    scenario = prepared.scenario
    return {
        "pipeline": prepared.pipeline.name,
        "policy": scenario.policy.title,
        "trace": prepared.trace.name,
        "seed": scenario.seed,
        "engine": engine,
        "records": "all" if engine == LIVE else scenario.records,
        "knows_future": knows_future(prepared.policy),
        **figures,
        "wall_s": wall_s,
    }


def _control(scenario: Scenario, initial: Configuration | None, trace: Trace, engine: str) -> ControlSettings:
    return ControlSettings(
        interval_s=scenario.interval_s,
        history_s=scenario.history_s,
        limit_cores=scenario.limit_cores,
        initial=initial,
        fields=("latency", "busy_fraction", "concurrency", "past_rps") if scenario.journal == "full" else (),
        engine=engine,
        records=scenario.records,
        starts_s=trace.starts_s,
        outages=scenario.outages or (),
        metrics_delay_s=scenario.metrics_delay_s,
    )


def initial_configuration(scenario: Scenario, pipeline: Pipeline) -> Configuration | None:
    """The configuration that is ready at the start; None for a warm start.

    Raises ScenarioError if the pipeline lacks a variant or stage of it.
    """
    return None if scenario.start == "warm" else ready_at_start(pipeline, scenario.initial or {})


def guarded(prepared: Prepared) -> Policy:
    """The policy with its scenario's guards and limits; the last guard decides last.

    With a full journal, decisions carry the policy's reasons.
    """
    scenario, policy, pipeline = prepared.scenario, prepared.policy, prepared.pipeline
    limits, steadiness = pipeline.limits, scenario.guards.steadiness
    if scenario.journal == "full" and isinstance(policy, OptimisingPolicy):
        policy = Reasoned(policy)
    if limits.utilisation < 1.0:
        policy = Ceiling(policy, pipeline, limits.utilisation)
    if steadiness.is_on:
        policy = Steady(policy, pipeline, steadiness)
    if limits.min_replicas or limits.max_replicas:
        policy = Bounds(policy, pipeline)
    if scenario.limit_cores is not None or limits.room.is_limited:
        policy = CoreLimit(policy, pipeline)
    return policy


MOST_DECISIONS = 10_000_000
"""The most decisions of a run: at a fraction of a millisecond each, an hour or more."""

ARRIVAL_BYTES = 10
RECORD_BYTES = 130
"""Memory for a request at a stage, if records of all requests are kept."""
ITEM_BYTES = 350
"""Memory for an item of a graph, whichever records are kept."""
DECISION_BYTES = 3_000
SAMPLE_BYTES = 100 * 2**20
"""Memory for a sample: the records of unfinished requests, and the counts by interval."""


def check_size(
    scenario: Scenario, trace: Trace, stages: float, memory_bytes: float | None = None, *, is_graph: bool = False
) -> None:
    """Raise ScenarioError for a run of more than `MOST_DECISIONS` decisions, or with too little memory.

    `memory_bytes`: by default, this machine's memory. `stages`: the stages or items of a request. The estimate is that
    of docs/scenarios.md, Long loads. A graph keeps its items until the end, whichever records are requested.
    """
    decisions = trace.duration_s / scenario.interval_s
    if decisions > MOST_DECISIONS:
        raise ScenarioError(
            f"interval_s {scenario.interval_s:g}: makes {decisions:,.0f} decisions in {trace.duration_s:,g} s; "
            f"allowed: at most {MOST_DECISIONS:,} in a run; use a larger interval_s, or a part of the load (--window)"
        )
    available = _memory_bytes() if memory_bytes is None else memory_bytes

    def needed_bytes(records: str) -> float:
        of_visit = ITEM_BYTES if is_graph else RECORD_BYTES if records == "all" else 0
        of_sample = SAMPLE_BYTES if records == "sample" else 0
        of_decisions = 0.0 if records == "none" else decisions * DECISION_BYTES
        return trace.requests * (ARRIVAL_BYTES + of_visit * stages) + of_sample + of_decisions

    needed = needed_bytes(scenario.records)
    if needed <= available:
        return
    fits = [
        f"records: {records} (--set records={records}), "
        for records in ("sample", "none")
        if needed_bytes(records) <= available
    ]
    way = fits[0] if fits else ""
    raise ScenarioError(
        f"trace {trace.name}: {trace.requests:,} requests and {decisions:,.0f} decisions need about "
        f"{_gigabytes(needed)} of memory with records: {scenario.records}, and this machine has "
        f"{_gigabytes(available)}; use {way}a part of the load (--window) or less of it (--scale)"
    )


def _memory_bytes() -> float:
    """The memory of this machine [bytes]; infinite if unknown."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _gigabytes(size: float) -> str:
    return f"{size / 2**30:,.1f} GiB"
