"""Studies: a file of systems, loads and sweeps; what is run of it, what is kept, and what is said of it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ipa import profiles
from ipa.profiles.yaml_file import read
from ipa.sim.sources import digest
from ipa.sim.totals import violated_seconds
from ipa.studies import Scenario, source
from ipa.studies import load as load_scenario
from ipa.studies.run import simulate
from ipa.studies.study import conduct, headline, plan, published, published_file, schema
from ipa.studies.study.findings import Cell
from ipa.studies.study.outcome import TIMELINE, Outcome, latency_edges_s, outcome_of
from ipa.studies.study.plan import trials
from ipa.studies.study.published import Compared
from ipa.studies.study.published_file import Figures
from ipa.studies.study.report import figure, timelines
from ipa.studies.study.sheets.headline import of_sweep
from tests.command import PIPELINE, POLICIES, contents, ipa, refusal, start
from tests.test_docs import named, table_rows

pytest.importorskip("plotly")

STUDY = """\
schema_version: 1
kind: study
title: mine
pipeline: mine.yaml
workloads: ["constant:5:40", "constant:9:40"]
seeds: 2
settings:
  plain: {title: plain}
  slow: {title: slow decisions, like: plain, systems: [ipa, one], set: {decision_delay_s: 5}}
systems:
  ipa: {title: IPA, policy: ipa}
  one: {policy: "switch-only:1"}
  two: {policy: "switch-only:2"}
parameters:
  - {systems: [ipa], set: {policy.beta: 0.5, hop_s: 0.1}}
  - {systems: [ipa], workloads: ["constant:9:40"], set: {policy.beta: 0.25}}
sweeps:
  weights: {title: other weights, of: ipa, set: {policy.gamma: 0}, vary: {policy.alpha: [1, 10]}}
headline: {curve: weights, gain_over: [one], saving_over: [two]}
"""
"""A user's study beside the pipeline file `mine.yaml`."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study and its pipeline, and no real trace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IPA_TRACE", raising=False)
    (tmp_path / "mine.yaml").write_text(PIPELINE)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def changed(old: str, new: str) -> None:
    """The study with a part of its text replaced."""
    assert STUDY.count(old) == 1, old
    Path("study.yaml").write_text(STUDY.replace(old, new))


