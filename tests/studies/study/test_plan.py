"""A study file: what is run of it, and how mistakes in it are answered."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ipa import profiles
from ipa.studies import ScenarioError, read_comparison, simulate
from ipa.studies import load as load_scenario
from ipa.studies.many.study import plan, prepare, schema
from ipa.studies.many.study.plan import trials
from tests.command import refusal
from tests.studies.study.mine import changed, study

pytest.importorskip("plotly")

pytestmark = pytest.mark.usefixtures("here")


def test_a_runs_scenario_is_setting_then_system_then_parameters_then_sweep() -> None:
    found = trials(schema.load(Path("study.yaml")), 1)
    by_name = {(t.setting, t.workload, t.system, t.point): t.scenario for t in found}
    # 2 workloads x (3 systems + 2 points in the first setting, 2 systems in the other).
    assert len(found) == len(by_name) == 2 * (3 + 2 + 2)
    low, high = (by_name["slow", f"constant:{rate}:40", "ipa", ""] for rate in (5, 9))
    assert (low.decision_delay_s, low.hop_s, low.policy.parameters) == (5.0, 0.1, {"beta": 0.5})
    assert high.policy.parameters == {"beta": 0.25}
    point = by_name["plain", "constant:9:40", "weights", "alpha=10"]
    assert point.policy.parameters == {"beta": 0.25, "gamma": 0, "alpha": 10}
    assert point.decision_delay_s == 0.0
    assert by_name["plain", "constant:5:40", "two", ""].hop_s == 0.0


def test_named_points_are_run_under_their_names() -> None:
    changed("vary: {policy.alpha: [1, 10]}", "points: {sparing: {policy.beta: 2}, as it is: {}}")
    found = trials(schema.load(Path("study.yaml")), 1)
    of = {
        t.point: t.scenario.policy.parameters for t in found if (t.system, t.workload) == ("weights", "constant:5:40")
    }
    assert of == {"sparing": {"beta": 2, "gamma": 0}, "as it is": {"beta": 0.5, "gamma": 0}}


def test_a_run_of_a_study_is_the_run_of_its_scenario(here: Path) -> None:
    study("--seeds", 1)
    runs = pd.read_parquet("out/runs.parquet")
    row = runs[(runs.system == "ipa") & (runs.setting == "slow") & (runs.workload == "constant:9:40")].iloc[0]
    (here / "same.yaml").write_text(
        "schema_version: 1\nkind: scenario\npipeline: mine.yaml\ntrace: constant:9:40\ndecision_delay_s: 5\n"
        "hop_s: 0.1\npolicy: {name: ipa, beta: 0.25}\n"
    )
    summary = simulate(load_scenario(here / "same.yaml")).summary
    for key in ("requests", "cost_mean_cores", "pas_mean", "latency_p99_s", "planned_cost_mean_cores"):
        assert row[key] == summary[key]


def test_a_base_is_joined_in_and_given_way_to(here: Path) -> None:
    (here / "mine2.yaml").write_text(
        "schema_version: 1\nkind: study\nbase: study.yaml\nworkloads: [constant:5:20]\n"
        "systems: {one: {policy: static}, three: {policy: rate}}\n"
    )
    joined = schema.load(here / "mine2.yaml")
    assert list(joined.systems) == ["ipa", "one", "two", "three"]
    assert (joined.systems["one"].policy, joined.workloads, joined.seeds) == ("static", ("constant:5:20",), 2)


def test_a_shipped_study_may_be_the_base(here: Path) -> None:
    (here / "mine2.yaml").write_text(
        "schema_version: 1\nkind: study\nbase: paper/video.yaml\nworkloads: [bursty]\n"
        "systems: {mine: {policy: static}}\n"
    )
    joined = schema.load(here / "mine2.yaml")
    assert (joined.pipeline, next(iter(joined.systems)), list(joined.systems)[-1]) == ("video", "ipa", "mine")
    assert [path.name for path in joined.files] == ["common.yaml", "video.yaml", "mine2.yaml"]


def test_all_combinations_of_variants() -> None:
    changed("{policy.alpha: [1, 10]}", "{policy.variants: all}")
    text = Path("study.yaml").read_text().replace("policy.gamma: 0", "policy: scale-only, hop_s: 0")
    joined = text.replace("{systems: [ipa], set: {policy.beta: 0.5, hop_s: 0.1}}", "{systems: [ipa], set: {}}")
    Path("study.yaml").write_text(joined.replace("set: {policy.beta: 0.25}", "set: {}"))
    two_stages = profiles.load("video")
    sweep = schema.load(Path("study.yaml")).sweeps["weights"]
    found = plan.points(schema.load(Path("study.yaml")), sweep, two_stages)
    assert len(found) == 25
    assert found[1][0] == "variants=yolov5n,resnet34"
    assert found[1][1]["policy.variants"] == {"object-detection": "yolov5n", "image-classification": "resnet34"}


def test_a_study_on_an_own_log_says_so_and_one_on_named_loads_that_they_are_synthetic(here: Path) -> None:
    assert prepare("study.yaml", (), None).loads == "synthetic loads"
    (here / "load.csv").write_text("second,count\n0,5\n1,5\n")
    changed('workloads: ["constant:5:40", "constant:9:40"]', 'workloads: ["load.csv", "constant:9:40"]')
    assert prepare("study.yaml", (), None).loads == "load.csv, synthetic loads"


def test_a_title_may_be_a_number() -> None:
    changed("title: mine\n", "title: 2000\n")
    assert schema.load(Path("study.yaml")).title == "2000"


def test_a_studys_folder_is_no_run_and_no_comparison() -> None:
    study("--seeds", 1)
    with pytest.raises(ScenarioError, match=r"holds a study, whose report is out/report\.html"):
        read_comparison("out")
    assert "already holds results" in refusal("compare", "video", "--out", "out")
