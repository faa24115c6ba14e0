"""Means over seeds with their intervals, by hand."""

from math import isnan

import pytest

from ipa.studies.intervals import estimate, paired_change_percent, paired_difference


def test_an_interval_is_students_t() -> None:
    """1, 2, 3: mean 2, s = 1; t(0.975, 2) = 4.3027 and s / sqrt(3) = 0.57735 make 2.4841 on either side."""
    found = estimate([1.0, 2.0, 3.0])
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, 2.0 - 2.4841, 2.0 + 2.4841), abs=1e-4)


def test_what_cannot_be_negative_has_no_interval_below_zero() -> None:
    """0, 0, 3: mean 1, s = sqrt(3); 4.3027 * sqrt(3) / sqrt(3) on either side reach from below 0 to 5.30."""
    found = estimate([0.0, 0.0, 3.0], at_least=0.0)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.0, 5.3027), abs=1e-4)
    assert found.text(2) == "1.00 [0, 5.30]"
    symmetric = estimate([1.0, 2.0, 3.0], at_least=-5.0)
    assert symmetric is not None
    assert symmetric.text(2) == "2.00 ± 2.48"


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    found = estimate([None, 5.0])
    assert found is not None
    assert found.mean == 5.0
    assert isnan(found.low)
    assert not found.has_interval
    assert estimate([None]) is None


def test_pairs_are_of_the_same_seed() -> None:
    """Seeds 1 and 2 have both: 4 - 1 and 6 - 3 differ by 3 exactly; 4 / 1 - 1 and 6 / 3 - 1 are 300 and 100 percent."""
    one, other = {1: 4.0, 2: 6.0, 3: 9.0}, {1: 1.0, 2: 3.0, 4: 7.0}
    difference = paired_difference(one, other)
    change = paired_change_percent(one, other)
    assert difference is not None
    assert change is not None
    assert (difference.mean, difference.low, difference.high) == (3.0, 3.0, 3.0)
    assert change.mean == pytest.approx(200.0)
