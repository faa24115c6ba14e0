"""Fleets in the explorer: answers are those of the commands, and the page has a fleet's keys."""

from __future__ import annotations

import json
import shlex
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pandas as pd
import pytest
import yaml

from ipa.studies import ScenarioError
from ipa.studies.explore import Explorer, ExplorerQuestion, about
from ipa.studies.fleets import load_fleet
from tests.command import answer
from tests.studies.browser import WIDE, Browser, needs_chromium
from tests.studies.explore.conftest import answered, enter, send, visit
from tests.studies.fleets.test_file import TWO, written

pytest.importorskip("plotly")


@pytest.fixture
def fleet(tmp_path: Path) -> str:
    """Two pipelines on a minute of their loads, for which the cores do not suffice."""
    return str(written(tmp_path, "limit_cores: 5\n" + TWO.replace("pipeline: video", "pipeline: video, scale: 3")))


def post(explorer: Explorer, path: str, fleet: str, number: int = 1, **more: Any) -> tuple[int, Any]:
    question = {"what": fleet, "policies": [], "seeds": more.pop("seeds", 1), "values": more.pop("values", {})}
    status, text, _ = send(explorer, "POST", path, {"tab": fleet[-60:], "number": number, "question": question, **more})
    return status, json.loads(text)


@pytest.mark.long
def test_an_answer_has_the_figures_and_sentences_of_the_copied_command(explorer: Explorer, fleet: str) -> None:
    values = {"sharing": "priority", "limit_cores": "5", "b.priority": "3", "a.policy": "rate margin=0.2"}
    status, found = post(explorer, "/answer", fleet, values=values)
    assert status == 200, found
    printed = answer(*shlex.split(found["command"])[1:], "--json", "--quiet")
    assert [row["policy"] for row in found["policies"]] == ["a", "b"] == [row["name"] for row in printed["pipelines"]]
    for row, of_command in zip(found["policies"], printed["pipelines"], strict=True):
        (run,) = row["runs"]
        assert (run["wanted"], run["got"]) == (of_command["wanted"], of_command["got"])
        assert run["sla_violation_rate"] == of_command["fleet"]["late"]
    assert found["recommendation"] == printed["sentences"]
    assert "do not suffice" in found["recommendation"][0]
    assert [plot["name"] for plot in found["plots"]] == ["budget"]


@pytest.mark.long
def test_the_file_and_the_controls_are_the_fleet(explorer: Explorer, fleet: str, tmp_path: Path) -> None:
    values = {"limit_cores": "7", "b.at_most_cores": "5", "a.scale": "2"}
    _, found = post(explorer, "/answer", fleet, values=values)
    changed = {"limit_cores": 7, "b.at_most_cores": 5, "a.scale": 2}
    path = tmp_path / "taken.yaml"
    path.write_text(found["file"], encoding="utf-8")
    assert load_fleet(path) == load_fleet(fleet, changed)
    assert yaml.safe_load(found["file"])["limit_cores"] == 7
    status, text, _ = send(explorer, "POST", "/base", {"what": fleet})
    assert status == 200
    base = json.loads(text)
    keys = {each["key"] for each in base["controls"]}
    assert {
        "limit_cores",
        "sharing",
        "a.priority",
        "b.at_least_cores",
        "b.at_most_cores",
        "b.scale",
        "a.policy",
    } <= keys
    assert base["values"]["b.priority"] == "2.0"


def test_seeds_are_means_as_the_command_prints_them_and_a_pin_is_compared_by_pipeline(
    explorer: Explorer, fleet: str
) -> None:
    status, found = post(explorer, "/answer", fleet, seeds=2)
    assert status == 200, found
    printed = answer(*shlex.split(found["command"])[1:], "--json", "--quiet")
    for row in found["policies"]:
        late = [run[row["policy"]]["sla_violation_rate"] for run in printed["runs"]["objective"]]
        assert [run["sla_violation_rate"] for run in row["runs"]] == late
    pin = {"number": 1, "question": {"what": fleet, "policies": [], "seeds": 2, "values": {}}}
    _, other = post(explorer, "/answer", fleet, number=2, seeds=2, values={"limit_cores": "60"}, pinned=pin)
    assert [each["policy"] for each in other["differences"]] == ["a", "b"]
    gets = [one for each in other["differences"] for one in each["figures"] if one["name"] == "gets, cores"]
    assert sum(value for one in gets for value in one["values"]) > 0
    pin["question"] = {"what": "video", "policies": ["rate"], "seeds": 1, "values": {"window": "0:60"}}
    status, refused = post(explorer, "/answer", fleet, number=3, pinned=pin)
    assert (status, refused["error"]) == (422, "pinned: a fleet is compared with a fleet alone")


