"""The drawing of a pipeline's graph: where stages stand, what is said of them, and where edges go."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa import profiles
from ipa.studies.pages.graph import plots
from ipa.studies.pages.plots import Plot
from tests.profiles.test_graph_file import TREE
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