def study(*options: object, folder: str = "out") -> Any:
    """What `ipa study` prints as JSON."""
    result = ipa("study", "study.yaml", "--out", folder, "--jobs", 1, "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def fresh(folder: str = "out") -> int:
    """How many runs the last command ran."""
    number = json.loads(Path(folder, "manifest.json").read_text())["fresh_runs"]
    assert isinstance(number, int)
    return number


# ---- what is run ----


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


# ---- what is kept ----


def test_what_is_there_is_not_run_again_and_what_changed_is() -> None:
    """28 runs; the second time none; a third seed 14 more; another beta for the second workload only its runs."""
    study()
    assert fresh() == 28
    before = contents(Path("out"))
    study()
    assert fresh() == 0
    study("--seeds", 3)
    assert fresh() == 14
    changed("policy.beta: 0.25", "policy.beta: 0.75")
    study()
    assert fresh() == 2 * (2 + 2)  # ipa in two settings, and its sweep's two points; two seeds each
    Path("study.yaml").write_text(STUDY)
    study()
    assert fresh() == 0
    for name, content in contents(Path("out")).items():
        if name.endswith(".parquet"):
            assert content == before[name], name


def test_runs_that_were_there_are_told_from_those_that_share_one() -> None:
    """`three` is `one` under another name: its four runs, of two loads with two seeds, are those of `one`."""
    changed(
        '  two: {policy: "switch-only:2"}\n', '  two: {policy: "switch-only:2"}\n  three: {policy: "switch-only:1"}\n'
    )
    command = ("study", "study.yaml", "--out", "out", "--jobs", 1)
    said = ipa(*command).stderr
    assert re.fullmatch(r"28 runs in [\d.]+ s; 4 share the run of another\n", said), said
    said = ipa(*command).stderr
    assert re.fullmatch(r"0 runs in [\d.]+ s; 32 were there\n", said), said


def test_another_pipeline_under_the_same_name_is_run(here: Path) -> None:
    study("--seeds", 1)
    (here / "mine.yaml").write_text(PIPELINE.replace("mean_s: 0.1,", "mean_s: 0.09,"))
    study("--seeds", 1)
    assert fresh() == 14


def test_what_other_source_has_run_is_run_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the same version: a policy's rule may have changed, and nothing tells which runs it decides."""
    study("--seeds", 1)
    assert json.loads(Path("out/manifest.json").read_text())["versions"]["source"] == source.source_digest()
    monkeypatch.setattr("ipa.studies.results.source_digest", lambda: "other")
    study("--seeds", 1)
    assert fresh() == 14
    study("--seeds", 1)
    assert fresh() == 0


def test_the_digest_of_the_source_is_of_what_decides_results_wherever_it_lies(here: Path) -> None:
    root = Path(source.__file__).parents[1]
    for layer in (*source.LAYERS, "studies"):
        shutil.copytree(root / layer, here / layer, ignore=shutil.ignore_patterns("__pycache__"))
    assert digest(here, source.files(here)) == source.source_digest()
    for name, decides in (
        *(
            ("sim/rules.py", True),
            ("sim/compiled/kernel.py", True),
            ("policies/ipa.py", True),
            ("studies/run.py", True),
        ),
        *(("studies/commands/printing.py", False), ("studies/study/report/page.py", False)),
    ):
        text = (here / name).read_text()
        (here / name).write_text(f"{text}\n")
        assert (digest(here, source.files(here)) != source.source_digest()) == decides, name
        (here / name).write_text(text)


def test_the_tables_are_the_same_bytes_whatever_the_jobs(here: Path) -> None:
    process = start("study", "study.yaml", "--out", "jobs2", "--jobs", 2, "--json")
    alone = ipa("study", "study.yaml", "--out", "jobs1", "--jobs", 1, "--json")
    output, errors = process.communicate(timeout=100)
    assert (alone.exit_code, process.returncode) == (0, 0), errors
    assert json.loads(alone.stdout)["runs"] == json.loads(output)["runs"] == 28
    one, two = (
        {name: content for name, content in contents(here / f"jobs{jobs}").items() if name.endswith(".parquet")}
        for jobs in (1, 2)
    )
    assert len(one) == 6
    assert one == two


WAITS = (
    POLICIES
    + '''
import time
from pathlib import Path


class Waits(Hold):
    """Holds up the third seed until the file `go` is there."""

    def decide(self, observation, memory):
        if observation.seed == 9 and not Path("go").exists():
            Path("waiting").touch()
            while not Path("go").exists():
                time.sleep(0.01)
        return super().decide(observation, memory)
'''
)


def test_an_interrupted_study_goes_on_where_it_was(here: Path) -> None:
    """One system, 16 seeds in chunks of 8: the interrupt comes in the ninth, of the second chunk."""
    (here / "my.py").write_text(WAITS)
    (here / "study.yaml").write_text(
        "schema_version: 1\nkind: study\npipeline: video\nworkloads: [constant:5:30]\nseeds: 16\n"
        "systems: {waits: {policy: 'my.py:Waits', set: {engine: simpy}}}\n"
    )
    process = start("study", "study.yaml", "--out", "out", "--jobs", 1, "-q")
    until = time.monotonic() + 60
    while not (here / "waiting").exists():
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, "")
    assert errors == "Error: interrupted: what is finished stands in out; the same command goes on with the rest\n"
    assert json.loads((here / "out" / "manifest.json").read_text())["finished"] is False
    (here / "go").touch()
    assert "8 runs in " in ipa("study", "study.yaml", "--out", "out", "--jobs", 1).stderr
    assert fresh() == 8


