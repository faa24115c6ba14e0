"""A validation as a whole: a simulated world with known overheads stands for the live one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ipa.policies import Applied, Configuration
from ipa.sim import stage_models
from ipa.sim.backend import SimulatedBackend
from ipa.studies import Scenario, simulate
from ipa.studies.pages import html_of, validation
from ipa.studies.validation import sentences
from ipa.studies.validation.experiment import RunLive
from ipa.studies.validation.overheads import measure_overheads
from ipa.studies.validation.run import conduct, in_world
from ipa.studies.validation.validation import Validation
from tests.studies.page_rules import check_page
from tests.studies.validation.worlds import BASE, OVERHEADS, changing_world, world

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_known_overheads_are_recovered(known: Validation) -> None:
    assert known.calibration.overheads.values() == OVERHEADS


def test_with_the_right_overheads_nothing_differs(known: Validation) -> None:
    for row in known.rows:
        nothing = pytest.approx((0.0, 0.0, 0.0), abs=1e-12)
        assert (row.error, row.open_loop_error, row.spread) == nothing, row.metric.key
    assert known.same_observations.percent == known.closed_loop.percent == 100.0
    assert set(known.replicas_alike_percent.values()) == {100.0}
    assert known.passed


def test_requests_that_come_late_are_simulated_to_come_so_late(tmp_path: Path) -> None:
    """30 ms move 3 % of the requests into the next second's count, and with them decisions; latencies count from when a
    request was due."""
    experiment, run_live = world(late_s=0.03, stop_s=0.0)
    found = conduct(experiment, run_live, tmp_path / "out", repeats=1)
    assert found.calibration.overheads.late_s == 0.03
    for row in found.rows:
        assert (row.error, row.open_loop_error) == pytest.approx((0.0, 0.0), abs=1e-9), row.metric.key
    assert found.closed_loop.percent == 100.0
    requests = found.simulated.tables["requests"]
    assert requests["arrival_s"].tolist() == simulate(experiment.compared).tables["requests"]["arrival_s"].tolist()
    assert found.simulated.summary["latency_mean_s"] == pytest.approx(requests["latency_s"].mean())


def test_a_batch_of_a_replica_that_nobody_saw_measures_nothing(known: Validation) -> None:
    tables = dict(known.calibration.tables)
    models = stage_models(known.prepared.pipeline, sampled=False)
    before = measure_overheads(tables, models, seed=1).dispatch_overhead_s
    tables["stages"] = tables["stages"].assign(
        replica=tables["stages"]["replica"].where(tables["stages"]["batch"] > 0, -1)
    )
    after = measure_overheads(tables, models, seed=1).dispatch_overhead_s
    assert (after.count, after.value_s) == (before.count - len(models), pytest.approx(before.value_s))


def test_batches_that_stall_do_not_lengthen_the_others(known: Validation) -> None:
    """One batch in fifty takes 0.5 s more; the machine's busiest moments are not what all batches are given."""
    tables = dict(known.calibration.tables)
    models = stage_models(known.prepared.pipeline, sampled=False)
    stages = tables["stages"]
    stalled = (stages["batch"] > 0) & (stages["batch"] % 50 == 0)
    tables["stages"] = stages.assign(finish_s=stages["finish_s"] + 0.5 * stalled)
    found = measure_overheads(tables, models, seed=1)
    batches = stages[stages["batch"] >= 0].drop_duplicates(["stage", "batch"])
    share = ((batches["batch"] > 0) & (batches["batch"] % 50 == 0)).mean()
    assert 0.01 < share < 0.03
    assert found.dispatch_overhead_s.value_s == found.dispatch_overhead_s.median_s == pytest.approx(0.004)


def test_batches_near_saturation_do_not_count_where_there_are_others(known: Validation) -> None:
    """From 20 s on most batches take so long that their stages are saturated: they are not asked."""
    tables = dict(known.calibration.tables)
    models = stage_models(known.prepared.pipeline, sampled=False)
    stages = tables["stages"]
    tables["stages"] = stages.assign(finish_s=stages["finish_s"] + 8.0 * (stages["start_s"] >= 20.0))
    found = measure_overheads(tables, models, seed=1).dispatch_overhead_s
    assert 0 < found.count < 0.9 * (stages["batch"] >= 0).sum()
    assert found.p99_s == pytest.approx(0.004)


def test_how_far_off_it_is_nearer_to_saturation_and_in_drops_is_said(tmp_path: Path) -> None:
    """Three cores for a load that needs more; what is compared takes 20 ms a batch more than what was measured."""
    base = BASE.with_values({"limit_cores": 3, "sla_s": 1.0})
    experiment, run_live = changing_world(base, dispatch_overhead_s=0.024)
    found = conduct(experiment, run_live, tmp_path / "out", repeats=1)
    live, simulated, open_loop = found.drops
    assert live > simulated > 0
    said = dict(sentences.beyond(found))
    assert said["Requests dropped in a run"] == f"live {live:.0f}, simulated {simulated:.0f} ({open_loop:.0f})"
    (errors,) = (text for name, text in said.items() if name.startswith("Errors above 85 % utilisation"))
    assert errors.endswith(f"{found.above.chosen.sum()} of 12 windows")
    assert all(title in errors for title in ("latency, mean", "latency, p99", "SLA violations", "drops"))
    assert found.as_dict()["drops"] == {"live": live, "simulated": simulated, "open_loop": open_loop}
    assert "Requests dropped in a run" in html_of(validation.page(found))


