"""The drawing of a pipeline's graph: where stages stand, what is said of them, and where edges go."""

from __future__ import annotations

from math import nan
from pathlib import Path

import pandas as pd
import pytest

from ipa import profiles
from ipa.studies import Run, Scenario, compare, read_comparison, simulate
from ipa.studies.pages.graph import plots
from ipa.studies.pages.graph_of_run import drawing_of
from ipa.studies.pages.plots import Plot
from tests.profiles.test_graph_file import TREE
from tests.studies.made import Made, page_of
from tests.tiny import two_by_two


@pytest.fixture
def low(tmp_path: Path) -> Plot:
    (tmp_path / "tree.yaml").write_text(TREE)
    found = plots(profiles.load(tmp_path / "tree.yaml"))
    assert [plot.title for plot in found] == ["scale-only:low at 20 requests/s", "scale-only:high at 20 requests/s"]
    return found[0]


def test_stages_stand_after_those_that_lead_to_them_with_their_load(low: Plot) -> None:
    boxes = {note["text"]: (note["x"], note["y"]) for note in low.layout["annotations"] if "borderwidth" in note}
    assert boxes == {
        "<b>detect</b><br>24 x nano<br>20 items/s, 83 % busy": (0.125, 0.5),
        "<b>cars</b><br>48 x only<br>40 items/s, 83 % busy": (0.375, 0.75),
        "<b>faces</b><br>15 x only<br>12 items/s, 80 % busy": (0.375, 0.25),
        "<b>check</b><br>36 x only<br>30 items/s, 83 % busy": (0.625, 0.75),
        "<b>merge</b><br>24 x only<br>20 items/s, 83 % busy": (0.875, 0.5),
    }
    assert low.in_words.endswith("Shown: detect, cars, faces, check, merge.")


def test_edges_pass_beside_the_stages_between_and_have_their_factors(low: Plot) -> None:
    lines = [list(zip(trace["x"], trace["y"], strict=True)) for trace in low.traces if trace["mode"] == "lines"]
    assert lines[0] == [(0.125, 0.5), (0.375, 0.75)]
    assert lines[-1] == [(0.375, 0.25), (0.625, 0.25), (0.875, 0.5)]
    words = [note["text"] for note in low.layout["annotations"] if "borderwidth" not in note]
    assert words == ["× 2", "× 0.6", "× 0.75", "× 1", "× 1", "all"]


def test_a_chain_is_not_drawn() -> None:
    assert plots(two_by_two()) == []


# ---- as a run had it ----

STAGES = ["detect", "cars", "faces", "check", "merge"]


@pytest.fixture
def switched(tmp_path: Path) -> Made:
    """10 s of detect: nano for 5 s, then one small; three batches, of which the last ends after the run."""
    (tmp_path / "tree.yaml").write_text(TREE)
    items = pd.DataFrame(
        [("detect", 0.0, 0.0, 2.0, 0, 0), ("detect", 0.5, 2.0, 3.0, 0, 1), ("detect", 0.5, 2.0, 3.0, 0, 1),
         ("detect", 6.0, 8.0, 12.0, 1, 0), ("detect", 11.0, nan, nan, -1, -1), ("cars", 2.0, nan, nan, -1, -1)],
        columns=["stage", "enqueue_s", "start_s", "finish_s", "replica", "batch"],
    )  # fmt: skip
    replicas = pd.DataFrame(
        [("detect", 0, "nano", 0.0, 5.0), ("detect", 1, "small", 5.0, nan), ("cars", 0, "only", 0.0, nan)],
        columns=["stage", "replica", "variant", "ready_s", "gone_s"],
    )
    tables = {"items": items.astype({"stage": pd.CategoricalDtype(STAGES)}), "replicas": replicas}
    return Made({"duration_s": 10.0}, tables, scenario=Scenario(pipeline=str(tmp_path / "tree.yaml")))


def test_a_run_is_drawn_with_what_came_and_how_busy_it_was(switched: Made) -> None:
    """Busy for 2 + 1 + 2 of 10 s. Three of four items were nano's, with 2 cars each, one small's, with 5."""
    drawn = drawing_of(switched)
    assert drawn is not None
    assert [drawn.boxes[stage][1] for stage in ("detect", "cars", "merge")] == [
        ["1 x nano (75 %)", "0.4 items/s, 50 % busy"],
        ["1 replicas", "0.1 items/s, 0 % busy"],
        ["0 replicas", "0 items/s, 0 % busy"],
    ]
    assert drawn.factors == ["× 2.75", "× 0.6", "", "", ""]


def test_a_run_whose_pipeline_is_gone_or_another_by_now_is_not_drawn(switched: Made, tmp_path: Path) -> None:
    (tmp_path / "tree.yaml").write_text(TREE.replace("faces", "people"))
    assert drawing_of(switched) is None
    (tmp_path / "tree.yaml").unlink()
    assert drawing_of(switched) is None


@pytest.fixture(scope="module")
def run() -> Run:
    return simulate(Scenario(pipeline="traffic", trace="constant:20", window=((0.0, 20.0),)))


def test_a_report_has_the_graph_of_a_run(run: Run) -> None:
    found = next(plot for plot in page_of(run).plots if plot.name == "graph")
    drawn = drawing_of(run)
    assert drawn is not None
    written = [note["text"] for note in found.layout["annotations"]]
    assert written[:2] == list(drawn.factors)
    assert "20 items/s" in written[2]


def test_of_several_policies_the_reader_picks_one(run: Run, tmp_path: Path) -> None:
    compare(run.scenario, ["ipa", "rate"], seeds=2, jobs=1, folder=tmp_path / "out")
    found = read_comparison(tmp_path / "out")
    assert [plot.title for plot in page_of(*found.runs).plots if plot.name.startswith("graph")] == ["ipa", "rate"]
    assert [plot.title for plot in page_of(*found.runs[:2]).plots if plot.name.startswith("graph")] == ["The graph"]
