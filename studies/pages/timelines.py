"""Demand and supply over time: load and forecasts, existing and decided cores."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np

from ipa.studies.many import PolicyRuns
from ipa.studies.pages.clock import LineLook, course, is_long
from ipa.studies.pages.colours import ARRIVALS, FILL, MUTED, TEXT, colour, faded
from ipa.studies.pages.panels import panel_titles, stacked
from ipa.studies.pages.plots import Plot, Spec, axis, key, layout, safe
from ipa.studies.pages.scene import Scene
from ipa.studies.series import StepLine, decided, existing_cores, load_rps

MOST_LINES = 4
"""With more forecasts and plans in one plot, each policy has a panel of its own."""

LEGEND_WIDTH = 48
"""The width of a legend's line [characters]: what fits on a page of 390 pixels."""

_PLANS = (("forecast_rps", "forecast", "solid"), ("planned_load_rps", "planned for", "dot"))
_UP = "load (requests per second)"


class PlannedLine(NamedTuple):
    """A forecast or a plan: its name, dash and line, and the policies that share it."""

    kind: str
    dash: str
    line: StepLine
    members: list[PolicyRuns]


def load(scene: Scene) -> Plot:
    """Arrivals per second, and the policies' forecasts and planned loads."""
    arrivals = load_rps(scene.groups[0].tables, scene.groups[0].duration_s, thin=False)
    plans = [PlannedLine(kind, dash, *shared) for column, kind, dash in _PLANS for shared in _shared(scene, column)]
    return Plot(
        "load",
        "Load and forecast",
        "Requests that arrived (grey), and the load that each decision expected until the next. Most predictors "
        "forecast the busiest second to come, which lies above the mean. Where arrivals exceed the forecast, a queue "
        f"forms.{_long(arrivals)}{scene.first}",
        *(_load_in_panels if len(plans) > MOST_LINES else _load_in_one)(scene, arrivals, plans),
    )


def _load_in_one(scene: Scene, arrivals: StepLine, plans: Sequence[PlannedLine]) -> tuple[list[Spec], Spec]:
    traces = _arrivals(scene, arrivals)
    for kind, dash, line, members in plans:
        of_line = colour(members[0].place) if len(members) == 1 else TEXT
        is_all = len(members) == len(scene.groups) > 1
        whose = "all policies" if is_all else ", ".join(member.label for member in members)
        name = "<br>".join(map(safe, wrap(f"{kind}: {whose}", LEGEND_WIDTH, break_on_hyphens=False)))
        traces += course(scene.clock, line, name, LineLook(of_line, 1.8, dash), "rps")
    y = axis(_UP, rangemode="tozero")
    return traces, layout(400, xaxis=scene.clock.axis(), yaxis=y, hovermode="x unified")


def _load_in_panels(scene: Scene, arrivals: StepLine, plans: Sequence[PlannedLine]) -> tuple[list[Spec], Spec]:
    """A panel for each policy that plans."""
    planning = [group for group in scene.groups if any(group in plan.members for plan in plans)]
    highest = max(float(line.value.max()) for line in [arrivals, *(plan.line for plan in plans)])
    titles = panel_titles(planning, [""] * len(planning))
    panels, spec = stacked(titles, scene.clock.axis(), _UP, 1.05 * max(highest, 1.0), hovermode="x unified")
    traces = [
        key("arrivals", "arrivals", {"color": ARRIVALS, "width": 6}),
        *(key(kind, kind, {"color": MUTED, "width": 1.8, "dash": dash}) for _, kind, dash in _PLANS),
    ]
    for panel, group in zip(panels, planning, strict=True):
        hidden: Spec = {"showlegend": False, **panel.axes}
        traces += _arrivals(scene, arrivals, legendgroup="arrivals", **hidden)
        for kind, dash, line, members in plans:
            if group in members:
                look = LineLook(colour(group.place), 1.6, dash)
                traces += course(scene.clock, line, kind, look, "rps", legendgroup=kind, **hidden)
    return traces, spec


def _arrivals(scene: Scene, arrivals: StepLine, **keys: Any) -> list[Spec]:
    return course(scene.clock, arrivals, "arrivals", LineLook(ARRIVALS, 1, area=FILL), "rps", **keys)


def _long(*figures: StepLine | None) -> str:
    """How to read the envelopes of a long run; empty if there are none."""
    if not any(figure is not None and is_long(figure) for figure in figures):
        return ""
    return (
        " Over so long a time a line is the mean, and the band around it reaches from the least to the greatest value."
    )


def _shared(scene: Scene, column: str) -> list[tuple[StepLine, list[PolicyRuns]]]:
    """The lines of a column of the decisions, equal ones merged, without plans that equal the forecast."""
    shared: dict[bytes, tuple[StepLine, list[PolicyRuns]]] = {}
    for group in scene.groups:
        line, forecast = (
            decided(group.tables["decisions"], name, group.duration_s, thin=False) for name in (column, "forecast_rps")
        )
        if line is None or (column != "forecast_rps" and forecast and _alike(line, forecast)):
            continue
        shared.setdefault(np.concatenate(line.line).tobytes(), (line, []))[1].append(group)
    return list(shared.values())


def _alike(plan: StepLine, forecast: StepLine) -> bool:
    """Whether a plan equals the forecast except for rounding."""
    same = len(plan.value) == len(forecast.value)
    return same and bool(np.all(np.abs(plan.value - forecast.value) <= 0.5))


def cores(scene: Scene) -> Plot:
    """The cores of existing replicas, and those of the decided configuration."""
    groups = scene.groups
    existing = [existing_cores(group.tables["replicas"], group.duration_s, thin=False) for group in groups]
    decided_cores = [decided(group.tables["decisions"], "cost_cores", group.duration_s, thin=False) for group in groups]
    highest = max(float(line.value.max()) for line in [*existing, *decided_cores] if line is not None)
    titles = panel_titles(groups, [f"mean {_mean(line):.2f} cores" for line in existing])
    panels, spec = stacked(titles, scene.clock.axis(), "cores", 1.08 * max(highest, 1.0), hovermode="x unified")
    traces = [
        key("existing", "existing", {"color": MUTED, "width": 6}, opacity=0.45),
        key("decided", "decided", {"color": TEXT, "width": 1.4, "dash": "dot"}),
    ]
    for panel, group, existing_line, decision, reasons in zip(
        panels, groups, existing, decided_cores, scene.reasons, strict=True
    ):
        hidden: Spec = {"showlegend": False, **panel.axes}
        look = LineLook(colour(group.place), 1.2, area=faded(colour(group.place), 0.25))
        traces += course(scene.clock, existing_line, "existing", look, "cores", legendgroup="existing", **hidden)
        if decision is not None:
            why = [] if is_long(decision) else [reasons.of(step) for step in reasons.steps]
            look = LineLook(TEXT, 1.4, "dot")
            traces += course(scene.clock, decision, "decided", look, "cores", why, legendgroup="decided", **hidden)
    return Plot(
        "cores",
        "Cores",
        "The filled area is the cost: the cores of all replicas that exist, whether starting, ready or draining; "
        "it stands above the decided cores while replicas are replaced. The pointer shows why a configuration was "
        f"decided.{_long(*existing, *decided_cores)}{scene.first}",
        traces,
        spec,
    )


def _mean(line: StepLine) -> float:
    lasting_s = np.diff(line.edges_s)
    return float(np.sum(lasting_s * line.value) / np.sum(lasting_s))
