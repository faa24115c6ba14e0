"""The layout for narrow screens, checked by hand on small ones."""

from __future__ import annotations

import json
from typing import Any

from ipa.studies.pages.narrow import narrowed
from ipa.studies.pages.panels import grid
from ipa.studies.pages.plots import axis, layout, log_axis, note


def lines(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"type": "scatter", "x": [0], "y": [0], "name": name, **more} for name in names]


def test_a_legend_of_more_rows_pushes_the_plot_down() -> None:
    """Three names of 20 letters, 174 pixels each: one row of 900, but three of 260, so two rows of 19 pixels more."""
    wide = layout(400, xaxis=axis(), yaxis=axis())
    narrow = narrowed(lines("a" * 20, "b" * 20, "c" * 20), wide)
    assert (narrow["height"], narrow["margin"]["t"]) == (438, wide["margin"]["t"] + 38)
    assert narrowed(lines("a", "b"), wide)["height"] == 400
    assert narrowed(lines("a" * 20, "b" * 20, showlegend=False), wide)["height"] == 400


def test_a_single_panel_is_about_square_unless_it_has_a_row_for_each_name() -> None:
    """320 pixels between the margins of 34 and 52."""
    names = axis("stage", tickvals=[0, 1], ticktext=["a", "b"])
    assert narrowed([], layout(600, xaxis=axis(), yaxis=axis("cores")))["height"] == 320 + 34 + 52
    across = [{"type": "bar", "orientation": "h", "x": [1], "y": ["a"]}]
    assert narrowed(across, layout(600, xaxis=axis(), yaxis=axis("stage")))["height"] == 600
    assert narrowed([], layout(600, xaxis=axis(), yaxis=names))["height"] == 600


def test_ticks_become_few_but_names_stay() -> None:
    log, short_log = log_axis("latency", 0.1, 10.0), log_axis("latency", 0.5, 5.0)
    names = axis(tickvals=list(range(9)), ticktext=list("abcdefghi"))
    narrow = narrowed([], layout(400, xaxis=axis(), xaxis2=log, xaxis3=names, xaxis4=short_log, yaxis=axis()))
    assert narrow["xaxis"]["nticks"] == 6
    assert (narrow["xaxis2"]["nticks"], "dtick" in log, "dtick" in narrow["xaxis2"]) == (6, True, False)
    assert narrow["xaxis3"]["ticktext"] == list("abcdefghi")
    assert narrow["xaxis4"]["dtick"] == short_log["dtick"]


def test_names_beside_points_go_and_titles_stay() -> None:
    beside, title = note("ipa", xref="x", yref="y", x=3, y=4), note("title", x=0.5, y=0.5)
    narrow = narrowed([], layout(400, xaxis=axis(), yaxis=axis(), annotations=[beside, title]))
    assert [each["text"] for each in narrow["annotations"]] == ["title"]


def test_panels_side_by_side_come_one_above_the_other_with_their_titles() -> None:
    """Three panels of 270 pixels, two in the first row: the inner height grows by one panel and the gap of 64."""
    wide = grid(["a", "b", "c"], [{}] * 3, [{}] * 3)[1]
    before = json.dumps(wide)
    narrow = narrowed([], wide)
    assert json.dumps(wide) == before
    assert narrow["height"] - wide["height"] == 270 + 64
    inner = 3 * 270 + 2 * 64
    uppers = [1.0, 1.0 - 334 / inner, 1.0 - 668 / inner]
    for reference, upper, title in zip(("", "2", "3"), uppers, narrow["annotations"], strict=True):
        assert narrow[f"xaxis{reference}"]["domain"] == [0.0, 1.0]
        assert abs(narrow[f"yaxis{reference}"]["domain"][1] - upper) < 1e-9
        assert (title["x"], round(title["y"], 9)) == (0.0, round(upper, 9))
