"""Plots as plain data for plotly, and the parts they share: axes, layout, lines, notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10
from typing import TYPE_CHECKING, Any

from ipa.studies.pages.colours import BACKGROUND, GRID, LINE, MUTED, SLA_COLOUR, TEXT
from ipa.studies.pages.element import plot_element
from ipa.studies.pages.figures import plotly_figure

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Spec = dict[str, Any]

FONT = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"

CONFIG: Spec = {
    "responsive": True,
    "displaylogo": False,
    "doubleClick": "reset",
    "displayModeBar": "hover",
    "modeBarButtons": [["toImage", "resetScale2d"]],
    "toImageButtonOptions": {"format": "svg"},
    # plotly.js would offer by default to upload the plot's data.
    "showSendToCloud": False,
    "plotlyServerURL": "",
}


@dataclass(frozen=True)
class Plot:
    """A plot under its heading, with the sentence that says how to read it (as HTML).

    On a screen narrower than `least_width` pixels it scrolls sideways, in its own box.
    """

    name: str
    heading: str
    reading: str
    traces: list[Spec]
    layout: Spec
    least_width: int = 0

    def figure(self) -> Figure:
        """The plot as plotly's own figure. Raises ScenarioError where plotly is not installed."""
        return plotly_figure(self.heading, self.traces, self.layout)

    def html(self) -> str:
        """The plot's element, which the page's script draws."""
        return plot_element(f"plot-{self.name}", self.heading, self.traces, self.layout, self.least_width)


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
        "paper_bgcolor": BACKGROUND,
        "plot_bgcolor": BACKGROUND,
        "margin": {"l": 64, "r": 24, "t": 34, "b": 52},
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0.0, "y": 1.02, "yanchor": "bottom"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": LINE, "activecolor": MUTED},
        "hoverlabel": {"align": "left", "namelength": -1, "font": {"family": FONT, "size": 12}},
        "hovermode": "closest",
        **more,
    }


def steps(x: Sequence[float | None], y: Sequence[float | None], name: str, **more: object) -> Spec:
    """A line that keeps each value until the next time."""
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "name": name, **more} | {
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
