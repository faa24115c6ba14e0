"""Plots as plotly's own figures, for notebooks and programs: what a page draws, under its heading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipa.studies.displayed import check_plotly

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

TITLE = 36
"""The room that the title takes above a plot, which has its heading on a page [pixels]."""


def plotly_figure(heading: str, traces: list[dict[str, Any]], layout: dict[str, Any]) -> Figure:
    """The figure of a plot's traces and layout, with its heading as the title; the plot itself keeps its size.

    Raises ScenarioError where plotly is not installed.
    """
    check_plotly("a figure")
    from plotly.graph_objects import Figure

    height, margin, legend = layout["height"], layout["margin"], layout["legend"]
    if legend.get("yref") == "container":  # a share of the height, counted from below
        legend = legend | {"y": 1 - (TITLE + (1 - legend["y"]) * height) / (TITLE + height)}
    title = {"text": heading, "x": 0, "xref": "paper", "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 12}}
    titled = {"title": title, "height": height + TITLE, "margin": margin | {"t": margin["t"] + TITLE}, "legend": legend}
    return Figure(data=traces, layout=layout | titled)
