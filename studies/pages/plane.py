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

PLACES = (
    *((side, 0) for side in SIDES),
    *((side, rows) for rows in (1, 2, 3, 4) for side in SIDES if side[1]),
)
"""Where a name may be: on a side of its point, and for a point among many, rows further up or down."""

_SIZE = np.array([590.0, 370.0])
"""The approximate size of the plane on paper, where it is smallest [pixels]: names apart there are apart elsewhere."""

_HALF_ROW = 16.0
"""Half the height of a name with the violations under it [pixels]."""

_TOUCH = 600.0
"""Touching a thin bar is nearly as bad as hiding a point [square pixels]."""

_LINE = 1500.0
"""The line from a name to its point, through another name, is worse [square pixels]."""

_ROW_AWAY = 300.0
"""Each row that a name is away from its point is half as bad as that [square pixels]."""


def _names(placed: Sequence[PolicyPoint], x_range: Sequence[float], y_range: Sequence[float]) -> list[Spec]:
    """The policies' names, each where it covers least; which is chosen first is what makes all of them cover least."""
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
    given = range(len(placed))
    from_left, from_below = (sorted(given, key=lambda place: at[place][direction]) for direction in (0, 1))
    orders = (given, from_left, from_left[::-1], from_below, from_below[::-1])
    chosen = min((_chosen(placed, at, order, occupied) for order in orders), key=lambda choice: choice[0])[1]
    return [_name(point, *chosen[place]) for place, point in enumerate(placed)]


def _chosen(
    placed: Sequence[PolicyPoint], at: Sequence[FloatArray], order: Sequence[int], occupied: Sequence[FloatArray]
) -> tuple[float, dict[int, tuple[tuple[int, int], int]]]:
    """The place of each name if they are chosen in an order, and the harm of all."""
    covered, total, chosen = list(occupied), 0.0, {}
    names: list[FloatArray] = []
    for place in order:
        point, middle = placed[place], at[place]
        half = np.array([max(3.6 * len(point.group.label), 52.0), _HALF_ROW])
        shifts = [_shift(point, side, rows) for side, rows in PLACES]
        boxes = [_box(middle + shift + half * side, *half) for shift, (side, _) in zip(shifts, PLACES, strict=True)]
        lines = [_box(middle + shift / 2, abs(shift[0] / 2) + 2.0, abs(shift[1] / 2)) for shift in shifts]
        harm = [
            _harm(box, covered) + _ROW_AWAY * rows + (_LINE * sum(_overlap(line, name) > 0.0 for name in names if rows))
            for box, line, (_, rows) in zip(boxes, lines, PLACES, strict=True)
        ]
        best = harm.index(min(harm))
        names.append(boxes[best])
        covered += [boxes[best], *([lines[best]] if PLACES[best][1] else [])]
        total += harm[best]
        chosen[place] = PLACES[best]
    return total, chosen


def _name(point: PolicyPoint, side: tuple[int, int], rows: int) -> Spec:
    """A name beside its point; one that is rows away is joined to it by a thin line."""
    anchor = ("center", "left", "right")[side[0]]
    across, up = (round(shift, 1) for shift in _shift(point, side, rows).tolist())
    violations = f'<span style="color:{MUTED}">{point.violations_percent:.2f} % violations</span>'
    joined = {"showarrow": True, "arrowhead": 0, "arrowwidth": 1, "arrowcolor": point.colour, "ax": across, "ay": -up}
    return note(
        f"{coloured(safe(point.group.label), point.colour)}<br>{violations}",
        xref="x",
        yref="y",
        x=round(point.cost.mean, 5),
        y=round(point.pas.mean, 5),
        xanchor=anchor,
        yanchor=("middle", "bottom", "top")[side[1]],
        align=anchor,
        **(joined if rows else {"xshift": across, "yshift": up}),
    )


def _shift(point: PolicyPoint, side: tuple[int, int], rows: int) -> FloatArray:
    """The offset of a name from its point; at a corner it is smaller, between the bars."""
    away = point.diameter / 2 + 6.0
    beside = away if 0 in side else max(0.5 * away, 5.0)
    return np.array(side) * (beside, beside + 2.0 * _HALF_ROW * rows)


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
