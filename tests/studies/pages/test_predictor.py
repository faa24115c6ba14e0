"""The page of forecasts."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from ipa.studies.many.predictor import cases_of, choose, forecasts_of
from ipa.studies.pages import html_of
from ipa.studies.pages.clock import Clock
from ipa.studies.pages.predictor import MOST_S, page, plot
from ipa.studies.scenario.errors import ScenarioError
from ipa.traces import Trace, constant

LOAD = Trace.of_counts("load <b>", [10, 20, 10, 40, 10, 30, 20, 10])


def test_a_panel_shows_the_load_what_came_the_forecast_and_its_band() -> None:
    """Forecasts at seconds 2, 4, 6 of the next 2 s, from the last: 20, 40, 30 and then 40, 30, 20."""
    cases = cases_of(LOAD, interval_s=2, history_s=2, horizon_s=2)
    made = [
        (name, forecasts_of(choose(name).predictor, cases, (0.05, 0.95))) for name in ("reactive window_s=1", "poisson")
    ]
    drawn = plot(cases, made, (0.05, 0.95))
    panels = {place: [each for each in drawn.traces if each.get("yaxis") == place] for place in ("y", "y2")}
    assert [each["name"] for each in panels["y"]] == ["load", "came", "forecast"]
    assert [each["name"] for each in panels["y2"]] == ["load", "quantiles", "quantiles", "came", "forecast"]
    load, came, forecast = panels["y"]
    assert (load["x"], load["y"]) == (Clock(6.0).moments(range(7)), [10, 40, 10, 30, 20, 10, 10])
    assert (came["x"], came["y"]) == (Clock(6.0).moments([0, 2, 4]), [40, 30, 20])
    assert forecast["y"] == [20, 40, 30]
    assert "SMAPE 45.1 %, exceeded at 33 % of the moments" in drawn.layout["annotations"][1]["text"]
    assert drawn.layout["yaxis"]["range"][1] > max(panels["y2"][2]["y"])


@pytest.mark.skipif(find_spec("plotly") is None, reason="a page is drawn with plotly")
def test_the_page_is_the_same_every_time_and_text_cannot_break_it() -> None:
    cases = cases_of(LOAD, interval_s=2, history_s=2, horizon_s=2)
    chosen = [choose("reactive"), choose("holt")]
    html = html_of(page(LOAD, cases, chosen, (0.05, 0.95)))
    assert html == html_of(page(LOAD, cases, chosen, (0.05, 0.95)))
    assert "load <b>" not in html
    assert 'src="http' not in html
    assert "<h1>Forecasts of load &lt;b&gt; by reactive, holt</h1>" in html


def test_a_page_that_nobody_could_read_is_refused() -> None:
    load = constant(1, MOST_S + 200)
    with pytest.raises(ScenarioError, match="--windows 0:7200"):
        page(load, cases_of(load), [choose("mean")], (0.05, 0.95))