# ---- mistakes ----


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("policy: ipa}", "policy: ipo}", "study.yaml:11: systems.ipa: ipa, plain, constant:5:40: unknown policy 'ipo'"),
        ("[ipa, one]", "[ipa, onne]", "study.yaml:9: settings.slow: systems: there is no 'onne'; did you mean 'one'?"),
        ("like: plain", "like: plane", "study.yaml:9: settings.slow: like: there is no 'plane'; did you mean 'plain'?"),
        ("of: ipa", "of: ippa", "study.yaml:18: sweeps.weights: of: there is no 'ippa'"),
        ("curve: weights", "curve: wights", "study.yaml:19: headline: curve: there is no 'wights'"),
        (
            "{policy.alpha: [1, 10]}",
            "{policy.alpha: all}",
            "study.yaml:18: sweeps.weights: vary policy.alpha: `all`",
        ),
        ("{policy.alpha: [1, 10]}", "{policy.alpha: []}", "study.yaml:18: sweeps.weights.vary.policy.alpha: should"),
        ("policy.beta: 0.25", "policy.betta: 0.25", "study.yaml:16: parameters[1]: ipa, plain, constant:9:40:"),
        ("hop_s: 0.1", "hop_s: -1", "study.yaml:15: parameters[0]: ipa, plain, constant:5:40: hop_s: should be"),
        (
            "hop_s: 0.1",
            "records: none",
            "study.yaml:15: parameters[0]: ipa, plain, constant:5:40: records: a study needs",
        ),
        (
            "hop_s: 0.1",
            "seed: 3",
            "study.yaml:15: parameters[0]: set: seed is not for a run to choose, the study has it",
        ),
        ("hop_s: 0.1", "drop_limits_s: {sart: 1}", "study.yaml:15: parameters[0]: ipa, plain, constant:5:40: drop_lim"),
        ("seeds: 2", "seed: 2", "study.yaml:6: seed: there is no such key here; did you mean 'seeds'?"),
        ("pipeline: mine.yaml", "pipeline: vidio", "study.yaml:4: pipeline: no pipeline is called 'vidio'"),
        ('["constant:5:40"', '["constnt:5:40"', "study.yaml:5: workloads: unknown trace 'constnt:5:40'"),
        ("title: mine\n", "title: mine\nbase: other.yaml\n", "study.yaml:4: base: other.yaml: no such file"),
        ("title: mine\n", "title: mine\nbase: study.yaml\n", "study.yaml:4: base: study.yaml: a study cannot be its"),
        ("title: mine\n", "title: mine\npublished: p.yaml\n", "study.yaml:4: published: p.yaml: no such file"),
    ],
)
def test_a_mistake_is_answered_by_line(old: str, new: str, text: str) -> None:
    changed(old, new)
    said = refusal("study", "study.yaml", "--out", "out")
    assert said.startswith(text), said


def test_what_a_command_names_has_to_be_there(here: Path) -> None:
    assert refusal("study", "papper", "--out", "out").startswith("no study is called 'papper'; shipped: paper; or give")
    said = refusal("study", "paper", "--pipeline", "vidio", "--out", "out")
    assert said.startswith("--pipeline vidio: there is none of this name; did you mean 'video'?")
    assert refusal("study", "other.yaml", "--out", "out").startswith("other.yaml: cannot be read: No such file")
    (here / "other").mkdir()
    (here / "other" / "file").touch()
    assert "holds other files" in refusal("study", "study.yaml", "--out", "other")
    assert ipa("simulate", "video", "--trace", "constant:5:30", "--out", "run").exit_code == 0
    assert "holds results already" in refusal("study", "study.yaml", "--out", "run")


def test_a_studys_folder_is_no_run_and_no_comparison() -> None:
    study("--seeds", 1)
    assert "holds a study, whose report is out/report.html" in refusal("report", "out")
    assert "holds results already" in refusal("compare", "video", "--out", "out")


# ---- what is measured ----


def test_a_second_counts_when_more_than_one_percent_of_its_requests_are_late() -> None:
    """Of 0, 1, 3, 100 and 200 requests: none; one late; none late; one late of 100 (its p99 is the 99th); 3 of 200."""
    arrived, in_time = np.array([0, 1, 3, 100, 200]), np.array([0, 0, 3, 99, 197])
    assert violated_seconds(arrived, in_time) == 2


def test_a_timeline_adds_up_to_the_summary() -> None:
    scenario = trials(schema.load(Path("study.yaml")), 1)[0].scenario.with_values(
        {"trace": "constant:30:43", "policy": "switch-only:2", "hop_s": 0.0, "records": "all"}
    )
    outcome = outcome_of(simulate(scenario))
    line = dict(zip(TIMELINE, outcome.timeline, strict=True))
    summary = outcome.summary
    widths_s = np.diff([*line["time_s"], 43.0])
    assert line["requests"].sum() == summary["requests"] == 43 * 30
    assert line["violations"].sum() == pytest.approx(summary["sla_violation_rate"] * summary["requests"])
    assert 0 < line["violated_seconds"].sum() == round(summary["sla_violation_seconds_rate"] * 43)
    for column, key in (("planned_cost_cores", "planned_cost_mean_cores"), ("cost_cores", "cost_mean_cores")):
        assert np.sum(line[column] * widths_s) / 43.0 == pytest.approx(summary[key])
    assert np.sum(line["planned_pas"] * widths_s) / 43.0 == pytest.approx(summary["planned_pas_mean"])
    assert outcome.latencies.sum() == summary["completed"]
    edges_s = latency_edges_s()
    median_bin = int(np.searchsorted(np.cumsum(outcome.latencies), summary["completed"] / 2))
    assert edges_s[median_bin - 1] <= summary["latency_p50_s"] <= edges_s[median_bin]
    assert sum(each.share for each in outcome.configurations) == pytest.approx(1.0)


