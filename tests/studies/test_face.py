"""The Python face: what is on it, what importing it costs, and its functions for many runs."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import ipa
from ipa import (
    Scenario,
    ScenarioError,
    Study,
    compare,
    read_comparison,
    read_study,
    read_validation,
    run_study,
    simulate,
    studies,
    validate,
)
from ipa.studies import Live, results
from ipa.studies.runs.live_runs import read_live_settings

HEAVY = ("numpy", "pandas", "pyarrow", "pydantic", "scipy", "simpy", "rich", "aiohttp", "click")

SHORT = Scenario(pipeline="video").with_values({"trace": "constant:5:20"})

STUDY = """
schema_version: 1
kind: study
title: two
pipeline: video
workloads: ["constant:5:20"]
systems:
  ipa: {policy: ipa}
  hold: {policy: "static:1,1"}
"""


@pytest.mark.parametrize("module", ["ipa", "ipa.studies"])
def test_importing_the_face_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"


@pytest.mark.parametrize("module", [ipa, studies])
def test_everything_on_the_face_is_there(module: object) -> None:
    names = module.__all__  # type: ignore[attr-defined]
    assert {"Run", "Scenario", "ScenarioError", "compare", "find", "load", "read_comparison"} <= set(names)
    assert {"run_live", "run_study", "simulate", "validate"} <= set(names)
    assert {"read_run", "read_comparison", "read_study", "read_validation"} <= set(names)
    assert set(names) <= set(dir(module))
    for name in names:
        assert getattr(module, name) is not None


def test_ipa_offers_what_studies_does() -> None:
    for name in set(vars(ipa)["__all__"]) - {
        "Error",
        "InputError",
        "live",
        "policies",
        "profiles",
        "sim",
        "studies",
        "traces",
    }:
        assert getattr(ipa, name) is getattr(studies, name)


def test_a_comparison_in_a_folder_is_kept_and_resumed(tmp_path: Path) -> None:
    finished: list[int] = []
    compare(SHORT, ["ipa"], folder=tmp_path / "out", jobs=1)
    (before,) = read_comparison(tmp_path / "out").runs

    def progress(_: int) -> AbstractContextManager[Callable[[bool], object]]:
        return nullcontext(lambda _: finished.append(1))

    compare(SHORT, ["ipa", "static"], folder=tmp_path / "out", jobs=1, progress=progress)
    runs = read_comparison(tmp_path / "out").runs
    assert (len(runs), len(finished)) == (2, 2)
    assert runs[0].summary == before.summary  # wall time and all


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study whose file is gone since."""
    pytest.importorskip("plotly")
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.yaml").write_text(STUDY)
    found = run_study(folder / "study.yaml", folder / "out", seeds=2, jobs=1)
    (folder / "study.yaml").unlink()
    return found


def test_a_study_is_run_from_its_file(studied: Study, tmp_path: Path) -> None:
    assert [(cell.system, cell.point, list(cell.outcomes)) for cell in studied.findings[0].cells] == [
        ("ipa", "", [1, 2]),
        ("hold", "", [1, 2]),
    ]
    assert {"report.html", "tables.md", "runs.parquet"} <= {path.name for path in studied.folder.iterdir()}
    shutil.copytree(studied.folder, tmp_path / "out")
    (tmp_path / "study.yaml").write_text(STUDY)
    run_study(tmp_path / "study.yaml", tmp_path / "out", seeds=2, jobs=1)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["fresh_runs"] == 0


def test_a_study_is_read_back_without_its_file(studied: Study) -> None:
    back = read_study(studied.folder)
    assert back.plan.trials == studied.plan.trials
    assert repr(back) == repr(studied)
    assert back._repr_html_() == studied._repr_html_()
    assert {name: figure.to_json() for name, figure in back.figures().items()} == {
        name: figure.to_json() for name, figure in studied.figures().items()
    }
    for name, table in back.tables.items():
        if not table.empty:
            assert table.equals(pd.read_parquet(studied.folder / f"{name}.parquet"))


def test_the_figures_of_a_study_are_those_of_its_page(studied: Study) -> None:
    page = (studied.folder / "report.html").read_text()
    assert sorted(re.findall(r'<div class="plot" id="plot-([^"]+)"', page)) == sorted(studied.figures())


def test_a_study_says_what_it_found(studied: Study) -> None:
    assert "ipa against hold on video constant:5:20: +12.1 [12.1, 12.1] PAS" in repr(studied)
    assert len(repr(studied)) < 1000
    (ipa_row,) = studied.summary.query("system == 'ipa'").to_dict("records")
    runs = studied.tables["runs"].query("system == 'ipa'")
    assert ipa_row["cost_mean_cores"] == pytest.approx(runs["cost_mean_cores"].mean())
    html = studied._repr_html_()
    assert (html.count("<pre>"), html.count("<script"), html.count("<tbody")) == (1, 0, 1)


def test_a_folder_without_a_finished_study_is_no_study(studied: Study, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="contains no results"):
        read_study(tmp_path)
    results.write_run(simulate(SHORT), tmp_path / "run")
    with pytest.raises(ScenarioError, match="holds no study"):
        read_study(tmp_path / "run")
    shutil.copytree(studied.folder, tmp_path / "half")
    path = tmp_path / "half" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "finished": False}))
    with pytest.raises(ScenarioError, match="the study is not finished"):
        read_study(tmp_path / "half")
    shutil.copytree(studied.folder, tmp_path / "older")
    with closing(sqlite3.connect(tmp_path / "older" / "finished.sqlite")) as store:
        store.execute("DELETE FROM plan")
        store.commit()
    with pytest.raises(ScenarioError, match="the plan of the study cannot be read"):
        read_study(tmp_path / "older")


@pytest.mark.long
def test_a_validation_needs_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A simulation stands for the live runs."""
    asked: list[Live] = []

    def live_runner(live: Live, _: Scenario) -> object:
        asked.append(live)
        return lambda scenario, folder: results.write_run(replace(simulate(scenario), scenario=scenario), folder)

    monkeypatch.setattr("ipa.studies.validation.run.live_runner", live_runner)
    found = validate(SHORT.with_values({"trace": "fluctuating"}), repeats=1, duration_s=20)
    assert asked == [Live()]
    assert found.as_dict()["repeats"][0]["decisions_refused"] == 0
    kept = validate(
        found.scenario,
        Live(settings=read_live_settings(None, {"controller.source": "prometheus"})),
        tmp_path / "out",
        repeats=1,
    )
    assert kept.experiment.source == "prometheus"
    assert (tmp_path / "out" / "live-1" / "manifest.json").is_file()
    back = read_validation(tmp_path / "out")
    assert back.as_dict() == kept.as_dict()
    assert list(back.figures()) == ["distribution", "latency", "replicas", "utilisation", "load"]
    assert list(back.table["metric"]) == [row.metric.key for row in back.rows]
    assert repr(back).splitlines()[2].startswith("  Verdict: ")
    assert back._repr_html_().count("<tbody") == 1
