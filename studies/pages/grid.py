"""Panels side by side in rows of two, under one legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ipa.studies.pages.colours import TEXT
from ipa.studies.pages.plots import Spec, axis, layout, note

TOOLS = 26
"""The room above the legend, where plotly's buttons appear [pixels]."""


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
