"""The accuracy-cost plane: a point for every policy, with intervals in both axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from ipa.sim import FloatArray
from ipa.studies.intervals import Estimate
from ipa.studies.many import PolicyRuns
from ipa.studies.pages.colours import MUTED, colour, coloured, faded
from ipa.studies.pages.plots import Plot, Spec, axis, interval_bars, layout, note, numbers, points, safe
from ipa.studies.pages.scene import Scene

HEIGHT = 500


@dataclass(frozen=True)
class PolicyPoint:
    """A policy in the plane."""

    group: PolicyRuns
    cost: Estimate
    pas: Estimate
    violations_percent: float

    @property
    def colour(self) -> str:
        """The policy's colour."""
        return colour(self.group.place)

    @property
    def diameter(self) -> float:
        """In pixels: always visible, growing with the violations up to a quarter of the requests."""
        return 10.0 + 26.0 * sqrt(min(self.violations_percent, 25.0) / 25.0)


def trade_off(scene: Scene) -> Plot:
    """PAS over cost, one point per policy; its size shows the share of requests that violated the SLA."""
    placed = [point for group in scene.groups if (point := _point(group)) is not None]
    shown = [point.group.label for point in placed]
    missing = [group.label for group in scene.groups if group.label not in shown]
    several = any(len(group.runs) > 1 for group in scene.groups)
    x_range, y_range = _range(placed, "cost_mean_cores"), _range(placed, "pas_mean")
    corner = note("↖ cheaper and more accurate", x=0.008, y=0.985, xanchor="left", yanchor="top")
    names = _names(placed, x_range, y_range) or [note("nothing completed", x=0.5, y=0.5)]
    return Plot(
        "plane",
        "Accuracy against cost",
        "Up is more accurate, left is cheaper; the larger a point, the more requests violated the SLA."
        + (" Bars: 95 % intervals of the means; small dots: single seeds." if several else "")
        + (f" Nothing completed, so not shown: {', '.join(missing)}." if missing else ""),
        [trace for point in placed for trace in _traces(point)],
        layout(
            HEIGHT,
            xaxis=axis("cost: mean of existing cores", range=x_range),
            yaxis=axis("PAS (x 100)", range=y_range),
            annotations=[corner, *names],
        ),
    )


def _point(group: PolicyRuns) -> PolicyPoint | None:
    cost, pas = group.estimate("cost_mean_cores"), group.estimate("pas_mean")
    violations = group.estimate("sla_violation_rate")
    if cost is None or pas is None or violations is None:
        return None
    return PolicyPoint(group, cost, pas, 100.0 * violations.mean)


def _traces(point: PolicyPoint) -> list[Spec]:
    group, label, marks = point.group, safe(point.group.label), []
    if len(group.runs) > 1:
        seeds = [run.summary for run in group.runs if run.summary["pas_mean"] is not None]
        marks.append(
            points(
                numbers((seed["cost_mean_cores"] for seed in seeds), 5),
                numbers((seed["pas_mean"] for seed in seeds), 5),
                "",
                {"size": 5, "color": faded(point.colour, 0.45)},
                text=[f"seed {seed['seed']}" for seed in seeds],
                hovertemplate=f"{label}, %{{text}}<br>%{{x:.2f}} cores, PAS %{{y:.2f}}<extra></extra>",
                showlegend=False,
                legendgroup=label,
            )
        )
    mean = points(
        numbers([point.cost.mean], 5),
        numbers([point.pas.mean], 5),
        label,
        {
            "size": round(point.diameter, 1),
            "color": faded(point.colour, 0.75),
            "line": {"color": point.colour, "width": 1.5},
        },
        legendgroup=label,
        hovertemplate=(
            f"<b>{label}</b><br>cost %{{x:.2f}} cores<br>PAS %{{y:.2f}}<br>"
            f"SLA violations {point.violations_percent:.2f} %<extra></extra>"
        ),
    )
    for name, value in (("error_x", point.cost), ("error_y", point.pas)):
        if value.has_interval:
            mean[name] = interval_bars([value], point.colour, thickness=1.3, width=5)
    return [*marks, mean]


