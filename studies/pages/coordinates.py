"""Parallel coordinates whose points are clicked: plotly's own need `eval`, which the explorer's page forbids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ipa.studies.pages.colours import BACKGROUND, LINE, PALETTE, SHADES
from ipa.studies.pages.plots import Plot, Spec, axis, layout, line, note, safe

AXIS_WIDTH = 108
"""The width of an axis [pixels]."""

MOST_LEVELS, LONGEST = 12, 17
LOW, HIGH = -0.06, 1.24
"""The ends of the plot; axes reach from 0 to 1."""

Axis = tuple[list[float], list[tuple[float, str]]]
"""The places of the points, from 0 to 1, and the ticks with their places."""


def coordinates(columns: Mapping[str, Sequence[object]], shade: str) -> Plot:
    """A line for each point, the stronger the higher its value in the column `shade`; `columns`: name -> values.

    `customdata` is the index of a point. The last trace, for the point that the page picks, is empty.
    """
    texts = {name: list(map(_text, values)) for name, values in columns.items()}
    axes = {name: _axis(values, texts[name]) for name, values in columns.items()}
    of_points = zip(*texts.values(), strict=True)
    words = [
        "<br>".join(safe(f"{name} {text}") for name, text in zip(columns, own_texts, strict=True))
        for own_texts in of_points
    ]
    shades = [min(int(share * len(SHADES)), len(SHADES) - 1) for share in axes[shade][0]]
    looks = [(of_shade, 1.2, place) for place, of_shade in enumerate(SHADES)] + [(PALETTE[1], 2.6, -1)]
    traces, notes = [], []
    for colour, width, place in looks:
        own = [point for point, own_shade in enumerate(shades) if own_shade == place]
        y = [height for point in own for height in (*(places[point] for places, _ in axes.values()), None)]
        data = [index for point in own for index in (*[point] * len(axes), None)]
        style: Spec = {"mode": "lines+markers", "marker": {"size": 3 * width + 2, "color": colour}, "cliponaxis": False}
        hover = {
            "text": ["" if point is None else words[point] for point in data],
            "hovertemplate": "%{text}<extra></extra>",
        }
        x = [*range(len(axes)), None] * len(own)
        traces.append(line(x, y, "", {"color": colour, "width": width}, customdata=data, **hover) | style)
    for at, (name, (_, ticks)) in enumerate(axes.items()):
        notes.append(_note(at, 1.1, f"<b>{_cut(name)}</b>", yanchor="bottom"))
        notes += [_note(at, up, _cut(text), xanchor="left", xshift=6) for up, text in ticks]
    edge: Spec = {"type": "line", "y0": 0, "y1": 1, "line": {"color": LINE, "width": 1}, "layer": "below"}
    hidden: Spec = {"visible": False, "fixedrange": True}
    spec = layout(300, showlegend=False, margin={"l": 30, "r": 30, "t": 14, "b": 14}, annotations=notes)
    spec |= {"xaxis": axis(range=[-0.35, len(axes) - 0.35], **hidden), "yaxis": axis(range=[LOW, HIGH], **hidden)}
    spec["shapes"] = [edge | {"x0": at, "x1": at} for at in range(len(axes))]
    reading = (
        f"A line is a point, the stronger the higher its {shade}. A click on one of its dots asks it; orange: the one "
        "asked. Dragging over part of an axis keeps the points there (with shift: over another too), a double click "
        "all. The table below has the same."
    )
    return Plot("points", "All keys and figures at once", reading, traces, spec, AXIS_WIDTH * len(axes))


def _axis(values: Sequence[object], texts: Sequence[str]) -> Axis:
    measured = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(measured) == len(values) and min(measured) < max(measured):
        low, high = min(measured), max(measured)
        return [(value - low) / (high - low) for value in measured], [(0.0, _text(low)), (1.0, _text(high))]
    levels = list(dict.fromkeys(texts))
    at = {value: place / (len(levels) - 1) if len(levels) > 1 else 0.5 for place, value in enumerate(levels)}
    return [at[value] for value in texts], [(at[value], value) for value in levels] if len(
        levels
    ) <= MOST_LEVELS else []


def _text(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return json.dumps(value)
    return value if isinstance(value, str) else f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _cut(text: str) -> str:
    return safe(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def _note(x: float, y: float, text: str, **keys: object) -> Spec:
    up = {"yref": "y domain", "y": (y - LOW) / (HIGH - LOW)}
    return note(text, xref="x", x=x, font={"size": 11}, bgcolor=BACKGROUND, borderpad=1, **up, **keys)
