"""The lines of a picture, cut out and packed into one element of a BYTES tensor.

So a request has one row at both stages, however many lines its picture has, and shares batches with any other. A line
is grey, `HEIGHT` pixels high; an element has, for each line, its width (2 bytes, little-endian) and its pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ipa.live.ocr.boxes import Box

if TYPE_CHECKING:
    from PIL.Image import Image

HEIGHT = 48
"""What the recognition models take."""
MOST_WIDE = 4096

Line = npt.NDArray[np.uint8]
"""A line's pixels, shape (HEIGHT, width)."""

_WIDTH = Struct("<H")


def cut(picture: Image, box: Box) -> Line:
    """What a box of a grey picture holds, level and `HEIGHT` pixels high."""
    from PIL import Image as Images

    width = min(max(round(box.width * HEIGHT / max(box.height, 1.0)), 8), MOST_WIDE)
    corners = [each for corner in box.corners for each in corner]
    level = picture.transform((width, HEIGHT), Images.Transform.QUAD, corners, Images.Resampling.BICUBIC)
    return np.asarray(level)


def packed(lines: Iterable[Line]) -> bytes:
    """One element with these lines."""
    return b"".join(_WIDTH.pack(line.shape[1]) + line.tobytes() for line in lines)


def unpacked(element: bytes) -> list[Line]:
    """The lines of an element. Raises ValueError for one that is not whole."""
    lines, at = [], 0
    while at < len(element):
        (width,) = _WIDTH.unpack_from(element, at)
        at += _WIDTH.size
        if at + HEIGHT * width > len(element):
            raise ValueError(f"lines: {len(element) - at} bytes are left for a line of {HEIGHT} x {width} pixels")
        lines.append(np.frombuffer(element, np.uint8, HEIGHT * width, at).reshape(HEIGHT, width))
        at += HEIGHT * width
    return lines
