"""Folders of results where a pipeline or a scenario file may stand: what made them, with other values."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa.studies import ScenarioError, find, read_comparison, read_run, simulate
from tests.command import SHORT, answer, ipa, refusal

HIGH = ("--policy", "ipa", "--policy", "scale-only:high label=high", *SHORT)
RUN = ("simulate", "video", *SHORT, "--policy", "ipa alpha=20", "--set", "policy.load_margin=0.1")
BOTH = ("compare", "video", *HIGH, "--seeds", 2, "--set", "policy.load_margin=0.2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`run`, of one policy with a parameter, and `both`, of two policies with two seeds."""
    folder = tmp_path_factory.mktemp("made")
    for name, command in (("run", RUN), ("both", BOTH)):
        assert ipa(*command, "--out", folder / name, "-q").exit_code == 0
    return folder


@pytest.fixture(autouse=True)
def folders(here: Path, made: Path) -> Path:
    """Copies of them in the current folder."""
    return Path(shutil.copytree(made, here, dirs_exist_ok=True))


def test_a_run_is_asked_again_with_other_values_and_as_by_its_scenario() -> None:
    values = ("--set", "sla_s=2", "--set", "scale=2")
    again = answer("simulate", "run", *values, "--json", "-q")
    assert (again["sla_s"], again["policy"]) == (2.0, "ipa alpha=20")
    of_manifest = answer("simulate", "run/manifest.json", *values, "--json", "-q")
    assert {**of_manifest, "wall_s": 0} == {**again, "wall_s": 0}
    in_python = simulate(read_run("run").scenario.with_values({"sla_s": 2, "scale": 2})).summary
    of_making = {"wall_s": 0, "engine": ""}  # the command takes the engine that is there sooner
    assert {**in_python, **of_making} == {**again, **of_making}
    assert answer("simulate", "run", "--policy", "scale-only:low", "--json", "-q")["policy"] == "scale-only:low"


def test_without_other_values_the_answer_is_the_same(folders: Path) -> None:
    then = json.loads((folders / "run" / "manifest.json").read_text())["summary"]
    assert {**answer("simulate", "run", "--json", "-q"), "wall_s": 0} == {**then, "wall_s": 0}


def test_a_comparison_is_asked_again_with_its_policies_seeds_and_labels(folders: Path) -> None:
    then = [run.summary for run in read_comparison(folders / "both").runs]
    again = answer("compare", "both", "--jobs", 1, "--json", "-q")
    order = {(each["policy"], each["seed"]): {**each, "wall_s": 0} for each in then}
    assert [(each["policy"], each["seed"]) for each in again] == [("ipa", 1), ("ipa", 2), ("high", 1), ("high", 2)]
    assert all({**each, "wall_s": 0} == order[each["policy"], each["seed"]] for each in again)


def test_what_is_set_anew_for_all_policies_of_a_comparison_reaches_them(folders: Path) -> None:
    assert (
        ipa(
            "compare", "both", "--set", "policy.load_margin=0.5", "--seeds", 1, "--out", "new", "--jobs", 1, "-q"
        ).exit_code
        == 0
    )
    runs = read_comparison(folders / "new").runs
    assert [(run.summary["policy"], run.summary["seed"]) for run in runs] == [("ipa", 1), ("high", 1)]
    assert {run.scenario.policy.parameters["load_margin"] for run in runs} == {0.5}
    other = answer("compare", "both", "--policy", "scale-only:low", "--set", "sla_s=3", "--jobs", 1, "--json", "-q")
    assert [(each["policy"], each["seed"], each["sla_s"]) for each in other] == [
        ("scale-only:low", 1, 3.0),
        ("scale-only:low", 2, 3.0),
    ]


def test_a_sweep_is_asked_again_at_its_points(here: Path) -> None:
    vary = ("--vary", 'policy="ipa alpha=1","ipa alpha=20","static:1,1"', "--seeds", 2)
    assert ipa("sweep", "video", *vary, *SHORT, "--out", "swept", "-q").exit_code == 0
    again = answer("sweep", "swept", "--set", "sla_s=3", "--out", "again", "--jobs", 1, "--json", "-q")
    assert (again["points"], again["seeds"], again["runs"]) == (3, 2, 6)
    manifests = [json.loads((here / name / "manifest.json").read_text()) for name in ("swept", "again")]
    assert manifests[0]["vary"] == manifests[1]["vary"]
    assert [each["scenario"]["sla_s"] for each in manifests] == [None, 3.0]


