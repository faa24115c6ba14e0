"""What a run lost against the oracle: how causes are removed, stories, the command and its page."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from re import findall
from typing import Any

import pandas as pd
import pytest

from ipa.studies import Scenario, explain_losses, prepare, simulate
from ipa.studies.many import losses
from ipa.studies.many.losses import FIGURES, OfPolicy
from ipa.studies.many.losses import sentences as wording
from ipa.studies.pages import html_of
from ipa.studies.pages.losses import page as losses_page
from tests.command import PIPELINE, POLICIES, answer, ipa, refusal
from tests.studies.page_rules import check_page

OBJECTIVE, COST, PAS, VIOLATIONS = FIGURES
SHORT = {"trace": "bursty", "window": "340:460"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One stage with one variant: 1 core, and 10, 12 or 13 rps with batches of 1, 2 or 4; SLA 2 s."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(PIPELINE)
    return tmp_path


def lost(**values: Any) -> OfPolicy:
    [of] = explain_losses([simulate(Scenario(pipeline="video").with_values({**SHORT, **values}))]).policies
    return of


def removals(**values: Any) -> losses.Removals:
    scenario = Scenario(pipeline="video").with_values(values)
    return losses.removals(scenario, prepare(scenario).policy)


@pytest.mark.long
def test_intervals_over_one_log_say_that_they_hold_it_fixed(here: Path) -> None:
    pytest.importorskip("plotly")
    (here / "log.csv").write_text("count\n" + "5\n" * 30)
    said = "A log is the same load with every seed"
    for trace, seeds, is_said in (
        ("log.csv", (1, 2), True),
        ("constant:5:30", (1, 2), False),
        ("log.csv", (1,), False),
    ):
        found = explain_losses([simulate(Scenario(pipeline="mine.yaml", trace=trace, seed=seed)) for seed in seeds])
        assert (said in wording.intervals(found.policies)) is is_said
        assert (said in html_of(losses_page(found))) is is_said


# ---- how causes are removed ----


def test_each_cause_is_removed_by_changes_of_public_keys() -> None:
    found = removals(policy="ipa alpha=3 load_margin=0.5 quantile=0.9", stop_s=1, start_up_extra_s=2)
    assert found.causes == ("start-up", "change", "forecast", "caution", "planning")
    assert found.changes("start-up") == {"start_up_s": 0.0, "start_up_extra_s": 0.0}
    assert found.changes("change") == {"max_surge": 10_000, "stop_s": 0.0}
    assert found.changes("forecast") == {"policy.predictor": {"name": "oracle"}}
    changed = found.changes("caution")
    assert {key: changed[key] for key in ("policy.load_margin", "policy.rounding", "policy.quantile")} == {
        "policy.load_margin": 0.0,
        "policy.rounding": "none",
        "policy.quantile": None,
    }
    of_planning = found.changes("planning")["policy"]
    assert (of_planning["name"], of_planning["alpha"], of_planning["load_margin"]) == ("oracle", 3, 0.5)
    assert (of_planning["stand_in"]["name"], of_planning["stand_in_quantile"]) == ("quantile-gbm", 0.9)


def test_without_what_is_the_policys_it_is_the_oracle() -> None:
    found = removals(policy="ipa alpha=3 load_margin=0.5 predictor=max", interval_s=5, decision_delay_s=1)
    scenario = found.without(["forecast", "caution", "planning"])
    assert scenario.policy.model_dump() == {
        "name": "oracle",
        "alpha": 3,
    }
    told = prepare(scenario).policy
    assert (told.interval_s, told.decision_delay_s) == (5.0, 1.0)  # type: ignore[attr-defined]
    everything = found.without(found.causes)
    assert (everything.start_up_s, everything.max_surge, everything.policy.parameters["price_of_change"]) == (
        *(0.0, 10_000),
        0.0,
    )


def test_a_mean_that_is_forecast_becomes_the_true_mean() -> None:
    assert removals(policy="rate").changes("forecast") == {"policy.predictor": {"name": "oracle", "of": "mean"}}
    assert removals(policy="rate").changes("caution")["policy.margin"] == 0.0
    assert removals(policy="rate").without(["planning"]).policy.parameters["load_margin"] == 0.2


def test_what_has_no_key_goes_with_the_planning_model() -> None:
    Path("my.py").write_text(POLICIES)
    for policy in ("hpa", "static", "my.py:Hold"):
        found = removals(policy=policy)
        assert found.causes == ("start-up", "change", "planning")
        assert found.kept.keys() == {"forecast", "caution"}
        assert found.without(["planning"]).policy.model_dump() == {"name": "oracle"}


def test_a_predictor_of_ones_own_stays_where_only_the_plan_is_removed() -> None:
    given = {"name": "max", "windows": 3}
    found = removals(**{"policy.predictor": given})
    assert found.without(["planning"]).policy.parameters["stand_in"] == given


# ---- stories ----


def test_a_margin_is_all_that_is_lost_where_the_load_is_steady() -> None:
    """18 rps, every second alike: two replicas serve them, and with a margin of 100 % there are three."""
    policy = "ipa load_margin=1 predictor=reactive"
    values = {"trace": "constant:18:60", "arrivals": "even", "sla_s": 8, "policy": policy}
    run = simulate(Scenario(pipeline="mine.yaml").with_values(values))
    [of] = explain_losses([run]).policies
    assert run.summary["cost_mean_cores"] == 3.0
    assert of.difference(OBJECTIVE).mean == pytest.approx(-1.0, abs=1e-5)
    assert {part.cause: part.mean.mean for part in of.parts(COST)} == {
        "forecast": 0.0,
        "planning": 0.0,
        "caution": pytest.approx(1.0),
        "change": 0.0,
        "start-up": 0.0,
    }
    said = wording.of_causes(of)
    assert said[0] == "Forecast error costs nothing."
    assert said[2] == "Caution costs 1.000 of the objective, 100 % of the loss: 1.00 cores more."
    assert said[4] == "Start-up costs no more than it costs the oracle (0.000)."
    assert wording.headline(of) == (
        "ipa load_margin=1 predictor=reactive has an objective of −2.200 where the oracle has −1.200: 1.000 are lost, "
        "with 1.00 cores more."
    )


def test_what_is_better_than_the_oracle_has_gained() -> None:
    """One replica costs less than the two that the load needs; late requests are no part of the objective."""
    values = {"trace": "constant:18:60", "arrivals": "even", "sla_s": 8, "policy": "static:1"}
    [of] = explain_losses([simulate(Scenario(pipeline="mine.yaml").with_values(values))]).policies
    assert "Planning model gains 1.000 of the objective, 100 % of the gain: 1.00 cores less" in wording.of_causes(of)[1]
    late = (
        "points of SLA violations more. What is gained is bought with violations of the SLA, which the objective does"
    )
    assert late in wording.headline(of)


def test_a_load_that_comes_late_is_lost_to_the_forecast_and_the_start_up_together() -> None:
    """The load leaps from 5 to 60 rps. A policy that follows it without a margin is late by the time that replicas take
    to start, unless it knows of the leap."""
    Path("leap.csv").write_text("time_s,count\n" + "".join(f"{s},{5 if s < 45 else 60}\n" for s in range(120)))
    values = {"trace": "leap.csv", "arrivals": "even", "policy": "ipa predictor=reactive"}
    [of] = explain_losses([simulate(Scenario(pipeline="mine.yaml").with_values(values))]).policies
    parts = {part.cause: part.mean.mean for part in of.parts(VIOLATIONS)}
    assert of.difference(VIOLATIONS).mean > 5.0
    assert parts["forecast"] > 1.0
    assert parts["start-up"] > 1.0
    assert parts["caution"] == pytest.approx(0.0, abs=0.5)
    assert "points of SLA violations more" in wording.of_causes(of)[0]


@pytest.mark.long
@pytest.mark.parametrize("policy", ["ipa", "scale-only:high", "rate", "hpa"])
def test_shares_add_up_to_the_difference_from_the_oracle(policy: str) -> None:
    run = simulate(Scenario(pipeline="video").with_values({**SHORT, "policy": policy}))
    oracle = simulate(Scenario(pipeline="video").with_values({**SHORT, "policy": "oracle"}))
    [of] = explain_losses([run]).policies
    assert of.mean(COST) == run.summary["cost_mean_cores"]
    of_summary = ((COST, "cost_mean_cores", 1), (PAS, "pas_mean", 1), (VIOLATIONS, "sla_violation_rate", 100))
    for figure, key, factor in of_summary:
        difference = factor * (run.summary[key] - oracle.summary[key])
        assert of.difference(figure).mean == pytest.approx(difference, abs=1e-9)
        assert sum(part.mean.mean for part in of.parts(figure)) == pytest.approx(difference, abs=1e-9)
        assert sum(part.in_order for part in of.parts(figure)) == pytest.approx(difference, abs=1e-9)
    assert sum(part.mean.mean for part in of.parts(OBJECTIVE)) == pytest.approx(of.difference(OBJECTIVE).mean, abs=1e-9)
    if policy == "scale-only:high":  # the causes that cost something explain the loss to 100 %, also where others gain
        sentences = wording.of_causes(of)
        percents = [int(text) for sentence in sentences for text in findall(r"(\d+) % of the loss", sentence)]
        assert any(part.mean.mean > 0.001 for part in of.parts(OBJECTIVE)), sentences
        assert sum(percents) == pytest.approx(100, abs=2), sentences


@pytest.mark.long
def test_the_oracle_has_lost_nothing() -> None:
    of = lost(policy="oracle")
    assert all(part.mean.mean == 0.0 for figure in FIGURES for part in of.parts(figure))
    assert wording.headline(of).endswith("it has lost nothing.")


@pytest.mark.long
def test_what_was_recorded_otherwise_is_said() -> None:
    run = simulate(Scenario(pipeline="mine.yaml", trace="constant:5:30"))
    [same] = explain_losses([run]).policies
    assert wording.recorded(same) == ""
    other = replace(run, summary={**run.summary, "cost_mean_cores": run.summary["cost_mean_cores"] + 1.0})
    [of] = explain_losses([other]).policies
    assert wording.recorded(of).startswith("The run itself had 1.00 cores more than it has simulated now")


@pytest.mark.long
def test_seeds_have_intervals_and_any_number_of_jobs_gives_the_same() -> None:
    runs = [simulate(Scenario(pipeline="video").with_values({**SHORT, "seed": seed})) for seed in (1, 2)]
    one, two = explain_losses(runs), explain_losses(runs, jobs=2)
    assert wording.as_dict(one) == wording.as_dict(two)
    [of] = one.policies
    assert of.difference(OBJECTIVE).has_interval
    shares = [loss.shares(OBJECTIVE)["planning"].mean for loss in of.losses]
    assert of.parts(OBJECTIVE)[1].mean.mean == pytest.approx(sum(shares) / 2)


# ---- the command ----


def test_a_run_is_explained_in_words_figures_and_as_a_page() -> None:
    pytest.importorskip("plotly")
    window = ("--trace", "bursty", "--window", "340:460")
    assert ipa("simulate", "video", *window, "--out", "run").exit_code == 0
    said = ipa("explain", "run", "--jobs", 1, "--report", "page.html").stdout
    for text in ("ipa less the oracle, video on bursty, seed 1", "Forecast error ", "Report: page.html\n"):
        assert text in said, said
    told = answer("explain", "run", "--jobs", 1, "--json")
    [of] = told["policies"]
    assert of["order"] == ["start-up", "change", "forecast", "caution", "planning"]
    shares = [cause["objective"]["mean"] for cause in of["causes"].values()]
    assert sum(shares) == pytest.approx(of["difference"]["objective"])
    assert of["causes"]["start-up"]["removed_by"] == "start_up_s: 0.0"
    assert len(of["sentences"]) == 5
    page = Path("page.html").read_text()
    check_page(page)
    assert "How each cause was removed" in page
    assert all(sentence.split(" (")[0] in page for sentence in of["sentences"])


def test_of_several_it_is_said_whose_gain_is_bought_with_violations() -> None:
    load = ("--trace", "constant:18:60", "--set", "arrivals=even", "--set", "sla_s=8")
    ipa("compare", "mine.yaml", *load, "--policy", "static:1", "--policy", "static:2", "--out", "both")
    said = ipa("explain", "both").stdout
    assert "\nstatic:1: what is gained is bought with violations of the SLA" in said
    assert said.count("What is gained is bought") == 1


def test_a_comparison_is_explained_policy_by_policy() -> None:
    pytest.importorskip("plotly")
    compared = ("compare", "mine.yaml", "--policy", "ipa", "--policy", "hpa", "--trace", "constant:20:30", "--jobs", 1)
    assert ipa(*compared, "--out", "both").exit_code == 0
    told = answer("explain", "both", "--jobs", 1, "--json", "--report", "page.html")
    assert [of["policy"] for of in told["policies"]] == ["ipa", "hpa"]
    assert told["policies"][1]["not_removed"].keys() == {"forecast", "caution"}
    page = Path("page.html").read_text()
    check_page(page)
    assert "What each policy lost" in page


def test_what_cannot_be_explained_is_refused() -> None:
    assert "no such file or folder" in refusal("explain", "gone")
    with pytest.raises(ValueError, match="no runs"):
        explain_losses([])
    for kind in ("sweep", "study"):
        Path(kind).mkdir()
        Path(kind, "manifest.json").write_text(
            json.dumps({"schema_version": 2, "kind": kind, "inputs": {"files": {}, "loads": {}}, "finished": False})
        )
        assert f"{kind}: the {kind} is not finished" in refusal("explain", kind)


# ---- folders of many runs ----

STUDY = """
schema_version: 1
kind: study
pipeline: mine.yaml
workloads: ["constant:20:10", "constant:9:10"]
seeds: 2
systems:
  ipa: {policy: ipa}
  careful: {policy: ipa, set: {policy.load_margin: 1.0}}
