"""A page is made of values, and each is shown as HTML that those who cannot see it can hear."""

from __future__ import annotations

import json
import re

import pytest

from ipa.studies.pages.document import (
    Cell,
    Facts,
    Items,
    Page,
    Paragraph,
    Part,
    Section,
    Strong,
    Swatch,
    Table,
    html_of,
)
from ipa.studies.pages.plots import Plot, axis, layout, note
from tests.studies.made import drawn, made

pytest.importorskip("plotly")

LAYOUT = layout(300, xaxis=axis("time (s)"), yaxis=axis("cores"))


def shown(*parts: Part) -> str:
    return html_of(Page("Title", ["Subtitle"], parts)).partition("<main>")[2].partition("</main>")[0]


def test_every_text_is_escaped() -> None:
    evil = "<b>&"
    html = shown(
        Section(evil, [Paragraph([evil, Strong(evil, "#0b62a4"), Swatch("#0b62a4")]), Items([evil])], evil, ident=evil),
        Section(evil, [Facts({evil: evil}), Table(evil, [evil], [[Cell(evil, evil)]])], is_folded=True),
        Plot(evil, evil, evil, [{"name": f"</script>{evil}"}], LAYOUT),
    )
    assert evil not in html
    assert html.count("&lt;b&gt;&amp;") == 19
    assert "<b style=" in html


def test_a_cell_may_head_its_row_have_a_class_and_something_small_beneath() -> None:
    html = shown(Table("n", [""], [[Cell("ipa", is_heading=True), Cell("2.5", "[2, 3]", "name")]], css="many"))
    assert '<table class="many" aria-label="n">' in html
    assert '<th scope="row">ipa</th><td class="name">2.5<small>[2, 3]</small></td>' in html


def test_headings_go_down_by_one_and_a_choice_stands_at_what_it_shows() -> None:
    nested = Section("Inner", [Section("", [Section("Deep")], shown_for={"setting": "a"})])
    html = shown(Section("Outer", [nested], ident="o"))
    assert re.findall(r"<h(\d)>(\w+)", html) == [("2", "Outer"), ("3", "Inner"), ("4", "Deep")]
    assert '<section id="o">' in html
    assert '<div data-setting="a">' in html


def test_a_plot_is_named_by_its_title_axes_and_lines() -> None:
    def in_words(title: str, traces: list[dict[str, str]], of: dict[str, object]) -> str:
        return Plot("a", title, "", traces, of).in_words

    traces = [{"name": "<b>ipa</b> &amp; co"}, {"name": "rim"}, {"name": "rim"}, {}]
    assert in_words("Cost & co", traces, LAYOUT) == "Cost & co: cores against time (s). Shown: ipa & co, rim."
    assert in_words("Empty", [], layout(300)) == "Empty. Shown: nothing."
    turned = layout(300, xaxis=axis("time (s)"), annotations=[note("cores", x=0, y=0.5, textangle=-90)])
    assert in_words("Panels", [], turned).startswith("Panels: cores against time (s).")


def test_a_plot_is_an_image_to_those_who_cannot_see_it_and_has_both_layouts() -> None:
    html = shown(Plot("a", 'On "it"', "", [{"name": "</script>"}], LAYOUT))
    assert re.search(r'<div class="plot" id="plot-a" role="img" aria-label="On &#34;it&#34;: cores [^"]*"', html)
    spec = json.loads(html.split('id="plot-a-spec">')[1].split("</script>")[0])
    assert spec["data"] == [{"name": "</script>"}]
    assert (spec["layout"]["height"], spec["narrow"]["font"]["size"]) == (300, 11)


def test_names_of_neighbours_in_a_plane_take_a_side_each() -> None:
    costs = {"a": 4.0, "b": 4.05, "c": 9.0, "d": 1.0}
    names = drawn(*(made(policy, cost_mean_cores=cost) for policy, cost in costs.items()))["plane"]
    sides = [name["xanchor"] for name in names.layout["annotations"][1:]]
    assert set(sides[:2]) == {"left", "right"}
    assert not any(name["showarrow"] for name in names.layout["annotations"])


def test_names_of_many_points_in_one_place_are_further_away_each_joined_to_its_point() -> None:
    close = (made(f"policy {place}", cost_mean_cores=4.0 + 0.01 * place) for place in range(9))
    names = drawn(*close)["plane"].layout["annotations"][1:]
    joined = [(name["ax"], name["ay"]) for name in names if name["showarrow"]]
    assert joined
    assert len(set(joined)) == len(joined)
