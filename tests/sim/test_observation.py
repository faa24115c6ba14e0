"""What a control step sees, against an independent count from the run's tables."""

from __future__ import annotations

from importlib.util import find_spec
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ipa.policies import Entry, StageObservation
from ipa.sim.interface import Engine
from ipa.studies import Run, find, simulate
from tests.sim import engine_runs
from tests.sim.random_scenarios import scenario

WILD = '''
from random import Random

from ipa.policies import Decision, StageConfiguration


class Wild:
    """Another configuration at every step, drawn from the seed and the step."""

    reads = ("latency", "busy_fraction", "concurrency")

    def __init__(self, pipeline):
        self.pipeline = pipeline

    def decide(self, observation, memory):
        draw = Random(1000 * observation.seed + observation.step)
        return Decision({stage.name: self.drawn(stage, draw) for stage in self.pipeline.stages}, {})

    def drawn(self, stage, draw):
        variant = draw.choice(stage.variants[:3])
        batch = draw.choice([1, 2, 4, 8])
        return StageConfiguration(variant.name, batch, draw.randint(1, 5), draw.choice([0.0, 0.5]), variant.base_cores)
'''

SCENARIOS: dict[str, dict[str, Any]] = {
    "calm": {"trace": "constant:6:60"},
    "burst": {"trace": "bursty", "window": "380:450", "scale": 1.5},
    "overload": {"trace": "constant:40:50"},
    "delays": {"trace": "constant:10:60", "hop_s": 0.7, "decision_delay_s": 2.5, "stop_s": 6.0},
    "clumped": {"trace": "constant:12:50", "arrivals": "clumped", "max_unavailable": 2, "max_surge": 1},
    "configured": {"trace": "constant:8:50", "start": "configured", "service_times": "mean"},
    "batch drops": {"trace": "constant:30:50", "drop": "batch"},
    "deadline drops": {"trace": "constant:30:50", "drop": "deadline"},
    "published": {"trace": "constant:20:50", "dispatch": "eager", "drop": "batch", "arrivals": "clumped"},
}


ENGINES = ["simpy", *(["compiled"] if find_spec("numba") else [])]


