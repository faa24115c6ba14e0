"""Lines of text: boxes from a map of probabilities, and their pixels as one element of a BYTES tensor.

Boxes follow the post-processing of differentiable binarisation (Liao et al., AAAI 2020): the network marks the core of
each line of text. Every connected core becomes the rectangle along its main axis, and grows by area x `GROWTH` /
circumference on each side, because cores were shrunk for training.

A request has one row at both stages, however many lines its picture has, so it can share batches with any other. A line
is grey, `HEIGHT` pixels high; an element has, for each line, its width (2 bytes, little-endian) and its pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import atan2, cos, sin
from struct import Struct
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image


THRESHOLD = 0.3
"""The least probability of a core's pixels."""
LEAST_MEAN = 0.5
"""The least mean probability of a core."""
LEAST_SIDE = 2.0
"""The least height of a core [pixels]."""
GROWTH = 1.6
LONG = 1.5
"""The least ratio of length to height of a core that has a direction; others count as level."""

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Box:
    """A rectangle in a picture: its centre, width and height [pixels], and its angle [radians, clockwise]."""

    x: float
    y: float
    width: float
    height: float
    angle: float

    @property
    def corners(self) -> tuple[tuple[float, float], ...]:
        """Upper left, lower left, lower right, upper right, as the text reads."""
        right = (0.5 * self.width * cos(self.angle), 0.5 * self.width * sin(self.angle))
        down = (-0.5 * self.height * sin(self.angle), 0.5 * self.height * cos(self.angle))
        signs = ((-1, -1), (-1, 1), (1, 1), (1, -1))
        return tuple((self.x + a * right[0] + b * down[0], self.y + a * right[1] + b * down[1]) for a, b in signs)

    def scaled(self, x: float, y: float) -> Box:
        """The box in a picture scaled by `x` in width and `y` in height, which must be about equal."""
        return Box(self.x * x, self.y * y, self.width * x, self.height * y, self.angle)


def boxes_in(probability: Floats) -> list[Box]:
    """The boxes in a map of shape (height, width), in the order in which they are read."""
    return in_reading_order(list(_cores(probability)))


def _cores(probability: Floats) -> Iterator[Box]:
    from scipy import ndimage

    labels, _ = ndimage.label(probability > THRESHOLD, structure=np.ones((3, 3)))
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        if place is None:
            continue
        inside = labels[place] == number
        if probability[place][inside].mean() < LEAST_MEAN:
            continue
        rows, columns = np.nonzero(inside)
        box = _around(columns + place[1].start + 0.5, rows + place[0].start + 0.5)
        if box.height >= LEAST_SIDE:
            yield _grown(box)


def _around(x: Floats, y: Floats) -> Box:
    """The rectangle around pixels, by their centres, along the main axis."""
    centre_x, centre_y = float(x.mean()), float(y.mean())
    angle = 0.0
    if np.ptp(x) > LONG * np.ptp(y):
        (xx, xy), (_, yy) = np.cov(x, y)
        angle = 0.5 * atan2(2 * xy, xx - yy)
    along = (x - centre_x) * cos(angle) + (y - centre_y) * sin(angle)
    across = (y - centre_y) * cos(angle) - (x - centre_x) * sin(angle)
    middle, off = 0.5 * float(along.min() + along.max()), 0.5 * float(across.min() + across.max())
    return Box(
        centre_x + middle * cos(angle) - off * sin(angle),
        centre_y + middle * sin(angle) + off * cos(angle),
        float(np.ptp(along)) + 1.0,
        float(np.ptp(across)) + 1.0,
        angle,
    )


def _grown(box: Box) -> Box:
    by = 2 * GROWTH * box.width * box.height / (2 * (box.width + box.height))
    return Box(box.x, box.y, box.width + by, box.height + by, box.angle)


def in_reading_order(boxes: list[Box]) -> list[Box]:
    """From top to bottom, and from left to right if side by side (centres at most half a height apart)."""
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: box.y):
        if rows and box.y - rows[-1][0].y <= 0.5 * min(box.height, rows[-1][0].height):
            rows[-1].append(box)
        else:
            rows.append([box])
    return [box for row in rows for box in sorted(row, key=lambda box: box.x)]


HEIGHT = 48
"""The height of a line for the recognition models [pixels]."""
MOST_WIDE = 4096

Line = npt.NDArray[np.uint8]
"""A line's pixels, shape (HEIGHT, width)."""

_WIDTH = Struct("<H")


def cut(picture: Image, box: Box) -> Line:
    """The content of a box of a grey picture, made level and `HEIGHT` pixels high."""
    from PIL import Image as Images

    width = min(max(round(box.width * HEIGHT / max(box.height, 1.0)), 8), MOST_WIDE)
    corners = [coordinate for corner in box.corners for coordinate in corner]
    level = picture.transform((width, HEIGHT), Images.Transform.QUAD, corners, Images.Resampling.BICUBIC)
    return np.asarray(level)


def packed(lines: Iterable[Line]) -> bytes:
    """One element with these lines."""
    return b"".join(_WIDTH.pack(line.shape[1]) + line.tobytes() for line in lines)


def unpacked(element: bytes) -> list[Line]:
    """The lines of an element. Raises ValueError if it is truncated."""
    lines, at = [], 0
    while at < len(element):
        (width,) = _WIDTH.unpack_from(element, at)
        at += _WIDTH.size
        if at + HEIGHT * width > len(element):
            raise ValueError(f"lines: {len(element) - at} bytes are left for a line of {HEIGHT} x {width} pixels")
        lines.append(np.frombuffer(element, np.uint8, HEIGHT * width, at).reshape(HEIGHT, width))
        at += HEIGHT * width
    return lines