# ---- what is said ----


def cell(system: str, point: str = "", **figures: tuple[float, float]) -> Cell:
    """A made-up cell of two seeds; figures: cost, pas, and the share of violations."""
    names = {
        "cost": "cost_mean_cores",
        "pas": "pas_mean",
        "late": "sla_violation_rate",
        "infeasible": "infeasible_decisions",
        "decisions": "decisions",
    }
    nothing = dict.fromkeys(("cost", "pas", "late"), (0.0, 0.0))
    outcomes = {}
    for seed in (1, 2):
        summary = {names[name]: values[seed - 1] for name, values in (nothing | figures).items()}
        planned = {f"planned_{key}": summary[key] for key in ("cost_mean_cores", "pas_mean")}
        outcomes[seed] = Outcome({**summary, **planned}, np.empty((0, 0)), np.empty(0, np.int64), [])
    return Cell("mine", "plain", "load", system, point, Scenario(pipeline="video", trace="load"), outcomes)


CURVE = [
    cell("ipa", "a", cost=(10.0, 10.0), pas=(40.0, 40.0)),
    cell("ipa", "b", cost=(10.2, 10.4), pas=(41.0, 43.0)),
    cell("ipa", "worse", cost=(10.4, 10.4), pas=(39.0, 39.0)),
    cell("ipa", "c", cost=(20.0, 20.0), pas=(50.0, 50.0)),
]


def test_at_equal_cost_stands_the_most_accurate_point_within_five_percent() -> None:
    other = cell("low", cost=(10.0, 10.0), pas=(40.0, 41.0), late=(0.1, 0.1))
    found = headline.match(CURVE, other, "low", "measured", "cost")
    assert found.comparison is not None
    assert (found.comparison.one.point, found.is_mixed) == ("b", False)
    assert found.pas_points is not None
    assert found.pas_points.mean == 1.5  # seed by seed 1 and 2
    assert found.comparison.shown.startswith(
        "+1.5 [−4.9, 7.9] PAS at +3.0 [−9.7, 15.7] % cost and −10.0 [−10.0, −10.0]"
    )


def test_where_no_point_is_near_the_two_next_to_it_are_mixed() -> None:
    """Cost 15.15 is half way from b (10.3) to c (20.0): PAS half way from 42 to 50."""
    other = cell("low", cost=(15.15, 15.15), pas=(45.0, 45.0))
    found = headline.match(CURVE, other, "low", "measured", "cost")
    assert found.is_mixed
    assert found.pas_points is not None
    assert found.pas_points.mean == pytest.approx(1.0)
    assert found.cost_percent is not None
    assert found.cost_percent.mean == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("at", "cost", "pas", "point"),
    [
        ("cost", 9.0, 30.0, None),
        ("cost", 30.0, 30.0, "c"),
        ("accuracy", 30.0, 42.3, "b"),
        ("accuracy", 30.0, 30.0, "a"),
        ("accuracy", 30.0, 51.0, None),
    ],
)
def test_beyond_the_curve(at: str, cost: float, pas: float, point: str | None) -> None:
    """Cheaper than all of it: none. Dearer: its most accurate. Less accurate: its cheapest. More accurate: none."""
    other = cell("low", cost=(cost, cost), pas=(pas, pas))
    found = headline.match(CURVE, other, "low", "measured", at)
    assert (found.comparison.one.point if found.comparison else None) == point