@pytest.fixture(scope="module", params=ENGINES)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Every scenario, on each engine, under a policy that changes everything at every step.

    The interval is no part of 8 s or 8.37 s, the time of a start-up, so that only applications fall on the instant of a
    control step, after it.
    """
    file = tmp_path_factory.mktemp("policy") / "wild.py"
    file.write_text(WILD)
    common = {
        "policy": f"{file}:Wild",
        "interval_s": 7,
        "start_up_extra_s": 0.37,
        "journal": "full",
        "engine": request.param,
    }
    return {
        name: simulate(find("video", {**common, "seed": seed, **values}))
        for seed, (name, values) in enumerate(SCENARIOS.items())
    }


class Counting:
    """The plain way: one stage's rows, counted at a moment and since the one before."""

    def __init__(self, run: Run, stage: str) -> None:
        tables = run.tables
        self.first = stage == run.pipeline.stages[0].name
        rows = tables["stages"][tables["stages"]["stage"] == stage]
        self.enqueue_s, self.start_s, self.finish_s = (
            rows[name].to_numpy() for name in ("enqueue_s", "start_s", "finish_s")
        )
        requests = tables["requests"].set_index("request").loc[rows["request"]]
        dropped = (requests["dropped_stage"] == stage).to_numpy()
        self.drop_s = np.where(dropped, requests["end_s"].to_numpy(), np.nan)
        self.batches = rows.dropna(subset="start_s").drop_duplicates("batch")
        self.replicas = tables["replicas"][tables["replicas"]["stage"] == stage]
        self.stop_s = run.scenario.stop_s

    def arrivals(self, since_s: float, now_s: float) -> int:
        """A request that arrives at the instant of a step counts in the next; a delivery comes before the step."""
        if self.first:
            return int(((self.enqueue_s >= since_s) & (self.enqueue_s < now_s)).sum())
        return int(((self.enqueue_s > since_s) & (self.enqueue_s <= now_s)).sum())

    def completed(self, since_s: float, now_s: float) -> Any:
        return (self.finish_s > since_s) & (self.finish_s <= now_s)

    def drops(self, since_s: float, now_s: float) -> int:
        return int(((self.drop_s >= since_s) & (self.drop_s < now_s)).sum())

    def present(self, now_s: float) -> Any:
        return (self.enqueue_s <= now_s) & ~(self.finish_s <= now_s) & ~(self.drop_s < now_s)

    def in_service(self, now_s: float) -> Any:
        return self.present(now_s) & (self.start_s < now_s)

    def states(self, now_s: float) -> dict[str, tuple[int, int, int]]:
        """Variant -> starting, ready, draining."""
        tally: dict[str, list[int]] = {}
        each: Any
        for each in self.replicas.itertuples():
            is_removed = each.removed_s < now_s
            if (each.created_s >= now_s and each.created_s > 0.0) or (is_removed and each.gone_s <= now_s):
                continue
            state = 2 if is_removed else 1 if each.ready_s <= now_s else 0
            tally.setdefault(each.variant, [0, 0, 0])[state] += 1
        return {variant: (states[0], states[1], states[2]) for variant, states in tally.items()}

    def concurrency(self, since_s: float, now_s: float) -> float:
        """The time that requests spent at the stage, over the time."""
        left_s = np.fmin(self.finish_s, np.where(np.isnan(self.drop_s), np.inf, self.drop_s))
        left_s = np.where(np.isnan(left_s), np.inf, left_s)
        return _overlap(pd.Series(self.enqueue_s), pd.Series(left_s), since_s, now_s) / (now_s - since_s)

    def busy_fraction(self, since_s: float, now_s: float) -> float:
        """Time in batches over time ready; a removed replica counts until it is done."""
        busy_s = _overlap(self.batches["start_s"], self.batches["finish_s"].fillna(np.inf), since_s, now_s)
        until_s = (self.replicas["gone_s"] - self.stop_s).fillna(np.inf)
        ready_s = _overlap(self.replicas["ready_s"].fillna(np.inf), until_s, since_s, now_s)
        return busy_s / ready_s if ready_s else 0.0


def _overlap(start_s: pd.Series[float], end_s: pd.Series[float], since_s: float, now_s: float) -> float:
    """How long the spans last within (since_s, now_s), in all."""
    return float((end_s.clip(upper=now_s) - start_s.clip(lower=since_s)).clip(lower=0.0).sum())


def steps(run: Run) -> list[tuple[float, Entry]]:
    """Every control step with the moment of the one before."""
    later = [entry for entry in run.entries if entry.observation.step > 0]
    moments_s = [0.0, *(entry.observation.time_s for entry in later)]
    return list(zip(moments_s, later, strict=False))


def each_stage(run: Run) -> list[tuple[Counting, float, float, StageObservation]]:
    return [
        (counting, since_s, entry.observation.time_s, entry.observation.stages[stage.name])
        for stage in run.pipeline.stages
        for counting in [Counting(run, stage.name)]
        for since_s, entry in steps(run)
    ]


@pytest.mark.parametrize("name", SCENARIOS)
def test_counts_are_those_of_the_tables(runs: dict[str, Run], name: str) -> None:
    run = runs[name]
    assert len(steps(run)) == (run.trace.duration_s - 1) // 7
    for since_s, entry in steps(run):
        assert entry.observation.elapsed_s == entry.observation.time_s - since_s
        assert not entry.observation.is_silent
    for counting, since_s, now_s, seen in each_stage(run):
        assert seen.arrivals == counting.arrivals(since_s, now_s)
        assert seen.completions == counting.completed(since_s, now_s).sum()
        assert seen.drops == counting.drops(since_s, now_s)
        assert seen.failures == 0
        assert seen.in_service == counting.in_service(now_s).sum()
        assert seen.queue_length == (counting.present(now_s) & ~counting.in_service(now_s)).sum()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dispatch", ["central", "eager"])
