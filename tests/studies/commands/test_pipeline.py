"""`ipa pipeline`, and pipelines that say no more than was measured: they compare at once, and the rules are said."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa import profiles
from ipa.errors import Error
from ipa.policies import create, describe
from ipa.studies.profile import note, warnings
from tests.command import PIPELINE, SHORT, answer, contents, ipa, refusal

TABLE = """\
stage,variant,accuracy,cores,batch,mean_ms,p99_ms,host
sort,small,84,1,1,50,70,a
sort,small,84,1,4,160,200,a
answer,small,61,1,1,200,260,a
answer,small,61,1,4,640,800,a
answer,Large 2,78,2,1,270,348,a
answer,Large 2,78,2,4,900,1140,a
"""
NOTE = """\
mine.yaml: rules fill in what it leaves out (ipa pipeline check mine.yaml says why):
  SLA 1.75 + 7.6 = 9.35 s (25 x the mean p99; --set sla_s=SECONDS gives yours); alpha 56, beta 1, load margin 0.2; \
at a forecast of 20 requests/s low and high are worth the same
  scale-only low: small, small; high: small, large-2; switch-only replicas: 2, 6
"""
SLA_BY_RULE = (
    "the SLA, 1.75 + 7.6 = 9.35 s, is by rule, 25 x the mean p99, where the fastest variants need 0.33 s: give yours "
    "with --set sla_s=SECONDS, or a stage's in the file with sla: {pinned_s: SECONDS, why: ...}"
)


@pytest.fixture
def table(here: Path) -> Path:
    (here / "table.csv").write_text(TABLE)
    return here


@pytest.fixture
def mine(table: Path) -> Path:
    assert ipa("pipeline", "new", "mine.yaml", "--from", "table.csv").exit_code == 0
    return table / "mine.yaml"


# ---- a pipeline without defaults ----


def test_a_pipeline_from_a_table_compares_at_once_and_the_rules_are_said_once(mine: Path) -> None:
    result = ipa("compare", mine.name, "--trace", "constant:5:10", "--set", "engine=simpy")
    assert result.exit_code == 0
    policies = ["ipa", "scale-only:low", "scale-only:high", "switch-only"]
    rows = [line.split()[0] for line in result.stdout.splitlines() if line.strip()]
    assert [word for word in rows if word in policies] == policies
    assert result.stderr.count(NOTE) == 1
    assert result.stderr.count("rules fill in") == 1


def test_a_study_says_the_rules_of_each_pipeline_once(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = "schema_version: 1\nkind: study\ntitle: x\npipeline: mine.yaml\nworkloads: ['constant:5:20']\nseeds: 2\n"
    Path("study.yaml").write_text(
        study + "systems: {ipa: {title: IPA, policy: ipa}, low: {policy: 'scale-only:low'}}\n"
    )
    monkeypatch.setattr("ipa.studies.many.study.conduct", stop)
    assert ipa("study", "study.yaml", "--out", "out").stderr == f"{NOTE}Error: stopped\n"
    assert ipa("study", "study.yaml", "--out", "out", "-q").stderr == "Error: stopped\n"


def stop(*_: object) -> None:
    raise Error("stopped")


def test_quiet_says_nothing_of_rules(mine: Path) -> None:
    assert answer("simulate", mine.name, *SHORT, "-q", "--json")["completed"] == 150


@pytest.mark.parametrize("command", ["simulate {} --trace constant:5:30", "optimise {} --load 5"])
def test_of_pipelines_that_leave_nothing_out_nothing_is_said(here: Path, command: str) -> None:
    """PIPELINE says everything but which variants are high and low; a shipped one says all."""
    (here / "whole.yaml").write_text(PIPELINE)
    for name in ("whole.yaml", "video"):
        assert ipa(*command.format(name).split()).stderr == ""


def test_policies_take_what_the_rules_give(mine: Path) -> None:
    parameters = describe(create("ipa", profiles.load(mine)))["parameters"]
    assert (parameters["alpha"], parameters["beta"], parameters["load_margin"]) == (56.0, 1.0, 0.2)


def test_a_note_says_no_more_than_is_by_rule(here: Path) -> None:
    whole = PIPELINE.replace("load_margin: 0, ", "")
    (here / "mine.yaml").write_text(whole)
    lines = note(profiles.load("mine.yaml"), "mine.yaml")
    assert lines[1] == "  SLA 2 s; alpha 1, beta 1, load margin 0.2"


# ---- new ----


def test_new_says_how_it_read_the_table(table: Path) -> None:
    result = ipa("pipeline", "new", "My Own.yaml", "--from", "table.csv")
    assert (result.exit_code, result.stdout) == (0, "Pipeline: My Own.yaml\n")
    assert result.stderr == (
        "Accuracies of table.csv were read as per cent\n"
        "Columns that are not used: host\n"
        "Names have lower-case letters, digits and hyphens: Large 2 is large-2\n"
    )
    assert profiles.load("My Own.yaml").name == "my-own"


def test_a_file_that_is_there_stays(mine: Path) -> None:
    mine.write_text("mine\n")
    again = ("pipeline", "new", mine.name, "--from", "table.csv")
    assert refusal(*again) == "mine.yaml: already exists"
    assert mine.read_text() == "mine\n"


# ---- check ----


def test_check_says_what_a_pipeline_can_do_and_why(mine: Path) -> None:
    before = contents(Path())
    result = ipa("pipeline", "check", mine.name)
    assert (result.exit_code, result.stderr) == (0, f"Warning: {SLA_BY_RULE}\n")
    said = " ".join(result.stdout.split())
    for text in (
        "mine: SLA 1.75 + 7.6 = 9.35 s",
        "answer large-2 78.00 2 1, 4 0.348 4.444 8",
        "scale-only:low small, small 51.24 5 521",
        "scale-only:high small, large-2 65.52 13 370",
        "sort: sla 1.75 s 25 x the mean p99 at batch 1 and most cores",
        "alpha 56 at a forecast of 20 requests/s (load_rps)",
        "switch_only_replicas sort: 2, answer: 6 the lightest variants carry 30 requests/s",
    ):
        assert text in said
    assert contents(Path()) == before


def test_a_run_of_a_pipeline_whose_accuracies_nobody_measured_says_so(here: Path) -> None:
    (here / "mine.yaml").write_text(PIPELINE.replace("value: 0.8, from", "value: 1, from"))
    said = "Warning: mine: all accuracies are 1, so that no variant is better than another: write what yours are"
    assert said in ipa("simulate", "mine.yaml", *SHORT).stderr.splitlines()


def test_check_as_json(mine: Path) -> None:
    checked = answer("pipeline", "check", mine.name, "--json")
    assert [end["cores"] for end in checked["scale_only"]] == [5, 13]
    assert checked["stages"][1]["variants"][1]["variant"] == "large-2"
    assert {"key": "beta", "value": "1", "why": "the unit: a core costs 1"} in checked["by_rule"]
    assert checked["warnings"] == [SLA_BY_RULE]


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ("pinned_s: 2,", "pinned_s: 0.09,", "sort: small never keeps the SLA of 0.09 s: its p99 at batch 1 is 0.1 s"),
        ("published:\n  {alpha", "published:\n  {load_rps: 2000, alpha", "the lightest variants serve up to 1.3e+03"),
        ("value: 0.8, from", "value: 1, from", "mine: all accuracies are 1, so that no variant is better than another"),
        ("", "", "the lightest variants are the most accurate that keep the SLA: there is nothing to weigh against"),
    ],
)
def test_check_warns_of_what_will_surprise(here: Path, old: str, new: str, warning: str) -> None:
    (here / "mine.yaml").write_text(PIPELINE.replace(old, new))
    result = ipa("pipeline", "check", "mine.yaml")
    assert result.exit_code == 0
    assert f"Warning: {warning}" in result.stderr


def test_a_variant_that_keeps_the_sla_but_not_its_stage_s_is_warned_of(mine: Path) -> None:
    """With 0.3 s for the stage, large takes 0.348 s: too long for the stage, not for the whole pipeline."""
    text = mine.read_text().replace("# sla: {pinned_s: 7.6,", "sla: {pinned_s: 0.3,")
    mine.write_text(text.replace("large-2\n", "large-2\n        base_cores: {pinned: 2, why: memory}\n"))
    pipeline = profiles.load(mine.name)
    assert next(warnings(pipeline)) == (
        "answer: large-2 never keeps its stage's SLA of 0.3 s: its p99 at batch 1 is 0.348 s"
    )
    assert pipeline.defaults.scale_only["high"]["answer"] == "small"


def test_only_batches_of_one_are_warned_of(here: Path) -> None:
    rows = [line for line in PIPELINE.splitlines() if "batch: 2" not in line and "batch: 4" not in line]
    (here / "mine.yaml").write_text("\n".join(rows) + "\n")
    assert "sort: only batch size 1 is profiled, so requests are never batched" in warnings(profiles.load("mine.yaml"))
