"""What is said of a study: in its tables, its report and the terminal."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ipa.studies.many import TIMELINE
from ipa.studies.many.study.findings import StudyCell
from ipa.studies.many.study.run import prepare
from ipa.studies.pages import study_bars, study_overview
from ipa.studies.pages.colours import PALETTE
from tests.command import PIPELINE, ipa
from tests.studies.page_rules import check_page
from tests.studies.study.mine import STUDY, cell, changed, figures, study

pytest.importorskip("plotly")

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(scope="module")
def study_with_one_seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one_seed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("IPA_TRACE", raising=False)
        Path("mine.yaml").write_text(PIPELINE)
        Path("study.yaml").write_text(STUDY)
        study("--seeds", 1)
    return folder / "out"


@pytest.fixture
def one_seed(study_with_one_seed: Path, here: Path) -> Path:
    """The folder of the study with one seed, a copy for each test."""
    return shutil.copytree(study_with_one_seed, here / "out")


@pytest.mark.long
def test_the_share_of_infeasible_decisions_stands_beside_the_means() -> None:
    """34 and 35 of 120 decisions are 28.75 % on average."""
    rim = cell("rim", infeasible=(34, 35), decisions=(120, 120))
    assert rim.mean("infeasible_share", 100.0) == pytest.approx(28.75)
    study()
    text = Path("out/tables.md").read_text()
    assert text.count("| changes | infeasible, % |") == 3  # all workloads together, and each in both settings


def test_a_setting_without_sweeps_says_so_in_the_report() -> None:
    changed("systems: [ipa, one], set: {decision", "set: {decision")
    study("--seeds", 1)
    page = Path("out/report.html").read_text()
    assert page.count("The sweeps are run in plain alone.") == 2
    of_slow = page.partition('<div data-setting="slow">')[2].partition("</div>\n</div>")[0]
    assert '<p class="muted">The sweeps are run in plain alone. So there is no headline' in of_slow


def test_the_terminals_headline_explains_no_more_than_it_has(one_seed: Path) -> None:
    result = ipa("study", "study.yaml", "--out", one_seed, "--jobs", 1, "--seeds", 1)
    assert "At another's cost" in result.output
    assert not re.search("round brackets|sweep", result.output.lower())


def test_one_seed_has_no_interval_and_says_so(one_seed: Path) -> None:
    one = study("--seeds", 1, folder=str(one_seed))
    assert {each["sentence"].count("[") for each in one["comparisons"]} == {0}
    assert "IPA against one on mine constant:5:40: " in one["comparisons"][0]["sentence"]
    assert "One seed, so no intervals." in (one_seed / "tables.md").read_text()
    two = study("--seeds", 2, folder=str(one_seed))
    assert {each["sentence"].count("[") for each in two["comparisons"]} == {3}


def test_intervals_over_one_log_say_that_they_hold_it_fixed() -> None:
    """In the terminal, on the page and in the tables; not those over drawn loads."""
    said = "A log is the same load with every seed"
    Path("log.csv").write_text("count\n" + "5\n" * 40)
    for trace, is_said in (("log.csv", True), ("constant:5:40", False)):
        Path("short.yaml").write_text(
            f"schema_version: 1\nkind: study\npipeline: mine.yaml\nworkloads: ['{trace}']\n"
            "systems: {one: {policy: static}, other: {policy: ipa}}\n"
        )
        result = ipa("study", "short.yaml", "--out", trace[:3], "--jobs", 1, "--seeds", 2)
        assert result.exit_code == 0, result.output
        texts = [Path(trace[:3], name).read_text() for name in ("report.html", "tables.md")]
        assert [said in text for text in (" ".join(result.stdout.split()), *texts)] == [is_said] * 3


def test_the_report_begins_with_what_to_take_and_the_plane_and_ends_with_what_was_run(one_seed: Path) -> None:
    """And no table has a column for the one pipeline that all rows are of."""
    page = (one_seed / "report.html").read_text()
    assert "<h3>Which to take</h3>\n<ul>\n<li>mine: Nothing is recommended: " in page.partition("The headline")[0]
    assert page.index("<h3>Which to take</h3>") < page.index("<h3>Accuracy against cost</h3>") < page.index("<table")
    assert page.count('<select data-choice="against') == 1
    told = page.partition("<summary>What was run</summary>")[2]
    assert "<dt>Systems</dt><dd>IPA, one, two</dd>" in told
    assert "<dt>Sweeps</dt><dd>other weights</dd>" in told
    assert ">pipeline<" not in page


def test_the_plane_has_a_mark_for_each_system_at_its_means(one_seed: Path) -> None:
    marks = {trace["name"]: trace for trace in figures((one_seed / "report.html").read_text())["plane-plain"]["data"]}
    assert list(marks) == ["IPA", "one", "two"]
    runs = pd.read_parquet(one_seed / "runs.parquet").query("system == 'one' and setting == 'plain'")
    means = [runs[key].mean() for key in ("cost_mean_cores", "pas_mean")]
    assert [marks["one"]["x"][0], marks["one"]["y"][0]] == pytest.approx(means, abs=1e-3)


def test_the_report_needs_nothing_else_and_has_every_system(one_seed: Path) -> None:
    page = (one_seed / "report.html").read_text()
    assert "src=" not in page.split("</script>", 1)[1]
    for what in (
        "mine-means-plain",
        "mine-timeline-plain-constant:9:40",
        "mine-plane-plain",
        "mine-latencies-plain",
        "mine-seconds-plain",
    ):
        assert {"IPA", "one"} <= {trace["name"] for trace in figures(page)[what]["data"]}
    assert "Red diamonds" not in page  # nothing is published of it
    check_page(page)
    assert len(page.encode()) < 10e6


def test_pipelines_sweeps_and_systems_may_be_called_by_any_word_of_ours() -> None:
    """A sweep called `means` was drawn as the means of all systems, a pipeline called `drawing` left all blank."""
    means = "sweeps:\n  means: {of: ipa, points: {near: {policy.beta: 2}, far: {policy.beta: 4}}}"
    text = STUDY.replace("  two: {", "  load: {").replace("[two]", "[load]").replace("sweeps:", means)
    Path("study.yaml").write_text(text)
    Path("mine.yaml").write_text(Path("mine.yaml").read_text().replace("name: mine", "name: drawing", 1))
    study("--seeds", 1)
    page = Path("out/report.html").read_text()
    check_page(page)
    shown = figures(page)
    names = {name: {trace.get("name") for trace in spec["data"]} for name, spec in shown.items()}
    assert {"IPA", "one", "load"} <= names["drawing-means-plain"]
    assert {"near", "far"} <= names["drawing-sweep-means-plain"]
    groups = {(trace["name"], trace["legendgroup"]) for trace in shown["drawing-timeline-plain-constant:9:40"]["data"]}
    assert {("load", "load"), ("load", "system load")} <= groups


def test_no_two_systems_of_the_papers_study_look_alike() -> None:
    ((paper, _),) = prepare("paper", ["video"], 1).studies
    drawn = study_bars.looks({name: name for name in paper.systems}).values()
    assert len({look.colour for look in drawn}) == len({look.dash for look in drawn}) == len(paper.systems)
    assert len({look.symbol for look in drawn}) == len(paper.systems)


def test_a_print_without_colour_tells_systems_and_sweeps_apart() -> None:
    assert len(set(study_bars.DASHES)) == len(set(study_bars.SYMBOLS)) == len(PALETTE)
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

    def cells(*costs: float) -> list[StudyCell]:
        timeline = np.zeros((len(TIMELINE), len(costs)))
        timeline[TIMELINE.index("planned_cost_cores")] = costs
        spiky = cell("rim")
        return [replace(spiky, outcomes={1: replace(spiky.outcomes[1], timeline=timeline)})]

    assert study_overview.cost_shown_to(cells(500.0, *[10.0] * 199), 1) == 11
    assert study_overview.cost_shown_to(cells(*[10.0] * 150, *[14.0] * 50), 1) is None


def test_violations_over_time_are_of_the_requests_that_arrived() -> None:
    """3 of 4, none of 2, and of none nothing is said."""
    timeline = np.zeros((len(TIMELINE), 3))
    timeline[TIMELINE.index("requests")], timeline[TIMELINE.index("violations")] = (4, 2, 0), (3, 0, 0)
    assert study_overview.shown_values(timeline, "violations").tolist()[:2] == [75.0, 0.0]
    assert np.isnan(study_overview.shown_values(timeline, "violations")[2])