@pytest.mark.parametrize(
    "drawn",
    [
        ("--points", 5, "--where", "hop_s<=0.1"),
        ("--points", "sobol:4", "--seed", 4),
    ],
)
def test_drawn_points_are_asked_again(here: Path, drawn: tuple[Any, ...]) -> None:
    """The same points, to the last digit, with another SLA."""
    vary = ("--vary", "hop_s=0:0.3", "--vary", "policy.beta=0.1:10:log", *drawn)
    assert ipa("sweep", "video", *vary, *SHORT, "--out", "drawn", "-q").exit_code == 0
    assert ipa("sweep", "drawn", "--set", "sla_s=3", "--out", "again", "--jobs", 1, "-q").exit_code == 0
    then, now = (pd.read_parquet(here / name / "runs.parquet") for name in ("drawn", "again"))
    keys = ["hop_s", "policy.beta", "seed"]
    pd.testing.assert_frame_equal(then[keys], now[keys], check_exact=True)
    assert set(now["sla_s"]) == {3.0} != set(then["sla_s"])


def test_more_points_of_a_drawn_sweep_keep_the_ones_before(here: Path) -> None:
    vary = ("--vary", "hop_s=0:0.3", "--points", 2)
    assert ipa("sweep", "video", *vary, *SHORT, "--out", "drawn", "-q").exit_code == 0
    assert ipa("sweep", "drawn", "--points", 4, "--out", "again", "--jobs", 1, "-q").exit_code == 0
    then, now = (pd.read_parquet(here / name / "runs.parquet")["hop_s"].tolist() for name in ("drawn", "again"))
    assert (len(now), now[:2]) == (4, then)


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({"vary": None}, "the key 'vary' should hold a list"),
        ({"where": 5}, "the key 'where' should hold a list"),
        ({"seeds": 2}, "the key 'seeds' should hold a list"),
        ({"vary": [5]}, "vary: should be a key with its values; given 5"),
        ({"vary": [{"values": [1]}]}, 'vary: should be a key with its values; given {"values": [1]}'),
        ({"vary": [{"key": "scale", "values": 5}]}, "vary: should be a key with its values; given"),
        ({"vary": [{"key": "scale", "from": 1}]}, "vary: should be a key with its values; given"),
        ({"drawn": 5}, "the key 'drawn' should say how points are drawn"),
    ],
)
def test_a_sweep_whose_manifest_is_not_whole_is_refused(here: Path, changed: dict[str, object], answer: str) -> None:
    whole = {**json.loads((here / "run" / "manifest.json").read_text()), "kind": "sweep", "where": []}
    whole |= {"seeds": [1], "vary": [{"key": "scale", "values": [1, 2]}]}
    (here / "swept").mkdir()
    (here / "swept" / "manifest.json").write_text(json.dumps(whole))
    assert "--out: is missing" in refusal("sweep", "swept")
    (here / "swept" / "manifest.json").write_text(json.dumps({**whole, **changed}))
    assert answer in refusal("sweep", "swept", "--out", "new")


def test_what_cannot_be_asked_again_is_refused(here: Path) -> None:
    assert "both: holds a comparison of 2 policies; name one with --policy" in refusal("simulate", "both")
    assert "sla: unknown key; did you mean 'sla_s'?" in refusal("simulate", "run", "--set", "sla=2")
    assert "run: already holds results" in refusal("simulate", "run", "--out", "run")
    with pytest.raises(ScenarioError, match="holds a comparison"):
        find("both", {"sla_s": 2})
    assert find("both", {"policy": "ipa"}).seed == 1
    of_label = find("both", {"policy": "high"}).policy
    assert (of_label.name, of_label.parameters) == ("scale-only:high", {"load_margin": 0.2})
    manifest = here / "run" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"scenario": {', '"scenario": {"hopp_s": 1, '))
    assert "run/manifest.json: scenario: hopp_s: unknown key; did you mean 'hop_s'?" in refusal("simulate", "run")


@pytest.mark.long
def test_losses_are_explained_with_other_values() -> None:
    found = answer("explain", "run", "--set", "sla_s=3", "--json", "-q")
    assert json.dumps(found) != json.dumps(answer("explain", "run", "--json", "-q"))
