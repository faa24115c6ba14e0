"""Long loads in bounded memory: what engines hand over is bit by bit what they keep; a summary needs no records."""

from __future__ import annotations

import sys
from dataclasses import replace
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ipa.policies import Applied, Configuration, StageConfiguration, to_line
from ipa.sim import LATENCY_ERROR, LawError, World, events, laws, simulate
from ipa.sim.aggregates import LEAST, RELATIVE_ERROR, Buckets, ExactSum, Histogram, exact_sum
from ipa.sim.backend import SimulatedBackend
from ipa.sim.engines import create_engine
from ipa.sim.interface import Batches, Drops, Engine, Handover, Seen
from ipa.sim.intervals import Completed, IntervalCounts
from ipa.sim.model import RunInput, ServiceTime, StageModel
from ipa.sim.records import Recorder, Records, collect_records
from ipa.sim.sample import Sampling
from ipa.sim.summary import Totalling
from ipa.studies import Run, Scenario, results
from ipa.studies import simulate as run_scenario
from ipa.traces import Trace, arrivals
from tests.command import SHORT, answer, ipa, refusal
from tests.sim import engine_runs
from tests.sim.blocks import blocks
from tests.sim.random_scenarios import scenario, ways
from tests.sim.test_compiled import WORLDS, run_in
from tests.sim.test_engines import MODES, differences

pytest.importorskip("numba")

from ipa.sim.compiled import StreamedEngine, streaming

pytestmark = pytest.mark.usefixtures("elsewhere")

BLOCKS = 20
BLOCK = 10
WINDOWS = (1, 4, 17)


# ---- the same runs to the bit ----


def seen(engine: Engine) -> list[Seen]:
    """What a control step sees."""
    now_s = engine.now_s
    return [stage.seen(now_s) for stage in engine.stages]


def followed(engine: Engine, drawn: dict[str, Any]) -> list[list[Seen]]:
    """Run an engine through a scenario's decisions; what each of them saw."""
    steps: list[list[Seen]] = []

    def step() -> None:
        engine.apply(engine_runs.configuration(drawn["decisions"][len(steps)][1]))
        steps.append(seen(engine))

    for _ in engine.steps(iter([time_s for time_s, _ in drawn["decisions"]])):
        step()
    return steps


def streamed(drawn: dict[str, Any], seed: int, window: int) -> tuple[Records, list[list[Seen]]]:
    """What is handed over, put together again, and what was seen."""
    given: list[Handover] = []
    return put_together(StreamedEngine(*engine_runs.parts(drawn, seed), given.append, window), drawn, given)


def put_together(engine: Engine, drawn: dict[str, Any], given: list[Handover]) -> tuple[Records, list[list[Seen]]]:
    """The records of what the engine hands over, which comes to `given`, and what was seen."""
    steps = followed(engine, drawn)
    recorder = Recorder(engine.arrivals_s, len(engine.stages))
    for part in given:
        recorder.take(part.stage, part.batches, part.drops)
    return recorder.records(engine), steps


@pytest.mark.parametrize("block", blocks(BLOCKS))
@pytest.mark.parametrize(("dispatch", "drop"), MODES)
def test_a_window_of_a_few_requests_changes_nothing(dispatch: str, drop: str, block: int) -> None:
    """1, 4 or 17 requests are in memory at first, of up to 120; more only where more are present at once."""
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = scenario(seed, dispatch=dispatch, drop=drop, **ways(seed))
        whole = create_engine("compiled", *engine_runs.parts(drawn, seed))
        steps = followed(whole, drawn)
        for window in WINDOWS:
            records, steps_of_window = streamed(drawn, seed, window)
            assert list(differences(collect_records(whole), records)) == [], f"seed {seed}, window {window}"
            assert steps_of_window == steps, f"seed {seed}, window {window}"