def test_points_that_hardly_serve_are_no_saving() -> None:
    """By hand, at equal accuracy, against PAS 42 (b: 10.3 cores, no violations) and 50 (c: 20 cores).

    `idle` is the cheapest of PAS 42, with 90 % violations: left out, so that it does not better `busy`. `late` has 5
    percentage points more than b, which is the limit, and costs more than `busy` at less accuracy.
    """
    others = [
        cell("rim", "idle", cost=(2.0, 2.0), pas=(42.0, 42.0), late=(0.9, 0.9)),
        cell("rim", "busy", cost=(20.6, 20.6), pas=(42.0, 42.0), late=(0.03, 0.03)),
        cell("rim", "late", cost=(21.0, 21.0), pas=(41.9, 41.9), late=(0.05, 0.05)),
        cell("rim", "best", cost=(40.0, 40.0), pas=(50.0, 50.0)),
    ]
    found = list(headline.against(CURVE, others, "other replicas", "measured", "accuracy"))
    assert [(match.other.point, match.is_left_out) for match in found] == [
        ("busy", False),
        ("best", False),
        ("idle", True),
    ]
    # b against busy -49.5 and -50.5 ... -50 %; c against best -50 %; violations -3 and 0.
    assert of_sweep(found) == "−50.0 % cost (−50.0 to −50.0, violations −1.5), 2 of 2 points, 1 left out"
    assert of_sweep(found[2:]) == "none, 0 of 0 points, 1 left out"
    far = cell("rim", "far", cost=(40.0, 40.0), pas=(45.0, 45.0))
    (mixed,) = headline.against(CURVE, [far], "other replicas", "measured", "accuracy")
    assert of_sweep([mixed]).startswith("≈ −65.2 % cost (violations 0.0), 1 of 1 points")


def compared(system: str, published_figures: tuple[float, float], ours: tuple[float, float]) -> Compared:
    one, other = (Figures(cores=cores, pas=pas) for cores, pas in (published_figures, ours))
    return Compared("mine", "plain", "load", system, one, other)


def test_the_score_by_hand() -> None:
    """Costs 10 and 10.1 are tied, so may swap; PAS 40 and 41 are not, and swap."""
    row = [compared("a", (10.0, 40.0), (11.0, 40.5)), compared("b", (10.1, 41.0), (10.1, 40.5))]
    assert published.out_of_order(row) == [("PAS", "a", "b")]
    found = published.score(row)
    assert found is not None
    assert (found.cells, found.rows, found.rows_in_order) == (2, 1, 0)
    assert found.cost_error == pytest.approx(0.05)
    assert found.pas_error == pytest.approx(0.5)


def test_the_share_of_infeasible_decisions_stands_beside_the_means() -> None:
    """34 and 35 of 120 decisions are 28.75 % on average."""
    rim = cell("rim", infeasible=(34, 35), decisions=(120, 120))
    assert rim.mean("infeasible_share", 100.0) == 28.75
    study()
    text = Path("out/tables.md").read_text()
    assert text.count("| changes | infeasible, % |") == 3  # all workloads together, and each in both settings


def test_a_setting_without_sweeps_says_so_in_the_report() -> None:
    changed("systems: [ipa, one], set: {decision", "set: {decision")
    study("--seeds", 1)
    page = Path("out/report.html").read_text()
    assert page.count("The sweeps are run in plain alone.") == 2
    assert (
        '<div data-setting="slow">\n<p class="muted">The sweeps are run in plain alone. So there is no headline' in page
    )


def test_the_terminals_headline_explains_no_more_than_it_has() -> None:
    result = ipa("study", "study.yaml", "--out", "out", "--jobs", 1, "--seeds", 1)
    assert "At another's cost" in result.output
    assert not re.search("round brackets|sweep", result.output.lower())


def test_one_seed_has_no_interval_and_says_so() -> None:
    said = study("--seeds", 1)
    assert {each["sentence"].count("[") for each in said["comparisons"]} == {0}
    assert "IPA against one on mine constant:5:40: " in said["comparisons"][0]["sentence"]
    assert "One seed, so no intervals." in Path("out/tables.md").read_text()
    two = study("--seeds", 2, folder="two")
    assert {each["sentence"].count("[") for each in two["comparisons"]} == {3}


def test_the_report_needs_nothing_else_and_has_every_system() -> None:
    study("--seeds", 1)
    page = Path("out/report.html").read_text()
    assert "src=" not in page.split("</script>", 1)[1]
    for what in ("mine-means-plain", "mine-timeline-plain-constant:9:40", "mine-plane-plain", "mine-latencies-plain"):
        spec = page.split(f'id="{what}-spec">', 1)[1].split("</script>", 1)[0]
        names = {trace.get("name") for trace in json.loads(spec)["data"]}
        assert {"IPA", "one"} <= names
    assert "Red diamonds" not in page  # nothing is published of it
    assert Path("out/report.html").stat().st_size < 10e6


