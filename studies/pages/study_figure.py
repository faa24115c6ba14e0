"""Parts that the figures of a study's report share: each system's colour, dash and symbol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ipa.studies.pages.colours import colour
from ipa.studies.pages.element import plot_element
from ipa.studies.pages.figures import plotly_figure
from ipa.studies.pages.plots import Plot, Spec

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
    "24px,6px",
    "6px,6px",
    "20px,3px,2px,3px",
    "5px,2px,5px,6px",
    "14px,2px,2px,2px,2px,2px",
    "3px,1px",
    "10px,8px",
)
SYMBOLS = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "pentagon",
    "star",
    "triangle-down",
    "cross",
    "hexagon",
    "x",
    "triangle-left",
    "triangle-right",
    "hourglass",
    "bowtie",
    "hexagram",
    "diamond-tall",
)
"""Beside its colour a system's dash and symbol in every figure, by its place in the study; no two systems share a dash
or a symbol, so that a print without colour tells them apart."""


@dataclass(frozen=True)
class Look:
    """How a system is drawn; `title` is safe in HTML."""

    name: str
    title: str
    colour: str
    dash: str
    symbol: str
    width: float

    @property
    def legend(self) -> str:
        """Its group in a legend, beside groups of ours such as `load`."""
        return f"system {self.name}"


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
    page it is shown, empty: for all. On a screen narrower than `least_width` pixels it scrolls sideways."""

    name: str
    heading: str
    reading: str
    traces: list[Spec]
    layout: Spec
    setting: str = ""
    workload: str = ""
    least_width: int = 0

    def figure(self) -> plotly.graph_objects.Figure:
        """The figure as plotly's own. Raises ScenarioError where plotly is not installed."""
        return plotly_figure(self.heading, self.traces, self.layout)

    def html(self) -> str:
        """The figure's element; the page draws it when it comes into view."""
        shown_for = "".join(f' data-{key}="{escape(value)}"' for key, value in self.shown_for.items() if value)
        return (
            f'<div class="figure"{shown_for}>\n<h3>{self.heading}</h3>\n<p class="muted">{self.reading}</p>\n'
            f"{plot_element(self.name, self.heading, self.traces, self.layout, self.least_width)}</div>\n"
        )

    @property
    def plot(self) -> Plot:
        """The same as a plot, for an image."""
        return Plot(self.name, self.heading, self.reading, self.traces, self.layout, self.least_width)

    @property
    def shown_for(self) -> dict[str, str]:
        """The choices for which it is shown."""
        return {"setting": self.setting, "workload": self.workload}
