"""Cards for notebooks: small pictures and tables as self-contained HTML.

They need no script and no style sheet. Text and frames take the colour of the surrounding text, so that they are
readable on a dark background too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from ipa.sim import FloatArray
from ipa.studies.many import PolicyRuns, cell
from ipa.studies.many.answers import Recommendation
from ipa.studies.pages.colours import SLA_COLOUR, colour
from ipa.studies.pages.graph_of_run import drawing_of
from ipa.studies.runs import RunData, figures_of, has_records, run_lines, run_title
from ipa.studies.series import bin_s, decided, existing_cores, latency_quantiles_s, load_rps, violation_counts

WIDTH, HEIGHT = 240, 56
"""The size of a picture [pixels]."""


@dataclass(frozen=True)
class Curve:
    """A line over time, with a gap where y is NaN; `is_area`: fill the area from 0 to it.

    Steps have one x more than y: y[i] holds from x[i] until x[i + 1]. `colour` empty: the text's.
    """

    x: FloatArray
    y: FloatArray
    colour: str = ""
    is_area: bool = False


def sketch(title: str, unit: str, curves: Sequence[Curve], end_s: float, top: float | None = None) -> Picture:
    """A small picture of curves over [0, end_s], from 0 to their highest value, or to `top`, under its title.

    It is never wider than its container.
    """
    highest = max((float(np.nanmax(curve.y, initial=0.0)) for curve in curves), default=0.0) if top is None else top
    label = f"{title}, up to {highest:,.3g} {unit}".strip()
    drawn = "".join(_path(curve, end_s, highest) for curve in curves)
    return _picture(label, drawn, HEIGHT)


def _path(curve: Curve, end_s: float, highest: float) -> str:
    x, y = (_stepped if len(curve.x) > len(curve.y) else _as_given)(curve)
    x, y = _thinned(x * (WIDTH / end_s), (HEIGHT - 1) - y * ((HEIGHT - 3) / (highest or 1.0)))
    if not np.isfinite(y).any():
        return ""
    points = _points(x, y)
    colour = _toned(curve.colour) if curve.colour else "currentColor"
    if not curve.is_area:
        return f'<path d="{points}" stroke="{colour}" stroke-width="1.3" fill="none"/>'
    area = f"{points}V{HEIGHT - 1}H{x[0]:.4g}Z"
    return f'<path d="{area}" fill="{colour}" fill-opacity="0.45" stroke="none"/>'


def _as_given(curve: Curve) -> tuple[FloatArray, FloatArray]:
    return curve.x, curve.y


def _stepped(curve: Curve) -> tuple[FloatArray, FloatArray]:
    """Steps as the points of their corners."""
    return np.repeat(curve.x, 2)[1:-1], np.repeat(curve.y, 2)


def _thinned(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of many points, only the first, highest, lowest and last in each half pixel across."""
    if len(x) <= 4 * WIDTH:
        return x, y
    starts = np.flatnonzero(np.diff(np.floor(2 * x), prepend=-1.0)).tolist()
    places: list[int] = []
    for start, stop in zip(starts, [*starts[1:], len(x)], strict=True):
        within = y[start:stop]
        places += [start, stop - 1]
        if np.isfinite(within).any():
            places += [start + int(np.nanargmin(within)), start + int(np.nanargmax(within))]
    chosen = np.unique(places)
    return x[chosen], y[chosen]


def named(colour: str, name: str) -> Picture:
    """A name after a dot in its colour."""
    return Picture(f'<span style="color:{_toned(colour)}">●</span> {escape(name)}')


def _toned(colour: str) -> str:
    """A page's colour #rrggbb made lighter, so that it is visible on a dark background too."""
    parts = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(0.7 * part + 0.3 * 200):02x}" for part in parts)


def _points(x: FloatArray, y: FloatArray) -> str:
    """An SVG path through points, interrupted where y is not a number."""
    parts, letter = [], "M"
    for across, down in zip(x.tolist(), y.tolist(), strict=True):
        if down != down:
            letter = "M"
            continue
        parts.append(f"{letter}{across:.4g} {down:.3g}")
        letter = "L"
    return "".join(parts)


class Picture(str):
    """HTML made by `sketch`, `plane` or `named`, which is not escaped."""


