"""Bars side by side: a row for each figure, a group for each workload, a bar for each system or point of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ipa.studies.many.study import Cell
from ipa.studies.pages.colours import SLA_COLOUR, TEXT, faded
from ipa.studies.pages.grid import framed
from ipa.studies.pages.plots import Spec, axis, numbers
from ipa.studies.pages.study_figure import Look

PANEL, GAP, BOTTOM = 190, 26, 40


class Row(NamedTuple):
    """A figure of the bars, its factor, the figure of their small ticks (empty: none), and what is published of it by
    workload and bar."""

    title: str
    key: str
    factor: float = 1.0
    tick: str = ""
    published: Mapping[tuple[str, str], float] = {}


class Series(NamedTuple):
    """A bar of every group: how it looks, and its cells."""

    look: Look
    cells: Sequence[Cell]


def bars(rows: Sequence[Row], workloads: Sequence[str], series: Sequence[Series], top: int) -> tuple[list[Spec], Spec]:
    """The traces and the layout; `top` is the room of the legend [pixels]."""
    width = len(series) + 1.2
    place_of = {
        (workload, each.look.name): group * width + place
        for group, workload in enumerate(workloads)
        for place, each in enumerate(series)
    }
    inner = len(rows) * PANEL + (len(rows) - 1) * GAP
    axes: Spec = {
        "xaxis": axis(
            tickvals=[group * width + (len(series) - 1) / 2 for group in range(len(workloads))],
            ticktext=list(workloads),
            range=[-0.9, len(workloads) * width - 0.3],
            ticks="",
            showgrid=False,
            anchor=f"y{len(rows)}" if len(rows) > 1 else "y",
        )
    }
    traces: list[Spec] = []
    first_published = next((number for number, row in enumerate(rows) if row.published), None)
    for number, row in enumerate(rows):
        reference = "" if number == 0 else str(number + 1)
        upper = 1.0 - number * (PANEL + GAP) / inner
        axes[f"yaxis{reference}"] = axis(
            row.title, domain=[max(upper - PANEL / inner, 0.0), upper], rangemode="tozero", anchor="x"
        )
        for look, cells in series:
            if cells:
                x = [place_of[cell.workload, look.name] for cell in cells]
                traces += _bars(cells, x, look, row, f"y{reference}", number == 0)
        if row.published:
            traces.append(_published(row, place_of, f"y{reference}", number == first_published))
    return traces, framed(inner, top, BOTTOM, bargap=0.1, barmode="overlay", **axes)


def _bars(cells: Sequence[Cell], x: list[float], look: Look, row: Row, y_axis: str, is_first: bool) -> list[Spec]:
    values = [cell.estimate(row.key, row.factor) for cell in cells]
    drawn: Spec = {
        "type": "bar",
        "x": x,
        "y": numbers((float("nan") if value is None else value.mean for value in values), 4),
        "width": 0.86,
        "name": look.title,
        "legendgroup": look.legend,
        "showlegend": is_first,
        "marker": {"color": faded(look.colour, 0.75), "line": {"color": look.colour, "width": 1}},
        "customdata": [cell.workload for cell in cells],
        "hovertemplate": f"<b>{look.title}</b>, %{{customdata}}: %{{y:.3~f}}<extra></extra>",
        "yaxis": y_axis,
    }
    if any(value is not None and value.has_interval for value in values):
        ends = [(0.0, 0.0) if value is None else (value.mean - value.low, value.high - value.mean) for value in values]
        drawn["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": numbers((above for _, above in ends), 4),
            "arrayminus": numbers((below for below, _ in ends), 4),
            "color": TEXT,
            "thickness": 1,
            "width": 2,
        }
    return [drawn, _ticks(cells, x, look, row, y_axis)] if row.tick else [drawn]


def _ticks(cells: Sequence[Cell], x: list[float], look: Look, row: Row, y_axis: str) -> Spec:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": numbers((cell.mean(row.tick, row.factor) for cell in cells), 4),
        "marker": {"symbol": "line-ew", "size": 11, "line": {"color": TEXT, "width": 2}},
        "name": "planned; seconds",
        "legendgroup": "ticks",
        "showlegend": False,
        "hovertemplate": f"{look.title}: %{{y:.3~f}}<extra></extra>",
        "yaxis": y_axis,
    }


def _published(row: Row, place_of: Mapping[tuple[str, str], float], y_axis: str, is_first: bool) -> Spec:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [place_of[name] for name in row.published],
        "y": list(row.published.values()),
        "marker": {"symbol": "diamond-open", "size": 9, "color": SLA_COLOUR, "line": {"width": 1.8}},
        "name": "published",
        "legendgroup": "published",
        "showlegend": is_first,
        "hovertemplate": "published: %{y:,.2~f}<extra></extra>",
        "yaxis": y_axis,
    }