def test_whoever_has_come_and_not_left_waits_or_is_served(dispatch: str, engine: str) -> None:
    """At each step queue length + in service = entered - ended, on 200 random scenarios, in both engines."""
    waiting = 0
    for seed in range(200):
        drawn = scenario(seed, dispatch=dispatch, drop="request")
        run, steps = engine_runs.build(drawn, seed, engine), iter(drawn["decisions"])

        def step(run: Engine = run, steps: Any = steps) -> None:
            nonlocal waiting
            come = np.count_nonzero(run.arrivals_s <= run.now_s)
            for number, stage in enumerate(run.stages):
                entered = stage.enqueued if number else come
                seen = stage.seen(run.now_s)
                assert seen.waiting + seen.in_service == entered - stage.completions - stage.dropped
                if engine == "simpy":
                    assert seen.waiting == by_looking(stage, run.now_s)
                waiting += seen.waiting
            run.apply(engine_runs.configuration(next(steps)[1]))

        for _ in run.steps(iter([time_s for time_s, _ in drawn["decisions"]])):
            step()
    assert waiting > 1000


def by_looking(stage: Any, now_s: float) -> int:
    """How many requests wait in the queue and in batches at replicas, counted where they are."""
    queued = sum(enqueued_s <= now_s for enqueued_s in stage.enqueued_s[stage.head :])
    return queued + sum(len(batch.requests) for replica in stage.replicas.all for batch in replica.waiting)


@pytest.mark.parametrize("name", SCENARIOS)
def test_replicas_by_state_are_those_of_the_tables(runs: dict[str, Run], name: str) -> None:
    for counting, _, now_s, seen in each_stage(runs[name]):
        found = {variant: (c.starting, c.ready, c.draining) for variant, c in seen.replicas.items()}
        assert found == counting.states(now_s)


@pytest.mark.parametrize("name", SCENARIOS)
def test_busy_fractions_and_latency_quantiles_are_those_of_the_tables(runs: dict[str, Run], name: str) -> None:
    run = runs[name]
    for counting, since_s, now_s, seen in each_stage(run):
        assert seen.busy_fraction == pytest.approx(counting.busy_fraction(since_s, now_s))
        assert seen.concurrency == pytest.approx(counting.concurrency(since_s, now_s), abs=1e-6)
        done = counting.completed(since_s, now_s)
        assert_quantiles(seen.latency, (counting.finish_s - counting.enqueue_s)[done])
    requests = run.tables["requests"]
    for since_s, entry in steps(run):
        done = (requests["outcome"] == "completed") & requests["end_s"].between(
            since_s, entry.observation.time_s, inclusive="right"
        )
        assert_quantiles(entry.observation.latency, requests.loc[done, "latency_s"].to_numpy())


def assert_quantiles(seen: Any, latency_s: Any) -> None:
    if len(latency_s):
        expected = np.quantile(latency_s, [0.5, 0.95, 0.99])
        assert (seen.p50_s, seen.p95_s, seen.p99_s) == pytest.approx(tuple(expected))
    else:
        assert all(map(isnan, (seen.p50_s, seen.p95_s, seen.p99_s)))


def test_the_scenarios_are_worth_the_counting(runs: dict[str, Run]) -> None:
    """Among them there are drops at both stages, draining and starting replicas, and full queues."""
    seen = [stage for run in runs.values() for _, entry in steps(run) for stage in entry.observation.stages.values()]
    counts = [count for stage in seen for count in stage.replicas.values()]
    assert sum(count.starting > 0 for count in counts) > 20
    assert sum(count.draining > 0 for count in counts) > 10
    assert sum(stage.queue_length > 0 for stage in seen) > 20
    for stage in ("object-detection", "image-classification"):
        assert any(entry.observation.stages[stage].drops for run in runs.values() for _, entry in steps(run))


def test_a_lean_journal_computes_no_costly_field_that_nobody_reads() -> None:
    run = simulate(find("video", {"trace": "constant:5:30"}))
    for entry in run.entries:
        assert (entry.observation.latency, entry.observation.future_rps) == (None, None)
        stages = entry.observation.stages.values()
        assert all((stage.busy_fraction, stage.concurrency) == (None, None) for stage in stages)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_desired_configuration_is_the_last_one_in_effect(runs: dict[str, Run], name: str) -> None:
    """With a delay of 2.5 s the decision of 7 s before is in effect at a step, as without delay."""
    run = runs[name]
    decided = [run.initial, *(entry.decision.configuration for _, entry in steps(run))]
    for wanted, (_, entry) in zip(decided, steps(run), strict=False):
        assert entry.observation.configuration == wanted


