"""Parts that the figures of a study's report share: panels side by side, and each system's colour, dash and symbol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ipa.studies.drawing import TEXT, Spec, axis, colour, layout, note, plot_element, plotly_figure

if TYPE_CHECKING:
    import plotly.graph_objects

DASHES = (
    "solid",
    "9px,3px",
    "4px,2px",
    "9px,3px,2px,3px",
    "2px,2px",
    "2px,5px",
    "16px,4px",
    "7px,2px,2px,2px,2px,2px",
    "12px,3px,4px,3px",
)
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "pentagon", "star", "triangle-down", "cross", "hexagon")
"""Beside its colour a system's dash and symbol in every figure, by its place in the study; no two systems share a dash
or a symbol, so that a print without colour tells them apart."""

TOOLS = 26
"""The room above the legend, where plotly's buttons appear [pixels]."""


@dataclass(frozen=True)
class Look:
    """How a system is drawn; `title` is safe in HTML."""

    name: str
    title: str
    colour: str
    dash: str
    symbol: str
    width: float


Looks = dict[str, Look]
"""A look a system, by its name."""


def looks(systems: Sequence[tuple[str, str]]) -> Looks:
    """The looks of systems, given as names and titles; the first is the study's own, drawn thicker."""
    return {
        name: Look(
            name,
            escape(title, quote=False),
            colour(place),
            DASHES[place % len(DASHES)],
            SYMBOLS[place % len(SYMBOLS)],
            2.6 if place == 0 else 1.6,
        )
        for place, (name, title) in enumerate(systems)
    }


@dataclass(frozen=True)
class Figure:
    """A figure with the sentence that says how to read it (HTML); `setting` and `workload`: for which choice of the
    page it is shown, empty: for all."""

    name: str
    heading: str
    reading: str
    traces: list[Spec]
    layout: Spec
    setting: str = ""
    workload: str = ""

    def figure(self) -> plotly.graph_objects.Figure:
        """The figure as plotly's own. Raises ScenarioError where plotly is not installed."""
        return plotly_figure(self.heading, self.traces, self.layout)

    def html(self) -> str:
        """The figure's element; the page draws it when it comes into view."""
        shown_for = "".join(f' data-{key}="{escape(value)}"' for key, value in self.shown_for.items() if value)
        return (
            f'<div class="figure"{shown_for}>\n<h3>{self.heading}</h3>\n<p class="muted">{self.reading}</p>\n'
            f"{plot_element(self.name, self.heading, self.traces, self.layout)}</div>\n"
        )

    @property
    def shown_for(self) -> dict[str, str]:
        """The choices for which it is shown."""
        return {"setting": self.setting, "workload": self.workload}


@dataclass(frozen=True)
class Grid:
    """Panels in rows of two; `references` are plotly's numbers of their axes."""

    layout: Spec
    references: tuple[str, ...]

    def axes(self, place: int) -> Spec:
        """The axes of a panel, for a trace."""
        return {"xaxis": f"x{self.references[place]}", "yaxis": f"y{self.references[place]}"}


def grid(titles: Sequence[str], x: Sequence[Spec], y: Sequence[Spec], panel: int = 270, top: int = 76) -> Grid:
    """Panels for the titles, with what their axes add to the usual ones; `top` is the room of the legend above all."""
    rows, gap, bottom = (len(titles) + 1) // 2, 64, 52
    inner = rows * panel + (rows - 1) * gap
    spec: Spec = {}
    annotations = []
    references = tuple("" if place == 0 else str(place + 1) for place in range(len(titles)))
    for place, (title, reference) in enumerate(zip(titles, references, strict=True)):
        row, column = divmod(place, 2)
        left = 0.0 if column == 0 else 0.54
        right = 1.0 if column or len(titles) == 1 else 0.46
        upper = 1.0 - row * (panel + gap) / inner
        lower = max(upper - panel / inner, 0.0)
        spec[f"xaxis{reference}"] = axis(domain=[left, right], anchor=f"y{reference}") | _titled(x[place])
        spec[f"yaxis{reference}"] = axis(domain=[lower, upper], anchor=f"x{reference}") | _titled(y[place])
        text = f"<b>{escape(title, quote=False)}</b>"
        annotations.append(
            note(text, x=left, xanchor="left", y=upper, yanchor="bottom", yshift=4, font={"size": 13, "color": TEXT})
        )
    return Grid(framed(inner, top, bottom, annotations=annotations, shapes=[], **spec), references)


def framed(inner: int, top: int, bottom: int, **more: object) -> Spec:
    """The layout of a figure whose panels are `inner` high, under plotly's buttons and the legend, which has `top`."""
    height = inner + TOOLS + top + bottom
    legend = {
        "orientation": "h",
        "x": 0,
        "y": 1 - TOOLS / height,
        "yref": "container",
        "yanchor": "top",
        "itemwidth": 44,  # the longest dash is seen twice
    }
    margin = {"l": 60, "r": 14, "t": TOOLS + top, "b": bottom}
    return layout(height, margin=margin, legend=legend, **more)


def _titled(more: Spec) -> Spec:
    """The axis' own keys, a title given as text in plotly's form."""
    if isinstance(more.get("title"), str):
        return more | {"title": {"text": more["title"], "standoff": 8, "font": {"size": 12}}}
    return more
