"""Where the names of points go, so that they hide little: a greedy choice of sides, the same for every screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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