@pytest.mark.parametrize("block", blocks(2))
@pytest.mark.parametrize(("dispatch", "drop"), MODES)
def test_simpy_hands_over_what_it_would_have_kept(
    dispatch: str, drop: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every control step; its own lists are then empty, and its counts go on."""
    monkeypatch.setattr(events.engine, "PIECE", 1)
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = scenario(seed, dispatch=dispatch, drop=drop)
        whole = create_engine("simpy", *engine_runs.parts(drawn, seed))
        steps = followed(whole, drawn)
        given: list[Handover] = []
        engine = create_engine("simpy", *engine_runs.parts(drawn, seed), given.append)
        records, steps_of_pieces = put_together(engine, drawn, given)
        assert list(differences(collect_records(whole), records)) == [], f"seed {seed}"
        assert steps_of_pieces == steps, f"seed {seed}"
        stages: Any = engine.stages
        assert all(not len(stage.batch_log(stage.batches.past_batches).size) for stage in stages)


def test_the_first_timer_is_that_of_all_arrivals() -> None:
    """Batches of 3, a timeout of 10 s, a window of one. By hand: the third request, at 4 s, fills the first batch; the
    next two wait until 5 + 10 s, though both engines are stopped at 6 s by a decision."""
    drawn = scenario(1, dispatch="central", drop="request") | {
        "arrivals": [1.0, 2.0, 4.0, 5.0, 9.0],
        "duration_s": 20.0,
        "stages": [
            {"variants": {"a": {"latency_s": {1: {1: 1.0, 2: 1.0, 3: 1.0}}, "start_up_s": 0.0}}, "drop_limit_s": 60.0}
        ],
        "initial": [{"variant": "a", "cores": 1, "batch": 3, "replicas": 2, "batch_timeout_s": 10.0}],
        "hop_s": 0.0,
    }
    drawn["decisions"] = [[6.0, drawn["initial"]]]
    drawn["decision_delay_s"] = 0.0
    drawn.pop("factors", None)
    records, _ = streamed(drawn, 1, 1)
    assert records.start_s[0].tolist() == [4.0, 4.0, 4.0, 15.0, 15.0]


def test_memory_grows_with_what_is_present_alone() -> None:
    """10,000 requests one by one need no more than the window; one heap of 1000 that nothing serves needs room."""
    drawn, initial = engine_runs.parts(scenario(3, dispatch="central", drop="request"), 1)
    quick = replace(drawn, world=World(duration_s=20_000.0, bound_s=1e6))

    def capacity(arrivals_s: list[float]) -> int:
        engine = StreamedEngine(replace(quick, arrivals_s=np.array(arrivals_s)), initial, lambda _: None, 100)
        list(engine.steps(iter(())))
        return engine._memory.capacity

    assert capacity([2.0 * number for number in range(10_000)]) == 100
    assert 1000 <= capacity([0.5] * 1000 + [19_000.0]) <= 3200


# ---- by hand ----


def test_what_happens_at_an_edge_counts_in_the_interval_that_begins_there() -> None:
    """Intervals of 1 s, an SLA of 1 s. The first request ends just when it would become late; the second, late from
    2 s on, just when the duration ends, so that it is still served in the last interval and no longer late after it."""
    world = World(duration_s=3.0, bound_s=10.0)
    counts = IntervalCounts(np.array([0.0, 1.0]), ("a",), world, sla_s=1.0)
    requests, start_s, finish_s = np.array([0, 1]), np.array([0.0, 1.0]), np.array([1.0, 3.0])
    batches = Batches(requests, np.array([1, 1]), start_s, finish_s, np.array([0, 0]))
    drops = Drops(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))
    given = Handover(0, 3.0, batches, np.array([0, 0]), drops)
    counts.take(given, Completed(requests, finish_s, finish_s - np.array([0.0, 1.0])))
    found = counts.intervals()
    assert (found.completed.tolist(), found.late.tolist()) == ([1, 1, 0], [0, 1, 0])
    assert (found.became_late.tolist(), found.late_waiting.tolist()) == ([0, 0, 1], [0, 0, 0])
    assert (found.started[0].tolist(), found.finished[0].tolist()) == ([1, 1, 0], [0, 1, 0])


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_of_equally_slow_requests_the_first_are_kept(engine: str) -> None:
    """Three requests take 1 s each, one after the other; records are kept of the two slowest."""
    model = StageModel("a", {("v", 1): ServiceTime((0.0, 1.0))}, {"v": 0.0}, 10.0)
    given = RunInput([model], World(duration_s=10.0, bound_s=10.0), np.array([0.0, 1.0, 2.0]), 1)
    sampling = Sampling(given.arrivals_s, 1, 0.0, np.zeros(0, dtype=np.int64), most=2)
    run = create_engine(engine, given, {"a": StageConfiguration("v", 1, 1, 0.0, 1)}, sampling.take)
    list(run.steps(iter(())))
    records, _ = sampling.records(run)
    assert records.request.tolist() == [0, 1]


# ---- whole runs under a policy ----


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: "-".join(map(str, world.values())))
def test_a_sample_of_all_is_all(world: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer requests than a sample has, everything is kept: records and journal, latencies seen included.

    Both engines count the same in intervals, and what is counted in the tables of all requests.
    """
    monkeypatch.setattr(streaming, "WINDOW", 50)
    monkeypatch.setattr(events.engine, "PIECE", 20)
    whole = run_in(world, "compiled", 1, tmp_path)
    samples = [run_in(world | {"records": "sample"}, engine, 1, tmp_path) for engine in ("compiled", "simpy")]
    for sample in samples:
        assert list(differences(whole.records, sample.records)) == []
        assert list(map(to_line, whole.entries)) == list(map(to_line, sample.entries))
        same_figures(whole, sample)
    expected = {
        "intervals": in_intervals(whole),
        "latencies": latencies_of(whole),
        "queues": queues_of(whole),
        "stages": whole.tables["stages"].assign(filled_s=filled_s(whole)),
        "requests": whole.tables["requests"].assign(sampled=True),
    }
    assert samples[0].tables["spent"].equals(samples[1].tables["spent"])
    spent_s = samples[0].tables["spent"].drop(columns="stage").to_numpy().sum()
    assert spent_s == pytest.approx(whole.summary["latency_mean_s"])
    for name, table in expected.items():
        for sample in samples:
            pd.testing.assert_frame_equal(sample.tables[name], table, check_exact=True, obj=name)


def interval_of(time_s: pd.Series[float]) -> pd.Series[float]:
    """The start of the interval of each moment: a second, as the runs here last 90 s."""
    return time_s // 1.0


def in_intervals(run: Run) -> pd.DataFrame:
    """The table `intervals` from that of all requests."""
    requests, sla_s = run.tables["requests"], run.summary["sla_s"]
    arrived_s = interval_of(requests["arrival_s"])
    of_second = arrived_s.value_counts().reindex(np.arange(90.0), fill_value=0)
    late_from_s, late_to_s = requests["arrival_s"] + sla_s, requests["end_s"].fillna(np.inf)
    is_late = late_to_s > late_from_s
    late_from_s, late_to_s = late_from_s[is_late], late_to_s[is_late]
    counted = {
        "completed": requests["outcome"] == "completed",
        "late": requests["latency_s"] > sla_s,
        "dropped": requests["outcome"] == "dropped",
        "failed": requests["outcome"] == "failed",
        "unfinished": requests["outcome"] == "unfinished",
    }
    return pd.DataFrame(
        {
            "time_s": np.arange(90.0),
            **{name: of_second.to_numpy() for name in ("requests", "quietest_rps", "busiest_rps")},
            **{kind: [int((arrived_s[of] == second).sum()) for second in range(90)] for kind, of in counted.items()},
            "became_late": [int((interval_of(late_from_s) == second).sum()) for second in range(90)],
            "late_waiting": [int(((late_from_s < second) & (late_to_s > second)).sum()) for second in range(1, 91)],
        }
    )


def latencies_of(run: Run) -> pd.DataFrame:
    """The table `latencies` from that of all requests; each latency is within 1 % of its bucket."""
    requests = run.tables["requests"].dropna(subset="latency_s")
    buckets = Buckets(LATENCY_ERROR)
    middle_s = buckets.middles(buckets.numbers(requests["latency_s"].to_numpy()))
    assert np.all(np.abs(middle_s - requests["latency_s"]) <= LATENCY_ERROR * requests["latency_s"])
    rows = pd.DataFrame({"time_s": interval_of(requests["arrival_s"]), "latency_s": middle_s})
    return rows.value_counts().sort_index().rename("requests").reset_index()


def queues_of(run: Run) -> pd.DataFrame:
    """The table `queues` from those of all requests and stages: what is at a stage came before and has not left."""
    dropped = run.tables["requests"].query("outcome == 'dropped'")
    tables = []
    for stage, here in run.tables["stages"].groupby("stage", observed=False):
        moments = {
            "enqueued": here["enqueue_s"],
            "started": here["start_s"],
            "finished": here["finish_s"],
            "dropped": dropped.loc[dropped["dropped_stage"] == stage, "end_s"],
        }
        before = {name: np.searchsorted(np.sort(time_s.dropna()), np.arange(91.0)) for name, time_s in moments.items()}
        tables.append(
            pd.DataFrame(
                {
                    "time_s": np.arange(90.0),
                    "stage": stage,
                    **{name: np.diff(counts) for name, counts in before.items()},
                    "waiting": (before["enqueued"] - before["started"] - before["dropped"])[1:],
                    "in_service": (before["started"] - before["finished"])[1:],
                }
            )
        )
    every = pd.concat(tables).astype({"stage": run.tables["stages"]["stage"].dtype})
    return every.sort_values(["time_s", "stage"], ignore_index=True)


def filled_s(run: Run) -> pd.Series[float]:
    """When the last of each request's batch was enqueued."""
    stages = run.tables["stages"]
    last_s = stages.groupby(["stage", "batch"], observed=True)["enqueue_s"].transform("max")
    return last_s.where(stages["batch"] >= 0)


def same_figures(whole: Run, other: Run) -> None:
    """All figures are the same; a quantile within its error."""
    assert list(whole.summary) == list(other.summary)
    assert (whole.summary["latency_quantiles_relative_error"], other.summary["latency_quantiles_relative_error"]) == (
        0.0,
        RELATIVE_ERROR,
    )
    inexact = dict.fromkeys(("latency_p50_s", "latency_p95_s", "latency_p99_s"), RELATIVE_ERROR)
    for key, value in whole.summary.items():
        if key in inexact and value is not None:
            assert other.summary[key] == pytest.approx(value, rel=inexact[key]), key
        elif key not in ("wall_s", "records", "engine", "latency_quantiles_relative_error"):
            assert other.summary[key] == value, key


@pytest.fixture(scope="module")
def bursty() -> tuple[Run, Run]:
    """The bursty workload, with all records and with none; its forecast is so low that requests are dropped."""
    base = Scenario(pipeline="video", trace="bursty").with_values({"policy.predictor": "mean"})
    return run_scenario(base), run_scenario(base.with_values({"records": "none"}))


def test_without_records_the_figures_are_the_same(bursty: tuple[Run, Run]) -> None:
    same_figures(*bursty)


def test_without_records_replicas_are_all_that_is_kept(bursty: tuple[Run, Run], tmp_path: Path) -> None:
    whole, none = bursty
    assert {name: len(table) for name, table in none.tables.items()} == {
        "requests": 0,
        "stages": 0,
        "decisions": 2,  # what stood ready at the start, a row a stage
        "replicas": len(whole.tables["replicas"]),
    }
    assert none.tables["replicas"].equals(whole.tables["replicas"])
    assert none.entries == ()
    results.write_run(none, tmp_path / "run")
    stored = results.read_run(tmp_path / "run")
    assert stored.summary["records"] == "none"
    assert [len(stored.tables[name]) for name in ("requests", "replicas")] == [0, len(none.tables["replicas"])]
    for name, table in none.tables.items():
        if name == "decisions":
            continue  # what nothing is known of (binding) has no type
        assert list(stored.tables[name].dtypes.astype(str)) == list(table.dtypes.astype(str))


def test_refused_decisions_are_so_in_every_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps 7 and 10 want more cores and are refused: another run than without, and the same with each engine."""
    apply = SimulatedBackend.apply

    def reluctant(cluster: SimulatedBackend, configuration: Configuration) -> Applied:
        return Applied(False, "no") if cluster._step in (7, 10) else apply(cluster, configuration)

    load = {"trace": "fluctuating", "window": "100:220", "policy.predictor": "mean"}
    base = Scenario(pipeline="video").with_values(load)
    untouched = run_scenario(base)
    monkeypatch.setattr(SimulatedBackend, "apply", reluctant)
    whole, literal, sample, none = (
        run_scenario(base.with_values(changes))
        for changes in ({}, {"engine": "simpy"}, {"records": "sample"}, {"records": "none"})
    )
    assert whole.summary["planned_cost_mean_cores"] != untouched.summary["planned_cost_mean_cores"]
    same_figures(whole, sample)
    same_figures(whole, none)
    for run in (literal, sample):
        assert run.tables["decisions"].equals(whole.tables["decisions"])
    kept = whole.tables["decisions"].query("accepted").drop_duplicates("step")
    lasting_s = np.diff(np.append(kept["time_s"], 120.0))
    assert whole.summary["planned_cost_mean_cores"] == pytest.approx(float(lasting_s @ kept["cost_cores"]) / 120.0)
    assert all(run.tables["decisions"]["accepted"].dtype == bool for run in (untouched, whole, none))
    assert untouched.tables["decisions"]["accepted"].all()


def test_a_sample_has_the_rows_that_the_whole_has(bursty: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulate, "SAMPLE", 500)
    monkeypatch.setattr(simulate, "SLOWEST", 30)
    monkeypatch.setattr(streaming, "WINDOW", 100)
    whole = bursty[0]
    sample, again = (run_scenario(whole.scenario.with_values({"records": "sample"})) for _ in range(2))
    same_figures(whole, sample)
    requests = sample.tables["requests"]
    kept = requests["request"].tolist()
    assert kept == sorted(kept) == again.tables["requests"]["request"].tolist()
    numbers = requests.loc[requests["sampled"], "request"].tolist()
    assert len(numbers) == 500
    every = whole.tables["requests"].assign(taken_s=lambda table: table["end_s"] - table["arrival_s"])
    every = every.sort_values(["taken_s", "request"], ascending=[False, True])
    slowest = [every.loc[every["outcome"] == outcome, "request"].head(30) for outcome in ("completed", "dropped")]
    assert len(slowest[1]) == 30, "so many were dropped"
    assert set(kept) == {*numbers, *slowest[0], *slowest[1]}
    # Uniform over all N: the mean of 500 numbers is within 4 x N / sqrt(12 x 500) of the middle.
    total = whole.summary["requests"]
    assert abs(np.mean(numbers) - total / 2) < 4 * total / 6000**0.5
    for name, more in (("requests", "sampled"), ("stages", "filled_s")):
        rows = whole.tables[name][whole.tables[name]["request"].isin(kept)].reset_index(drop=True)
        assert rows.equals(sample.tables[name].drop(columns=more)), name
    assert sample.tables["decisions"].equals(whole.tables["decisions"])


def test_nothing_arrives_or_nothing_completes(tmp_path: Path) -> None:
    (tmp_path / "quiet.txt").write_text("0 0 0 0\n")
    quiet = {"trace": str(tmp_path / "quiet.txt")}
    hopeless = {"trace": "constant:30:20", "drop_limits_s": {"object-detection": 0.001}}
    for given_values in (quiet, hopeless):
        base = Scenario(pipeline="video").with_values(given_values)
        whole = run_scenario(base)
        for records in ("sample", "none"):
            same_figures(whole, run_scenario(base.with_values({"records": records})))


def test_a_broken_balance_is_a_broken_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that are handed over twice are too many (L1); moments that are off are so in the sum (L9)."""
    base = Scenario(pipeline="video").with_values({"trace": "constant:30:60", "records": "none"})
    take = Totalling.take

    def broken(change: Any) -> str:
        monkeypatch.setattr(Totalling, "take", lambda self, given: take(self, change(given)))
        with pytest.raises(LawError) as caught:
            run_scenario(base)
        return str(caught.value)

    def twice(given: Handover) -> Handover:
        return given._replace(
            batches=given.batches.followed_by(given.batches), variant=np.concatenate([given.variant, given.variant])
        )

    def late(given: Handover) -> Handover:
        return given._replace(batches=given.batches._replace(finish_s=given.batches.finish_s - 1e-3))

    assert "L1: at stage object-detection" in broken(twice)
    assert "L9: at stage object-detection" in broken(late)
    monkeypatch.setattr(laws, "cost_differs", lambda records, stage: iter([f"L8: stage {stage}"]))
    assert "L8: stage 1" in broken(lambda given: given)


# ---- the histogram ----

latencies = st.lists(st.floats(LEAST, 1e8), min_size=1, max_size=60)
spread = st.lists(st.floats(np.log(LEAST) + 1e-9, 18.0).map(lambda log: float(np.exp(log))), min_size=1, max_size=300)


@settings(deadline=None)
@given(st.lists(st.floats(1e-9, 1e9), max_size=50), st.lists(st.floats(0.001, 10.0), max_size=50))
def test_an_exact_sum_is_that_of_fsum(one: list[float], other: list[float]) -> None:
    """In parts, and in any order; what is below 1 ns has too many digits."""
    total = ExactSum()
    for part in (one, other):
        total.add(np.array(part, dtype=np.float64))
    assert total.value() == fsum([*other, *one])


@settings(deadline=None)
@given(st.lists(st.one_of(st.just(0.0), st.floats(1e-12, 1e9)), max_size=50))
@example([])
@example([1e-12, 0.1, 1e8])
@example([1e9 - 0.3] * 3000)
def test_a_sum_of_all_at_once_is_that_of_fsum_however_small_the_values(values: list[float]) -> None:
    assert exact_sum(np.array(values, dtype=np.float64)) == fsum(values)


@settings(deadline=None)
@given(st.one_of(latencies, spread), st.floats(0.0, 1.0))
@example([0.25, 0.25, 0.25, 4.0], 0.95)
def test_a_quantile_is_within_its_error(values: list[float], share: float) -> None:
    histogram = Histogram()
    for part in np.array_split(np.array(values), 3):
        histogram.add(part)
    found = histogram.quantiles((0.0, share, 1.0))
    assert found is not None
    for mine, exact in zip(found, np.quantile(values, (0.0, share, 1.0)), strict=True):
        assert abs(mine - exact) <= RELATIVE_ERROR * exact


def test_a_quantile_of_bins_edges_is_within_its_error() -> None:
    """Where rounding may put a value on either side of an edge; and 0 is the least."""
    edges = LEAST * np.exp(np.arange(13_000) * (np.log1p(RELATIVE_ERROR) - np.log1p(-RELATIVE_ERROR)))
    for value in (*edges[::13], *np.nextafter(edges[::13], np.inf)):
        histogram = Histogram()
        histogram.add(np.array([value]))
        (found,) = histogram.quantiles((0.5,)) or (np.nan,)
        assert abs(found - value) <= RELATIVE_ERROR * value
    histogram = Histogram()
    assert histogram.quantiles((0.5,)) is None
    histogram.add(np.zeros(3))
    assert histogram.quantiles((0.5,)) == pytest.approx((LEAST,), rel=RELATIVE_ERROR)


# ---- what comes with it ----


@pytest.mark.parametrize("name", ["poisson", "poisson-count", "even", "clumped"])
def test_arrivals_made_in_parts_are_those_made_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(1).poisson(6.0, 200) * (np.arange(200) % 7 > 1)
    trace = Trace.of_counts("given", counts)
    at_once = arrivals(trace, name, np.random.default_rng(2))
    for part in (1, 10, 100):
        monkeypatch.setattr(sys.modules[arrivals.__module__], "_PART", part)
        assert np.array_equal(arrivals(trace, name, np.random.default_rng(2)), at_once)


def test_less_than_all_in_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    short = ("simulate", "video", *SHORT)
    assert "all, sample" in " ".join(refusal(*short, "--set", "records=some").replace("'", "").split())
    assert "use records: sample, or all" in refusal(*short, "--set", "records=none", "--report", "run.html")
    assert answer(*short, "--set", "records=none", "--json", "-q")["records"] == "none"
    assert ipa(*short, "--set", "records=none", "--out", "none").exit_code == 0
    assert "records is none" in refusal("report", "none")


@pytest.mark.usefixtures("without_numba")
def test_without_numba_less_than_all_is_kept_by_simpy() -> None:
    run = run_scenario(Scenario(pipeline="video").with_values({"trace": "constant:5:30", "records": "none"}))
    assert (run.summary["engine"], run.summary["completed"]) == ("simpy", 150)


def test_progress_is_told_at_every_step() -> None:
    """30 s with a decision every 10 s: after a third and two thirds of it."""
    shares: list[float] = []
    run_scenario(Scenario(pipeline="video", trace="constant:5:30"), shares.append)
    assert shares == pytest.approx([1 / 3, 2 / 3])
