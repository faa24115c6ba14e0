"""Gains over the defaults, paired by window."""

from __future__ import annotations

import numpy as np
import pytest

from ipa.studies.tuning.gain import gains
from ipa.studies.tuning.racing import Columns

RATE = "sla_violation_rate"


def runs(*rate: float) -> Columns:
    return {RATE: np.array(rate)}


def test_a_gain_is_the_difference_of_the_means_and_its_share() -> None:
    (found,) = gains([RATE], runs(0.0, 0.01, 0.02), runs(0.03, 0.04, 0.05), seeds=1)
    assert (found.defaults, found.tuned) == pytest.approx((0.04, 0.01))
    change = found.change  # equal on each window
    assert (change.low, change.mean, change.high) == pytest.approx((-0.03, -0.03, -0.03))
    assert found.percent is not None
    assert found.percent.mean == pytest.approx(-75.0)
    assert found.percent.low == pytest.approx(-100.0)
    assert found.percent.high == pytest.approx(-60.0)


def test_the_interval_is_over_windows_not_over_their_runs() -> None:
    """Two windows of 50 runs: the mean of two draws is one of them, or the middle, whatever the number of runs."""
    tuned = runs(*[0.0] * 50, *[0.2] * 50)
    (found,) = gains([RATE], tuned, runs(*[0.0] * 100), seeds=50)
    assert (found.change.low, found.change.high) == pytest.approx((0.0, 0.2))


def test_no_share_is_told_where_the_defaults_come_to_nothing_and_no_interval_of_one_window() -> None:
    (found,) = gains([RATE], runs(0.1), runs(0.0), seeds=1)
    assert found.percent is None
    assert not found.change.has_interval


def test_windows_without_an_outcome_are_left_out() -> None:
    (found,) = gains([RATE], runs(0.1, float("nan")), runs(0.2, 0.9), seeds=1)
    assert (found.defaults, found.tuned) == pytest.approx((0.2, 0.1))


def test_the_same_runs_have_the_same_interval() -> None:
    tuned, defaults = runs(*np.linspace(0, 0.3, 9)), runs(*np.linspace(0.1, 0.2, 9))
    assert gains([RATE], tuned, defaults, 1) == gains([RATE], tuned, defaults, 1)