def _range(placed: Sequence[PolicyPoint], figure: str) -> list[float]:
    """The range of an axis: all seeds and intervals, with room for the names around them."""
    values = [run.summary[figure] for point in placed for run in point.group.runs if run.summary[figure] is not None]
    for point in placed:
        value = point.cost if figure == "cost_mean_cores" else point.pas
        values += [value.low, value.high] if value.has_interval else []
    if not values:
        return [0.0, 1.0]
    low, high = min(values), max(values)
    room = max(0.25 * (high - low), 0.06 * abs(high), 0.05)
    return [round(max(low - room, 0.0), 4), round(high + room, 4)]


# ---- the names of points with their violations, where they hide little ----


SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""Directions (x, y) from a point, the best first."""

_SIZE = np.array([850.0, HEIGHT - 90.0])
"""The approximate size of the plane, whose width depends on the screen [pixels]."""

_TOUCH = 600.0
"""Touching a thin bar is nearly as bad as hiding a point [square pixels]."""


def _names(placed: Sequence[PolicyPoint], x_range: Sequence[float], y_range: Sequence[float]) -> list[Spec]:
    """The policies' names, each on the side of its point where it covers least."""
    low, high = np.array([x_range, y_range]).T
    scale = _SIZE / (high - low)
    at = [(np.array([point.cost.mean, point.pas.mean]) - low) * scale for point in placed]
    occupied = [_box(np.array([95.0, _SIZE[1] - 12.0]), 95.0, 12.0)]  # the words in the upper left
    for point, middle in zip(placed, at, strict=True):
        across, up = (
            estimate.high - estimate.mean if estimate.has_interval else 0.0 for estimate in (point.cost, point.pas)
        )
        radius = point.diameter / 2
        halves = ((radius, radius), (across * scale[0], 3.0), (3.0, up * scale[1]))
        occupied += [_box(middle, *half) for half in halves]
    notes = []
    for point, middle in zip(placed, at, strict=True):
        half = np.array([max(3.6 * len(point.group.label), 52.0), 16.0])
        boxes = [_box(middle + _shift(point, side) + half * side, *half) for side in SIDES]
        harm = [_harm(box, occupied) for box in boxes]
        best = harm.index(min(harm))
        occupied.append(boxes[best])
        notes.append(_name(point, SIDES[best]))
    return notes


def _name(point: PolicyPoint, side: tuple[int, int]) -> Spec:
    anchor = ("center", "left", "right")[side[0]]
    across, up = _shift(point, side)
    violations = f'<span style="color:{MUTED}">{point.violations_percent:.2f} % violations</span>'
    return note(
        f"{coloured(safe(point.group.label), point.colour)}<br>{violations}",
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


def _shift(point: PolicyPoint, side: tuple[int, int]) -> FloatArray:
    """The offset of a name from its point; at a corner it is smaller, between the bars."""
    away = point.diameter / 2 + 6.0
    return np.array(side) * (away if 0 in side else max(0.5 * away, 5.0))


def _box(middle: FloatArray, across: float, up: float) -> FloatArray:
    """The lower left and upper right corner of a box, from its middle and its half width and height."""
    half = np.array([across, up])
    return np.array([middle - half, middle + half])


def _harm(box: FloatArray, occupied: Sequence[FloatArray]) -> float:
    """The penalty of a place for a name: the area covered there, each touch, and the area outside the plane."""
    hidden = [overlap for occupied_box in occupied if (overlap := _overlap(box, occupied_box)) > 0.0]
    outside = _overlap(box, box) - _overlap(box, np.array([0.0 * _SIZE, _SIZE]))
    return sum(hidden) + _TOUCH * len(hidden) + 4.0 * outside


def _overlap(box: FloatArray, other_box: FloatArray) -> float:
    sides = np.minimum(box[1], other_box[1]) - np.maximum(box[0], other_box[0])
    return float(np.prod(np.maximum(sides, 0.0)))
