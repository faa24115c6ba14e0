"""The scores of forecasts, by numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ipa.studies.many.predictor import evaluate as scores


def floats(*values: float) -> scores.Floats:
    return np.array(values, dtype=np.float64)


def test_smape_weighs_an_error_by_the_mean_of_what_came_and_what_was_forecast() -> None:
    """|80 - 120| of 100 is 40 %, |30 - 10| of 20 is 100 %, none of 50 is 0: 46.67 % on average."""
    assert scores.smape_percent(floats(120, 10, 50), floats(80, 30, 50)) == pytest.approx(140 / 3)


def test_smape_of_nothing_forecast_as_nothing_is_0_and_as_anything_else_200() -> None:
    assert scores.smape_percent(floats(0), floats(0)) == 0.0
    assert scores.smape_percent(floats(0), floats(3)) == 200.0


def test_pinball_loss_at_90_percent_minds_a_shortfall_nine_times_as_much() -> None:
    """2 too few cost 0.9 x 2, 4 too many 0.1 x 4: 1.1 on average."""
    assert scores.pinball_rps(floats(10, 10), floats(8, 14), 0.9) == pytest.approx(1.1)


def test_pinball_loss_of_the_median_is_half_the_absolute_error() -> None:
    assert scores.pinball_rps(floats(10, 10), floats(8, 14), 0.5) == pytest.approx(1.5)


def test_of_all_constants_the_true_quantile_has_the_least_pinball_loss() -> None:
    actual = np.arange(1.0, 101.0)
    losses = [scores.pinball_rps(actual, np.full(100, value), 0.95) for value in actual]
    assert actual[int(np.argmin(losses))] in (95.0, 96.0)


def test_what_comes_just_as_forecast_is_no_under_prediction_and_is_covered() -> None:
    assert scores.under_share(floats(3, 4, 5), floats(4, 4, 4)) == pytest.approx(1 / 3)
    assert scores.coverage(floats(1, 2, 3, 4), floats(2, 2, 2, 2), floats(3, 3, 3, 3)) == 0.5


def test_without_forecasts_there_is_no_score() -> None:
    assert np.isnan(scores.smape_percent(floats(), floats()))
