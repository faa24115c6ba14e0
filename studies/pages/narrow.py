"""The layout of a plot on a narrow screen, such as a telephone: one column, more room for legends, fewer ticks.

The page's script uses it on pages less than 640 pixels wide. The data stay the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from math import ceil, inf
from typing import Any

Spec = dict[str, Any]

_WIDTH, _USUAL_WIDTH = 260.0, 900.0
"""The width of a legend on a narrow screen and on others [pixels]."""

_ROW, _ENTRY, _LETTER = 19.0, 46.0, 6.4
"""The height of a legend's row, the width of an entry besides its name, and that of a letter [pixels]."""

_COLUMN_GAP = 64.0
"""The gap between panels that were side by side [pixels]."""

_MOST_TICKS = 6

_MOST_DECADES = 2.0
"""The length of a logarithmic axis up to which 1, 2 and 5 x 10^k are few enough; plotly's own ticks would be more."""

_HIGHEST = 320.0
"""The most that a single panel is high, about as much as it is wide [pixels]."""

PANEL_TITLE_GAP = "   "
"""The separator between the name in a panel's title and the text beside it."""


def narrowed(traces: Sequence[Spec], layout: Spec) -> Spec:
    """The layout for a narrow screen; the given one is not changed.

    Panels side by side are stacked; a single one, if it has no row for each name, is about square. A legend that takes
    more rows moves down everything beneath it. x axes have at most six ticks. Names beside points are removed, as the
    legend has them. Dragging scrolls the page.
    """
    narrow = deepcopy(layout)
    rows_more = _rows_more(traces, narrow)
    narrow["font"] = {"size": 11}
    narrow["dragmode"] = False
    _restack(narrow, rows_more)
    upright = _axes(narrow, "y")
    if len(upright) == 1 and "title" in upright[0][1] and not _has_rows(traces, upright[0][1]):
        narrow["height"] = min(narrow["height"], _HIGHEST + narrow["margin"]["t"] + narrow["margin"]["b"])
    top = _ROW * rows_more.get("legend", 0) if _is_above_all(narrow) else 0.0
    narrow["height"] += top
    narrow["margin"] = {**narrow["margin"], "r": 8, "t": narrow["margin"]["t"] + top}
    if upright and all("title" in axis and axis.get("automargin", True) for _, axis in upright):
        narrow["margin"]["l"] = 8  # as much is added as the labels need
    for _, axis in [*_axes(narrow, "x"), *_axes(narrow, "y")]:
        if "title" in axis:
            axis["title"] = {**axis["title"], "font": {"size": 11}}
    for _, axis in _axes(narrow, "x"):
        axis["nticks"] = _MOST_TICKS
        if axis.get("type") == "log" and _decades(axis) > _MOST_DECADES:
            axis.pop("dtick", None)  # which would be more
    narrow["annotations"] = [_small(note) for note in narrow.get("annotations", ()) if not _is_beside_a_point(note)]
    for key, legend in narrow.items():
        if re.fullmatch(r"legend\d*", key):
            legend["x"] = 0
            if "title" in legend:
                legend["title"] = {**legend["title"], "side": "top"}
    return narrow


def _has_rows(traces: Iterable[Spec], axis: Spec) -> bool:
    """Whether an upright axis has a row for each name."""
    return "tickvals" in axis or any(trace.get("orientation") == "h" for trace in traces)


def _axes(layout: Spec, letter: str) -> list[tuple[str, Spec]]:
    """The axes of a letter: plotly's short reference (such as `y2`) and the axis."""
    matches = ((re.fullmatch(rf"{letter}axis(\d*)", key), axis) for key, axis in layout.items())
    return [(f"{letter}{match[1]}", axis) for match, axis in matches if match]


def _decades(axis: Spec) -> float:
    """The length of a logarithmic axis; infinite if plotly chooses it."""
    low, high = axis.get("range", (0.0, inf))
    return float(high - low)


def _small(note: Spec) -> Spec:
    """A note in small letters; the text beside a name goes on a line beneath it."""
    text = note["text"].replace(PANEL_TITLE_GAP, "<br>")
    return note | {"text": text, "align": "left", "font": {**note["font"], "size": min(note["font"]["size"], 10)}}


