"""Forecasts over the load, as one HTML page: a panel for each predictor, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ipa.studies.many.predictor import Cases, Chosen, Forecasts, forecasts_of, smape_percent, under_share
from ipa.studies.pages.clock import moments, time_axis
from ipa.studies.pages.colours import ARRIVALS, FILL, TEXT, colour, faded
from ipa.studies.pages.document import html_document, plot_section, what_was_run
from ipa.studies.pages.panels import Panels, panel_title, stacked_panels
from ipa.studies.pages.plots import Plot, Spec, key, numbers, steps
from ipa.studies.runs.results import write_text
from ipa.studies.scenario import ScenarioError
from ipa.traces import Trace

MOST_S = 7200
"""The longest time that a page shows second by second."""


def render(trace: Trace, cases: Cases, chosen: Sequence[Chosen], ends: tuple[float, float]) -> str:
    """The page of all forecasts at the moments, with the interval between two levels; the same input, the same page.

    ScenarioError: more than `MOST_S` from the first moment to the last, or plotly is not installed.
    """
    lasts_s = cases.place[-1] + cases.horizon_s - cases.place[0]
    if lasts_s > MOST_S:
        raise ScenarioError(
            f"{lasts_s} s are too many to draw second by second; allowed: {MOST_S} s, as --windows 0:{MOST_S}"
        )
    made = [(each.name, forecasts_of(each.predictor, cases, ends)) for each in chosen]
    subtitle = (
        f"{escape(trace.name)}: {len(cases):,} forecasts of the busiest of the next {cases.horizon_s} s, from the "
        f"{cases.history_s} s before"
    )
    run = {
        "Load": f"{trace.source} (sha256 {trace.sha256})",
        "Seconds": f"{cases.time_s[0]:.12g} to {cases.time_s[-1] + cases.horizon_s:.12g}",
        "Predictors": "; ".join(name for name, _ in made),
    }
    return html_document("Forecasts", subtitle, plot_section(plot(cases, made, ends)) + what_was_run(run))


def write(trace: Trace, cases: Cases, chosen: Sequence[Chosen], ends: tuple[float, float], path: Path) -> None:
    """Write the page to a file, whole or not at all. Raises as `render`, and for an unusable path."""
    write_text(render(trace, cases, chosen, ends), path)


def plot(cases: Cases, made: Sequence[tuple[str, Forecasts]], ends: tuple[float, float]) -> Plot:
    """A panel for each predictor, over the same load."""
    first, last = int(cases.place[0]), int(cases.place[-1]) + cases.horizon_s
    loads = cases.counts_rps[first:last]
    actual = cases.actual_rps
    highest = max(float(loads.max()), *(float(np.nanmax(np.append(each.quantiles_rps[-1], 0.0))) for _, each in made))
    titles = [
        panel_title(escape(name, quote=False), colour(place), _said(each, actual))
        for place, (name, each) in enumerate(made)
    ]
    panels = stacked_panels(titles, time_axis(float(last - first)), "requests per second", 1.05 * max(highest, 1.0))
    traces = _keys(ends)
    for place, (_, each) in enumerate(made):
        traces += _panel(cases, each, actual, panels, place)
    return Plot(
        "forecasts",
        "Forecast and load",
        f"Grey: the load of each second. Dark: the load of the busiest of the {cases.horizon_s} s after each moment, "
        "which is what is forecast. In colour: the forecast that was made at that moment, and its "
        f"{_percent(ends[0])} to {_percent(ends[1])} % quantiles. Where the dark line is above a forecast, more came.",
        traces,
        panels.layout,
    )


def _said(each: Forecasts, actual: npt.NDArray[np.float64]) -> str:
    made = ~np.isnan(each.point_rps)
    error = smape_percent(actual[made], each.point_rps[made])
    under = under_share(actual[made], each.point_rps[made])
    return f"SMAPE {error:.1f} %, exceeded at {100 * under:.0f} % of the moments" if made.any() else "no forecast"


def _keys(ends: tuple[float, float]) -> list[Spec]:
    return [
        key("load", "load", line={"color": ARRIVALS, "width": 6}),
        key("busiest second to come", "actual", line={"color": TEXT, "width": 1.4}),
        key("forecast", "forecast", line={"color": colour(0), "width": 1.8}),
        key(
            f"{_percent(ends[0])} to {_percent(ends[1])} % quantiles",
            "band",
            line={"color": faded(colour(0), 0.25), "width": 8},
        ),
    ]


def _panel(cases: Cases, each: Forecasts, actual: npt.NDArray[np.float64], panels: Panels, place: int) -> list[Spec]:
    """The load, the band, what came and the point forecast, from the back to the front."""
    first, last = int(cases.place[0]), int(cases.place[-1]) + cases.horizon_s
    seconds = moments(np.arange(last - first + 1))
    loads = cases.counts_rps[first:last]
    at = moments(cases.place - first)
    shared: Spec = {"showlegend": False, **panels.axes(place)}
    tint = colour(place)
    load = steps(
        seconds,
        numbers(np.append(loads, loads[-1:])),
        "load",
        line={"color": ARRIVALS, "width": 0.8},
        fill="tozeroy",
        fillcolor=FILL,
        hovertemplate="%{y:.4~g} rps",
        legendgroup="load",
        **shared,
    )
    low, high = each.quantiles_rps
    edge: Spec = {"line": {"width": 0}, "hoverinfo": "skip", "legendgroup": "band", **shared}
    band = [
        steps(at, numbers(low, 2), "low", **edge),
        steps(at, numbers(high, 2), "high", fill="tonexty", fillcolor=faded(tint, 0.22), **edge),
    ]
    came = steps(at, numbers(actual), "came", line={"color": TEXT, "width": 1.2}, legendgroup="actual", **shared)
    point = steps(
        at, numbers(each.point_rps, 2), "forecast", line={"color": tint, "width": 1.8}, legendgroup="forecast", **shared
    )
    return [load, *([] if each.is_certain else band), came, point]


def _percent(level: float) -> str:
    return f"{100 * level:g}"
