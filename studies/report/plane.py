"""The accuracy-cost plane: every policy a point, with its interval both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from studies.intervals import Estimate
from studies.report.groups import Group
from studies.report.plots import MUTED, Plot, Spec, axis, coloured, faded, layout, note, numbers

HEIGHT = 500


@dataclass(frozen=True)
class Point:
    """A policy in the plane."""

    group: Group
    cost: Estimate
    pas: Estimate
    violations_percent: float


def plane(groups: Sequence[Group]) -> Plot:
    """PAS over cost, a point a policy; its size says how many requests violated the SLA."""
    points = [point for group in groups if (point := _point(group)) is not None]
    missing = [group.label for group in groups if group.label not in {p.group.label for p in points}]
    several = any(len(group.runs) > 1 for group in groups)
    reading = (
        "Up is more accurate, left is cheaper; the larger a point, the more requests violated the SLA."
        + (" Bars: 95 % intervals of the means; small dots: single seeds." if several else "")
        + (f" Nothing completed, so not shown: {', '.join(missing)}." if missing else "")
    )
    x_range, y_range = _range(points, "cost_mean_cores"), _range(points, "pas_mean")
    traces = [trace for point in points for trace in _traces(point)]
    corner = note("↖ cheaper and more accurate", x=0.008, y=0.985, xanchor="left", yanchor="top")
    return Plot(
        "plane",
        "Accuracy against cost",
        reading,
        traces,
        layout(
            HEIGHT,
            xaxis=axis("cost: mean of existing cores", range=x_range),
            yaxis=axis("PAS (x 100)", range=y_range),
            annotations=[corner, *(_names(points, x_range, y_range) or [note("nothing completed", x=0.5, y=0.5)])],
        ),
    )


def _point(group: Group) -> Point | None:
    cost, pas = group.estimate("cost_mean_cores"), group.estimate("pas_mean")
    violations = group.estimate("sla_violation_rate")
    if cost is None or pas is None or violations is None:
        return None
    return Point(group, cost, pas, 100.0 * violations.mean)


def _traces(point: Point) -> list[Spec]:
    group = point.group
    marks: list[Spec] = []
    if len(group.runs) > 1:
        seeds = [run.summary for run in group.runs if run.summary["pas_mean"] is not None]
        marks.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": numbers((seed["cost_mean_cores"] for seed in seeds), 5),
                "y": numbers((seed["pas_mean"] for seed in seeds), 5),
                "text": [f"seed {seed['seed']}" for seed in seeds],
                "marker": {"size": 5, "color": faded(group.colour, 0.45)},
                "hovertemplate": f"{group.label}, %{{text}}<br>%{{x:.2f}} cores, PAS %{{y:.2f}}<extra></extra>",
                "showlegend": False,
                "legendgroup": group.label,
            }
        )
    mean: Spec = {
        "type": "scatter",
        "mode": "markers",
        "x": numbers([point.cost.mean], 5),
        "y": numbers([point.pas.mean], 5),
        "name": group.label,
        "legendgroup": group.label,
        "marker": {
            "size": round(_diameter(point), 1),
            "color": faded(group.colour, 0.75),
            "line": {"color": group.colour, "width": 1.5},
        },
        "hovertemplate": (
            f"<b>{group.label}</b><br>cost %{{x:.2f}} cores<br>PAS %{{y:.2f}}<br>"
            f"SLA violations {point.violations_percent:.2f} %<extra></extra>"
        ),
    }
    for name, value in (("error_x", point.cost), ("error_y", point.pas)):
        if value.has_interval:
            bar = {"type": "data", "array": numbers([value.high - value.mean], 5)}
            mean[name] = {**bar, "color": group.colour, "thickness": 1.3, "width": 5}
    return [*marks, mean]


def _diameter(point: Point) -> float:
    """In pixels: from a point that can always be seen, larger with the violations up to a quarter of the requests."""
    return 10.0 + 26.0 * sqrt(min(point.violations_percent, 25.0) / 25.0)


def _range(points: Sequence[Point], figure: str) -> list[float]:
    """The range of an axis: all seeds and intervals, with room for the names around them."""
    values = [
        float(run.summary[figure]) for point in points for run in point.group.runs if run.summary[figure] is not None
    ]
    for point in points:
        value = point.cost if figure == "cost_mean_cores" else point.pas
        if value.has_interval:
            values += [value.low, value.high]
    if not values:
        return [0.0, 1.0]
    low, high = min(values), max(values)
    room = max(0.2 * (high - low), 0.06 * abs(high), 0.05)
    return [round(max(low - room, 0.0), 4), round(high + room, 4)]


# ---- names beside the points ----


@dataclass(frozen=True)
class _Box:
    """A rectangle in pixels of a plot on a narrow screen: on a wider one there is only more room."""

    left: float
    bottom: float
    width: float
    height: float

    def overlap(self, other: _Box) -> float:
        across = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        up = min(self.bottom + self.height, other.bottom + other.height) - max(self.bottom, other.bottom)
        return max(across, 0.0) * max(up, 0.0)


_WIDTH, _INNER_HEIGHT = 700.0, HEIGHT - 90.0
_FRAME = _Box(0.0, 0.0, _WIDTH, _INNER_HEIGHT)
_CORNER = _Box(0.0, _INNER_HEIGHT - 24.0, 190.0, 24.0)
_NAME_HEIGHT = 32.0
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""Where a name may stand from its point, across and up, the best first."""