def _is_beside_a_point(note: Spec) -> bool:
    return all(re.fullmatch(r"[xy]\d*", note[ref]) for ref in ("xref", "yref"))


# ---- legends ----


def _is_above_all(layout: Spec) -> bool:
    """Whether the first legend is above all panels, not above one of several."""
    return "legend2" not in layout


def _rows_more(traces: Iterable[Spec], layout: Spec) -> dict[str, int]:
    """Legend -> how many more rows it takes than on other screens."""
    widths: dict[str, list[float]] = {}
    counted = set()
    for trace in traces:
        legend, name = trace.get("legend", "legend"), trace.get("name")
        shown = trace.get("showlegend", True) and layout.get("showlegend", True)
        if name and shown and (legend, trace.get("legendgroup", name), name) not in counted:
            counted.add((legend, trace.get("legendgroup", name), name))
            widths.setdefault(legend, []).append(_ENTRY + _LETTER * len(name))
    return {
        legend: _rows(widths_of_entries, _WIDTH)
        - _rows(widths_of_entries, _USUAL_WIDTH)
        + ("title" in layout.get(legend, {}))
        for legend, widths_of_entries in widths.items()
    }


def _rows(widths: Sequence[float], room: float) -> int:
    """The rows of a legend with all entries as wide as the widest."""
    in_row = max(int(room // max(widths)), 1)
    return ceil(len(widths) / in_row)


# ---- panels ----


_Panel = tuple[Spec, Spec, str]
"""The x axis, the y axis, and the name of the panel's own legend, if it has one."""


def _corner(panel: _Panel) -> tuple[float, float]:
    """The left and the upper edge, from 0 to 1."""
    x_axis, y_axis, _ = panel
    return x_axis.get("domain", (0.0, 1.0))[0], y_axis.get("domain", (0.0, 1.0))[1]


def _restack(layout: Spec, rows_more: Mapping[str, int]) -> None:
    """Put all panels in one column, with room for its legend above each."""
    x_axes = dict(_axes(layout, "x"))
    panels: list[_Panel] = [
        (x_axes[axis.get("anchor", "x")], axis, f"legend{reference[1:]}")
        for reference, axis in _axes(layout, "y")
        if axis.get("anchor", "x") in x_axes
    ]
    if not panels:  # parallel coordinates have axes of their own
        return
    panels.sort(key=lambda panel: (-_corner(panel)[1], _corner(panel)[0]))
    inner = layout["height"] - layout["margin"]["t"] - layout["margin"]["b"]
    edges, at, above = [], 0.0, 1.0  # from above [pixels]; where the panel above ends, from 0 to 1
    for place, panel in enumerate(panels):
        lower, upper = panel[1].get("domain", (0.0, 1.0))
        if place:  # the room above it as it was, or that between columns
            at += (above - upper) * inner if above >= upper else _COLUMN_GAP
        if not _is_above_all(layout):
            at += _ROW * rows_more.get(panel[2], 0)
        edges.append((at, at + (upper - lower) * inner))
        at, above = edges[-1][1], lower
    _move_notes(layout, {_corner(panel): 1.0 - start / at for panel, (start, _) in zip(panels, edges, strict=True)})
    for panel, (start, end) in zip(panels, edges, strict=True):
        x_axis, y_axis, legend = panel
        if not _is_above_all(layout) and legend in layout:
            layout[legend]["y"] = 1.0 - start / at + (layout[legend]["y"] - _corner(panel)[1]) * inner / at
        if len(panels) > 1:
            x_axis["domain"] = [0.0, 1.0]
            y_axis["domain"] = [max(1.0 - end / at, 0.0), 1.0 - start / at]
    layout["height"] += at - inner


def _move_notes(layout: Spec, uppers: Mapping[tuple[float, float], float]) -> None:
    """Move the titles of panels with their upper edges."""
    for note in layout.get("annotations", ()):
        corner = (note["x"], note["y"])
        if note["xref"] == note["yref"] == "paper" and corner in uppers:
            note["x"], note["y"] = 0.0, uppers[corner]
