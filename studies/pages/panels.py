"""Panels one above the other over the same axis, mostly time: one a policy, or one a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ipa.studies.many import Group
from ipa.studies.pages.colours import TEXT, colour, coloured
from ipa.studies.pages.narrow import PANEL_TITLE_GAP
from ipa.studies.pages.plots import Spec, axis, layout, note


@dataclass(frozen=True)
class Panels:
    """Panels that share their x axis and the range of y; `references` are plotly's numbers of their axes."""

    layout: Spec
    references: tuple[str, ...]

    def axes(self, place: int) -> Spec:
        """The axes of the panel at a place from above, for a trace."""
        return {"xaxis": f"x{self.references[place]}", "yaxis": f"y{self.references[place]}"}


def stacked_panels(
    titles: Sequence[str],
    x: Spec,
    y_title: str,
    highest: float,
    **more: object,
) -> Panels:
    """Panels one above the other, each under its title (see `panel_title`).

    `x` is the axis that they share, written under the last; `highest` is where their y axes end.
    """
    count = len(titles)
    panel, gap, top, bottom = (250, 0, 66, 52) if count == 1 else (112, 30, 66, 52)
    inner = count * panel + (count - 1) * gap
    references = tuple("" if place == 0 else str(place + 1) for place in range(count))
    axes: Spec = {}
    annotations = [note(y_title, x=0, xshift=-52, y=0.5, textangle=-90, xanchor="center", font={"size": 13})]
    for place, (title, reference) in enumerate(zip(titles, references, strict=True)):
        upper = 1.0 - place * (panel + gap) / inner
        last = place == count - 1
        axes[f"yaxis{reference}"] = axis(
            domain=[max(upper - panel / inner, 0.0), upper],
            range=[0.0, highest],
            nticks=5,
            automargin=False,
            anchor=f"x{reference}",
        )
        axes[f"xaxis{reference}"] = {
            **x,
            **({} if last else {"title": {"text": ""}, "showticklabels": False}),
            "anchor": f"y{reference}",
            **({"matches": "x"} if reference else {}),
        }
        annotations.append(note(title, x=0, xanchor="left", y=upper, yanchor="bottom", yshift=3))
    return Panels(
        layout(
            inner + top + bottom,
            margin={"l": 64, "r": 24, "t": top, "b": bottom},
            annotations=annotations,
            legend={"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
            **axes,
            **more,
        ),
        references,
    )


def panel_title(name: str, colour: str, more: str = "") -> str:
    """The title of a panel: a name (safe in HTML) in its colour, and what is said beside it."""
    return coloured(name, colour) + (f"{PANEL_TITLE_GAP}{more}" if more else "")


def panel_titles(groups: Sequence[Group], more: Sequence[str]) -> list[str]:
    """The titles of panels, one per policy, each with what it says beside the name."""
    return [panel_title(group.label, colour(group.place), text) for group, text in zip(groups, more, strict=True)]


# ---- panels side by side in rows of two, under one legend ----


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