def _names(points: Sequence[Point], x_range: Sequence[float], y_range: Sequence[float]) -> list[Spec]:
    """The policies' names, each at the side of its point where it hides least of points, intervals and names."""
    x_pixels, y_pixels = _WIDTH / (x_range[1] - x_range[0]), _INNER_HEIGHT / (y_range[1] - y_range[0])
    places = [((point.cost.mean - x_range[0]) * x_pixels, (point.pas.mean - y_range[0]) * y_pixels) for point in points]
    taken = [_CORNER]
    for point, (x, y) in zip(points, places, strict=True):
        radius, across, up = _diameter(point) / 2, _half(point.cost) * x_pixels, _half(point.pas) * y_pixels
        taken += [_around(x, y, *half) for half in ((radius, radius), (across, 3.0), (3.0, up))]
    names = []
    for point, (x, y) in zip(points, places, strict=True):
        boxes = [_beside(point, x, y, side) for side in _SIDES]
        hidden = [
            sum(box.overlap(other) for other in taken) + 4.0 * (box.width * box.height - box.overlap(_FRAME))
            for box in boxes
        ]
        best = hidden.index(min(hidden))
        taken.append(boxes[best])
        names.append(_name(point, _SIDES[best]))
    return names


def _half(value: Estimate) -> float:
    return value.high - value.mean if value.has_interval else 0.0


def _around(x: float, y: float, across: float, up: float) -> _Box:
    return _Box(x - across, y - up, 2 * across, 2 * up)


def _shift(point: Point, side: tuple[int, int]) -> tuple[float, float]:
    """From a point to its name's nearest corner or side, in pixels: clear of the point, or of its bars."""
    away = _diameter(point) / 2 + 6.0
    away = away if 0 in side else max(0.5 * away, 5.0)
    return side[0] * away, side[1] * away


def _beside(point: Point, x: float, y: float, side: tuple[int, int]) -> _Box:
    width = max(7.2 * len(point.group.label), 118.0)
    across, up = _shift(point, side)
    left = x + across + width * (side[0] - 1) / 2
    return _Box(left, y + up + _NAME_HEIGHT * (side[1] - 1) / 2, width, _NAME_HEIGHT)


def _name(point: Point, side: tuple[int, int]) -> Spec:
    across, up = _shift(point, side)
    group = point.group
    anchor = ("center", "left", "right")[side[0]]
    violations = f'<span style="color:{MUTED}">{point.violations_percent:.2f} % violations</span>'
    return note(
        f"{coloured(group.label, group.colour)}<br>{violations}",
        xref="x",
        yref="y",
        x=round(point.cost.mean, 5),
        y=round(point.pas.mean, 5),
        xanchor=anchor,
        yanchor=("middle", "bottom", "top")[side[1]],
        align=anchor,
        xshift=round(across, 1),
        yshift=round(up, 1),
    )
