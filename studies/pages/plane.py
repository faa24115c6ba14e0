"""The accuracy-cost plane: every policy a point, with its interval both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import sqrt

from ipa.studies.intervals import Estimate
from ipa.studies.many import Group
from ipa.studies.pages.colours import MUTED, colour, coloured, faded
from ipa.studies.pages.plots import Plot, Spec, axis, layout, note, numbers

HEIGHT = 500
_INNER_HEIGHT = HEIGHT - 90.0


@dataclass(frozen=True)
class Point:
    """A policy in the plane."""

    group: Group
    cost: Estimate
    pas: Estimate
    violations_percent: float


def trade_off(groups: Sequence[Group]) -> Plot:
    """PAS over cost, one point per policy; its size says how many requests violated the SLA."""
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
                "marker": {"size": 5, "color": faded(colour(group.place), 0.45)},
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
            "color": faded(colour(group.place), 0.75),
            "line": {"color": colour(group.place), "width": 1.5},
        },
        "hovertemplate": (
            f"<b>{group.label}</b><br>cost %{{x:.2f}} cores<br>PAS %{{y:.2f}}<br>"
            f"SLA violations {point.violations_percent:.2f} %<extra></extra>"
        ),
    }
    for name, value in (("error_x", point.cost), ("error_y", point.pas)):
        if value.has_interval:
            bar: Spec = {"type": "data", "symmetric": False, "array": numbers([value.high - value.mean], 5)}
            bar["arrayminus"] = numbers([value.mean - value.low], 5)
            mean[name] = {**bar, "color": colour(group.place), "thickness": 1.3, "width": 5}
    return [*marks, mean]


def _diameter(point: Point) -> float:
    """In pixels: always large enough to be seen, and growing with the violations up to a quarter of the requests."""
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
    room = max(0.25 * (high - low), 0.06 * abs(high), 0.05)
    return [round(max(low - room, 0.0), 4), round(high + room, 4)]


def _names(points: Sequence[Point], x_range: Sequence[float], y_range: Sequence[float]) -> list[Spec]:
    """The policies' names with their violations, beside the points."""
    marks = [_mark(point) for point in points]
    sides = choose_sides(marks, x_range, y_range, _INNER_HEIGHT)
    return [_name(point, mark, side) for point, mark, side in zip(points, marks, sides, strict=True)]


def _mark(point: Point) -> Mark:
    cost, pas = point.cost, point.pas
    return Mark(
        x=cost.mean,
        y=pas.mean,
        x_half=cost.high - cost.mean if cost.has_interval else 0.0,
        y_half=pas.high - pas.mean if pas.has_interval else 0.0,
        radius=_diameter(point) / 2,
        name_width=max(7.2 * len(point.group.label), 104.0),
    )


def _name(point: Point, mark: Mark, side: Side) -> Spec:
    across, up = mark.shift(side)
    group = point.group
    anchor = ("center", "left", "right")[side[0]]
    violations = f'<span style="color:{MUTED}">{point.violations_percent:.2f} % violations</span>'
    return note(
        f"{coloured(group.label, colour(group.place))}<br>{violations}",
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


# ---- where the names of points go, so that they hide little ----


Side = tuple[int, int]

SIDES: tuple[Side, ...] = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""Across and up from a point, the best first."""

_WIDTHS = (600.0, 800.0, 1040.0)
_NAME_HEIGHT = 32.0
_TOUCH = 600.0  # in square pixels: touching a thin bar is nearly as bad as hiding a point


@dataclass(frozen=True)
class Mark:
    """A point with its name: where it is and the half lengths of its bars in the axes' units, the rest in pixels."""

    x: float
    y: float
    x_half: float
    y_half: float
    radius: float
    name_width: float

    def shift(self, side: Side) -> tuple[float, float]:
        """From the point to the nearest side of its name; a corner comes closer, as it stands between the bars."""
        away = self.radius + 6.0
        away = away if 0 in side else max(0.5 * away, 5.0)
        return side[0] * away, side[1] * away


@dataclass(frozen=True)
class _Box:
    left: float
    bottom: float
    width: float
    height: float

    def overlap(self, other: _Box) -> float:
        across = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        up = min(self.bottom + self.height, other.bottom + other.height) - max(self.bottom, other.bottom)
        return max(across, 0.0) * max(up, 0.0)


@dataclass
class _Screen:
    """A plot in pixels, and what is taken in it."""

    frame: _Box
    x_range: Sequence[float]
    y_range: Sequence[float]
    taken: list[_Box] = field(default_factory=list)

    def take_mark(self, mark: Mark) -> None:
        x, y = self._place(mark)
        bar_across = mark.x_half * self.frame.width / (self.x_range[1] - self.x_range[0])
        bar_up = mark.y_half * self.frame.height / (self.y_range[1] - self.y_range[0])
        for across, up in ((mark.radius, mark.radius), (bar_across, 3.0), (3.0, bar_up)):
            self.taken.append(_Box(x - across, y - up, 2 * across, 2 * up))

    def take_name(self, mark: Mark, side: Side) -> None:
        self.taken.append(self._name(mark, side))

    def harm(self, mark: Mark, side: Side) -> float:
        """How bad a side is: what the name hides there, each touch besides, and what of it is outside the plot."""
        box = self._name(mark, side)
        overlaps = [overlap for other in self.taken if (overlap := box.overlap(other)) > 0.0]
        outside = box.width * box.height - box.overlap(self.frame)
        return sum(overlaps) + _TOUCH * len(overlaps) + 4.0 * outside

    def _place(self, mark: Mark) -> tuple[float, float]:
        (left, right), (bottom, top) = self.x_range, self.y_range
        return (
            (mark.x - left) / (right - left) * self.frame.width,
            (mark.y - bottom) / (top - bottom) * self.frame.height,
        )

    def _name(self, mark: Mark, side: Side) -> _Box:
        (x, y), (across, up) = self._place(mark), mark.shift(side)
        left = x + across + mark.name_width * (side[0] - 1) / 2
        return _Box(left, y + up + _NAME_HEIGHT * (side[1] - 1) / 2, mark.name_width, _NAME_HEIGHT)


def choose_sides(
    marks: Sequence[Mark], x_range: Sequence[float], y_range: Sequence[float], height: float
) -> list[Side]:
    """For each mark the side of its name that harms least on screens of several widths; the upper left is taken."""
    screens = [_Screen(_Box(0.0, 0.0, width, height), x_range, y_range) for width in _WIDTHS]
    for screen in screens:
        screen.taken.append(_Box(0.0, height - 24.0, 190.0, 24.0))
        for mark in marks:
            screen.take_mark(mark)
    chosen = []
    for mark in marks:
        harm = [sum(screen.harm(mark, side) for screen in screens) for side in SIDES]
        side = SIDES[harm.index(min(harm))]
        for screen in screens:
            screen.take_name(mark, side)
        chosen.append(side)
    return chosen
