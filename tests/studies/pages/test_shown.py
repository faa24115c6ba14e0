"""What notebooks and programs have of a result: a few lines, a summary with pictures, tables and named figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ipa.studies import (
    Comparison,
    Run,
    Scenario,
    ScenarioError,
    compare,
    read_comparison,
    read_run,
    simulate,
    write_run,
)
from tests.studies.made import made, page_of, requests_of

pytest.importorskip("plotly")

SHORT = Scenario(pipeline="video", window=((400.0, 460.0),))


@pytest.fixture(scope="module")
def run() -> Run:
    return simulate(SHORT)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    folder = tmp_path_factory.mktemp("stored") / "out"
    compare(SHORT, ["ipa", "static"], seeds=2, jobs=1, folder=folder)
    return read_comparison(folder)


# ---- a run ----


def test_a_run_says_in_a_few_lines_what_it_was(run: Run) -> None:
    first, *more = repr(run).splitlines()
    assert first == "Run of ipa on video, bursty: 60 s, seed 1"
    assert f"PAS {run.summary['pas_mean']:.2f}, cost {run.summary['cost_mean_cores']:.2f} cores" in more[1]
    assert (len(more), len(repr(run)) < 400) == (3, True)


def test_a_run_that_completed_nothing_can_be_shown() -> None:
    nothing: dict[str, Any] = {
        "pas_mean": None,
        "latency_p50_s": None,
        "latency_p99_s": None,
        "completed": 0,
        "decisions": 2,
    }
    lost = made(requests=requests_of([1.0, 2.0], ["dropped", "unfinished"]), unfinished=1, **nothing)
    assert "PAS -, " in lost._repr_html_()


def test_the_figures_of_a_run_are_those_of_its_page(run: Run) -> None:
    found = run.figures()
    assert [plot.name for plot in page_of(run).plots] == list(found)
    assert found["load"].layout.title.text == "Load and forecast"
    assert found["load"].layout.height - found["load"].layout.margin.t == 400 - 34
    arrivals = found["load"].data[0]
    assert sum(arrivals.y[:-1]) == pytest.approx(run.summary["requests"])


def test_a_run_without_records_has_no_figures_and_says_why() -> None:
    run = simulate(SHORT.with_values({"records": "none"}))
    with pytest.raises(ScenarioError, match="records is none; use records: sample, or all"):
        run.figures()
    with pytest.raises(ScenarioError, match="records is none; use records: sample, or all"):
        Comparison((run,)).write_report("report.html")


def test_a_run_is_read_back(run: Run, tmp_path: Path, stored: Comparison) -> None:
    write_run(run, tmp_path / "run")
    back = read_run(tmp_path / "run")
    assert repr(back).splitlines()[1:] == repr(run).splitlines()[1:]
    assert list(back.figures()) == list(run.figures())
    folder = stored.runs[0].folder  # type: ignore[attr-defined]
    with pytest.raises(ScenarioError, match=r"holds a comparison of 4 runs; this makes the folder of one"):
        read_run(folder)


# ---- a comparison ----


def test_the_summary_of_a_comparison_has_means_and_intervals(stored: Comparison) -> None:
    costs = [run.summary["cost_mean_cores"] for run in stored.runs[:2]]
    row = stored.summary.loc["ipa"]
    assert row["cost_mean_cores"] == pytest.approx(sum(costs) / 2)
    assert row["cost_mean_cores_low"] <= min(costs) <= max(costs) <= row["cost_mean_cores_high"]
    alone = Comparison(stored.runs[:1]).summary
    assert alone["pas_mean_low"].isna().all()


def test_a_comparison_is_shown_as_a_table(stored: Comparison) -> None:
    title, head, *rows = repr(stored).splitlines()
    assert title == "Comparison of 4 runs: video on bursty: ipa and static compared"
    assert head.split()[:3] == ["PAS", "cores", "violations"]
    assert [row.split()[0] for row in rows] == ["ipa", "static"]
    assert len({len(head), *map(len, rows)}) == 1
    assert stored.summary.to_html() in stored._repr_html_()
    assert next(iter(stored.figures())) == "plane"


def test_without_plotly_figures_say_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipa.studies.displayed.find_spec", lambda _: None)
    with pytest.raises(
        ScenarioError, match=r"needs plotly, which is not installed: pip install '.\[report\]' in the checkout"
    ):
        run.figures()