sweeps:
  weights: {of: ipa, vary: {policy.alpha: [1, 5]}}
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of 16 runs: two systems and two points on two loads, with two seeds."""
    pytest.importorskip("plotly")
    folder = tmp_path_factory.mktemp("kept")
    (folder / "mine.yaml").write_text(PIPELINE)
    (folder / "study.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert ipa("study", "study.yaml", "--out", "studied", "--jobs", 1).exit_code == 0
    return folder / "studied"


@pytest.fixture
def studied(here: Path, kept: Path) -> str:
    """It is in the current folder."""
    shutil.copytree(kept, here / "studied")
    return "studied"


def policies_of(*command: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer("explain", *command, "--jobs", 1, "--json")["policies"]
    return found


@pytest.mark.long
def test_a_study_is_explained_by_system_point_and_load_with_means_over_seeds(studied: str) -> None:
    found = policies_of(studied)
    assert [of["policy"] for of in found] == [
        f"{name}, {load}"
        for load in ("constant:20:10", "constant:9:10")
        for name in ("ipa", "careful", "weights (alpha=1)", "weights (alpha=5)")
    ]
    assert all(of["seeds"] == [1, 2] and of["pipeline"] == "mine.yaml" for of in found)
    assert [of["trace"] for of in found] == ["constant:20:10"] * 4 + ["constant:9:10"] * 4
    alone = answer("simulate", "mine.yaml", "--trace", "constant:20:10", "--seed", 2, "--json")
    [of] = policies_of(studied, "--where", "system==ipa and workload==constant:20:10", "--where", "seed==2")
    assert of["policy"] == "ipa"
    assert of["run"]["cost_mean_cores"] == alone["cost_mean_cores"]


@pytest.mark.long
def test_runs_of_a_study_are_chosen_by_its_names_and_by_keys_of_scenarios(studied: str) -> None:
    assert [of["policy"] for of in policies_of(studied, "--where", "policy.load_margin==1")] == [
        "careful, constant:20:10",
        "careful, constant:9:10",
    ]
    [of] = policies_of(studied, "--where", "point==alpha=5 and workload==constant:9:10 and seed<2")
    assert (of["policy"], of["seeds"]) == ("weights (alpha=5)", [1])
    there = (
        "there are pipeline: mine; setting: default; workload: constant:20:10, constant:9:10; "
        "system: ipa, careful, weights; seed: 1, 2; point: alpha=1, alpha=5"
    )
    assert refusal("explain", studied, "--where", "system==rim") == f"--where system==rim: no run is left; {there}"
    assert refusal("explain", studied, "--where", "sistem==ipa") == (
        f"--where sistem==ipa: no key of a scenario is called 'sistem'; did you mean 'system'?; {there}"
    )


def test_several_are_a_row_each_with_what_was_lost_to_each_cause(studied: str) -> None:
    said = ipa("explain", studied, "--where", "system==careful", "--jobs", 1, "--report", "page.html").stdout
    assert "What was lost against the oracle, mine.yaml on 2 loads, 95 % intervals over seeds" in said
    [row] = [line.split() for line in said.splitlines() if line.strip().startswith("careful, constant:20:10  ")]
    [of] = policies_of(studied, "--where", "system==careful and workload==constant:20:10")
    lost = -of["difference"]["objective"]
    assert float(row[2].replace("−", "-")) == pytest.approx(lost, abs=5e-4)
    causes = [float(text.replace("−", "-")) for text in row[5:10]]
    assert sum(causes) == pytest.approx(lost, abs=3e-3)
    assert causes[2] == max(causes)  # a margin of 100 % is caution
    assert "careful, constant:20:10 has an objective of" in said
    page = Path("page.html").read_text()
    check_page(page)
    assert "All in figures" in page


@pytest.mark.long
def test_of_many_there_are_rows_alone(studied: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipa.studies.pages.losses.MOST_IN_FULL", 1)
    said = ipa("explain", studied, "--where", "system==ipa", "--jobs", 1, "--report", "page.html").stdout
    assert "To see one in full, name it with --where." in said
    assert "has an objective of" not in said
    page = Path("page.html").read_text()
    check_page(page)
    assert "In words" not in page


@pytest.mark.long
def test_what_would_take_long_has_to_be_chosen(studied: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipa.studies.commands.explain.LONG_S", 1e-6)
    said = refusal("explain", studied, "--jobs", 1)
    assert said.startswith("studied: to explain all 16 runs takes up to ")
    assert "(1 at a time); choose some with --where, such as --where 'system==ipa'; there are pipeline: mine;" in said
    assert len(policies_of(studied, "--where", "system==ipa")) == 2


def test_a_run_that_failed_is_none_to_explain() -> None:
    pytest.importorskip("plotly")
    Path("my.py").write_text(POLICIES + BREAKS)
    study = STUDY.replace('"constant:20:10", ', "").partition("sweeps:")[0]
    Path("study.yaml").write_text(study + '  bad: {policy: "my.py:Breaks"}\n')
    assert ipa("study", "study.yaml", "--out", "studied", "--jobs", 1, "--seeds", 1).exit_code == 1
    assert [of["policy"] for of in policies_of("studied")] == ["ipa", "careful"]


BREAKS = """

