"""Boxes in a map of probabilities, and lines cut out of pictures: figures that can be checked by hand."""

from __future__ import annotations

from math import radians

import numpy as np
import pytest

from ipa.studies.examples.ocr.lines import HEIGHT, Box, boxes_in, cut, in_reading_order, packed, unpacked

Images = pytest.importorskip("PIL.Image")
Draw = pytest.importorskip("PIL.ImageDraw")


def level_map(*cores: tuple[int, int, int, int, float]) -> np.ndarray:
    """A map of 100 x 60 with cores (left, top, width, height, probability)."""
    probability = np.zeros((60, 100), np.float32)
    for left, top, width, height, value in cores:
        probability[top : top + height, left : left + width] = value
    return probability


def test_a_core_becomes_its_rectangle_grown_by_area_over_circumference() -> None:
    """40 x 10: 1.6 x 400 / 100 = 6.4 on each side, around the centre (30, 15)."""
    (box,) = boxes_in(level_map((10, 10, 40, 10, 0.9)))
    assert (box.x, box.y, box.angle) == (30.0, 15.0, pytest.approx(0.0, abs=1e-12))
    assert (box.width, box.height) == (pytest.approx(52.8), pytest.approx(22.8))


def test_what_is_faint_or_flat_is_no_text() -> None:
    assert boxes_in(level_map((10, 10, 40, 10, 0.4), (10, 40, 40, 1, 0.9))) == []


def test_a_turned_core_gives_a_turned_box() -> None:
    picture = Images.new("L", (200, 120))
    Draw.Draw(picture).polygon(Box(100.0, 60.0, 120.0, 12.0, radians(8)).corners, fill=255)
    (box,) = boxes_in(np.asarray(picture, np.float32) / 255)
    assert box.angle == pytest.approx(radians(8), abs=radians(0.5))
    assert (box.x, box.y) == (pytest.approx(100, abs=1), pytest.approx(60, abs=1))


def test_boxes_are_read_from_the_top_and_then_from_the_left() -> None:
    boxes = [Box(x, y, 30.0, 20.0, 0.0) for x, y in ((80, 52), (20, 50), (50, 10))]
    assert [(box.x, box.y) for box in in_reading_order(boxes)] == [(50, 10), (20, 50), (80, 52)]


def test_a_line_is_cut_out_level_and_as_high_as_the_models_take_it() -> None:
    """A black bar of 60 x 12, turned by 5 degrees, in white: cut out it is all black, 48 high and 240 wide."""
    picture = Images.new("L", (100, 60), 255)
    bar = Box(50.0, 30.0, 60.0, 12.0, radians(5))
    Draw.Draw(picture).polygon(Box(50.0, 30.0, 64.0, 16.0, radians(5)).corners, fill=0)
    line = cut(picture, bar)
    assert line.shape == (HEIGHT, 240)
    assert line.max() == 0


def test_lines_come_back_from_an_element_as_they_went_in() -> None:
    lines = [np.arange(HEIGHT * width, dtype=np.uint8).reshape(HEIGHT, width) for width in (8, 300)]
    assert [line.tolist() for line in unpacked(packed(lines))] == [line.tolist() for line in lines]
    assert unpacked(packed([])) == []
    with pytest.raises(ValueError, match="5 bytes are left for a line of 48 x 8 pixels"):
        unpacked(packed(lines)[:7])
