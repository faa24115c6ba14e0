"""`simulate(scenario) -> Run`: the Python face of the simulator; the command line only calls it."""

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
    describe,
)
from ipa.profiles import Pipeline
from ipa.sim import (
    ControlSettings,
    Counted,
    FloatArray,
    Records,
    RunInput,
    Simulated,
    choose_engine,
    not_in_graphs,
    simulate_policy,
    summarise,
    summary_of,
)
from ipa.studies.runs.run_data import DisplayedRun
from ipa.studies.runs.tables import Tables, tables_from, tables_of
from ipa.studies.scenario import Scenario, ScenarioError, Shared, check_stage_names, later, ready_at_start, world_of
from ipa.traces import Trace


@dataclass(frozen=True, repr=False)
class Run(DisplayedRun):
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
        is_graph = self.pipeline.graph is not None
        names = tables_of(self.scenario.records, self.scenario.resize, is_graph=is_graph)
        return tables_from(names, self.pipeline, self.initial, self.entries, self.records, self.counted)

    @property
    def starts_at(self) -> datetime | None:
        """When the load begins on a clock of its own; None where it has none."""
        return self.trace.starts_at

    @property
    def loss(self) -> str:
        """What is to be said first of a live run that lost too many requests; empty for any other."""
        return ""

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


def prepare(scenario: Scenario, shared: Shared | None = None) -> Prepared:
    """Find and check everything that a scenario names; `shared`: what it has in common with other runs.

    Raises EngineError, ProfileError, TraceError, PolicyError or ScenarioError, all ValueErrors, for what cannot be
    used.
    """
    shared = Shared() if shared is None else shared
    choose_engine(scenario.engine)
    pipeline = shared.pipeline(scenario)
    check_stage_names(pipeline, "initial", scenario.initial or {})
    check_stage_names(pipeline, "kubernetes.stages", scenario.kubernetes.stages)
    _check_interference(scenario, pipeline)
    policy = shared.policy(scenario)
    trace = shared.trace(scenario)
    _check_graph(scenario, pipeline, trace)
    check_size(scenario, trace, visits_of(pipeline), is_graph=pipeline.graph is not None)
    return Prepared(
        pipeline=pipeline,
        policy=policy,
        trace=trace,
        initial=initial_configuration(scenario, pipeline),
        sla_s=pipeline.sla_s,
    )


def _check_interference(scenario: Scenario, pipeline: Pipeline) -> None:
    if scenario.interference == "measured" and not pipeline.has_interference:
        raise ScenarioError(
            f"interference: measured: {pipeline.name} has none measured; `ipa profile run --neighbours` measures it"
        )


def _check_graph(scenario: Scenario, pipeline: Pipeline, trace: Trace) -> None:
    """Raise ScenarioError for what is not simulated where the stages form a graph."""
    if pipeline.graph is None:
        return
    refused = not_in_graphs(world_of(scenario, trace.duration_s, pipeline.sla_s))
    if scenario.records == "sample":
        refused = "records: sample"
    if refused:
        raise ScenarioError(f"{refused}: {pipeline.name} is a graph of stages; only chains have this")


def visits_of(pipeline: Pipeline) -> float:
    """How many stages a request comes to; in a graph, how many items it is, with the variants that make most of it."""
    graph, names = pipeline.graph, [stage.name for stage in pipeline.stages]
    if graph is None:
        return len(names)
    worth: dict[str, float] = {}  # of an item at a stage, in items there and on the ways from there
    heaviest: dict[str, str] = {}
    for stage in reversed(pipeline.stages):
        sent = {
            each.name: sum(edge.factor(each.name) * worth[edge.child] for edge in graph.out_of(stage.name))
            for each in stage.variants
        }
        heaviest[stage.name] = max(sent, key=sent.__getitem__)
        worth[stage.name] = 1.0 + sent[heaviest[stage.name]]
    return sum(graph.factors(names, heaviest).values())


class _OfThread(threading.local):
    """What all runs of a thread share unless they are told otherwise."""

    def __init__(self) -> None:
        self.shared = Shared()


_of_thread = _OfThread()

LIVE = "live"
"""What the summary of a live run calls its engine; it has all records."""


def simulate(
    scenario: Scenario,
    on_step: Callable[[float], object] = lambda _: None,
    *,
    shared: Shared | None = None,
    late_s: float | FloatArray = 0.0,
) -> Run:
    """Run a scenario. Same scenario, same tables, byte for byte.

    `on_step` is called after every decision with the share of the trace that is over, from 0 to 1. `shared`: what it
    has in common with other runs, by default with all of this thread; for the summaries of many runs see `summaries`.
    With `late_s`, every request reaches the pipeline so much after it was due, as over a network, all equally or each
    as said; its latency counts from when it was due. This needs the records of all requests and decisions.

    Raises as `prepare`, before anything has run; PolicyError for a decision that cannot be carried out; LawError should
    the run break a law of the model.
    """
    started_s = perf_counter()
    shared = _of_thread.shared if shared is None else shared
    prepared = prepare(scenario, shared)
    pipeline, trace = prepared.pipeline, prepared.trace
    answers = prepared.policy.answers if isinstance(prepared.policy, OptimisingPolicy) else None
    asked_before = None if answers is None else answers.asked
    due_s = shared.arrivals(scenario, trace)
    come_s = later(due_s, late_s, trace.duration_s)
    with TimeLimit(guarded(prepared.policy, scenario, pipeline)) as limited:
        simulated = simulate_policy(
            pipeline,
            limited,
            RunInput(
                shared.models(scenario),
                world_of(scenario, trace.duration_s, prepared.sla_s),
                come_s,
                scenario.seed,
                pipeline.graph,
            ),
            _control(scenario, prepared.initial, trace),
            trace.history_counts,
            on_step,
        )
    if come_s is not due_s:
        simulated = replace(simulated, records=replace(simulated.records, arrival_s=due_s))
    figures = _figures(scenario, prepared, simulated, is_late=come_s is not due_s)
    return Run(
        scenario=scenario,
        pipeline=pipeline,
        trace=trace,
        policy=describe(prepared.policy),
        initial=simulated.initial,
        entries=tuple(simulated.entries),
        records=simulated.records,
        counted=simulated.counted,
        summary=summary_with(scenario, prepared, simulated.engine, figures, perf_counter() - started_s),
        decisions_reused=None if answers is None else answers.hit_rate(asked_before),
    )


