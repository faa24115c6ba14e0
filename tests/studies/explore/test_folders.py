"""Results folders that are opened: the points of sweeps and studies, and what a live run measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa.policies.registry import split_spec
from ipa.studies import find
from ipa.studies.explore import Explorer, ExplorerQuestion, about
from ipa.studies.explore.points import points_of
from ipa.studies.many.systems import BASELINES
from ipa.studies.scenario import parse_value
from tests.command import PIPELINE, SHORT, ipa, refusal
from tests.studies.browser import NARROW, WIDE, Browser, needs_chromium
from tests.studies.explore.conftest import ALL, answered, send, visit
from tests.studies.study.mine import STUDY

pytest.importorskip("plotly")

VARY = (*("--vary", 'policy="ipa alpha=1","ipa alpha=20","static:1,1"', "--vary", "limit_cores=null,9"),)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of a list of policies, one with a parameter, and of a key that may be none: six points."""
    folder = tmp_path_factory.mktemp("sweep") / "swept"
    assert ipa("sweep", "video", *VARY, *SHORT, "--seeds", 2, "--out", folder, "-q").exit_code == 0
    return folder


def asked(explorer: Explorer, path: str, **body: Any) -> tuple[int, Any]:
    status, text, _ = send(explorer, "POST", path, body)
    return status, json.loads(text)


def test_every_point_of_a_sweep_is_a_question_with_the_figures_of_the_table(explorer: Explorer, swept: Path) -> None:
    status, found = asked(explorer, "/points", what=str(swept))
    table = pd.read_parquet(swept / "runs.parquet")
    assert (status, found["all"], len(found["points"])) == (200, 6, 6)
    assert found["keys"] == ["policy", "limit_cores"]
    assert [each["values"] for each in found["points"]][:2] == [["ipa alpha=1", None], ["ipa alpha=1", 9]]
    assert [each["values"] for each in found["points"]][-1] == ["static:1,1", 9]
    names = [each["name"] for each in found["figures"]]
    for place, point in enumerate(found["points"]):
        (answer,) = asked(explorer, "/answer", tab=f"{place}", number=1, question=point["question"])[1]["policies"]
        for name, mean in zip(names, point["means"], strict=True):
            assert answer["estimates"][name]["mean"] == pytest.approx(mean, rel=2e-3)  # the sweep kept no records
        assert mean == table["changes"][2 * place : 2 * place + 2].mean()


@pytest.mark.parametrize("sample", [(), ("--points", 2), ("--points", "sobol:2")])
@pytest.mark.usefixtures("elsewhere")
def test_listed_and_drawn_points_are_asked_to_the_last_digit(sample: tuple[Any, ...]) -> None:
    of = "hop_s=0:1" if sample else "hop_s=0.01,0.02"
    assert ipa("sweep", "video", "--vary", of, *sample, *SHORT, "--out", "drawn", "-q").exit_code == 0
    first = about("drawn")
    assert (first.what, first.among) == ("video", "drawn")
    drawn = pd.read_parquet("drawn/runs.parquet")["hop_s"].tolist()
    questions = [ExplorerQuestion.of(each["question"]) for each in points_of("drawn")["points"]]
    assert [question.scenarios()[0][0].hop_s for question in questions] == drawn
    assert questions[0].plain == first.plain


def test_the_cells_of_a_study_are_asked(explorer: Explorer, elsewhere: Path) -> None:
    (elsewhere / "mine.yaml").write_text(PIPELINE)
    (elsewhere / "study.yaml").write_text(STUDY)
    assert ipa("study", "study.yaml", "--out", "cells", "-q").exit_code == 0
    status, found = asked(explorer, "/points", what="cells")
    assert (status, found["keys"]) == (200, ["setting", "workload", "system", "point"])
    slow = next(each for each in found["points"] if each["values"] == ["slow", "constant:9:40", "one", None])
    assert slow["question"] == {
        "what": "mine.yaml", "policies": ["switch-only:1"], "seeds": 2,
        "values": {"trace": "constant:9:40", "decision_delay_s": "5.0"},
    }  # fmt: skip
    assert "ipa study" in refusal("simulate", "cells")
    assert "ipa explore cells" in refusal("simulate", "cells")
    assert about("cells").among == "cells"
    (elsewhere / "mine.yaml").unlink()
    assert Path(about("cells").what).read_text() == PIPELINE  # the study's copy