def _shown(cell: str) -> str:
    return cell if isinstance(cell, Picture) else escape(cell)


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts and `Picture`s without a style of its own; the first column has names."""
    head = "".join(f"<th>{_shown(column)}</th>" for column in columns)
    body = "".join(_row(*map(_shown, cells)) for cells in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(name: str, *cells: str) -> str:
    figures = "".join(f'<td style="white-space:nowrap">{cell}</td>' for cell in cells)
    return f'<tr><th style="text-align:left">{name}</th>{figures}</tr>'


def card(title: str, lines: Iterable[str], *parts: str) -> str:
    """A card: the title, lines of text below it, and parts in HTML."""
    body = "".join(f"<br>{escape(line)}" for line in lines)
    return f"<div><b>{escape(title)}</b>{body}<br>{''.join(parts)}</div>"


@dataclass(frozen=True)
class Dot:
    """A point of a plane, with its name."""

    x: float
    y: float
    name: str
    colour: str


def plane(title: str, x_name: str, y_name: str, dots: Sequence[Dot]) -> Picture:
    """A small picture of points with their names as hover text; the axes end at the outermost points."""
    placed = [dot for dot in dots if np.isfinite([dot.x, dot.y]).all()]
    across, up = _place([dot.x for dot in placed], WIDTH), _place([dot.y for dot in placed], 2 * HEIGHT)
    drawn = "".join(
        f'<circle cx="{x:.1f}" cy="{2 * HEIGHT - y:.1f}" r="4" fill="{_toned(dot.colour)}">'
        f"<title>{escape(f'{dot.name}: {dot.x:.4g}, {dot.y:.4g}')}</title></circle>"
        for dot, x, y in zip(placed, across, up, strict=True)
    )
    ends = (_ends(y_name, [dot.y for dot in placed]), _ends(x_name, [dot.x for dot in placed]))
    return _picture(f"{title}: {' over '.join(ends)}", drawn, 2 * HEIGHT)


def _ends(name: str, values: Sequence[float]) -> str:
    return f"{name} {min(values):.3g} to {max(values):.3g}" if values else name


def _place(values: Sequence[float], size: int) -> list[float]:
    low, high = min(values, default=0.0), max(values, default=0.0)
    return [6 + (size - 12) * ((value - low) / (high - low) if high > low else 0.5) for value in values]


def _picture(label: str, drawn: str, height: int) -> Picture:
    """An image under its label, framed by the axes."""
    return Picture(
        f'<span style="display:inline-block;margin:0 12px 6px 0"><small>{escape(label)}</small><br>'
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" style="max-width:100%">{drawn}<path d="M0.5 0V{height - 0.5}H{WIDTH}" '
        f'stroke="currentColor" stroke-opacity="0.4" fill="none"/></svg></span>'
    )


# ---- cards of runs and comparisons for notebooks ----


def run_card(run: RunData) -> str:
    """A run in a few lines, with pictures where it has records; for a graph, also the arrivals at each stage."""
    if not has_records(run):
        return card(run_title(run.summary), run_lines(run.summary))
    drawn = drawing_of(run)
    graph = [] if drawn is None else [drawn.svg("The graph: stages with their load, edges with their factors")]
    return card(run_title(run.summary), run_lines(run.summary), _sketches(run), *graph)


def _sketches(run: RunData) -> str:
    """Load and forecast, cores existing and decided, the slowest latencies, violations."""
    end_s, sla_s = float(run.summary["duration_s"]), float(run.summary["sla_s"])
    decisions = run.tables["decisions"]
    load = load_rps(run.tables, end_s)
    middle_s, (p99_s,) = latency_quantiles_s(run.tables, end_s, (0.99,))
    return "".join(
        [
            sketch(
                "load (area), forecast",
                "rps",
                [Curve(load.edges_s, load.value, is_area=True), *_decided(decisions, "forecast_rps", end_s)],
                end_s,
            ),
            sketch(
                "cores (area), decided", "", [cores(run, colour(0)), *_decided(decisions, "cost_cores", end_s)], end_s
            ),
            sketch("latency p99", "s", [Curve(middle_s, p99_s, colour(0))], end_s),
            sketch(f"later than {sla_s:.3g} s, or lost", _per_bin(end_s), [violations(run)], end_s),
        ]
    )


def _per_bin(end_s: float) -> str:
    return f"in {bin_s(end_s):g} s"


def _decided(decisions: Any, column: str, end_s: float) -> list[Curve]:
    steps = decided(decisions, column, end_s)
    return [] if steps is None else [Curve(steps.edges_s, steps.value, colour(1))]


def cores(run: RunData, colour: str) -> Curve:
    """The cores of existing replicas over time."""
    steps = existing_cores(run.tables["replicas"], float(run.summary["duration_s"]))
    return Curve(steps.edges_s, steps.value, colour, is_area=True)


def violations(run: RunData) -> Curve:
    """The requests that violated the SLA, counted in bins."""
    summary = run.summary
    edges_s, counts = violation_counts(run.tables, float(summary["duration_s"]), float(summary["sla_s"]))
    return Curve(edges_s, np.sum(list(counts.values()), axis=0, dtype=np.float64), SLA_COLOUR, is_area=True)


def comparison_card(title: str, groups: Sequence[PolicyRuns], recommendation: Recommendation) -> str:
    """The recommendation, and a row for each policy: figures, and cores and violations over time in the first seed."""
    figures = figures_of([run.summary for group in groups for run in group.runs])
    rows: list[list[str]] = [
        [named(colour(group.place), group.label), *(cell(group, figure) for figure in figures)] for group in groups
    ]
    columns = ["policy", *(name for name, *_ in figures)]
    if all(has_records(group.runs[0]) for group in groups):
        end_s = float(groups[0].runs[0].summary["duration_s"])
        for title_of_column, unit, draw in (
            ("cores", "", [cores(group.runs[0], colour(group.place)) for group in groups]),
            ("violations", _per_bin(end_s), [violations(group.runs[0]) for group in groups]),
        ):
            top = max(float(curve.y.max(initial=0.0)) for curve in draw)
            columns.append(f"{title_of_column} over time")
            for row, curve in zip(rows, draw, strict=True):
                row.append(sketch(title_of_column, unit, [curve], end_s, top))
    return card(title, recommendation.sentences[:1], plain_table(columns, rows))
