"""The plots over time of a page are linked, in a real browser."""

from __future__ import annotations

from pathlib import Path

from ipa.studies import Comparison
from tests.studies.browser import Browser, needs_chromium
from tests.studies.made import made

OVER_TIME = {"load", "cores", "bands", "latency", "violations"}

LINKED = """new Promise((done, fail) => {
    const over = [...document.querySelectorAll(".plot")].filter(plot => plot.layout.xaxis.type === "date");
    const look = left => {
        if (over.every(plot => String(plot.layout.xaxis.range).startsWith("START"))) return done(over.length);
        left ? setTimeout(look, 50, left - 1) : fail(over.map(plot => String(plot.layout.xaxis.range)));
    };
    look(400);
})"""
"""The number of plots over time, once all of them begin at START."""

RANGES = """Object.fromEntries([...document.querySelectorAll(".plot")].map(
    plot => [plot.id.slice(5), plot.layout.xaxis.range.map(String)]))"""

MARKS = """Object.fromEntries([...document.querySelectorAll(".plot")].map(plot => {
    const line = [...plot.children].at(-1), {_offset, _length} = plot._fullLayout.xaxis;
    const share = (parseFloat(line.style.left) - _offset) / _length;
    return [plot.id.slice(5), line.style.display === "block" ? Math.round(100 * share) : null];
}))"""


def zoomed(ranges: dict[str, list[str]], wanted: list[str]) -> set[str]:
    return {name for name, found in ranges.items() if found == wanted}


@needs_chromium
def test_a_zoom_and_the_pointer_reach_all_plots_over_time_and_no_other(tmp_path: Path, shown: Browser) -> None:
    page = tmp_path / "report.html"
    Comparison((made("ipa"), made("low"))).write_report(page)
    shown.open(page)
    shown.draw_all()
    part = ["1971-01-01 00:00:04", "1971-01-01 00:00:08"]
    shown.run(f'Plotly.relayout(document.querySelector("#plot-cores"), {{"xaxis.range": {part}}}).then(() => 0)')
    assert shown.run(LINKED.replace("START", part[0])) == len(OVER_TIME)
    assert zoomed(shown.run(RANGES), part) == OVER_TIME
    shown.run("""{
        const plot = document.querySelector("#plot-latency"), {_offset, _length} = plot._fullLayout.xaxis;
        const clientX = plot.getBoundingClientRect().left + _offset + _length / 4;
        plot.dispatchEvent(new PointerEvent("pointermove", {clientX}));
    }""")
    assert {name for name, share in shown.run(MARKS).items() if share == 25} == OVER_TIME
    shown.run("""document.querySelector('#plot-bands [data-title="Reset axes"]').click()""")
    assert shown.run(LINKED.replace("START", "1971-01-01,")) == len(OVER_TIME)
