"""Validation: a simulated world with known overheads stands for the live one, so that every answer is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ipa.policies import Applied, Configuration, StageConfiguration
from ipa.sim import SimulatedBackend, stage_models
from ipa.studies import Scenario, ScenarioError, results, simulate
from ipa.studies.run import prepare
from ipa.studies.validation import backends, page, terminal
from ipa.studies.validation.agreement import Agreement, decided, in_closed_loop, ready_at, replicas_alike_percent
from ipa.studies.validation.calibration import measure_overheads
from ipa.studies.validation.comparison import Row
from ipa.studies.validation.conditions import Conditions
from ipa.studies.validation.folder import RunLive
from ipa.studies.validation.measures import LIMITS, POINTS, Metric, measure, metrics
from ipa.studies.validation.open_loop import simulate_decisions
from ipa.studies.validation.outcome import Validation
from ipa.studies.validation.plan import Plan, plan
from ipa.studies.validation.rollouts import rollouts
from ipa.studies.validation.study import stored, validate
from ipa.studies.validation.windows import Windows, busiest, by_band, utilisation
from tests.command import contents, ipa, refusal

pytestmark = pytest.mark.usefixtures("elsewhere")

OVERHEADS = {
    "dispatch_overhead_s": 0.004,
    "hop_s": 0.002,
    "start_up_extra_s": 0.6,
    "decision_delay_s": 0.05,
    "stop_s": 0.4,
}

BASE = Scenario(pipeline="video").with_values(
    {"trace": "fluctuating", "policy": {"name": "ipa", "load_margin": 1.0}, "service_times": "mean"}
)


def world(base: Scenario = BASE, **changes: Any) -> tuple[Plan, RunLive]:
    """The plan of a scenario, and a live world that has these overheads, changed as said, but says that it is real."""

    def run_live(scenario: Scenario, folder: Path) -> None:
        run = simulate(scenario.with_values({**OVERHEADS, **changes}))
        results.write_run(replace(run, scenario=scenario), folder)

    return plan(base), run_live


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Validation:
    """The validation of a world that is just as its calibration says."""
    planned, run_live = world()
    return validate(planned, run_live, tmp_path_factory.mktemp("known") / "out", repeats=2)


# ---- the whole: sim against sim ----


def test_known_overheads_are_recovered(known: Validation) -> None:
    assert known.calibration.overheads.values() == OVERHEADS


def test_with_the_right_overheads_nothing_differs(known: Validation) -> None:
    for row in known.rows:
        nothing = pytest.approx((0.0, 0.0, 0.0), abs=1e-12)
        assert (row.error, row.open_loop_error, row.spread) == nothing, row.metric.key
    assert known.same_observations.percent == known.closed_loop.percent == 100.0
    assert set(known.replicas_alike_percent.values()) == {100.0}
    assert known.passed


def test_a_batch_of_a_replica_that_nobody_saw_measures_nothing(known: Validation) -> None:
    tables = dict(known.calibration.tables)
    models = stage_models(known.prepared.pipeline, sampled=False)
    before = measure_overheads(tables, models, seed=1).dispatch_overhead_s
    tables["stages"] = tables["stages"].assign(
        replica=tables["stages"]["replica"].where(tables["stages"]["batch"] > 0, -1)
    )
    after = measure_overheads(tables, models, seed=1).dispatch_overhead_s
    assert (after.count, after.value_s) == (before.count - len(models), pytest.approx(before.value_s))


def test_something_happened_in_what_was_compared(known: Validation) -> None:
    changes = known.simulated.tables["replicas"].query("created_s > 0")
    assert len(changes) >= 3
    assert known.judged.chosen.sum() >= 6
    assert known.closed_loop.total == 2 * 11


def test_sampled_service_times_leave_next_to_no_error(tmp_path: Path) -> None:
    """An overhead is part of what is sampled, so that its mean over some thousand batches is not quite its own."""
    planned, run_live = world(BASE.with_values({"service_times": "lognormal"}))
    found = validate(planned, run_live, tmp_path / "out", repeats=1)
    assert found.calibration.overheads.dispatch_overhead_s.value_s == pytest.approx(0.004, rel=0.05)
    assert found.passed
    assert max(abs(row.error) for row in found.rows if row.metric.tolerance is not None) < 0.01


def test_a_wrong_overhead_is_found_out(tmp_path: Path) -> None:
    """What is compared has 40 ms a batch more than where the overheads were measured: the queues say so."""
    planned, of_calibration = world()
    _, of_repeats = world(dispatch_overhead_s=0.044)

    def run_live(scenario: Scenario, folder: Path) -> None:
        (of_calibration if scenario == planned.calibration else of_repeats)(scenario, folder)

    found = validate(planned, run_live, tmp_path / "out", repeats=2)
    off = {row.metric.key for row in found.rows if row.passed is False}
    assert "latency_mean_s" in off
    assert not found.passed
    assert found.repeats[0].overheads.dispatch_overhead_s.value_s == pytest.approx(0.044)


def test_a_slower_start_up_is_found_out(tmp_path: Path) -> None:
    planned, of_calibration = world()
    _, of_repeats = world(start_up_extra_s=9.0)

    def run_live(scenario: Scenario, folder: Path) -> None:
        (of_calibration if scenario == planned.calibration else of_repeats)(scenario, folder)

    found = validate(planned, run_live, tmp_path / "out", repeats=1)
    assert max(found.replicas_alike_percent.values()) < 95.0
    start_ups = [took for took in found.rollouts if took.kind == "start_up"]
    assert min(took.live.count for took in start_ups) > 0
    for took in start_ups:
        assert took.live.mean_s - took.simulated.mean_s == pytest.approx(9.0 - OVERHEADS["start_up_extra_s"])


def test_the_live_decisions_tell_decisions_from_queues(tmp_path: Path) -> None:
    """The live world decides by another policy: in closed loop all is off, with its decisions nothing is."""
    planned, run_live = world(policy={"name": "ipa", "load_margin": 2.0}, stop_s=0.0)
    found = validate(planned, run_live, tmp_path / "out", repeats=1)
    rows = {row.metric.key: row for row in found.rows}
    assert rows["cost_mean_cores"].error < -0.05
    assert found.closed_loop.percent < 90.0
    assert found.same_observations.percent < 100.0
    assert max(abs(row.open_loop_error) for row in found.rows) < 1e-12


REFUSED = (3, 4, 5, 8)
"""The steps whose decisions a refusing world does not carry out; all want another configuration than stands."""


def refusing(monkeypatch: pytest.MonkeyPatch, run_live: RunLive) -> RunLive:
    """The same live world, which refuses the decisions of some steps."""
    applied = SimulatedBackend.apply

    def apply(cluster: SimulatedBackend, configuration: Configuration) -> Applied:
        if cluster._step in REFUSED:
            return Applied(False, "guard: not now")
        return applied(cluster, configuration)

    def run(scenario: Scenario, folder: Path) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(SimulatedBackend, "apply", apply)
            run_live(scenario, folder)

    return run


def test_a_decision_that_was_refused_is_not_simulated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    planned, run_live = world()
    found = validate(planned, refusing(monkeypatch, run_live), tmp_path / "out", repeats=2)
    assert found.calibration.overheads.values() == OVERHEADS  # no delay is measured from what was refused
    assert max(abs(row.open_loop_error) for row in found.rows) < 1e-12
    for took in found.rollouts:
        assert took.live.as_dict() == pytest.approx(took.simulated.as_dict())
    assert (found.same_observations.equal, found.same_observations.total) == (24, 24)
    assert found.closed_loop.equal <= found.closed_loop.total - 2 * len(REFUSED)
    assert found.refused == 2 * len(REFUSED)
    assert found.as_dict()["decisions"]["refused"] == {"count": 8, "total": 24}
    assert [repeat["decisions_refused"] for repeat in found.as_dict()["repeats"]] == [4, 4]
    assert ("Live decisions that were refused", "8 of 24") in terminal.decisions(found)
    assert "live-2: 4 decisions were refused, and what stood stayed in force" in found.flags
    assert "Live decisions that were refused: <b>8 of 24</b>" in page.render(found)


def test_results_of_before_decisions_had_outcomes_take_them_from_the_journal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_live = refusing(monkeypatch, world()[1])
    run_live(BASE.with_values({"window": "100:220"}), tmp_path / "run")
    (today,) = results.read_runs(tmp_path / "run")
    table = today.tables["decisions"]
    assert tuple(table[~table["accepted"]]["step"].unique()) == REFUSED
    results.write_table(table.drop(columns="accepted"), tmp_path / "run" / "decisions.parquet")
    (older,) = results.read_runs(tmp_path / "run")
    assert older.tables["decisions"]["accepted"].tolist() == table["accepted"].tolist()


# ---- which seconds ----


def test_the_compared_seconds_have_the_greatest_rise_and_the_calibration_is_on_others() -> None:
    """Bursty: 5 rps until second 360, then 14, then 27."""
    planned = plan(Scenario(pipeline="video", trace="bursty"))
    ((start_s, end_s),) = planned.compared.window or ()
    assert end_s - start_s == 120
    assert start_s < 360 < 420 < end_s
    ((from_s, to_s),) = planned.calibration.window or ()
    assert to_s - from_s == 90
    assert to_s <= start_s or from_s >= end_s


@pytest.mark.parametrize(
    ("window", "duration_s", "compared"),
    [("0:90", None, 90), ("0:900", 60, 60), (None, 30, 30)],
)
def test_duration_and_window_say_how_long(window: str | None, duration_s: int | None, compared: int) -> None:
    base = Scenario(pipeline="video", trace="bursty").with_values({"window": window})
    ((start_s, end_s),) = plan(base, duration_s).compared.window or ()
    assert end_s - start_s == compared
    if window == "0:900":
        assert end_s <= 900


@pytest.mark.parametrize(
    ("base", "duration_s", "calibration", "said"),
    [
        ({"trace": "constant:5:130"}, None, None, "overheads are measured on 20 others"),
        ({"trace": "constant:5:100"}, None, None, "has no 120 seconds in a row"),
        ({"trace": "bursty", "window": "0:100"}, 200, None, "0:100 of bursty has no 200 seconds"),
        ({"trace": "bursty", "window": "0:100"}, None, ((90.0, 150.0),), "has seconds in common with those compared"),
        ({"trace": "bursty", "records": "none"}, None, None, "it goes with records: all"),
    ],
)
def test_seconds_that_cannot_be(base: dict[str, Any], duration_s: Any, calibration: Any, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        plan(Scenario(pipeline="video").with_values(base), duration_s, calibration)


# ---- figures by hand ----


def hand_made() -> dict[str, pd.DataFrame]:
    """20 s, one stage, two replicas: "a" at all times, "b" created at 5, ready at 10, removed at 18 and gone at 19.

    Requests arrive at 1, 2, 11 and 12; the first two are one batch of 4 s, the third takes 5 s, the fourth is dropped.
    """
    requests = pd.DataFrame(
        {
            "request": range(4),
            "arrival_s": [1.0, 2.0, 11.0, 12.0],
            "outcome": ["completed", "completed", "completed", "dropped"],
            "end_s": [6.0, 6.0, 17.0, 14.0],
            "latency_s": [5.0, 4.0, 6.0, nan],
            "accuracy": [0.5, 0.5, 0.8, nan],
        }
    )
    stages = pd.DataFrame(
        {
            "request": range(4),
            "stage": pd.Categorical(["s"] * 4),
            "enqueue_s": [1.0, 2.0, 11.0, 12.0],
            "start_s": [2.0, 2.0, 12.0, nan],
            "finish_s": [6.0, 6.0, 17.0, nan],
            "replica": [0, 0, 1, -1],
            "batch": [0, 0, 1, -1],
            "batch_size": [2, 2, 1, -1],
        }
    )
    replicas = pd.DataFrame(
        {
            "stage": pd.Categorical(["s", "s"]),
            "replica": [0, 1],
            "cores": [1, 2],
            "created_s": [0.0, 5.0],
            "ready_s": [0.0, 10.0],
            "removed_s": [nan, 18.0],
            "gone_s": [nan, 19.0],
        }
    )
    return {"requests": requests, "stages": stages, "replicas": replicas}


ALL = Windows.all_of(20.0, 10.0)
FIRST, SECOND = (ALL.only(np.array(chosen)) for chosen in ([True, False], [False, True]))


@pytest.mark.parametrize(
    ("windows", "wanted"),
    [
        (
            ALL,
            {
                "latency_mean_s": 5.0,
                "latency_p50_s": 5.0,
                "latency_p99_s": 6.0,
                "sla_violations_percent": 50.0,  # one took 6 s, one was dropped
                "drops_percent": 25.0,
                "throughput_rps": 3 / 20,
                "cost_mean_cores": (20 + 2 * 14) / 20,
                "pas_mean": 60.0,
                "s.latency_mean_s": 5.0,
                "s.wait_mean_s": 2 / 3,
                "s.service_mean_s": 13 / 3,
                "s.batch_size_mean": 1.5,
                "s.replicas_mean": (20 + 8) / 20,
            },
        ),
        (FIRST, {"latency_mean_s": 4.5, "drops_percent": 0.0, "throughput_rps": 0.2, "cost_mean_cores": 2.0}),
        (SECOND, {"latency_mean_s": 6.0, "pas_mean": 80.0, "s.replicas_mean": 1.8, "cost_mean_cores": 2.8}),
    ],
)
def test_figures_of_a_run_by_hand(windows: Windows, wanted: dict[str, float]) -> None:
    found = measure([hand_made()], windows, sla_s=5.5)
    assert {key: found[key] for key in wanted} == pytest.approx(wanted)


def test_runs_pooled_with_their_equals_give_the_figures_of_one() -> None:
    one, three = (measure([hand_made()] * count, ALL, 5.5) for count in (1, 3))
    assert one == pytest.approx(three, rel=1e-12)


def test_nothing_that_completed_has_no_latency() -> None:
    nothing = ALL.only(np.array([False, False]))
    found = measure([hand_made()], nothing, 5.5)
    assert isnan(found["latency_mean_s"])
    assert isnan(found["cost_mean_cores"])


def test_utilisation_is_busy_over_ready_replica_seconds() -> None:
    """Window 1: replica a is busy 4 of 10 s. Window 2: a idles 10 s, b serves 5 of its 8 s."""
    np.testing.assert_allclose(utilisation(hand_made(), ALL)["s"], [0.4, 5 / 18])


def test_a_removed_replica_counts_until_its_last_batch_is_done() -> None:
    tables = hand_made()
    tables["replicas"].loc[1, "removed_s"] = 13.0
    np.testing.assert_allclose(utilisation(tables, ALL)["s"], [0.4, 5 / 17])


def test_bands_part_the_windows() -> None:
    busy = busiest([hand_made()], ALL)
    bands = by_band(busy, ALL)
    assert {name: chosen.chosen.tolist() for name, chosen in bands.items()} == {
        "below 30 %": [False, True],
        "30 to 60 %": [True, False],
        "60 to 85 %": [False, False],
        "above 85 %": [False, False],
    }


def test_replicas_over_time() -> None:
    ready = ready_at(hand_made()["replicas"], "s", np.array([0.0, 9.9, 10.0, 17.9, 18.0]))
    assert ready.tolist() == [1, 1, 2, 2, 1]
    later = hand_made()["replicas"]
    later.loc[1, "ready_s"] = 11.0
    alike = replicas_alike_percent([hand_made()["replicas"], later], later, 20.0)
    assert alike["s"] == pytest.approx(100.0 - 2.5)  # one second of 20 in one run of two


# ---- errors and verdicts ----


@pytest.mark.parametrize(
    ("tolerance", "spread", "simulated", "verdict"),
    [
        (0.05, 0.0, 1.049, "ok"),
        (0.05, 0.0, 1.051, "OFF"),
        (0.05, 0.0, 0.949, "OFF"),
        (0.05, 0.03, 1.049, "ok"),
        (0.05, 0.03, 1.059, "in spread"),
        (0.05, 0.03, 1.061, "OFF"),
        (0.05, nan, 1.051, "OFF"),  # one repeat has no spread
        (None, 0.0, 9.0, ""),
        (0.05, 0.0, nan, "OFF"),  # live completed requests, the simulation none
    ],
)
def test_an_error_passes_within_the_tolerance_or_twice_the_spread(
    tolerance: float | None, spread: float, simulated: float, verdict: str
) -> None:
    row = Row(Metric("m", "m", "s", tolerance=tolerance), 1.0, spread, simulated, 1.0)
    assert row.verdict == verdict
    assert row.passed is {"ok": True, "in spread": True, "OFF": False, "": None}[verdict]


def test_points_are_differences() -> None:
    row = Row(Metric("m", "m", "%", POINTS, 2.0), live=0.0, spread=0.0, simulated=1.5, open_loop=-3.0)
    assert (row.error, row.open_loop_error, row.passed) == (1.5, -3.0, True)
    assert [row.shown(error) for error in (1.5, -0.004, nan)] == ["+1.50", "0.00", "-"]


def test_a_figure_that_neither_world_has_is_not_judged() -> None:
    assert Row(Metric("m", "m", "s", tolerance=0.05), nan, nan, nan, nan).passed is None


# ---- decisions ----


def decisions(
    *replicas: int, interval_s: float = 10.0, skipped: int | None = None, refused: tuple[int, ...] = ()
) -> pd.DataFrame:
    """One stage, one row a step with so many replicas."""
    rows = [
        {
            "step": step,
            "time_s": step * interval_s + 0.003 * (step > 0),
            "stage": "s",
            "variant": "v",
            "batch": 1,
            "replicas": wanted,
            "cores": 1,
            "batch_timeout_s": 0.0,
            "accepted": step not in refused,
        }
        for step, wanted in enumerate(replicas)
        if step != skipped
    ]
    return pd.DataFrame(rows)


def test_decisions_in_closed_loop_are_compared_step_by_step_but_for_the_start() -> None:
    assert in_closed_loop(decisions(9, 1, 2, 3), decisions(1, 1, 2, 4), 10.0) == Agreement(2, 3)


def test_a_skipped_step_is_not_an_equal_one() -> None:
    assert in_closed_loop(decisions(1, 1, 2, 3, skipped=2), decisions(1, 1, 2, 3), 10.0) == Agreement(2, 3)


def test_a_refused_decision_is_not_an_equal_one_and_never_came_in_force() -> None:
    live = decisions(1, 1, 2, 3, refused=(2,))
    assert in_closed_loop(live, decisions(1, 1, 2, 3), 10.0) == Agreement(2, 3)
    assert [configuration["s"].replicas for _, configuration in decided(live)] == [1, 1, 3]


@pytest.mark.parametrize("engine", ["simpy", "auto"])
def test_a_run_with_its_own_decisions_is_the_same_run(engine: str) -> None:
    scenario = BASE.with_values({**OVERHEADS, "window": "100:220", "engine": engine, "service_times": "lognormal"})
    run = simulate(scenario)
    again = simulate_decisions(scenario, prepare(scenario), decided(run.tables["decisions"]))
    for name, table in again.items():
        pd.testing.assert_frame_equal(table, run.tables[name])


# ---- rollouts ----


def stage_replicas(*rows: tuple[str, float, float, float]) -> pd.DataFrame:
    """Replicas of one stage: variant, created, ready, removed [s], a core each; NaN: never."""
    return pd.DataFrame(rows, columns=["variant", "created_s", "ready_s", "removed_s"]).assign(cores=1)


def wants(*changes: tuple[float, str, int]) -> list[tuple[float, StageConfiguration]]:
    """Decisions: when, variant, replicas."""
    return [(time_s, StageConfiguration(variant, 1, replicas, 0.0, 1)) for time_s, variant, replicas in changes]


def test_a_rollout_lasts_until_the_last_is_ready_and_the_last_old_one_is_removed() -> None:
    made = stage_replicas(("a", 0, 0, 19), ("a", 0, 0, 28.5), ("b", 10, 19, nan), ("b", 19, 28, nan))
    assert rollouts(wants((0, "a", 2), (10, "b", 2), (20, "b", 2)), made).tolist() == [18.5]


def test_a_rollout_that_is_overtaken_has_no_duration() -> None:
    made = stage_replicas(("a", 0, 0, nan), ("b", 10, nan, 15), ("a", 15, 24, nan))
    found = rollouts(wants((0, "a", 1), (10, "b", 1), (15, "a", 2)), made)
    assert isnan(found[0])
    assert found[1] == 9.0


def test_replicas_that_are_removed_make_a_rollout() -> None:
    made = stage_replicas(("a", 0, 0, nan), ("a", 0, 0, 10.25))
    assert rollouts(wants((0, "a", 2), (10, "a", 1)), made).tolist() == [0.25]


def test_start_ups_rollouts_and_stops_are_laid_side_by_side(known: Validation) -> None:
    for took in known.rollouts:
        assert took.live.as_dict() == pytest.approx(took.simulated.as_dict())
    by_kind = {took.kind: took.live for took in known.rollouts if took.stage == "image-classification"}
    assert by_kind["start_up"].mean_s == pytest.approx(8.0 + OVERHEADS["start_up_extra_s"])
    assert by_kind["stop"].count > 0
    assert by_kind["rollout"].mean_s >= by_kind["start_up"].mean_s + OVERHEADS["decision_delay_s"] - 1e-9


def test_the_limits_are_the_backend_s() -> None:
    allowed = {
        backend: {metric.key: metric.tolerance for metric in metrics(("s",), limits)}
        for backend, limits in LIMITS.items()
    }
    assert (allowed["loopback"]["latency_mean_s"], allowed["kubernetes"]["latency_mean_s"]) == (0.05, 0.10)
    assert (allowed["loopback"]["latency_p99_s"], allowed["kubernetes"]["latency_p99_s"]) == (0.10, 0.15)
    assert (allowed["loopback"]["cost_mean_cores"], allowed["kubernetes"]["cost_mean_cores"]) == (0.02, 0.03)
    assert allowed["kubernetes"]["s.latency_mean_s"] is None


# ---- conditions ----


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"lateness_p99_s": 0.025}, ["requests were sent late: p99 25 ms, above 10"]),
        ({"overhead_p99_s": 0.2}, ["batches were held up: overhead p99 200 ms, above 50"]),
        ({"busy_share": 0.93}, ["the machine was 93 % busy, above 80"]),
        ({"busy_share": None, "lateness_p99_s": None, "overhead_p99_s": None}, []),
    ],
)
def test_an_unfair_run_is_flagged(changes: dict[str, Any], said: list[str]) -> None:
    fair = Conditions(0.002, 0.008, 0.4, 0.9, 2)
    assert list(replace(fair, **changes).flags()) == said


def test_what_was_not_seen_is_said(tmp_path: Path) -> None:
    planned, run_live = world(BASE.with_values({"trace": "constant:5:200", "policy": "static"}))
    found = validate(planned, run_live, tmp_path / "out", repeats=1)
    said = "calibration: did not show start_up_extra_s, decision_delay_s, stop_s, taken as 0"
    assert said in found.flags


# ---- the folder ----


@pytest.fixture
def counted() -> tuple[Plan, RunLive, list[str]]:
    """A short world, and the names of the folders that it has been asked to write."""
    planned, run_live = world(BASE.with_values({"window": "100:140"}))
    asked: list[str] = []

    def run_counted(scenario: Scenario, folder: Path) -> None:
        asked.append(folder.name)
        run_live(scenario, folder)

    return planned, run_counted, asked


def test_what_is_finished_is_not_run_again(counted: tuple[Plan, RunLive, list[str]], tmp_path: Path) -> None:
    planned, run_live, asked = counted
    first = validate(planned, run_live, tmp_path / "out", repeats=1)
    assert asked == ["calibration", "live-1"]
    assert validate(planned, run_live, tmp_path / "out", repeats=1).as_dict() == first.as_dict()
    validate(planned, run_live, tmp_path / "out", repeats=3)
    assert asked == ["calibration", "live-1", "live-2", "live-3"]
    assert stored(tmp_path / "out").as_dict() == json.loads((tmp_path / "out" / "validation.json").read_text())


def test_an_interrupt_leaves_what_is_finished(counted: tuple[Plan, RunLive, list[str]], tmp_path: Path) -> None:
    planned, run_live, asked = counted

    def interrupted(scenario: Scenario, folder: Path) -> None:
        run_live(scenario, folder)
        if folder.name == "live-2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate(planned, interrupted, tmp_path / "out", repeats=2)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["calibration", "live-1", "manifest.json"]
    with pytest.raises(ScenarioError, match="holds no validation"):
        stored(tmp_path / "elsewhere")
    validate(planned, run_live, tmp_path / "out", repeats=2)
    assert asked == ["calibration", "live-1", "live-2", "live-2"]


def test_a_folder_of_another_validation_is_left_alone(counted: tuple[Plan, RunLive, list[str]], tmp_path: Path) -> None:
    planned, run_live, _ = counted
    validate(planned, run_live, tmp_path / "out", repeats=1)
    before = contents(tmp_path)
    other = plan(BASE.with_values({"window": "100:140", "seed": 2}))
    with pytest.raises(ScenarioError, match="holds a validation of another scenario: seed 1, now 2"):
        validate(other, run_live, tmp_path / "out", repeats=1)
    assert contents(tmp_path) == before


# ---- the command ----


@pytest.fixture
def simulated_live(monkeypatch: pytest.MonkeyPatch) -> Callable[[RunLive], None]:
    """Let a function stand for the live backend."""

    def use(run_live: RunLive) -> None:
        monkeypatch.setattr(backends, "live_runner", lambda how, scenario: run_live)

    return use


SHORT = ("fluctuating", "--window", "100:140", "--set", "policy.load_margin=0.5", "--repeats", 2)


def test_the_command_says_how_far_off_the_simulator_is(
    simulated_live: Callable[[RunLive], None], tmp_path: Path
) -> None:
    simulated_live(world()[1])
    result = ipa("validate", "video", "--trace", *SHORT, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "2 live runs (loopback) against the simulator" in result.stdout
    assert "Measured on other seconds: a batch +" in result.stdout
    assert "latency, p99 (s)" in result.stdout
    assert "object-detection" in result.stdout
    assert "Equal decisions on the same observation: 8 of 8 (100.0 %, wanted 100 %)" in result.stdout
    assert "Verdict: " in result.stdout
    assert "the machine was" not in result.stdout  # that is for stderr


def test_the_command_as_json(simulated_live: Callable[[RunLive], None], tmp_path: Path) -> None:
    simulated_live(world()[1])
    result = ipa("validate", "video", "--trace", *SHORT, "--out", tmp_path / "out", "--json")
    found = json.loads(result.stdout)
    assert found == json.loads((tmp_path / "out" / "validation.json").read_text())
    assert found["compared_window"] == [[100.0, 140.0]]
    assert [row["metric"] for row in found["judged"]["rows"]][:2] == ["latency_mean_s", "latency_p50_s"]
    assert set(found["repeats"][0]["conditions"]) >= {"lateness_p99_s", "busy_share", "load_average", "flags"}


def test_each_live_run_is_an_ordinary_result(simulated_live: Callable[[RunLive], None], tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    simulated_live(world()[1])
    ipa("validate", "video", "--trace", *SHORT, "--out", tmp_path / "out")
    assert ipa("report", tmp_path / "out" / "live-2").exit_code == 0
    assert ipa("report", tmp_path / "out" / "simulated").exit_code == 0


def test_the_report_is_drawn_again_from_its_folder(simulated_live: Callable[[RunLive], None], tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    simulated_live(world()[1])
    report = tmp_path / "report.html"
    ipa("validate", "video", "--trace", *SHORT, "--out", tmp_path / "out", "--report", report)
    assert ipa("report", tmp_path / "out").exit_code == 0
    drawn = (tmp_path / "out" / "report.html").read_bytes()
    assert drawn == report.read_bytes()
    for name in ("distribution", "latency", "replicas", "utilisation", "load"):
        assert f'id="plot-{name}"'.encode() in drawn


def test_an_interrupted_command_says_what_is_kept(simulated_live: Callable[[RunLive], None], tmp_path: Path) -> None:
    def interrupted(scenario: Scenario, folder: Path) -> None:
        raise KeyboardInterrupt

    simulated_live(interrupted)
    result = ipa("validate", "video", "--trace", *SHORT, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert f"interrupted: what is finished stands in {tmp_path / 'out'}" in result.stderr


def test_a_report_of_what_is_not_finished(simulated_live: Callable[[RunLive], None], tmp_path: Path) -> None:
    def interrupted(scenario: Scenario, folder: Path) -> None:
        raise KeyboardInterrupt

    simulated_live(interrupted)
    ipa("validate", "video", "--trace", *SHORT, "--out", tmp_path / "out")
    assert "calibration is missing; the command that began the validation goes on" in refusal(
        "report", tmp_path / "out"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--backend", "moon"), "'moon' is not one of 'loopback', 'kubernetes'"),
        (("--repeats", "0"), "0 is not in the range x>=1"),
        (("--calibration-window", "late"), "--calibration-window late: a window is START:END in seconds"),
        (("--records", "none"), "it goes with records: all"),
        (("--duration", "5000"), "has no 5000 seconds in a row"),
    ],
)
def test_what_cannot_be_validated(options: tuple[str, ...], said: str, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refusal("validate", "video", *options)


def test_json_stands_alone(simulated_live: Callable[[RunLive], None]) -> None:
    simulated_live(world()[1])
    result = ipa("validate", "video", "--trace", *SHORT, "--json")
    assert json.loads(result.stdout)["kind"] == "validation"
