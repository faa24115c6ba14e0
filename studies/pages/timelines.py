"""What was asked and provided over time: load and forecast, existing and decided cores."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np

from ipa.studies.many import Group
from ipa.studies.pages.clock import course, is_long, time_axis
from ipa.studies.pages.colours import ARRIVALS, FILL, MUTED, TEXT, colour, faded
from ipa.studies.pages.decisions import Reasons
from ipa.studies.pages.panels import panel_title, panel_titles, stacked_panels
from ipa.studies.pages.plots import Plot, Spec, axis, key, layout
from ipa.studies.runs import RESIZES
from ipa.studies.series import Steps, decided, existing_cores, load_rps

MOST_LINES = 4
"""With more forecasts and plans than these in one plot, each has a panel of its own."""

LEGEND_WIDTH = 48
"""Characters of a line of the legend: as many as a page of 390 pixels has room for."""

_PLANS = (("forecast_rps", "forecast", "solid"), ("planned_load_rps", "planned for", "dot"))


def load(groups: Sequence[Group], duration_s: float, first: str) -> Plot:
    """Arrivals per second, and what the policies forecast and planned for."""
    arrivals = load_rps(groups[0].tables, duration_s, thin=False)
    plans = [(what, dash, *shared) for column, what, dash in _PLANS for shared in _shared(groups, column, duration_s)]
    several = len(plans) > MOST_LINES
    return Plot(
        "load",
        "Load and forecast",
        "Requests that arrived (grey), and the load that each decision expected until the next. Most predictors "
        "forecast the busiest second to come, which lies above the mean. Where arrivals exceed the forecast, a queue "
        f"forms.{_long(arrivals)}{first}",
        *(_load_in_panels if several else _load_in_one)(groups, arrivals, plans, duration_s),
    )


Plan = tuple[str, str, Steps, list[Group]]
"""Forecast or plan, how it is dashed, its line, and the policies that share it."""


def _load_in_one(
    groups: Sequence[Group], arrivals: Steps, plans: Sequence[Plan], duration_s: float
) -> tuple[list[Spec], Spec]:
    traces = _arrivals(arrivals)
    for what, dash, line, members in plans:
        of_line = colour(members[0].place) if len(members) == 1 else TEXT
        names = ", ".join(member.label for member in members)
        whose = "all policies" if len(members) == len(groups) > 1 else names
        name = "<br>".join(wrap(f"{what}: {whose}", LEGEND_WIDTH, break_on_hyphens=False))
        traces += course(line, name, of_line, "rps", line={"width": 1.8, "dash": dash})
    return traces, layout(
        400,
        xaxis=time_axis(duration_s),
        yaxis=axis("load (requests per second)", rangemode="tozero"),
        hovermode="x unified",
    )


def _load_in_panels(
    groups: Sequence[Group], arrivals: Steps, plans: Sequence[Plan], duration_s: float
) -> tuple[list[Spec], Spec]:
    """A panel for each policy that plans."""
    planning = [group for group in groups if any(group in members for *_, members in plans)]
    highest = max(float(line.value.max()) for line in [arrivals, *(line for _, _, line, _ in plans)])
    grid = stacked_panels(
        [panel_title(group.label, colour(group.place)) for group in planning],
        time_axis(duration_s),
        "load (requests per second)",
        1.05 * max(highest, 1.0),
        hovermode="x unified",
    )
    traces = [
        key("arrivals", "arrivals", line={"color": ARRIVALS, "width": 6}),
        *(key(what, what, line={"color": MUTED, "width": 1.8, "dash": dash}) for _, what, dash in _PLANS),
    ]
    for place, group in enumerate(planning):
        traces += _arrivals(arrivals, showlegend=False, legendgroup="arrivals", **grid.axes(place))
        for what, dash, line, members in plans:
            if group in members:
                traces += course(
                    line,
                    what,
                    colour(group.place),
                    "rps",
                    line={"width": 1.6, "dash": dash},
                    showlegend=False,
                    legendgroup=what,
                    **grid.axes(place),
                )
    return traces, grid.layout


def _arrivals(arrivals: Steps, **more: Any) -> list[Spec]:
    return course(arrivals, "arrivals", ARRIVALS, "rps", fill=FILL, line={"width": 1}, **more)


def _long(*figures: Steps | None) -> str:
    """How to read the envelopes of a long run."""
    if not any(figure is not None and is_long(figure) for figure in figures):
        return ""
    return (
        " Over so long a time a line is the mean, and the band around it reaches from the least to the greatest value."
    )


def _shared(groups: Sequence[Group], column: str, duration_s: float) -> list[tuple[Steps, list[Group]]]:
    """The lines of a column of the decisions, equal lines together, without plans that equal the forecast."""
    found: dict[bytes, tuple[Steps, list[Group]]] = {}
    for group in groups:
        line = decided(group.tables["decisions"], column, duration_s, thin=False)
        forecast = decided(group.tables["decisions"], "forecast_rps", duration_s, thin=False)
        if line is None:
            continue
        if column != "forecast_rps" and forecast and _alike(line, forecast):
            continue
        found.setdefault(np.concatenate(line.line).tobytes(), (line, []))[1].append(group)
    return list(found.values())


def _alike(plan: Steps, forecast: Steps) -> bool:
    """Whether a plan is the forecast except for rounding."""
    same = len(plan.value) == len(forecast.value)
    return same and bool(np.all(np.abs(plan.value - forecast.value) <= 0.5))


def cores(groups: Sequence[Group], reasons: Sequence[Reasons], duration_s: float, first: str) -> Plot:
    """The cores of existing replicas, and those of the decided configuration; `reasons`: one of each group."""
    existing = [
        existing_cores(group.tables["replicas"], duration_s, group.tables.get(RESIZES), thin=False) for group in groups
    ]
    wanted = [decided(group.tables["decisions"], "cost_cores", duration_s, thin=False) for group in groups]
    highest = max(float(line.value.max()) for line in [*existing, *wanted] if line is not None)
    grid = stacked_panels(
        panel_titles(groups, [f"mean {_mean(line):.2f} cores" for line in existing]),
        time_axis(duration_s),
        "cores",
        1.08 * max(highest, 1.0),
        hovermode="x unified",
    )
    traces = [
        key("existing", "existing", line={"color": MUTED, "width": 6}, opacity=0.45),
        key("decided", "decided", line={"color": TEXT, "width": 1.4, "dash": "dot"}),
    ]
    for place, group in enumerate(groups):
        of_panel: Spec = {"showlegend": False, **grid.axes(place)}
        traces += course(
            existing[place],
            "existing",
            colour(group.place),
            "cores",
            fill=faded(colour(group.place), 0.25),
            line={"width": 1.2},
            legendgroup="existing",
            **of_panel,
        )
        decision = wanted[place]
        if decision is None:
            continue
        traces += course(
            decision,
            "decided",
            TEXT,
            "cores",
            reasons=[] if is_long(decision) else [reasons[place].of(step) for step in reasons[place].steps],
            line={"width": 1.4, "dash": "dot"},
            legendgroup="decided",
            **of_panel,
        )
    return Plot(
        "cores",
        "Cores",
        "The filled area is the cost: the cores of all replicas that exist, whether starting, ready or draining; "
        "it stands above the decided cores while replicas are replaced. The pointer shows why a configuration was "
        f"decided.{_long(*existing, *wanted)}{first}",
        traces,
        grid.layout,
    )


def _mean(line: Steps) -> float:
    lasting_s = np.diff(line.edges_s)
    return float(np.sum(lasting_s * line.value) / np.sum(lasting_s))
