"""How well the lines of a page were found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ipa.studies.examples.ocr.lines import Box

OVERLAP = 0.5
"""A box is found if one overlaps it by this share of what both cover together."""


def matches(found: Sequence[Box], true: Sequence[Box], size: tuple[int, int]) -> int:
    """How many boxes of a picture of this size are found, each by another one, best overlaps first."""
    masks = [[_mask(box, size) for box in boxes] for boxes in (found, true)]
    overlaps = [
        (float((a & b).sum()) / max(int((a | b).sum()), 1), i, j)
        for i, a in enumerate(masks[0])
        for j, b in enumerate(masks[1])
    ]
    taken: tuple[set[int], set[int]] = (set(), set())
    for overlap, i, j in sorted(overlaps, reverse=True):
        if overlap >= OVERLAP and i not in taken[0] and j not in taken[1]:
            taken[0].add(i)
            taken[1].add(j)
    return len(taken[0])


def f1(matched: int, found: int, true: int) -> float:
    """The harmonic mean of the share of boxes that are right and the share of lines that are found."""
    return 2 * matched / max(found + true, 1)


def _mask(box: Box, size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    from PIL import Image, ImageDraw

    picture = Image.new("1", size)
    ImageDraw.Draw(picture).polygon(box.corners, fill=1)
    return np.asarray(picture)