def test_a_folder_without_points_or_with_too_few_runs_is_refused(
    explorer: Explorer, swept: Path, elsewhere: Path
) -> None:
    status, told = asked(explorer, "/points", what="gone")
    assert (status, told["error"]) == (422, "gone: no such file or folder")
    manifest = Path(shutil.copytree(swept, elsewhere / "swept")) / "manifest.json"
    kept = json.loads(manifest.read_text())
    del kept["seeds"]
    manifest.write_text(json.dumps({**kept, "finished": False}))
    assert "swept: the sweep is not finished; run the same command again" in refusal("explore", "swept")


def live(folder: Path) -> None:
    """Make of a simulated run's folder that of a live one which met 20 of 30 s, with other figures."""
    manifest = folder / "manifest.json"
    kept = json.loads(manifest.read_text())
    kept["summary"] |= {"engine": "live", "duration_s": 20.0, "cost_mean_cores": 7.25}
    manifest.write_text(json.dumps(kept))


def test_a_live_run_is_asked_with_its_figures_as_the_pin(explorer: Explorer, elsewhere: Path) -> None:
    assert ipa("simulate", "video", "--trace", "constant:5:30", "--out", "live", "-q").exit_code == 0
    same = {"tab": "live", "number": 1, "question": {"what": "live"}, "pinned": {"number": 2, "measured": "live"}}
    status, told = asked(explorer, "/answer", **same)
    assert (status, told["error"]) == (422, "pinned: live: holds a simulated run, of which nothing was measured")
    assert about("live").measured == ""
    live(elsewhere / "live")
    question = about("live")
    assert question.values == {"window": "[[0.0, 20.0]]"}
    assert question.scenarios()[0][0] == find("live", {"window": [[0, 20]]})
    status, found = asked(explorer, "/answer", **same)
    (policy,) = found["measured"]
    assert (status, policy["estimates"]["cores"]["mean"]) == (200, 7.25)
    assert found["plots"][0]["words"].endswith("Shown: ipa, ipa (measured live).")


# ---- on the page ----


def rows(shown: Browser, box: str) -> list[list[str]]:
    found = f"[...document.querySelectorAll('#{box} tbody tr')].map(row => [...row.cells].map(cell => cell.innerText))"
    return list(shown.run(found))


@needs_chromium
def test_a_point_is_asked_from_the_table_and_asked_on(shown: Browser, explorer: Explorer, swept: Path) -> None:
    shown.size(WIDE, 900)
    visit(shown, explorer, about(str(swept)).address)
    table = rows(shown, "points-table")
    first = [["Ask", "ipa alpha=1", "–"], ["Ask", "ipa alpha=1", "9"], ["Ask", "ipa alpha=20", "–"]]
    assert [row[:3] for row in table[:3]] == first
    current = "[...document.querySelectorAll('#points-table a')].findIndex(each => each.ariaCurrent === 'true')"
    assert shown.run(current) == 0
    shown.run("document.querySelectorAll('#points-table a')[5].click()")
    answered(shown, "static")
    assert shown.run(current) == 5
    figures = rows(shown, "figures")
    assert (figures[0][0], figures[0][1].split()[0]) == ("static:1,1", table[5][3])
    label = "[...document.querySelectorAll('#controls label')].find(each => each.textContent.startsWith('scale '))"
    change = "dispatchEvent(new Event('change', {bubbles: true}))"
    shown.run(f"{{ const i = document.getElementById({label}.htmlFor); i.value = '2'; i.{change}; }}")
    answered(shown, "scale=2")
    assert shown.run(current) == -1
    assert shown.run("errors") == []


@needs_chromium
def test_points_are_sorted_by_any_column(shown: Browser, explorer: Explorer, swept: Path) -> None:
    visit(shown, explorer, about(str(swept)).address)
    for is_descending in (False, True):
        shown.run("document.querySelectorAll('#points-table thead button')[2].click()")
        scores = [float(row[3]) for row in rows(shown, "points-table")]
        assert scores == sorted(scores, reverse=is_descending) != sorted(scores, reverse=not is_descending)
    sorts = "[...document.querySelectorAll('#points-table thead th')].map(each => each.ariaSort)"
    assert shown.run(sorts)[:4] == ["none", "none", "descending", "none"]
    assert shown.run("errors") == []


def press(shown: Browser, key: str, code: int, text: str = "") -> None:
    for kind in ("keyDown", "keyUp"):
        shown.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text)


