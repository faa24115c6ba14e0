"""Fleet files: what is wrong in one is told in one line, with its place; what `ipa simulate` makes of a good one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ipa.studies import ScenarioError
from ipa.studies.fleets import load_fleet, sentences, simulate_fleet
from ipa.studies.fleets.answers import FleetAnswers, MemberOutcome, MemberRow, worst_window
from tests.command import ipa
from tests.studies.fleets.fleets import fleet

HEAD = "schema_version: 1\nkind: fleet\n"
TWO = """pipelines:
  - {name: a, pipeline: video, trace: bursty, window: "0:60"}
  - {name: b, pipeline: video, trace: fluctuating, window: "0:60", priority: 2}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "fleet.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (TWO, "fleet.yaml:1: limit_cores is missing; allowed: this, or limit_gpus"),
        (
            "limit_gpus: 4\nlimit_cores: 9\n" + TWO,
            ":3: limit_gpus: a fleet shares one budget; allowed: limit_cores or limit_gpus, not both",
        ),
        ("limit_cores: 9\nsharing: best\n" + TWO, ":4: sharing: should be 'quota', 'priority', 'water-filling'"),
        (
            "limit_cores: 9\n" + TWO.replace("name: b", "name: a"),
            ":6: pipelines[a].name: 'a' is the name of two pipelines",
        ),
        ("limit_cores: 9\n" + TWO.replace("name: b", "name: b/c"), ":6: pipelines[b/c].name: should match"),
        ("limit_cores: 9\n" + TWO.replace("priority: 2", "priority: 0"), ":6: pipelines[b].priority: should be"),
        ("limit_cores: 9\n" + TWO.replace("priority", "prioritty"), ":6: pipelines[b].prioritty: unknown key"),
        ("limit_cores: 9\n" + TWO.replace("trace: bursty", "trace: burst"), ":5: pipelines[a].trace: "),
        ("limit_cores: 9\n" + TWO.replace("priority: 2", "policy: ippa"), ":6: pipelines[b].policy: "),
        ("limit_cores: 9\n" + TWO.replace("priority: 2", "tenant: x"), ":5: pipelines[a]: has no tenant"),
        ("limit_cores: 9\ntenants: {x: 2}\n" + TWO, ":4: tenants.x: is the tenant of no pipeline"),
        ("limit_cores: 9\npipelines: []\n", ":4: pipelines: should "),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path, text)
    result = ipa("simulate", str(path), "--out", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"a.at_least_cores": 6, "b.at_least_cores": 4},
            "limit_cores: 9 is less than the floors; allowed: at least 10 (a 6 + b 4)",
        ),
        ({"limit_cores": 3}, "limit_cores: 3 is less than the floors; allowed: at least 4 (a 2 + b 2)"),
        ({"a.at_most_cores": 1}, "pipelines[a]: one replica of each stage takes 2 cores; allowed: at most 1"),
        ({"a.at_least_cores": 12}, "pipelines[a]: at_least_cores takes 12 cores; allowed: at most 9"),
        (
            {"b.policy": {"name": "ipa", "goal": {"max": "accuracy", "cores_at_most": 5}, "alpha": 3}},
            "pipelines[b]: goal and alpha: what a goal aims at has no weights",
        ),
        ({"a.policy": "oracle"}, "pipelines[a].policy: oracle chooses its parameters by runs alone"),
    ],
)
def test_a_budget_that_does_not_fit_is_told_in_one_line(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    path = written(tmp_path, "limit_cores: 9\n" + TWO)
    with pytest.raises(ScenarioError) as error:
        simulate_fleet(load_fleet(path, changes))
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_values_are_of_the_fleet_of_one_pipeline_or_of_all(tmp_path: Path) -> None:
    path = written(tmp_path, "limit_cores: 9\n" + TWO)
    changed = load_fleet(path, {"limit_cores": 12, "b.priority": 5.0, "a.policy.alpha": 3, "seed": 7})
    first, second = changed.pipelines
    assert (changed.limit_cores, first.priority, second.priority) == (12, 1.0, 5.0)
    assert (first.scenario.policy.parameters, second.scenario.policy.parameters) == ({"alpha": 3}, {})
    assert [member.scenario.seed for member in changed.pipelines] == [7, 7]
    for key, value, problem in (
        ("limit_cores", 0, r"^limit_cores: should be"),
        ("b.scale", 0, r"^pipelines\[b\]\.scale: should be above 0; given 0$"),
        ("scale", -1, r"^pipelines\[a\]\.scale: should be above 0; given -1$"),
        ("b.priority", 0, r"priority: should be"),
        ("c.scale", 2, r"^c\.scale: no pipeline of the fleet is called 'c'; it has a, b$"),
    ):
        with pytest.raises(ScenarioError, match=problem):
            load_fleet(path, {key: value})


def test_files_that_a_fleet_names_lie_beside_it(tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text("count\n" + "5\n" * 60, encoding="utf-8")
    text = "limit_cores: 9\npipelines:\n  - {name: a, pipeline: video, trace: load.csv}\n"
    assert load_fleet(written(tmp_path, text)).pipelines[0].scenario.trace == str(tmp_path / "load.csv")


def test_a_run_prints_a_table_and_keeps_its_results(tmp_path: Path) -> None:
    path = written(tmp_path, "limit_cores: 5\n" + TWO)
    out = tmp_path / "out"
    result = ipa("simulate", str(path), "--set", "scale=3", "--set", "sharing=priority", "--out", str(out))
    assert result.exit_code == 0, result.stderr
    assert "5 cores, shared by priority" in result.stdout
    assert "do not suffice for" in result.stdout
    steps = pd.read_parquet(out / "steps.parquet")
    assert sorted(steps["pipeline"].unique()) == ["a", "b"]
    assert len(steps) == 12
    assert steps.groupby("time_s")["got"].sum().max() <= 5
    table = json.loads((out / "fleet.json").read_text())
    assert [row["name"] for row in table["pipelines"]] == ["a", "b"]
    assert (out / "a" / "requests.parquet").is_file()
    page, later = tmp_path / "page.html", tmp_path / "later.html"
    same = ("--set", "scale=3", "--set", "sharing=priority", "--report", str(page), "--json")
    assert json.loads(ipa("simulate", str(path), *same).stdout) == table
    assert ipa("report", str(out), "--to", str(later)).exit_code == 0
    assert later.read_bytes() == page.read_bytes()
    (out / "steps.parquet").unlink()
    assert f"{out / 'steps.parquet'}: no such file" in ipa("report", str(out)).stderr
    (out / "fleet.json").write_text("{}")
    assert f"{out / 'fleet.json'}: does not hold the table of a finished run" in ipa("report", str(out)).stderr


def row(name: str, wanted: float, got: float, late: tuple[float, float, float]) -> MemberRow:
    return MemberRow(name, 1.0, wanted, got, wanted, got, *(MemberOutcome(share, 40.0, 1.0) for share in late))


def test_one_sentence_says_who_pays_for_whom() -> None:
    rows = [row("a", 4.0, 3.9, (0.0, 0.01, 0.01)), row("b", 8.0, 5.0, (0.0, 0.2, 0.1))]
    assert list(sentences(FleetAnswers(fleet(9), rows, {}, 0.25))) == [
        "9 cores do not suffice for 25 % of the time.",
        "b (gets 5.0 of 8.0 cores; late 0.00 % -> 20.00 %) pays for a (late 0.00 % -> 1.00 %).",
        "One core more would bring most to b: late 20.00 % -> 10.00 %.",
    ]
    assert list(sentences(FleetAnswers(fleet(9), rows, {}, 0.0))) == ["9 cores suffice for all pipelines at all times."]


def test_the_worst_ten_minutes_are_those_in_which_most_is_lacking() -> None:
    times_s = np.arange(0.0, 1801.0, 300.0)
    wanted = np.array([9.0, 9.0, 5.0, 5.0, 5.0, 5.0])
    got = np.array([9.0, 9.0, 5.0, 3.0, 4.0, 5.0])
    assert worst_window(times_s, wanted, got) == slice(3, 5)
    assert worst_window(times_s, wanted, wanted) == slice(0, 2), "nothing is lacking: where most is wanted"