@pytest.mark.parametrize("told_s", [None, 0.5])
def test_a_policy_is_told_what_it_is_told_live_and_not_the_overheads_of_its_world(told_s: float | None) -> None:
    """Live, nobody knows how late decisions take effect, so `foresight` plans for none, or for what it was given."""
    given = {} if told_s is None else {"decision_delay_s": told_s}
    scenario = BASE.with_values({"policy": {"name": "foresight", **given}, "interval_s": 5.0})
    found = in_world(scenario, SimpleNamespace(values=lambda: OVERHEADS))  # type: ignore[arg-type]
    told = {"interval_s": 5.0, "decision_delay_s": 0.0, "dispatch": "central", **given}
    assert (found.decision_delay_s, found.policy.parameters) == (0.05, told)
    assert in_world(BASE, SimpleNamespace(values=dict)) == BASE  # type: ignore[arg-type]


def test_something_happened_in_what_was_compared(known: Validation) -> None:
    changes = known.simulated.tables["replicas"].query("created_s > 0")
    assert len(changes) >= 3
    assert known.judged.chosen.sum() >= 6
    assert known.closed_loop.total == 2 * 11


def test_sampled_service_times_leave_next_to_no_error(tmp_path: Path) -> None:
    """An overhead is part of what is sampled, so that its mean over some thousand batches is not quite its own."""
    experiment, run_live = world(BASE.with_values({"service_times": "lognormal"}))
    found = conduct(experiment, run_live, tmp_path / "out", repeats=1)
    assert found.calibration.overheads.dispatch_overhead_s.value_s == pytest.approx(0.004, rel=0.05)
    assert found.passed
    assert max(abs(row.error) for row in found.rows if row.metric.tolerance is not None) < 0.01


def test_a_wrong_overhead_is_found_out(tmp_path: Path) -> None:
    """What is compared has 40 ms a batch more than where the overheads were measured: the queues say so."""
    experiment, run_live = changing_world(dispatch_overhead_s=0.044)
    found = conduct(experiment, run_live, tmp_path / "out", repeats=2)
    off = {row.metric.key for row in found.rows if row.passed is False}
    assert "latency_mean_s" in off
    assert not found.passed
    assert found.repeats[0].overheads.dispatch_overhead_s.value_s == pytest.approx(0.044)


def test_a_slower_start_up_is_found_out(tmp_path: Path) -> None:
    experiment, run_live = changing_world(start_up_extra_s=9.0)
    found = conduct(experiment, run_live, tmp_path / "out", repeats=1)
    assert max(found.replicas_alike_percent.values()) < 95.0


def test_the_live_decisions_tell_decisions_from_queues(tmp_path: Path) -> None:
    """The live world decides by another policy: in closed loop all is off, with its decisions nothing is."""
    experiment, run_live = world(policy={"name": "ipa", "load_margin": 2.0}, stop_s=0.0)
    found = conduct(experiment, run_live, tmp_path / "out", repeats=1)
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
    experiment, run_live = world()
    found = conduct(experiment, refusing(monkeypatch, run_live), tmp_path / "out", repeats=2)
    assert found.calibration.overheads.values() == OVERHEADS  # no delay is measured from what was refused
    assert max(abs(row.open_loop_error) for row in found.rows) < 1e-12
    assert (found.same_observations.equal, found.same_observations.total) == (24, 24)
    assert found.closed_loop.equal <= found.closed_loop.total - 2 * len(REFUSED)
    assert found.refused == 2 * len(REFUSED)
    assert found.as_dict()["decisions"]["refused"] == {"count": 8, "total": 24}
    assert [repeat["decisions_refused"] for repeat in found.as_dict()["repeats"]] == [4, 4]
    assert ("Live decisions that were refused", "8 of 24") in sentences.decisions(found)
    assert "live-2: 4 decisions were refused, and what stood stayed in force" in found.flags
    html = html_of(validation.page(found))
    assert "Live decisions that were refused: 8 of 24<" in html
    check_page(html)


def test_an_overhead_below_zero_has_a_true_minus_on_the_page(known: Validation) -> None:
    """Servers may start faster than their profile says."""
    overheads = known.calibration.overheads
    early = replace(overheads.start_up_extra_s, value_s=-0.5, median_s=-0.5, p99_s=-0.5)
    calibration = replace(known.calibration, overheads=replace(overheads, start_up_extra_s=early))
    html = html_of(validation.page(replace(known, calibration=calibration)))
    assert "−500.00 ms (median −500.00" in html
    check_page(html)