def figures(page: str) -> dict[str, Any]:
    """The specifications of a page's figures, by name."""
    found = re.findall(r'<script type="application/json" id="([^"]+)-spec">(.*?)</script>', page)
    return {name: json.loads(spec) for name, spec in found}


def test_a_print_without_colour_tells_systems_and_sweeps_apart() -> None:
    assert len(set(figure.DASHES)) == len(set(figure.SYMBOLS)) == len(figure.COLOURS)
    changed("headline:", "  others: {title: gamma varied, of: ipa, vary: {policy.gamma: [1, 2]}}\nheadline:")
    study("--seeds", 1)
    shown = figures(Path("out/report.html").read_text())
    marks = [
        (trace["name"], trace["marker"]["symbol"])
        for trace in shown["mine-plane-plain"]["data"]
        if trace["mode"] == "markers" and trace["showlegend"]
    ]
    assert marks == [
        ("other weights", "x-thin"),
        ("gamma varied", "cross-thin"),
        ("IPA", "circle"),
        ("one", "square"),
        ("two", "triangle-up"),
    ]
    (sla,) = {shape["line"].get("dash") for shape in shown["mine-latencies-plain"]["layout"]["shapes"]}
    assert sla is None  # of the lines there only the first system's is solid
    labels = [note["text"] for note in shown["mine-latencies-plain"]["layout"]["annotations"]]
    assert sum(text.startswith("SLA ") for text in labels) == 2  # one a workload
    titles = [note["text"] for note in shown["loads"]["layout"]["annotations"]]
    assert titles == ["<b>constant:5:40</b>", "<b>constant:9:40</b>"]


def test_a_single_spike_does_not_flatten_the_cost_over_time() -> None:
    """100 steps of 10 cores with one of 500: the axis ends at 11. Of 10 and 14 all is shown."""

    def cells(*costs: float) -> list[Cell]:
        timeline = np.zeros((len(TIMELINE), len(costs)))
        timeline[TIMELINE.index("planned_cost_cores")] = costs
        spiky = cell("rim")
        return [replace(spiky, outcomes={1: replace(spiky.outcomes[1], timeline=timeline)})]

    assert timelines.cost_shown_to(cells(500.0, *[10.0] * 199), 1) == 11
    assert timelines.cost_shown_to(cells(*[10.0] * 150, *[14.0] * 50), 1) is None


def test_violations_over_time_are_of_the_requests_that_arrived() -> None:
    """3 of 4, none of 2, and of none nothing is said."""
    timeline = np.zeros((len(TIMELINE), 3))
    timeline[TIMELINE.index("requests")], timeline[TIMELINE.index("violations")] = (4, 2, 0), (3, 0, 0)
    assert timelines.shown_values(timeline, "violations").tolist()[:2] == [75.0, 0.0]
    assert np.isnan(timelines.shown_values(timeline, "violations")[2])


PUBLISHED = """\
schema_version: 1
kind: published
source: a paper of mine
fitted_on: {mine: {"constant:5:40": [two]}}
loads: {"constant:5:40": {requests: 190, mean_rps: 4.75, least_rps: 5, most_rps: 6}}
cells:
  mine: {"constant:5:40": {one: {cores: 1, pas: 80}, two: {cores: 4, pas: 80}}}
decision_times: [{variants: [3, 2], seconds: 1, how: published}]
"""


