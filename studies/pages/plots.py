"""Plots as plain data for plotly, and their shared parts: axes, layout, traces, notes.

They are dicts with plotly's keys. Plotly's objects check every key, which takes 0.5 s for a page's first figure.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape, unescape
from importlib.util import find_spec
from math import isfinite, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.studies.displayed import check_plotly
from ipa.studies.intervals import Estimate
from ipa.studies.pages.colours import BACKGROUND, GRID, LINE, MUTED, SLA_COLOUR, TEXT
from ipa.studies.pages.narrow import narrowed
from ipa.studies.scenario import ScenarioError

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

_AXIS: Spec = {
    "title": {"standoff": 10, "font": {"size": 13}},
    "gridcolor": GRID,
    "linecolor": LINE,
    "showline": True,
    "ticks": "outside",
    "tickcolor": LINE,
    "ticklen": 4,
    "zeroline": False,
    "automargin": True,
}

TEMPLATE: Spec = {
    "layout": {
        "font": {"family": FONT, "size": 12, "color": TEXT},
        "paper_bgcolor": BACKGROUND,
        "plot_bgcolor": BACKGROUND,
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0.0, "y": 1.02, "yanchor": "bottom"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": LINE, "activecolor": MUTED},
        "hoverlabel": {"align": "left", "namelength": -1, "font": {"family": FONT, "size": 12}},
        "hovermode": "closest",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
}
"""The look of all plots, as plotly's template: quiet axes with a light grid and a thin line, a legend above."""

TITLE = 36
"""The height of the title above a plotly figure [pixels]; on a page the title is a heading instead."""


@dataclass(frozen=True)
class Plot:
    """A figure with its title and a note on how to read it.

    On a screen narrower than `least_width` [pixels] it scrolls sideways, in its own box.
    """

    name: str
    title: str
    note: str
    traces: list[Spec]
    layout: Spec
    least_width: int = 0

    def figure(self) -> Figure:
        """The plot as plotly's own figure, with its title; the plot itself keeps its size.

        Raises ScenarioError if plotly is not installed.
        """
        check_plotly("a figure", ["plotly"])
        from plotly.graph_objects import Figure

        height, margin, legend = self.layout["height"], self.layout["margin"], self.layout.get("legend", {})
        if legend.get("yref") == "container":  # a share of the height, counted from below
            legend = legend | {"y": 1 - (TITLE + (1 - legend["y"]) * height) / (TITLE + height)}
        title = {"text": safe(self.title), "x": 0, "xref": "paper", "y": 1, "yref": "container", "yanchor": "top"}
        titled = {"title": title | {"pad": {"t": 12}}, "height": height + TITLE, "legend": legend, "template": TEMPLATE}
        return Figure(self.traces, self.layout | titled | {"margin": margin | {"t": margin["t"] + TITLE}})

    @property
    def spec(self) -> Spec:
        """The data for the page's script, with the layout for narrow screens."""
        return {"data": self.traces, "layout": self.layout, "narrow": narrowed(self.traces, self.layout)}

    @property
    def in_words(self) -> str:
        """A description for screen readers: its title, the titles of its axes, the names of its traces."""
        up, across = (_titles(self.layout, letter) for letter in "yx")
        names = list(dict.fromkeys(name for trace in self.traces if (name := _text(trace.get("name", "")))))
        axes = " against ".join(filter(None, (up, across)))
        return f"{self.title}{axes and f': {axes}'}. Shown: {', '.join(names) or 'nothing'}."


def _titles(layout: Spec, letter: str) -> str:
    """The titles of the axes of a letter, including a title that panels share, which is rotated text."""
    axes = [axis for key, axis in layout.items() if re.fullmatch(rf"{letter}axis\d*", key)]
    titles = [_text(axis.get("title", {}).get("text", "")) for axis in axes]
    if letter == "y":
        titles += [_text(note["text"]) for note in layout.get("annotations", ()) if note.get("textangle") == -90]
    return ", ".join(dict.fromkeys(filter(None, titles)))