# ---- the load ----


def load_at(arrivals_s: list[float], now_s: float, seconds: int) -> list[int]:
    """Requests of each of the last seconds before `now_s`, newest last."""
    return [
        sum(now_s - back <= arrival_s < now_s - back + 1 for arrival_s in arrivals_s) for back in range(seconds, 0, -1)
    ]


def observed_load(**values: Any) -> tuple[Run, list[tuple[float, ...]]]:
    run = simulate(find("video", {"policy": "static:1,1", **values}))
    return run, [entry.observation.load_rps for entry in run.entries]


def test_the_load_window_counts_the_seconds_before_a_step() -> None:
    run, loads = observed_load(trace="constant:5:40", history_s=15)
    arrivals_s = run.tables["requests"]["arrival_s"].tolist()
    assert [len(load) for load in loads] == [15] * 4
    for step in (2, 3):
        assert list(loads[step]) == load_at(arrivals_s, 10.0 * step, 15)
    assert list(loads[1][5:]) == load_at(arrivals_s, 10.0, 10)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_window_reaches_into_the_history_and_has_nan_before_it(here: Path) -> None:
    """Seconds 0, 1, 2, ... with as many requests. The run begins at second 4: 0 to 3 are its history, 6 are asked."""
    (here / "rising.txt").write_text(" ".join(map(str, range(30))))
    _, loads = observed_load(trace="rising.txt", window="4:30", history_s=6)
    assert str(loads[0]) == "(nan, nan, 0.0, 1.0, 2.0, 3.0)"
    assert loads[1] == (8.0, 9.0, 10.0, 11.0, 12.0, 13.0)
    _, loads = observed_load(trace="rising.txt", window="20:30", history_s=6, interval_s=2)
    assert loads[:3] == [(14, 15, 16, 17, 18, 19), (16, 17, 18, 19, 20, 21), (18, 19, 20, 21, 22, 23)]


def test_without_history_the_first_ten_seconds_stand_for_it(here: Path) -> None:
    """Second k has k requests; one falls on 10.0 exactly, which is the eleventh second's."""
    instants = [k + i / 20 for k in range(1, 10) for i in range(k)] + [10.0, 19.0]
    (here / "instants.csv").write_text("arrival_s\n" + "\n".join(map(str, instants)))
    _, loads = observed_load(trace="instants.csv", history_s=25, interval_s=6)
    ten = [float(k) for k in range(10)]
    assert list(loads[0]) == [*ten[5:], *ten, *ten]
    assert list(loads[1]) == [*ten[1:], *ten, *ten[:6]]
    assert list(loads[2]) == [*ten[7:], *ten, *ten, 1.0, 0.0]


def test_a_run_shorter_than_ten_seconds_repeats_what_it_has(here: Path) -> None:
    (here / "three.txt").write_text("4 5 6")
    _, loads = observed_load(trace="three.txt", history_s=7)
    assert loads == [(6, 4, 5, 6, 4, 5, 6)]


def test_a_step_within_a_second_counts_whole_seconds_back_from_itself(here: Path) -> None:
    """At 2.5 s: [1.5, 2.5) has the requests at 1.5 and 2.25, [0.5, 1.5) those at 0.75 and 1; before it the history."""
    (here / "instants.csv").write_text("arrival_s\n0.25\n0.75\n1.0\n1.5\n2.25\n2.5\n9.5\n")
    _, loads = observed_load(trace="instants.csv", history_s=4, interval_s=2.5)
    history = loads[0]
    assert loads[1] == (*history[-2:], 2.0, 2.0)


def test_the_future_is_seen_as_far_as_the_run_goes(here: Path) -> None:
    (here / "rising.txt").write_text(" ".join(map(str, range(30))))
    run = simulate(find("video", {"trace": "rising.txt", "policy.predictor": "oracle"}))
    futures = [entry.observation.future_rps for entry in run.entries]
    assert futures == [tuple(range(first, 30)) for first in (0, 10, 20)]