def test_figures_of_ones_own_stand_beside_and_every_file_is_documented(here: Path) -> None:
    """One core for one replica, as published; two for two where four are published: 0 and 50 % off, 25 % on average."""
    (here / "paper.yaml").write_text(PUBLISHED)
    changed("title: mine\n", "title: mine\npublished: paper.yaml\n")
    said = study("--seeds", 1)["scores"]["plain"]
    assert said["all"] == {"cells": 2, "cost_error": 0.25, "pas_error": 0.0, "rows": 1, "rows_in_order": 1}
    assert (said["calibrated"], said["test"]) == (None, said["all"])
    assert said["test_unfitted"] == {"cells": 1, "cost_error": 0.0, "pas_error": 0.0, "rows": 1, "rows_in_order": 1}
    table = pd.read_parquet("out/published.parquet")
    assert table[table.setting == "plain"]["cost_error"].tolist() == [0.0, -0.5]
    text, page = Path("out/tables.md").read_text(), Path("out/report.html").read_text()
    assert "| 2 | 3 + 2 | not said, 7 | 1000 ms (published) |" in Path("out/decision_times.md").read_text()
    assert "| constant:5:40 | 190 | 200 | +10 | 4.8 | 5.0 | +0.2 | 5 to 6 | 5 to 5 | 0, −1 |" in text
    assert "Load patterns, published and ours" in page
    means, plane = (figures(page)[f"mine-{name}-plain"]["data"] for name in ("means", "plane"))
    assert [trace["y"] for trace in means if trace["name"] == "published"] == [[1.0, 4.0], [80.0, 80.0]]
    # What is published is planned: so stands beside it what was planned here.
    beside = [(trace["name"], trace["x"]) for trace in plane if trace["name"].endswith(("planned", "(planned)"))]
    assert beside == [
        (name, [x])
        for x, y in ((1.0, 1.0), (4.0, 2.0))
        for name, x in (("published (planned)", x), ("ours, planned", y))
    ]
    study("--seeds", 1, folder="again")
    assert Path("again/tables.md").read_text() == text  # no time stands in it
    documented = {named(row[0]): row[2] for row in table_rows("studies.md", "The folder", "| file |")}
    assert set(documented) == set(contents(Path("out")))
    names = {"pipeline", "setting", "workload", "system", "point", "seed"}
    names |= set(re.findall(r"`(\w+)`", documented["comparisons.parquet"]))  # the same differences in the headline
    for file, columns in documented.items():
        if file.endswith(".parquet") and file != "runs.parquet":
            given = {re.sub("_(low|high)$", "", column) for column in pd.read_parquet(Path("out") / file).columns}
            assert given - names <= set(re.findall(r"`(\w+)`", columns)), file


# ---- the paper's study ----


@pytest.mark.parametrize("name", conduct.shipped())
def test_every_shipped_study_can_be_run(name: str) -> None:
    wanted = conduct.prepare("paper", [name], None)
    ((found, runs),) = wanted.studies
    assert wanted.seeds == 5
    assert len(found.systems) == 9
    settings = {(run.setting, run.system) for run in runs if not run.point}
    assert len(settings) == 9 + 9 + 4
    for run in runs:
        defect = run.scenario.policy.parameters.get("published_queue_defect", False)
        assert defect == (run.setting == "queue-term")
        # What is in force is what the pipeline publishes, but for the second parameter sets and the sweeps.
        own = profiles.load(run.pipeline).published
        given = run.scenario.policy.parameters
        if run.system in ("ipa", "rim") and run.workload == "steady-high":
            for key in ("alpha", "beta", "accuracy_scale", "batch_cap", "throughput_share", "load_margin"):
                assert given[key] == getattr(own, key)


def test_the_second_parameter_sets_of_the_publication() -> None:
    _, runs = conduct.prepare("paper", ["audio-qa"], 1).studies[0]
    of = {(run.workload, run.system): run.scenario for run in runs if run.setting == "published" and not run.point}
    assert [of[load, "ipa"].policy.parameters["alpha"] for load in ("bursty", "steady-low")] == [20, 10]
    assert [of[load, "rim"].policy.parameters["beta"] for load in ("fluctuating", "steady-high")] == [0.1, 0.5]
    assert list(of["steady-low", "rim"].policy.parameters["replicas"].values()) == [20, 5]
    start_replicas = {stage: each.replicas for stage, each in (of["bursty", "rim"].initial or {}).items()}
    assert start_replicas == {"speech-to-text": 27, "question-answering": 6}


def test_the_published_file_has_the_32_cells() -> None:
    path = Path(conduct.__file__).parents[1] / "paper" / "published.yaml"
    cells = published_file.load(path).cells
    assert sum(len(systems) for workloads in cells.values() for systems in workloads.values()) == 32
    assert read(path, kind="published").data["cells"]["video"]["bursty"]["ipa"] == {"cores": 2.72, "pas": 34.0}


def test_without_the_real_trace_the_synthetic_loads_are_run_and_said() -> None:
    wanted = conduct.prepare("paper", ["video"], 1)
    assert not wanted.has_real_trace
    assert {trial.scenario.trace for trial in wanted.trials} == {
        "bursty",
        "steady-low",
        "steady-high",
        "fluctuating",
    }
