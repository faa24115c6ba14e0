"""Panels: their positions in a figure, stacked or in rows of two, and the layouts that figures share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ipa.studies.many import PolicyRuns
from ipa.studies.pages.colours import TEXT, colour, coloured
from ipa.studies.pages.narrow import PANEL_TITLE_GAP
from ipa.studies.pages.plots import Spec, axis, layout, note, safe

TOOLS = 26
"""The room above the legend, where plotly's buttons appear [pixels]."""


@dataclass(frozen=True)
class Panel:
    """A panel of a figure: the number of its axes in plotly, and its edges as fractions of the plot area."""

    reference: str
    left: float
    right: float
    lower: float
    upper: float
    is_last: bool

    @property
    def axes(self) -> Spec:
        """The axes, as part of a trace."""
        return {"xaxis": f"x{self.reference}", "yaxis": f"y{self.reference}"}

    def y(self, of_axis: Spec) -> Spec:
        """The y axis, as part of a layout."""
        return {
            f"yaxis{self.reference}": of_axis | {"domain": [self.lower, self.upper], "anchor": f"x{self.reference}"}
        }

    def y_alone(self, of_axis: Spec) -> Spec:
        """The same if all panels share the first x axis."""
        return {f"yaxis{self.reference}": of_axis | {"domain": [self.lower, self.upper], "anchor": "x"}}

    def x(self, of_axis: Spec) -> Spec:
        """The x axis, as part of a layout."""
        return {f"xaxis{self.reference}": of_axis | {"domain": [self.left, self.right], "anchor": f"y{self.reference}"}}

    def shared_x(self, of_axis: Spec) -> Spec:
        """The same of an x axis that all panels share; only the last shows its title and labels."""
        hidden: Spec = {} if self.is_last else {"title": {"text": ""}, "showticklabels": False}
        return self.x(of_axis | hidden | ({"matches": "x"} if self.reference else {}))

    def note(self, text: str, shift: float, **keys: Any) -> Spec:
        """A title above the panel."""
        return note(text, x=self.left, xanchor="left", y=self.upper, yanchor="bottom", yshift=shift, **keys)

    def legend(self, title: str, above: float) -> Spec:
        """The panel's own legend, in one row with its title, as part of a layout; `above`: its distance (fraction)."""
        return {
            f"legend{self.reference}": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": self.upper + above,
                "yanchor": "bottom",
                "title": {"text": f"<b>{safe(title)}</b>  ", "font": {"size": 13}},
                "traceorder": "normal",
            }
        }


def placed(heights: Sequence[float], gap: float, columns: int = 1) -> tuple[list[Panel], float]:
    """Panels of the given heights from above, in rows of one or two; and the total height [pixels]."""
    by_row = [max(heights[row : row + columns]) for row in range(0, len(heights), columns)]
    inner = sum(by_row) + gap * (len(by_row) - 1)
    panels = []
    for place in range(len(heights)):
        row, column = divmod(place, columns)
        upper = 1.0 - (sum(by_row[:row]) + gap * row) / inner
        right = 0.46 if columns == 2 and not column and len(heights) > 1 else 1.0
        lower = max(upper - heights[place] / inner, 0.0)
        panels.append(
            Panel(
                str(place + 1) if place else "", 0.54 if column else 0.0, right, lower, upper, place == len(heights) - 1
            )
        )
    return panels, inner


def under_legend(inner: float, top: float, bottom: float = 52, **keys: Any) -> Spec:
    """The layout of panels with the legend at the top, beneath plotly's buttons if there is room."""
    height = inner + top + bottom
    legend = {"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"}
    return layout(height, margin={"l": 64, "r": 24, "t": top, "b": bottom}, legend=legend, **keys)


def framed(inner: float, top: float, bottom: float, **keys: Any) -> Spec:
    """The layout of a figure: panels of height `inner`, under plotly's buttons and a legend of height `top`."""
    height = inner + TOOLS + top + bottom
    legend = {
        "orientation": "h",
        "x": 0,
        "y": 1 - TOOLS / height,
        "yref": "container",
        "yanchor": "top",
        "itemwidth": 44,  # the longest dash is seen twice
    }
    return layout(height, margin={"l": 60, "r": 14, "t": TOOLS + top, "b": bottom}, legend=legend, **keys)


def stacked(titles: Sequence[str], x: Spec, y_title: str, highest: float, **keys: Any) -> tuple[list[Panel], Spec]:
    """Stacked panels, each under its title (see `panel_title`), and their layout.

    `x` is their shared x axis, labelled under the last; `highest` is the end of their y axes.
    """
    panels, inner = placed([250 if len(titles) == 1 else 112] * len(titles), 30)
    axes: Spec = {}
    notes = [note(y_title, x=0, xshift=-52, y=0.5, textangle=-90, xanchor="center", font={"size": 13})]
    for panel, title in zip(panels, titles, strict=True):
        axes |= panel.y(axis(range=[0.0, highest], nticks=5, automargin=False)) | panel.shared_x(x)
        notes.append(panel.note(title, 3))
    return panels, under_legend(inner, 66, annotations=notes, shapes=[], **axes, **keys)


def panel_title(name: str, colour: str, beside: str = "") -> str:
    """The title of a panel: a name in its colour, and the text beside it."""
    return coloured(safe(name), colour) + (f"{PANEL_TITLE_GAP}{beside}" if beside else "")


def panel_titles(groups: Sequence[PolicyRuns], texts: Sequence[str]) -> list[str]:
    """The titles of panels, one per policy, each with the text beside the name."""
    return [panel_title(group.label, colour(group.place), text) for group, text in zip(groups, texts, strict=True)]


def grid(
    titles: Sequence[str], x: Sequence[Spec], y: Sequence[Spec], panel: int = 270, top: int = 76
) -> tuple[list[Panel], Spec]:
    """Panels with these titles in rows of two, and their layout; `x`, `y`: additions to the usual axes.

    `top` is the height of the legend above all. Titles of axes are given as text.
    """
    panels, inner = placed([panel] * len(titles), 64, columns=2)
    axes: Spec = {}
    for place, of_x, of_y in zip(panels, x, y, strict=True):
        axes |= place.x(axis() | _titled(of_x)) | place.y(axis() | _titled(of_y))
    font = {"size": 13, "color": TEXT}
    notes = [place.note(f"<b>{safe(title)}</b>", 4, font=font) for place, title in zip(panels, titles, strict=True)]
    return panels, framed(inner, top, 52, annotations=notes, shapes=[], **axes)


def _titled(of_axis: Spec) -> Spec:
    title = of_axis.get("title")
    return (
        of_axis | {"title": {"text": title, "standoff": 8, "font": {"size": 12}}} if isinstance(title, str) else of_axis
    )
