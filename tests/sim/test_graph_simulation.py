"""A policy on a graph of stages: what it sees, the tables and the summary, the same on both engines."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ipa.policies import Configuration, Decision, Memory, Observation
from ipa.profiles import Edge, Graph, Join, Pipeline
from ipa.sim import (
    COMPLETED,
    ControlSettings,
    Counted,
    RunInput,
    Simulated,
    World,
    intervals_table,
    items_table,
    latencies_table,
    queues_table,
    replicas_table,
    requests_table,
    simulate,
    simulate_policy,
    stage_models,
    stages_table,
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

    def __init__(self, pipeline: Pipeline, replicas: int = 4) -> None:
        self.pipeline, self.replicas = pipeline, replicas
        self.seen: list[Observation] = []

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        self.seen.append(observation)
        variant, cores = (("small", 1), ("large", 2))[observation.step % 2]
        wanted = {stage.name: (variant, 2, self.replicas, cores) for stage in self.pipeline.stages}
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


# ---- a sample ----


def strained(pipeline: Pipeline) -> Pipeline:
    """With short limits at b and c, which drop some items."""
    limits_s = {"b": 0.4, "c": 0.3}
    stages = (replace(each, drop_limit_s=limits_s.get(each.name, each.drop_limit_s)) for each in pipeline.stages)
    return replace(pipeline, stages=tuple(stages))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sample_has_the_rows_of_all_records_and_counts_all(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 at random, the 5 slowest that completed and the 5 slowest dropped; an accuracy is that among all requests."""
    monkeypatch.setattr(simulate, "SAMPLE", 60)
    monkeypatch.setattr(simulate, "SLOWEST", 5)
    pipeline = strained(diamond())
    whole, sample = (run(pipeline, Swinging(pipeline, 1), engine, records=each) for each in ("all", "sample"))
    assert sample.totals == whole.totals
    counted = sample.counted
    assert counted is not None
    requests, items = requests_table(pipeline, whole.records), items_table(whole.records)
    table = requests_table(pipeline, sample.records, counted)
    kept = requests[requests["request"].isin(table["request"])].reset_index(drop=True)
    assert table.drop(columns="sampled").equals(kept)
    of_items = items_table(sample.records, counted.filled_s)
    assert of_items.drop(columns="filled_s").equals(
        items[items["request"].isin(table["request"])].reset_index(drop=True)
    )
    assert int(table["sampled"].sum()) == 60
    took_s = requests["end_s"] - requests["arrival_s"]
    for outcome in ("completed", "dropped"):
        slowest = took_s[requests["outcome"] == outcome].nlargest(5).index
        assert len(slowest) == 5
        assert set(slowest) <= set(table["request"])
    last_s = items[items["batch"] >= 0].groupby(["stage", "batch"], observed=True)["enqueue_s"].max()
    served = of_items[of_items["batch"] >= 0]
    assert served["filled_s"].tolist() == [
        last_s[of["stage"], of["batch"]] for of in served[["stage", "batch"]].to_dict("records")
    ]
    found = counted.intervals
    for position, stage in enumerate("abcd"):
        own = items[(items["stage"] == stage)]
        for counts, moments_s in (
            (found.enqueued, own["enqueue_s"]),
            (found.started, own["start_s"]),
            (found.finished, own["finish_s"]),
            (found.dropped_at, own["dropped_s"]),
        ):
            assert counts[position].tolist() == np.histogram(moments_s[moments_s < 60.0], found.edges_s)[0].tolist()


@pytest.mark.parametrize("engine", ENGINES)
def test_time_is_spent_along_the_critical_path(engine: str) -> None:
    """Traced back by hand, from the item with which a request ended to the last one that had ended when it came."""
    pipeline = strained(diamond())
    sample = run(pipeline, Swinging(pipeline, 1), engine, records="sample")
    assert sample.counted is not None
    items = items_table(sample.records, sample.counted.filled_s)
    spent_s = dict.fromkeys("abcd", (0.0, 0.0, 0.0, 0.0))
    requests = requests_table(pipeline, sample.records)
    forgiven = 0
    for request in requests[requests["outcome"] == "completed"].to_dict("records"):
        own = items[items["request"] == request["request"]].to_dict("records")
        for item in own:
            forgiven += np.isfinite(item["dropped_s"])
            item["end_s"] = item["dropped_s"] if np.isfinite(item["dropped_s"]) else item["finish_s"]
        item = max(own, key=lambda each: (each["end_s"], each["stage"]))
        assert item["end_s"] == request["end_s"]
        while item is not None:
            before = [each for each in own if each["stage"] < item["stage"] and each["end_s"] <= item["enqueue_s"]]
            latest = max(before, key=lambda each: (each["end_s"], each["stage"]), default=None)
            start_s = item["start_s"] if np.isfinite(item["start_s"]) else item["end_s"]
            filled_s = item["filled_s"] if np.isfinite(item["filled_s"]) else item["enqueue_s"]
            moments_s = (latest["end_s"] if latest else request["arrival_s"], item["enqueue_s"], filled_s, start_s)
            parts = np.diff([*moments_s, item["end_s"]])
            spent_s[item["stage"]] = tuple(np.array(spent_s[item["stage"]]) + parts)
            item = latest
    assert forgiven
    assert sample.counted.spent_s == pytest.approx(np.array(list(spent_s.values())))
    assert sample.counted.spent_s.sum() == pytest.approx(sample.totals.latency_sum_s)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_sample_of_a_chain_written_as_a_graph_is_that_of_the_chain(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate, "SAMPLE", 60)
    monkeypatch.setattr(simulate, "SLOWEST", 5)
    chain = strained(tiny.pipeline(*[[SMALL, LARGE]] * 3, sla_s=1.0))
    graph = replace(chain, graph=Graph((Edge("a", "b"), Edge("b", "c")), 1.0))
    one, other = (run(each, Swinging(each, 1), engine, records="sample") for each in (chain, graph))
    assert one.counted is not None
    assert other.counted is not None
    assert other.counted.spent_s.tolist() == one.counted.spent_s.tolist()
    assert requests_table(graph, other.records, other.counted).equals(requests_table(chain, one.records, one.counted))
    stages, items = stages_table(one.records, one.counted.filled_s), items_table(other.records, other.counted.filled_s)
    assert items.drop(columns="dropped_s").equals(stages)
    assert other.counted.intervals.answered is not None
    assert other.counted.intervals.answered.tolist() == one.counted.intervals.finished[-1].tolist()
    for mine, its in zip(tables_of(one.counted), tables_of(other.counted), strict=True):
        assert its.drop(columns="answered", errors="ignore").equals(mine)
    assert min(other.totals.dropped, other.totals.completed) > 5


def tables_of(counted: Counted) -> list[pd.DataFrame]:
    return [table(counted.intervals) for table in (intervals_table, latencies_table, queues_table)]
