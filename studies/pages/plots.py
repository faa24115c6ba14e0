"""Plots as plain data for plotly, and the parts they share: axes, layout, lines, notes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape, unescape
from importlib.util import find_spec
from math import floor, isfinite, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.studies.displayed import check_plotly
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


# ---- plots as plotly's own figures, for notebooks and programs ----


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


# ---- a plot's element in a page ----


def plot_element(ident: str, heading: str, traces: Sequence[Spec], layout: Spec, least_width: int = 0) -> str:
    """The element that the page's script draws into, named for those who cannot see it.

    With `least_width` [pixels] it stands in a box that scrolls sideways where the screen is narrower.
    """
    spec = in_script({"data": traces, "layout": layout, "narrow": narrowed(traces, layout)})
    words = escape(in_words(heading, traces, layout))
    wide = f";min-width:{least_width}px" if least_width else ""
    element = (
        f'<div class="plot" id="{escape(ident)}" role="img" aria-label="{words}" '
        f'style="height:{layout["height"]}px{wide}"></div>\n'
        f'<script type="application/json" id="{escape(ident)}-spec">{spec}</script>\n'
    )
    if not least_width:
        return element
    return f'<div class="wide" role="region" tabindex="0" aria-label="{escape(_text(heading))}">\n{element}</div>\n'


def in_words(heading: str, traces: Sequence[Spec], layout: Spec) -> str:
    """What a plot shows: its heading (HTML), what is up and across, and the names of what is drawn."""
    up, across = (_titles(layout, letter) for letter in "yx")
    names = list(dict.fromkeys(name for trace in traces if (name := _text(trace.get("name", "")))))
    against = f": {up} against {across}" if up and across else f": {up or across}" if up or across else ""
    return f"{_text(heading)}{against}. Shown: {', '.join(names) or 'nothing'}."


def _titles(layout: Spec, letter: str) -> str:
    """The titles of the axes of a letter; of panels that share one, it is turned text beside them."""
    axes = [axis for key, axis in layout.items() if re.fullmatch(rf"{letter}axis\d*", key)]
    titles = [_text(axis.get("title", {}).get("text", "")) for axis in axes]
    if letter == "y":
        titles += [_text(note["text"]) for note in layout.get("annotations", ()) if note.get("textangle") == -90]
    return ", ".join(dict.fromkeys(filter(None, titles)))


def _text(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", html)).split())


def in_script(value: object) -> str:
    """JSON that is safe in a script: no text in it can end the script."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


# ---- plots as image files ----


WIDTH = 1000
"""The width of an image [pixels]; its height is the plot's. A PNG has twice as many pixels each way."""


def check_images(what: str) -> None:
    """Raise ScenarioError, beginning with `what`, where kaleido or Chromium is missing."""
    if find_spec("kaleido") is None:
        raise ScenarioError(f"{what} needs kaleido, which is not installed: pip install '.[static]' in the checkout")
    from choreographer.browsers.chromium import Chromium

    browser = Chromium.find_browser(skip_local=False)
    if browser is None:
        raise ScenarioError(
            f"{what} needs Chromium or Chrome, which was not found: install it, or name its program in BROWSER_PATH"
        )
    if not Path(browser).is_file():
        raise ScenarioError(f"{what} needs Chromium or Chrome, and BROWSER_PATH names {browser}, which is no file")


def draw_images(plots: Sequence[Plot], form: str, on_drawn: Callable[[], object] = lambda: None) -> list[bytes]:
    """The files of plots in a form: png, svg or pdf; `on_drawn` is called after each.

    Raises ScenarioError where kaleido or Chromium is missing (see `check_images`), or Chromium does not draw.
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
    # MathJax would come from the network.
    async with Kaleido(mathjax=False) as chromium:
        drawn = []
        for plot in plots:
            size = {"width": WIDTH, "height": plot.layout["height"], "scale": scale}
            figure = {"data": plot.traces, "layout": plot.layout}
            drawn.append(await chromium.calc_fig(figure, opts={"format": form, **size}))
            on_drawn()
        return drawn