class Breaks(Hold):
    def decide(self, observation, memory):
        raise ZeroDivisionError("oh")
"""

VARIED: dict[str, tuple[list[object], list[str]]] = {
    "numbers": (["policy.alpha=1,2.5"], ["ipa, policy.alpha=1", "ipa, policy.alpha=2.5"]),
    "texts": (["policy=ipa,scale-only:low"], ["ipa", "scale-only:low"]),
    "mappings": (
        ["policy={name: ipa, alpha: 3},{name: ipa, alpha: 4}"],
        ["ipa, policy={'name': 'ipa', 'alpha': 3}", "ipa, policy={'name': 'ipa', 'alpha': 4}"],
    ),
    "nothing or a number": (["policy.quantile=null,0.9"], ["ipa, policy.quantile=None", "ipa, policy.quantile=0.9"]),
    "a range": (["policy.beta=0.5:1", "--points", 2], ["ipa, policy.beta=", "ipa, policy.beta="]),
}


@pytest.mark.long
@pytest.mark.parametrize("kind", VARIED)
def test_a_sweep_is_explained_point_by_point_with_the_values_that_were_run(kind: str) -> None:
    vary, titles = VARIED[kind]
    sweep = ("sweep", "mine.yaml", "--trace", "constant:20:20", "--jobs", 1, "--out", "swept", "--vary", *vary)
    assert ipa(*sweep).exit_code == 0
    found = policies_of("swept")
    assert len(found) == 2
    assert all(of["policy"].startswith(title) for of, title in zip(found, titles, strict=True))
    table = pd.read_parquet("swept/runs.parquet")
    assert [of["run"]["cost_mean_cores"] for of in found] == table["cost_mean_cores"].tolist()