def _figures(scenario: Scenario, prepared: Prepared, simulated: Simulated, *, is_late: bool) -> dict[str, Any]:
    """As the engine has counted them; where requests came late their latencies count from when they were due."""
    sla_s, price = prepared.sla_s, scenario.price_per_core
    if not is_late:
        return summary_of(simulated.totals, simulated.planned, sla_s, price)
    return summarise(prepared.pipeline, simulated.records, simulated.initial, simulated.entries, sla_s, price)


def summary_with(
    scenario: Scenario, prepared: Prepared, engine: str, figures: Mapping[str, Any], wall_s: float
) -> dict[str, Any]:
    """The summary of a run: which run it is, its figures, and the time it took."""
    return {
        "pipeline": prepared.pipeline.name,
        "policy": scenario.policy.title,
        "trace": prepared.trace.name,
        "seed": scenario.seed,
        "engine": engine,
        "records": "all" if engine == LIVE else scenario.records,
        **figures,
        "wall_s": wall_s,
    }


def _control(scenario: Scenario, initial: Configuration | None, trace: Trace) -> ControlSettings:
    return ControlSettings(
        interval_s=scenario.interval_s,
        history_s=scenario.history_s,
        limit_cores=scenario.limit_cores,
        initial=initial,
        fields=("latency", "busy_fraction", "concurrency", "past_rps", "seasons_rps")
        if scenario.journal == "full"
        else (),
        engine=scenario.engine,
        records=scenario.records,
        starts_s=trace.starts_s,
        outages=scenario.outages or (),
    )


def initial_configuration(scenario: Scenario, pipeline: Pipeline) -> Configuration | None:
    """What is ready at the start; None for a warm start. Raises ScenarioError for what the pipeline lacks."""
    return None if scenario.start == "warm" else ready_at_start(pipeline, scenario.initial or {})


def guarded(policy: Policy, scenario: Scenario, pipeline: Pipeline) -> Policy:
    """The policy with the guards and within the limits that the scenario sets; the last guard has the last word.

    A full journal says why the policy decided.
    """
    limits, steadiness = pipeline.limits, scenario.guards.steadiness
    if scenario.journal == "full" and isinstance(policy, OptimisingPolicy):
        policy = Reasoned(policy)
    if limits.utilisation < 1.0:
        policy = Ceiling(policy, pipeline, limits.utilisation)
    if steadiness.is_on:
        policy = Steady(policy, pipeline, steadiness)
    if limits.min_replicas or limits.max_replicas:
        policy = Bounds(policy, pipeline)
    if scenario.limit_cores is not None or limits.nodes:
        policy = CoreLimit(policy, pipeline)
    return policy


MOST_DECISIONS = 10_000_000
"""In one run: at a fraction of a millisecond each, an hour or more."""

ARRIVAL_BYTES = 10
RECORD_BYTES = 130
"""Of a request at a stage, where records of all requests are kept."""
ITEM_BYTES = 350
"""Of an item of a graph, whatever records are kept."""
DECISION_BYTES = 3_000
SAMPLE_BYTES = 100 * 2**20
"""Where records of a sample are kept: of the requests under way, and the counts in intervals."""


def check_size(
    scenario: Scenario, trace: Trace, stages: float, memory_bytes: float | None = None, *, is_graph: bool = False
) -> None:
    """Raise ScenarioError for a run of more decisions than `MOST_DECISIONS`, or that needs more memory than there is.

    `memory_bytes`: that of this machine by default. The estimate is that of docs/scenarios.md, Long loads. A graph
    keeps its items until the end, whatever records are asked for.
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
        f"records: {records} (--records {records}), "
        for records in ("sample", "none")[is_graph:]  # no sample is kept of a graph
        if needed_bytes(records) <= available
    ]
    way = fits[0] if fits else ""
    raise ScenarioError(
        f"trace {trace.name}: {trace.requests:,} requests and {decisions:,.0f} decisions need about "
        f"{_gigabytes(needed)} of memory with records: {scenario.records}, and this machine has "
        f"{_gigabytes(available)}; use {way}a part of the load (--window) or less of it (--scale)"
    )


def _memory_bytes() -> float:
    """The memory of this machine; infinite where it is not known."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _gigabytes(size: float) -> str:
    return f"{size / 2**30:,.1f} GiB"
