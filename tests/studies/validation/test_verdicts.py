"""Errors, spreads and verdicts, by hand."""

from __future__ import annotations

from math import nan

import pytest

from ipa.studies.validation.figures import POINTS, ComparedFigure, JudgedFigure
from ipa.studies.validation.sentences import cells

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.parametrize(
    ("tolerance", "spread", "simulated", "verdict"),
    [
        (0.05, 0.0, 1.049, "ok"),
        (0.05, 0.0, 1.051, "OFF"),
        (0.05, 0.0, 0.949, "OFF"),
        (0.05, 0.03, 1.049, "ok"),
        (0.05, 0.03, 1.059, "in spread"),
        (0.05, 0.03, 1.061, "OFF"),
        (0.05, nan, 1.051, "OFF"),  # one repeat has no spread
        (None, 0.0, 9.0, ""),
        (0.05, 0.0, nan, "OFF"),  # live completed requests, the simulation none
    ],
)
def test_an_error_passes_within_the_tolerance_or_twice_the_spread(
    tolerance: float | None, spread: float, simulated: float, verdict: str
) -> None:
    row = JudgedFigure(ComparedFigure("m", "m", "s", tolerance=tolerance), 1.0, spread, simulated, 1.0)
    assert row.verdict == verdict
    assert row.passed is {"ok": True, "in spread": True, "OFF": False, "": None}[verdict]


def test_an_allowance_says_which_part_of_it_is_spread() -> None:
    row = JudgedFigure(ComparedFigure("m", "m", "s", tolerance=0.05), 1.0, 0.04, 1.0, 1.0)
    assert (row.allowed, row.allowed_by_spread) == pytest.approx((0.08, 0.03))
    assert cells(row)[5] == "8.0 % (3.0 % of it spread)"
    assert cells(JudgedFigure(ComparedFigure("m", "m", "s", tolerance=0.05), 1.0, 0.01, 1.0, 1.0))[5] == "5.0 %"


def test_points_are_differences() -> None:
    row = JudgedFigure(ComparedFigure("m", "m", "%", POINTS, 2.0), live=0.0, spread=0.0, simulated=1.5, open_loop=-3.0)
    assert (row.error, row.open_loop_error, row.passed) == (1.5, -3.0, True)
    assert [row.shown(error) for error in (1.5, -0.004, nan)] == ["+1.50", "0.00", "–"]


def test_a_figure_that_neither_world_has_is_not_judged() -> None:
    assert JudgedFigure(ComparedFigure("m", "m", "s", tolerance=0.05), nan, nan, nan, nan).passed is None
