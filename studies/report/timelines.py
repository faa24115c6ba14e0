"""What was asked and provided over time: load and forecast, existing and decided cores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ipa.studies.drawing import (
    ARRIVALS,
    MUTED,
    TEXT,
    Plot,
    Steps,
    axis,
    decided,
    existing_cores,
    faded,
    key,
    layout,
    load_rps,
    numbers,
    stacked_panels,
    steps,
    time_axis,
)
from ipa.studies.report.groups import Group, panel_titles


def load(groups: Sequence[Group], duration_s: float, first: str) -> Plot:
    """Arrivals per second, and what the policies forecast and planned for."""
    arrivals = load_rps(groups[0].tables["requests"], duration_s)
    x, y = arrivals.line
    traces = [
        steps(
            numbers(x),
            numbers(y),
            "arrivals",
            line={"color": ARRIVALS, "width": 1},
            fill="tozeroy",
            fillcolor="#e7ebee",
            hovertemplate="%{y:.1f} rps",
        )
    ]
    for column, what, dash in (
        ("forecast_rps", "forecast", "solid"),
        ("planned_load_rps", "planned for", "dot"),
    ):
        for line, members in _shared(groups, column, duration_s):
            colour = members[0].colour if len(members) == 1 else TEXT
            names = ", ".join(member.label for member in members)
            whose = "all policies" if len(members) == len(groups) > 1 else names
            x, y = line.line
            traces.append(
                steps(
                    numbers(x),
                    numbers(y),
                    f"{what}: {whose}",
                    line={"color": colour, "width": 1.8, "dash": dash},
                    hovertemplate="%{y:.1f} rps",
                )
            )
    return Plot(
        "load",
        "Load and forecast",
        "Requests that arrived (grey), and the load that each decision expected until the next. Most predictors "
        "forecast the busiest second to come, which lies above the mean. Where arrivals exceed the forecast, a queue "
        f"forms.{first}",
        traces,
        layout(
            400,
            xaxis=time_axis(duration_s),
            yaxis=axis("load (requests per second)", rangemode="tozero"),
            hovermode="x unified",
        ),
    )


def _shared(groups: Sequence[Group], column: str, duration_s: float) -> list[tuple[Steps, list[Group]]]:
    """The lines of a column of the decisions, equal lines together, without plans that equal the forecast."""
    found: dict[bytes, tuple[Steps, list[Group]]] = {}
    for group in groups:
        line = decided(group.tables["decisions"], column, duration_s)
        forecast = decided(group.tables["decisions"], "forecast_rps", duration_s)
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


def cores(groups: Sequence[Group], duration_s: float, first: str) -> Plot:
    """The cores of existing replicas, and those of the decided configuration."""
    existing = [existing_cores(group.tables["replicas"], duration_s) for group in groups]
    wanted = [decided(group.tables["decisions"], "cost_cores", duration_s) for group in groups]
    highest = max(float(line.value.max()) for line in [*existing, *wanted] if line is not None)
    grid = stacked_panels(
        panel_titles(groups, [f"mean {_mean(line):.2f} cores" for line in existing]),
        duration_s,
        "cores",
        1.08 * max(highest, 1.0),
        hovermode="x unified",
    )
    traces = [
        key("existing", "existing", line={"color": MUTED, "width": 6}, opacity=0.45),
        key("decided", "decided", line={"color": TEXT, "width": 1.4, "dash": "dot"}),
    ]
    for place, group in enumerate(groups):
        x, y = existing[place].line
        traces.append(
            steps(
                numbers(x),
                numbers(y),
                "existing",
                line={"color": group.colour, "width": 1.2},
                fill="tozeroy",
                fillcolor=faded(group.colour, 0.25),
                hovertemplate="%{y:.4~g} cores",
                legendgroup="existing",
                showlegend=False,
                **grid.axes(place),
            )
        )
        decision = wanted[place]
        if decision is None:
            continue
        x, y = decision.line
        traces.append(
            steps(
                numbers(x),
                numbers(y),
                "decided",
                line={"color": TEXT, "width": 1.4, "dash": "dot"},
                hovertemplate="%{y:.4~g} cores",
                legendgroup="decided",
                showlegend=False,
                **grid.axes(place),
            )
        )
    return Plot(
        "cores",
        "Cores",
        "The filled area is the cost: the cores of all replicas that exist, whether starting, ready or draining; "
        f"it stands above the decided cores while replicas are replaced.{first}",
        traces,
        grid.layout,
    )


def _mean(line: Steps) -> float:
    lasting_s = np.diff(line.edges_s)
    return float(np.sum(lasting_s * line.value) / np.sum(lasting_s))
