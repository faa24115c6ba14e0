"""Gains over the defaults, paired by window."""

from __future__ import annotations

import numpy as np
import pytest

from ipa.studies.many.tuning.gains import Columns, gains
from tests.programs.verification.coverage import OUTCOMES, SKEWED, Outcome, changes_held

RATE = "sla_violation_rate"


def runs(*rate: float) -> Columns:
    return {RATE: np.array(rate)}


def test_a_gain_is_the_difference_of_the_means_and_its_share() -> None:
    (found,) = gains([RATE], runs(0.0, 0.01, 0.02), runs(0.03, 0.04, 0.05), seeds=1, window_s=600.0)
    assert (found.defaults, found.tuned) == pytest.approx((0.04, 0.01))
    change = found.change  # equal on each window
    assert (change.low, change.mean, change.high) == pytest.approx((-0.03, -0.03, -0.03))
    assert found.percent is not None
    assert found.percent.mean == pytest.approx(-75.0)
    assert found.percent.low == pytest.approx(-100.0)
    assert found.percent.high == pytest.approx(-28.42, abs=0.01)  # windows are 0 and 0.1875 off from the ratio of 1/4


def test_the_interval_is_over_windows_not_over_their_runs() -> None:
    """Of two windows, 0 and 2 cores more: mean 1, whose standard error is 1, whatever the number of runs."""
    tuned, before = np.array([*[2.0] * 50, *[4.0] * 50]), np.full(100, 2.0)
    (found,) = gains(["cost_mean_cores"], {"cost_mean_cores": tuned}, {"cost_mean_cores": before}, 50, 600.0)
    assert (found.change.low, found.change.high) == pytest.approx((1 - 12.706, 1 + 12.706), abs=1e-3)


def test_no_violation_in_few_windows_is_not_a_gain_of_all() -> None:
    """None in 4 x 60 bursts of 10 s: at most 1.5 %, so 0.1 % less is not shown; a change in percent is not told."""
    of = {"throughput_rps": np.full(4, 10.0)}
    (found,) = gains([RATE], runs(0.0, 0.0, 0.0, 0.0), {**runs(0.002, 0.0, 0.0, 0.002), **of}, 1, 600.0)
    assert found.change.mean == pytest.approx(-0.001)
    assert found.change.low < -0.001
    assert found.change.high == pytest.approx(0.0153, abs=2e-3)
    assert found.percent is None


@pytest.mark.parametrize("outcome", [OUTCOMES[2], OUTCOMES[-1], SKEWED], ids=lambda each: each.name)
def test_intervals_of_four_windows_hold_the_change_about_as_often_as_they_say(outcome: Outcome) -> None:
    """Percentile bootstraps held it in 68 to 81 %. Both settings are alike, so that the change is 0."""
    assert changes_held(outcome, 4, 500, np.random.default_rng(4)) >= 0.94


def test_no_share_is_told_where_the_defaults_come_to_nothing_and_no_interval_of_one_window() -> None:
    (found,) = gains([RATE], runs(0.1), runs(0.0), seeds=1, window_s=600.0)
    assert found.percent is None
    assert not found.change.has_interval


def test_windows_without_an_outcome_are_left_out() -> None:
    (found,) = gains([RATE], runs(0.1, float("nan")), runs(0.2, 0.9), seeds=1, window_s=600.0)
    assert (found.defaults, found.tuned) == pytest.approx((0.2, 0.1))


def test_the_same_runs_have_the_same_interval() -> None:
    tuned, defaults = runs(*np.linspace(0, 0.3, 9)), runs(*np.linspace(0.1, 0.2, 9))
    assert gains([RATE], tuned, defaults, 1, 600.0) == gains([RATE], tuned, defaults, 1, 600.0)