@pytest.mark.long
@needs_chromium
def test_points_are_sorted_and_asked_by_the_keyboard_alone(shown: Browser, explorer: Explorer, swept: Path) -> None:
    """From the table on, Tab comes to each heading and then to each point."""
    shown.size(WIDE, 900)
    visit(shown, explorer, about(str(swept)).address)
    shown.run("document.getElementById('points-table').focus()")
    seen = []
    for _ in range(2 + 7 + 6):
        press(shown, "Tab", 9)
        seen.append(shown.run("document.activeElement.ariaLabel ?? document.activeElement.textContent"))
    assert seen[:3] == ["policy", "limit_cores", "PAS"]
    assert seen[-1] == "Ask policy=static:1,1, limit_cores=9"
    press(shown, "Enter", 13, "\r")
    answered(shown, "limit_cores=9")
    shown.run("document.querySelectorAll('#points-table thead button')[1].focus()")
    press(shown, "Enter", 13, "\r")
    assert [row[2] for row in rows(shown, "points-table")] == ["9", "9", "9", "–", "–", "–"]
    assert shown.run("document.activeElement.parentElement.ariaSort") == "ascending"
    assert shown.run("errors") == []


@pytest.mark.long
@needs_chromium
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_points_do_not_make_the_page_scroll_sideways(
    shown: Browser, explorer: Explorer, swept: Path, width: int
) -> None:
    shown.size(width, 900)
    visit(shown, explorer, about(str(swept)).address)
    assert shown.run("document.documentElement.scrollWidth") <= width


@pytest.mark.long
@needs_chromium
@pytest.mark.usefixtures("elsewhere")
def test_values_of_points_are_rounded(shown: Browser, explorer: Explorer) -> None:
    values = "hop_s=0.01234567,0.1", "sla_s=12345.678,10"
    vary = [word for each in values for word in ("--vary", each)]
    assert ipa("sweep", "video", *vary, *SHORT, "--out", "digits", "-q").exit_code == 0
    visit(shown, explorer, about("digits").address)
    assert rows(shown, "points-table")[0][1:3] == ["0.01235", "12,346"]


@pytest.mark.long
@needs_chromium
def test_a_folder_that_is_gone_is_said_and_the_question_is_answered(
    shown: Browser, explorer: Explorer, elsewhere: Path
) -> None:
    visit(shown, explorer, f"from=video&trace=constant%3A5%3A30&among={elsewhere}/gone")
    assert "gone: no such file or folder" in shown.run("document.getElementById('points-words').textContent")
    assert len(rows(shown, "figures")) == 1


@needs_chromium
def test_what_was_measured_stands_beside_its_simulation(shown: Browser, explorer: Explorer, elsewhere: Path) -> None:
    assert ipa("simulate", "video", "--trace", "constant:5:30", "--out", "live", "-q").exit_code == 0
    live(elsewhere / "live")
    shown.size(WIDE, ALL)
    visit(shown, explorer, about(str(elsewhere / "live")).address)
    figures = rows(shown, "figures")
    assert [row[0] for row in figures] == ["ipa", "ipa (measured live)"]
    assert figures[1][2] == "7.25"
    assert shown.run("document.getElementById('pinned-link').textContent") == f"measured live, {elsewhere / 'live'}"
    shown.until("document.getElementById('plot-plane').textContent.includes('ipa (measured live)')")
    assert shown.run("errors") == []
    shown.run("document.getElementById('unpin').click()")
    shown.until("document.getElementById('pinned').hidden")
    shown.until("!location.hash.includes('pin=')")
    assert len(rows(shown, "figures")) == 1


def test_a_pipeline_opens_with_the_policies_of_a_comparison_and_a_scenario_with_its_own(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("schema_version: 1\nkind: scenario\npipeline: video\npolicy: rate\n")
    assert about("video").policies == BASELINES
    assert len(about("video").scenarios()) == len(BASELINES)
    assert about(str(file)).policies == ()


@pytest.mark.parametrize("goal", ["min: cost, accuracy_at_least: 38", "{min: cost, accuracy_at_least: 38}"])
def test_a_goal_behind_a_policy_may_be_as_after_goal(goal: str) -> None:
    """As the field of the parameter `goal` puts it behind the name."""
    assert split_spec(f"ipa goal={goal} beta=2") == (
        "ipa",
        {"goal": {"min": "cost", "accuracy_at_least": 38}, "beta": 2},
    )
    assert parse_value(goal) == {"min": "cost", "accuracy_at_least": 38}
    assert len(ExplorerQuestion("video", (f"ipa goal={goal} beta=2", "rate")).scenarios()) == 2