def test_a_long_fleet_has_a_coarse_answer_and_files(explorer: Explorer, fleet: str) -> None:
    assert post(explorer, "/coarse", fleet) == (200, {"coarse": None}), "a minute is not long"
    status, found = post(explorer, "/coarse", fleet, number=2, values={"window": "0:700"})
    assert (status, found["coarse"]) == (200, "Coarse: the first 300 of 700 s. The whole answer follows.")
    _, table = post(explorer, "/take", fleet, number=3, seeds=2, form="table")
    assert len(pd.read_parquet(BytesIO(b64decode(table["base64"])))) == 4
    _, report = post(explorer, "/take", fleet, number=4, form="report")
    assert b"Who pays for whom" in b64decode(report["base64"])


def test_one_pipeline_is_looked_into_and_planned(explorer: Explorer, fleet: str) -> None:
    status, inside = post(explorer, "/inside", fleet, policy=1, seed=0)
    assert status == 200, inside
    assert len(inside["decisions"]) == 6
    status, plan = post(explorer, "/plan", fleet, number=2, policy=0, load=5.0)
    assert (status, "takes" in plan["words"]) == (200, True)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"limit_cores": "2"}, "limit_cores: 2 is less than the floors; allowed: at least 4 (a 2 + b 2)"),
        ({"c.scale": "2"}, "c.scale: no pipeline of the fleet is called 'c'; it has a, b"),
        ({"sharing": "best"}, "sharing: should be 'quota', 'priority'"),
    ],
)
def test_what_is_wrong_is_told(explorer: Explorer, fleet: str, values: dict[str, str], problem: str) -> None:
    status, found = post(explorer, "/answer", fleet, values=values)
    assert status == 422
    assert found["error"].startswith(problem)


def test_the_first_question_is_the_fleet_itself(fleet: str, tmp_path: Path) -> None:
    assert about(fleet) == ExplorerQuestion(fleet)
    with pytest.raises(ScenarioError, match="limit_cores is missing"):
        about(str(written(tmp_path, TWO)))
    (tmp_path / "fleet.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ScenarioError, match="holds runs of a fleet; allowed: the fleet's file, or the folder of a pip"):
        about(str(tmp_path))


@pytest.fixture
def silent(shown: Browser) -> Iterator[None]:
    shown.size(WIDE, 900)
    yield
    assert shown.run("errors") == []


@pytest.mark.long
@needs_chromium
@pytest.mark.usefixtures("silent")
def test_the_page_has_the_keys_of_a_fleet_and_a_row_for_each_pipeline(
    shown: Browser, explorer: Explorer, fleet: str
) -> None:
    visit(shown, explorer, urlencode({"from": fleet, "limit_cores": "5"}))
    rows = "[...document.querySelectorAll('#figures tr')].map(row => row.cells[0].innerText)"
    assert shown.run(rows) == ["pipeline", "a", "b"]
    assert "do not suffice" in shown.run("document.querySelector('#take').innerText")
    assert shown.run("document.querySelector('#add-policy').checkVisibility()") is False
    enter(shown, "b.priority", "7")
    answered(shown, "b.priority=7")
    enter(shown, "limit_cores", "60")
    answered(shown, "limit_cores=60")
    assert "60 cores suffice" in shown.run("document.querySelector('#take').innerText")
    enter(shown, "Pipeline or file", "video")
    answered(shown, "from=video")
    assert shown.run("document.querySelector('#add-policy').checkVisibility()") is True
    assert shown.run(rows)[0] == "policy"