def _text(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", html)).split())


def safe(text: str) -> str:
    """Text in a plot, which plotly takes as HTML."""
    return escape(text, quote=False)


def numbers(values: Iterable[float], decimals: int = 3) -> list[float | None]:
    """Values rounded, so that a page stays small; None, drawn as a gap, for NaN."""
    return [round(float(value), decimals) if isfinite(value) else None for value in values]


# ---- axes and layout ----


def axis(title: str = "", **keys: Any) -> Spec:
    """An axis with its title, which has the unit."""
    return {"title": {"text": title}, **keys}


def row_axis(names: Sequence[str], **keys: Any) -> Spec:
    """A y axis of rows, the first at the top, labelled with the names."""
    count = len(names)
    ticks: Spec = {"tickvals": list(range(count)), "ticktext": list(names), "ticks": "", "showgrid": False}
    return axis(range=[max(count, 1) - 0.5, -0.5], fixedrange=True, **ticks, **keys)


LOG_TICKS: Spec = {"dtick": "D2", "tickformat": "~g"}
"""Ticks of a logarithmic axis at 1, 2, 5 x 10^k, each with its number."""


def log_axis(title: str, low: float, high: float, **keys: Any) -> Spec:
    """A logarithmic axis from a little below `low` to a little above `high`."""
    return axis(title, type="log", range=numbers([log10(0.9 * low), log10(1.1 * high)]), **LOG_TICKS, **keys)


def layout(height: float, **keys: Any) -> Spec:
    """The layout of a plot, besides `TEMPLATE`."""
    return {"height": height, "margin": {"l": 64, "r": 24, "t": 34, "b": 52}, **keys}


# ---- traces ----


def line(x: Iterable[object], y: Iterable[object], name: str, style: Spec, **keys: Any) -> Spec:
    """A line through points; `style`: its colour, width, dash and shape."""
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "name": name, "line": style, **keys}


def steps(x: Iterable[object], y: Iterable[object], name: str, style: Spec, **keys: Any) -> Spec:
    """A step line: each value holds until the next."""
    return line(x, y, name, {"shape": "hv", "width": 1.8, **style}, **keys)


def points(x: Iterable[object], y: Iterable[object], name: str, marker: Spec, **keys: Any) -> Spec:
    """Points with a marker."""
    return {"type": "scatter", "mode": "markers", "x": list(x), "y": list(y), "name": name, "marker": marker, **keys}


def bars(x: Iterable[object], y: Iterable[object], name: str, colour: object, **keys: Any) -> Spec:
    """Bars in a colour, or one each."""
    marker = {"color": colour, "line": {"width": 0}}
    return {"type": "bar", "x": list(x), "y": list(y), "name": name, "marker": marker, **keys}


def rows(x: Iterable[object], y: Iterable[object], name: str, colour: object, **keys: Any) -> Spec:
    """Horizontal bars."""
    return bars(x, y, name, colour, orientation="h", **keys)


def key(name: str, group: str, style: Spec, **keys: Any) -> Spec:
    """A legend entry without data, for all traces of its group, in a neutral colour."""
    return line([None], [None], name, style, legendgroup=group, **keys)


def error_bars(means: Sequence[float], lows: Sequence[float], highs: Sequence[float], colour: str, **keys: Any) -> Spec:
    """Error bars from the low to the high ends of intervals around means; none if an end is unknown."""
    ends = [
        [abs(end - mean) if isfinite(end) else 0.0 for mean, end in zip(means, values, strict=True)]
        for values in (highs, lows)
    ]
    decimals = keys.pop("decimals", 5)
    array, minus = (numbers(values, decimals) for values in ends)
    shown: Spec = {"type": "data", "symmetric": False, "array": array, "arrayminus": minus}
    return {**shown, "color": colour, "thickness": 1.2, "width": 4, **keys}


