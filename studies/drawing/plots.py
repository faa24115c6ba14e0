"""Plots as plain data for plotly, and the parts they share: axes, layout, lines, notes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import TYPE_CHECKING, Any

from ipa.studies.drawing.colours import GRID, LINE, MUTED, SLA_COLOUR, TEXT
from ipa.studies.drawing.figures import plotly_figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Spec = dict[str, Any]

FONT = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
TIME = "time since the start (s)"

CONFIG: Spec = {
    "responsive": True,
    "displaylogo": False,
    "displayModeBar": "hover",
    "modeBarButtons": [["toImage", "resetScale2d"]],
    "toImageButtonOptions": {"format": "svg"},
    # plotly.js would offer by default to upload the plot's data.
    "showSendToCloud": False,
    "plotlyServerURL": "",
}


@dataclass(frozen=True)
class Plot:
    """A plot under its heading, with the sentence that says how to read it (as HTML)."""

    name: str
    heading: str
    reading: str
    traces: list[Spec]
    layout: Spec

    def figure(self) -> Figure:
        """The plot as plotly's own figure. Raises ScenarioError where plotly is not installed."""
        return plotly_figure(self.heading, self.traces, self.layout)

    def html(self) -> str:
        """The plot's element and the call that draws it."""
        data = in_script(self.traces), in_script(self.layout), in_script(CONFIG)
        height = self.layout["height"]
        return (
            f'<div class="plot" id="plot-{self.name}" style="height:{height}px"></div>\n'
            f'<script>Plotly.newPlot("plot-{self.name}", {", ".join(data)});</script>\n'
        )


def in_script(value: object) -> str:
    """JSON that is safe in a script: no text in it can end the script."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def numbers(values: Iterable[float], decimals: int = 3) -> list[float | None]:
    """Values rounded, so that a page stays small; None, a gap, for what is not a number."""
    return [round(float(value), decimals) if isfinite(value) else None for value in values]


# ---- axes and layout ----


def axis(title: str = "", **more: object) -> Spec:
    """A quiet axis: a light grid, a thin line, the title with its unit."""
    return {
        "title": {"text": title, "standoff": 10, "font": {"size": 13}},
        "gridcolor": GRID,
        "linecolor": LINE,
        "showline": True,
        "ticks": "outside",
        "tickcolor": LINE,
        "ticklen": 4,
        "zeroline": False,
        "automargin": True,
        **more,
    }


def time_axis(duration_s: float, title: str = TIME, **more: object) -> Spec:
    """The axis of time, the same in all plots."""
    return axis(title, range=[0.0, duration_s], tickformat=",~f", **more)


def log_ticks(low: float, high: float) -> Spec:
    """Ticks of a logarithmic axis at 1, 2, 5 x 10^k, each with its number."""
    powers = range(floor(log10(low)), floor(log10(high)) + 1)
    values = [float(f"{step}e{power}") for power in powers for step in (1, 2, 5)]
    return {"tickvals": values, "ticktext": [f"{value:g}" for value in values]}


def layout(height: int, **more: object) -> Spec:
    """What every plot looks like."""
    return {
        "height": height,
        "autosize": True,
        "font": {"family": FONT, "size": 12, "color": TEXT},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "margin": {"l": 64, "r": 18, "t": 34, "b": 52},
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0.0, "y": 1.02, "yanchor": "bottom"},
        "hoverlabel": {"namelength": -1, "font": {"family": FONT, "size": 12}},
        "hovermode": "closest",
        **more,
    }


def steps(x: list[float | None], y: list[float | None], name: str, **more: object) -> Spec:
    """A line that keeps each value until the next time."""
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, **more} | {
        "line": {"shape": "hv", "width": 1.8, **_mapping(more.get("line"))}
    }


def key(name: str, group: str, **more: object) -> Spec:
    """An entry of the legend alone, for all traces of its group, in a neutral colour."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [None],
        "y": [None],
        "name": name,
        "legendgroup": group,
        **more,
    }


def sla_line(sla_s: float, *, vertical: bool = False, reference: str = "") -> Spec:
    """The line of the SLA across a panel."""
    along, across = ("y", "x") if vertical else ("x", "y")
    return {
        "type": "line",
        f"{along}ref": f"{along}{reference} domain",
        f"{along}0": 0,
        f"{along}1": 1,
        f"{across}ref": f"{across}{reference}",
        f"{across}0": sla_s,
        f"{across}1": sla_s,
        "line": {"color": SLA_COLOUR, "width": 1.2, "dash": "dash"},
    }


def note(text: str, **more: object) -> Spec:
    """Text in a plot."""
    return {
        "text": text,
        "showarrow": False,
        "xref": "paper",
        "yref": "paper",
        "font": {"size": 12, "color": MUTED},
        **more,
    }


def _mapping(value: object) -> Spec:
    return value if isinstance(value, dict) else {}
