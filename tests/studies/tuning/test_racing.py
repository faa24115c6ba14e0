"""Which settings are dropped before they have met all windows."""

from __future__ import annotations

import numpy as np
import pytest

from ipa.studies.many.tuning.aims import Aim, Limit, Wishes
from ipa.studies.many.tuning.racing import Columns, is_hopeless, looks

COST, RATE = "cost_mean_cores", "sla_violation_rate"


def runs(cost: list[float], rate: list[float]) -> Columns:
    return {COST: np.array(cost), RATE: np.array(rate)}


DEFAULTS = runs([3.0] * 8, [0.0] * 8)
SLO = Wishes((Aim(COST),), (Limit(RATE, True, 0.01),))


@pytest.mark.parametrize(
    ("windows", "seeds", "expected"),
    [(16, 1, [4, 8, 16]), (16, 3, [12, 24, 48]), (8, 1, [4, 8]), (6, 2, [12]), (2, 1, [2]), (30, 1, [8, 15, 30])],
)
def test_settings_are_looked_at_after_a_quarter_a_half_and_all_of_the_windows(
    windows: int, seeds: int, expected: list[int]
) -> None:
    assert looks(windows, seeds) == expected


def test_one_that_clearly_breaks_a_limit_is_out() -> None:
    """Rates of 0.02 to 0.04 on four windows: mean 0.03, s 0.008, t(0.95, 3) = 2.35, so at least 0.0204."""
    assert is_hopeless(runs([2.0] * 4, [0.02, 0.03, 0.03, 0.04]), SLO, DEFAULTS, [DEFAULTS])


def test_one_that_may_yet_keep_it_is_not() -> None:
    """The mean, 0.02, is above 0.01, but three of four windows have none: mean 0.02, s 0.04."""
    assert not is_hopeless(runs([2.0] * 4, [0.0, 0.0, 0.0, 0.08]), SLO, DEFAULTS, [DEFAULTS])


def test_a_limit_of_the_defaults_is_compared_window_by_window() -> None:
    """Costs vary far more from window to window than the setting costs more: 0.1 on each."""
    defaults = runs([2.0, 6.0, 3.0, 9.0, 4.0], [0.0] * 5)
    wishes = Wishes((Aim(RATE),), (Limit(COST, True, 1.0, True),))
    assert is_hopeless(runs([2.1, 6.1, 3.1, 9.1], [0.0] * 4), wishes, defaults, [defaults])
    assert not is_hopeless(runs([2.1, 5.9, 3.1, 8.9], [0.0] * 4), wishes, defaults, [defaults])


def test_one_that_the_best_so_far_clearly_beats_is_out() -> None:
    best = runs([2.0, 2.2, 1.8, 2.0, 9.9], [0.0] * 5)
    assert is_hopeless(runs([2.5, 2.8, 2.3, 2.4], [0.0] * 4), SLO, DEFAULTS, [best])
    assert not is_hopeless(runs([2.5, 2.0, 1.9, 1.9], [0.0] * 4), SLO, DEFAULTS, [best])


def test_with_several_aims_it_has_to_be_worse_in_each() -> None:
    wishes = Wishes((Aim(COST), Aim(RATE)))
    best = runs([2.0, 2.0, 2.0, 2.0], [0.2, 0.2, 0.2, 0.2])
    assert is_hopeless(runs([2.5] * 4, [0.3] * 4), wishes, DEFAULTS, [best])
    assert not is_hopeless(runs([2.5] * 4, [0.1] * 4), wishes, DEFAULTS, [best])


def test_runs_without_an_outcome_decide_nothing() -> None:
    assert not is_hopeless(runs([2.0] * 4, [float("nan")] * 4), SLO, DEFAULTS, [DEFAULTS])


def test_while_nothing_keeps_the_limits_nothing_is_out() -> None:
    assert not is_hopeless(runs([2.0] * 4, [0.5] * 4), SLO, DEFAULTS, [])