def interval_bars(estimates: Sequence[Estimate | None], colour: str, **keys: Any) -> Spec:
    """`error_bars` of estimates; none if one has no interval."""
    with_ends = [
        (0.0, 0.0, 0.0) if estimate is None else (estimate.mean, estimate.low, estimate.high) for estimate in estimates
    ]
    means, lows, highs = zip(*with_ends, strict=True)
    return error_bars(means, lows, highs, colour, **keys)


# ---- lines and notes across a plot ----


def ruler(at: float, style: Spec, *, vertical: bool = False, reference: str = "") -> Spec:
    """A straight line across a panel, at a value of its y axis, or of its x axis if `vertical`."""
    along, across = ("y", "x") if vertical else ("x", "y")
    return {
        "type": "line",
        f"{along}ref": f"{along}{reference} domain",
        f"{along}0": 0,
        f"{along}1": 1,
        f"{across}ref": f"{across}{reference}",
        f"{across}0": at,
        f"{across}1": at,
        "line": style,
    }


_SLA: Spec = {"color": SLA_COLOUR, "width": 1.2, "dash": "dash"}


def sla_line(sla_s: float, *, vertical: bool = False, reference: str = "") -> Spec:
    """The line of the SLA across a panel."""
    return ruler(sla_s, _SLA, vertical=vertical, reference=reference)


def sla_key(sla_s: float) -> Spec:
    """The legend entry of the SLA line."""
    return key(f"SLA {sla_s:.4g} s", "sla", _SLA)


def note(text: str, **keys: Any) -> Spec:
    """Text in a plot."""
    font = {"size": 12, "color": MUTED}
    return {"text": text, "showarrow": False, "xref": "paper", "yref": "paper", "font": font, **keys}


# ---- plots as image files ----


WIDTH = 1000
"""The width of an image [pixels]; its height is the plot's. A PNG has twice as many pixels each way."""


def check_images(purpose: str) -> None:
    """Raise ScenarioError, its text beginning with `what`, if kaleido or Chromium is missing."""
    if find_spec("kaleido") is None:
        raise ScenarioError(f"{purpose} needs kaleido, which is not installed: pip install '.[static]' in the checkout")
    from choreographer.browsers.chromium import Chromium

    browser = Chromium.find_browser(skip_local=False)
    if browser is None:
        raise ScenarioError(
            f"{purpose} needs Chromium or Chrome, which was not found: install it, or name its program in BROWSER_PATH"
        )
    if not Path(browser).is_file():
        raise ScenarioError(f"{purpose} needs Chromium or Chrome, and BROWSER_PATH names {browser}, which is no file")


def draw_images(plots: Sequence[Plot], form: str, on_drawn: Callable[[], object] = lambda: None) -> list[bytes]:
    """The image files of plots, as png, svg or pdf (`form`); `on_drawn` is called after each.

    Raises ScenarioError if kaleido or Chromium is missing (see `check_images`), or Chromium does not draw.
    """
    check_images(f"an image as {form}")
    from choreographer.errors import BrowserFailedError, ChannelClosedError

    try:
        return asyncio.run(_drawn(plots, form, on_drawn))
    except (BrowserFailedError, ChannelClosedError, TimeoutError) as error:
        raise ScenarioError(f"Chromium did not draw the images: {error}") from error


async def _drawn(plots: Sequence[Plot], form: str, on_drawn: Callable[[], object]) -> list[bytes]:
    from kaleido import Kaleido

    scale = 2 if form == "png" else 1
    # MathJax would be loaded from the network.
    async with Kaleido(mathjax=False) as chromium:
        drawn = []
        for plot in plots:
            size = {"width": WIDTH, "height": plot.layout["height"], "scale": scale}
            figure = {"data": plot.traces, "layout": {**plot.layout, "template": TEMPLATE}}
            drawn.append(await chromium.calc_fig(figure, opts={"format": form, **size}))
            on_drawn()
        return drawn
