"""What a curve gains at equal cost, and what it saves at equal accuracy; by hand."""

from __future__ import annotations

import pytest

from ipa.studies.many.study import headline
from ipa.studies.many.study.sheets.systems import of_sweep
from tests.studies.study.mine import cell

CURVE = [
    cell("ipa", "a", cost=(10.0, 10.0), pas=(40.0, 40.0)),
    cell("ipa", "b", cost=(10.2, 10.4), pas=(41.0, 43.0)),
    cell("ipa", "worse", cost=(10.4, 10.4), pas=(39.0, 39.0)),
    cell("ipa", "c", cost=(20.0, 20.0), pas=(50.0, 50.0)),
]


def test_at_equal_cost_stands_the_most_accurate_point_within_five_percent() -> None:
    other = cell("low", cost=(10.0, 10.0), pas=(40.0, 41.0), late=(0.1, 0.1))
    found = headline.match(CURVE, other, "low", "measured", "cost")
    assert found.comparison is not None
    assert (found.comparison.one.point, found.is_mixed) == ("b", False)
    assert found.pas_points is not None
    assert found.pas_points.mean == 1.5  # seed by seed 1 and 2
    assert found.comparison.shown.startswith(
        "+1.5 [−4.9, 7.9] PAS at +3.0 [−9.7, 15.7] % cost and −10.0 [−10.0, −10.0]"
    )


def test_where_no_point_is_near_the_two_next_to_it_are_mixed() -> None:
    """Cost 15.15 is half way from b (10.3) to c (20.0): PAS half way from 42 to 50."""
    other = cell("low", cost=(15.15, 15.15), pas=(45.0, 45.0))
    found = headline.match(CURVE, other, "low", "measured", "cost")
    assert found.is_mixed
    assert found.pas_points is not None
    assert found.pas_points.mean == pytest.approx(1.0)
    assert found.cost_percent is not None
    assert found.cost_percent.mean == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("at", "cost", "pas", "point"),
    [
        ("cost", 9.0, 30.0, None),
        ("cost", 30.0, 30.0, "c"),
        ("accuracy", 30.0, 42.3, "b"),
        ("accuracy", 30.0, 30.0, "a"),
        ("accuracy", 30.0, 51.0, None),
    ],
)
def test_beyond_the_curve(at: str, cost: float, pas: float, point: str | None) -> None:
    """Cheaper than all of it: none. Dearer: its most accurate. Less accurate: its cheapest. More accurate: none."""
    other = cell("low", cost=(cost, cost), pas=(pas, pas))
    found = headline.match(CURVE, other, "low", "measured", at)
    assert (found.comparison.one.point if found.comparison else None) == point


def test_points_that_hardly_serve_are_no_saving() -> None:
    """By hand, at equal accuracy, against PAS 42 (b: 10.3 cores, no violations) and 50 (c: 20 cores).

    `idle` is the cheapest of PAS 42, with 90 % violations: left out, so that it does not better `busy`. `late` has 5
    percentage points more than b, which is the limit, and costs more than `busy` at less accuracy.
    """
    others = [
        cell("rim", "idle", cost=(2.0, 2.0), pas=(42.0, 42.0), late=(0.9, 0.9)),
        cell("rim", "busy", cost=(20.6, 20.6), pas=(42.0, 42.0), late=(0.03, 0.03)),
        cell("rim", "late", cost=(21.0, 21.0), pas=(41.9, 41.9), late=(0.05, 0.05)),
        cell("rim", "best", cost=(40.0, 40.0), pas=(50.0, 50.0)),
    ]
    found = list(headline.against(CURVE, others, "other replicas", "measured", "accuracy"))
    assert [(match.other.point, match.is_left_out) for match in found] == [
        ("busy", False),
        ("best", False),
        ("idle", True),
    ]
    # b against busy -49.5 and -50.5 ... -50 %; c against best -50 %; violations -3 and 0.
    assert of_sweep(found) == "−50.0 % cost (−50.0 to −50.0, violations −1.5), 2 of 2 points, 1 left out"
    assert of_sweep(found[2:]) == "none, 0 of 0 points, 1 left out"
    far = cell("rim", "far", cost=(40.0, 40.0), pas=(45.0, 45.0))
    (mixed,) = headline.against(CURVE, [far], "other replicas", "measured", "accuracy")
    assert of_sweep([mixed]).startswith("≈ −65.2 % cost (violations 0.0), 1 of 1 points")
