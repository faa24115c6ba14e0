"""Forecasts over the load as a page: a panel for each predictor, and its scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ipa.sim import FloatArray
from ipa.studies.many.predictor import Chosen, ForecastCases, Forecasts, forecasts_of, smape_percent, under_share
from ipa.studies.pages.clock import Clock, band
from ipa.studies.pages.colours import ARRIVALS, FILL, TEXT, colour, faded
from ipa.studies.pages.document import Page
from ipa.studies.pages.panels import panel_title, stacked
from ipa.studies.pages.plots import Plot, Spec, key, numbers, steps
from ipa.studies.scenario import ScenarioError
from ipa.traces import Trace

MOST_S = 7200
"""The longest time that a page shows second by second [s]."""


def page(trace: Trace, cases: ForecastCases, chosen: Sequence[Chosen], ends: tuple[float, float]) -> Page:
    """The page of all forecasts at the moments, with the interval between two levels; deterministic.

    Raises ScenarioError if the first and the last moment are more than `MOST_S` apart.
    """
    lasts_s = cases.place[-1] + cases.horizon_s - cases.place[0]
    if lasts_s > MOST_S:
        raise ScenarioError(
            f"{lasts_s} s are too many to draw second by second; allowed: {MOST_S} s, as --windows 0:{MOST_S}"
        )
    forecasts = [(predictor.name, forecasts_of(predictor.predictor, cases, ends)) for predictor in chosen]
    run = {
        "Load": f"{trace.source} (sha256 {trace.sha256})",
        "Seconds": f"{cases.time_s[0]:.12g} to {cases.time_s[-1] + cases.horizon_s:.12g}",
        "Predictors": "; ".join(name for name, _ in forecasts),
    }
    subtitle = (
        f"{len(cases):,} forecasts of the busiest of the next {cases.horizon_s} s, from the {cases.history_s} s before"
    )
    who = ", ".join(name for name, _ in forecasts) if len(forecasts) <= 3 else f"{len(forecasts)} predictors"
    return Page(f"Forecasts of {trace.name} by {who}", [subtitle], [plot(cases, forecasts, ends)], run)


def plot(cases: ForecastCases, of_predictors: Sequence[tuple[str, Forecasts]], ends: tuple[float, float]) -> Plot:
    """A panel for each predictor, over the same load."""
    loads, actual = _loads(cases), cases.actual_rps
    highest = max(
        float(loads.max()),
        *(float(np.nanmax(np.append(forecasts.quantiles_rps[-1], 0.0))) for _, forecasts in of_predictors),
    )
    titles = [
        panel_title(name, colour(place), _said(forecasts, actual))
        for place, (name, forecasts) in enumerate(of_predictors)
    ]
    clock = Clock(float(len(loads)))
    panels, spec = stacked(titles, clock.axis(), "requests per second", 1.05 * max(highest, 1.0))
    band_name = f"{_percent(ends[0])} to {_percent(ends[1])} % quantiles"
    traces = [
        key("load", "load", {"color": ARRIVALS, "width": 6}),
        key("busiest second to come", "actual", {"color": TEXT, "width": 1.4}),
        key("forecast", "forecast", {"color": colour(0), "width": 1.8}),
        key(band_name, "band", {"color": faded(colour(0), 0.25), "width": 8}),
    ]
    for place, (panel, (_, forecasts)) in enumerate(zip(panels, of_predictors, strict=True)):
        traces += _panel(cases, forecasts, clock, colour(place), {"showlegend": False, **panel.axes})
    return Plot(
        "forecasts",
        "Forecast and load",
        f"Grey: the load of each second. Dark: the load of the busiest of the {cases.horizon_s} s after each moment, "
        f"which is what is forecast. In colour: the forecast that was made at that moment, and its {band_name}. Where "
        "the dark line is above a forecast, more came.",
        traces,
        spec,
    )


def _loads(cases: ForecastCases) -> FloatArray:
    """The load of each second from the first moment to the end of the last horizon."""
    return cases.counts_rps[int(cases.place[0]) : int(cases.place[-1]) + cases.horizon_s]


def _said(forecasts: Forecasts, actual: FloatArray) -> str:
    is_made = ~np.isnan(forecasts.point_rps)
    error = smape_percent(actual[is_made], forecasts.point_rps[is_made])
    under = under_share(actual[is_made], forecasts.point_rps[is_made])
    return f"SMAPE {error:.1f} %, exceeded at {100 * under:.0f} % of the moments" if is_made.any() else "no forecast"


def _panel(cases: ForecastCases, forecasts: Forecasts, clock: Clock, tint: str, shared: Spec) -> list[Spec]:
    """From back to front: the load, the band, the actual values and the point forecast."""
    loads = _loads(cases)
    at = clock.moments(cases.place - int(cases.place[0]))
    area: Spec = {"fill": "tozeroy", "fillcolor": FILL, "hovertemplate": "%{y:.4~g} rps", "legendgroup": "load"}
    seconds, counts = clock.moments(np.arange(len(loads) + 1)), numbers(np.append(loads, loads[-1:]))
    low, high = (numbers(quantile, 2) for quantile in forecasts.quantiles_rps)
    came = {"legendgroup": "actual", **shared}
    forecast = {"legendgroup": "forecast", **shared}
    return [
        steps(seconds, counts, "load", {"color": ARRIVALS, "width": 0.8}, **area, **shared),
        *([] if forecasts.is_certain else band(at, low, high, "quantiles", tint, legendgroup="band", **shared)),
        steps(at, numbers(cases.actual_rps), "came", {"color": TEXT, "width": 1.2}, **came),
        steps(at, numbers(forecasts.point_rps, 2), "forecast", {"color": tint, "width": 1.8}, **forecast),
    ]


def _percent(level: float) -> str:
    return f"{100 * level:g}"
