"""A plot's element: what it shows is said in words."""

from __future__ import annotations

import json
import re

from ipa.studies.pages.plots import Plot, axis, in_words, layout, note, plot_element

LAYOUT = layout(300, xaxis=axis("time (s)"), yaxis=axis("cores"))


def test_a_plot_is_named_by_its_heading_axes_and_lines() -> None:
    traces = [{"name": "<b>ipa</b> &amp; co"}, {"name": "rim"}, {"name": "rim"}, {}]
    assert in_words("Cost <i>x</i>", traces, LAYOUT) == "Cost x: cores against time (s). Shown: ipa & co, rim."
    assert in_words("Empty", [], layout(300)) == "Empty. Shown: nothing."
    turned = layout(300, xaxis=axis("time (s)"), annotations=[note("cores", x=0, y=0.5, textangle=-90)])
    assert in_words("Panels", [], turned).startswith("Panels: cores against time (s).")


def test_the_element_is_an_image_to_those_who_cannot_see_it_and_holds_both_layouts() -> None:
    html = Plot("a", 'On "it"', "", [{"name": "</script>"}], LAYOUT).html()
    assert re.search(r'<div class="plot" id="plot-a" role="img" aria-label="On &quot;it&quot;: cores [^"]*"', html)
    spec = json.loads(html.split('id="plot-a-spec">')[1].split("</script>")[0])
    assert spec["data"] == [{"name": "</script>"}]
    assert (spec["layout"]["height"], spec["narrow"]["font"]["size"]) == (300, 11)
    assert plot_element("a&b", "", [], LAYOUT).count("a&amp;b") == 2
