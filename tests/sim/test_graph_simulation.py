"""A policy on a graph of stages: what it sees, the tables and the summary, the same on both engines."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from ipa.policies import Configuration, Decision, Memory, Observation
from ipa.profiles import Edge, Graph, Join, Pipeline
from ipa.sim import (
    COMPLETED,
    ControlSettings,
    RunInput,
    Simulated,
    World,
    items_table,
    replicas_table,
    requests_table,
    simulate_policy,
    stage_models,
    summarise,
)
from tests import tiny

ENGINES = ["simpy", *(["compiled"] if find_spec("numba") else [])]

SMALL, LARGE = tiny.variant("small", 0.5, 1, {1: 0.1, 2: 0.16}), tiny.variant("large", 0.8, 2, {1: 0.2, 2: 0.32})
EDGES = (
    Edge("a", "b", items={"small": 1.2, "large": 2.5}, spread=0.5, persist_s=3.0),
    Edge("a", "c", share=0.5, partial=True),
    Edge("b", "d"),
    Edge("c", "d"),
)


def diamond(**changes: Any) -> Pipeline:
    """a before b and c, which d joins."""
    chain = tiny.pipeline(*[[SMALL, LARGE]] * 4, sla_s=1.0)
    return replace(chain, graph=replace(Graph(EDGES, 1.0, joins={"d": Join("all")}), **changes))


class Swinging:
    """Large variants at every second step; keeps what it sees."""

    reads = ("latency", "busy_fraction", "concurrency")

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.seen: list[Observation] = []

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        self.seen.append(observation)
        variant, cores = (("small", 1), ("large", 2))[observation.step % 2]
        wanted = {stage.name: (variant, 2, 4, cores) for stage in self.pipeline.stages}
        return Decision(tiny.configuration(**wanted), memory)


def run(pipeline: Pipeline, policy: Any, engine: str, **settings: Any) -> Simulated:
    arrivals_s = np.sort(np.random.default_rng(5).uniform(0.0, 60.0, 500))
    world = World(60.0, 10.0, hop_s=0.01, sla_s=1.0)
    control = ControlSettings(interval_s=5.0, engine=engine, **settings)
    given = RunInput(stage_models(pipeline, sampled=True), world, arrivals_s, 1, pipeline.graph)
    return simulate_policy(pipeline, policy, given, control, np.full(10, 8))


@pytest.mark.skipif(len(ENGINES) == 1, reason="needs numba")
def test_both_engines_show_and_leave_the_same() -> None:
    pipeline = diamond()
    policies = [Swinging(pipeline) for _ in ENGINES]
    runs = [run(pipeline, policy, engine) for policy, engine in zip(policies, ENGINES, strict=True)]
    for one, other in zip(policies[0].seen, policies[1].seen, strict=True):
        assert tiny_floats(one) == tiny_floats(other)
    tables = [
        [requests_table(pipeline, each.records), items_table(each.records), replicas_table(each.records)]
        for each in runs
    ]
    for mine, others in zip(*tables, strict=True):
        assert mine.equals(others)
    assert runs[0].totals == runs[1].totals


def tiny_floats(observation: Observation) -> Any:
    """What is seen, but for the last digits of sums whose order is an engine's own affair."""
    stages = {
        name: replace(
            stage, concurrency=round(stage.concurrency or 0.0, 9), busy_fraction=round(stage.busy_fraction or 0.0, 9)
        )
        for name, stage in observation.stages.items()
    }
    return repr(replace(observation, stages=stages))


@pytest.mark.parametrize("engine", ENGINES)
def test_what_a_policy_sees_adds_up_to_the_tables(engine: str) -> None:
    pipeline = diamond()
    policy = Swinging(pipeline)
    records = run(pipeline, policy, engine).records
    items, requests = items_table(records), requests_table(pipeline, records)
    last_s = policy.seen[-1].time_s
    for name in "abcd":
        own = items[items["stage"] == name]
        seen = [observation.stages[name] for observation in policy.seen]
        came = own["enqueue_s"] < last_s if name == "a" else own["enqueue_s"] <= last_s
        assert sum(stage.arrivals for stage in seen) == came.sum()
        assert sum(stage.completions for stage in seen) == (own["finish_s"] <= last_s).sum()
        assert sum(stage.drops for stage in seen) == (own["dropped_s"] <= last_s).sum()
    for before, observation in zip(policy.seen, policy.seen[1:], strict=False):
        ended_s = requests["end_s"].where(requests["outcome"] == "completed")
        ended = requests["latency_s"][(ended_s > before.time_s) & (ended_s <= observation.time_s)]
        assert observation.latency is not None
        if len(ended):
            assert observation.latency.p50_s == pytest.approx(float(np.quantile(ended, 0.5)))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_summary_is_that_of_the_tables(engine: str) -> None:
    pipeline = diamond()
    simulated = run(pipeline, Swinging(pipeline), engine)
    records = simulated.records
    found = summarise(pipeline, records, simulated.initial, simulated.entries, 1.0, 1.0)
    table, items = requests_table(pipeline, records), items_table(records)
    outcomes = Counter(table["outcome"])
    assert (found["completed"], found["dropped"]) == (outcomes["completed"], outcomes["dropped"])
    assert found["latency_p99_s"] == pytest.approx(float(np.nanquantile(table["latency_s"], 0.99)))
    assert len(records.request) == 500
    merged = items[items["stage"] == "d"]
    assert merged["request"].is_unique
    completed = np.flatnonzero(records.outcome == COMPLETED)
    assert set(completed) <= set(merged["request"])


@pytest.mark.parametrize("engine", ENGINES)
def test_with_a_fixed_configuration_the_accuracy_is_the_planned_one(engine: str) -> None:
    pipeline = diamond()
    plenty = tiny.configuration(**dict.fromkeys("abcd", ("large", 1, 30, 2)))
    simulated = run(pipeline, Fixed(plenty), engine, initial=plenty)
    found = summarise(pipeline, simulated.records, plenty, simulated.entries, 1.0, 1.0)
    assert found["completed"] == 500
    assert found["pas_mean"] == pytest.approx(100 * pipeline.accuracy_of(["large"] * 4))
    assert found["pas_mean"] == pytest.approx(found["planned_pas_mean"])


class Fixed:
    """Always one configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        return Decision(self.configuration, memory)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_dropped_item_scores_nothing(engine: str) -> None:
    """c, without which requests go on, drops all its items."""
    pipeline = diamond()
    pipeline = replace(
        pipeline,
        stages=tuple(replace(s, drop_limit_s=0.1) if s.name == "c" else s for s in pipeline.stages),
    )
    plenty = tiny.configuration(**dict.fromkeys("abcd", ("large", 1, 30, 2)))
    records = run(pipeline, Fixed(plenty), engine, initial=plenty).records
    items, requests = items_table(records), requests_table(pipeline, records)
    at_c = items[items["stage"] == "c"]["request"].to_numpy()
    assert 0 < len(at_c) < 500
    assert (requests["outcome"] == "completed").all()
    assert (requests["accuracy"][at_c] == 0.0).all()
    assert (requests["accuracy"].drop(at_c) > 0.0).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_without_records_the_figures_are_the_same(engine: str) -> None:
    pipeline = diamond()
    whole, none = (run(pipeline, Swinging(pipeline), engine, records=each) for each in ("all", "none"))
    assert whole.totals == none.totals
    assert len(none.records.request) == 0
    assert not none.entries
