"""The default predictor on loads that it has never seen: any scale, steps, zeros, and the first seconds of a run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ipa.policies import create_predictor
from ipa.policies.forecast import Forecast
from ipa.policies.predictors import DEFAULT_PREDICTOR
from tests.tiny import observation

PREDICTOR = create_predictor(DEFAULT_PREDICTOR)
HORIZON_S = 20


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def made(counts: npt.NDArray[np.int64], every_s: int = 10) -> tuple[list[Forecast], npt.NDArray[np.int64]]:
    """The forecasts after each two minutes of a load, and the busiest second that followed."""
    ends = np.arange(120, len(counts) - HORIZON_S + 1, every_s)
    seen = np.stack([counts[end - 120 : end] for end in ends]).astype(np.float64)
    busiest = np.array([counts[end : end + HORIZON_S].max() for end in ends])
    return PREDICTOR.forecast_many(seen, HORIZON_S), busiest  # type: ignore[attr-defined]


@pytest.mark.parametrize("rate_rps", [1, 5, 20, 100, 1000])
def test_at_every_scale_the_quantiles_of_a_poisson_load_are_what_they_say(rate_rps: int) -> None:
    forecasts, busiest = made(rng().poisson(rate_rps, size=8000))
    point = np.array([each.point_rps for each in forecasts])
    high = np.array([each.at(0.95) for each in forecasts])
    assert 0.35 < (busiest > point).mean() < 0.65
    assert 0.005 < (busiest > high).mean() < 0.09
    assert (point > rate_rps).all()
    assert (high < rate_rps + 6 * np.sqrt(rate_rps)).mean() > 0.99
    assert (high < rate_rps + 15 * np.sqrt(rate_rps)).all()


def test_a_step_is_followed_within_twenty_seconds_and_forgotten_after_two_minutes() -> None:
    """From 10 to 40 rps and back."""
    level = np.repeat([10, 40, 10], 300)
    forecasts, _ = made(rng().poisson(level))
    by_end = {120 + 10 * place: each.point_rps for place, each in enumerate(forecasts)}
    assert all(10 < by_end[end] < 25 for end in range(120, 300, 10))
    assert all(30 < by_end[end] < 85 for end in range(320, 600, 10))
    assert all(10 < by_end[end] < 25 for end in range(720, 880, 10))


def test_a_load_that_pauses_is_expected_back_and_never_larger_than_it_can_be() -> None:
    counts = rng().poisson(30, size=3000)
    counts[np.arange(3000) // 50 % 3 == 0] = 0
    forecasts, _ = made(counts)
    assert all(0 <= each.point_rps < 60 and each.at(0.99) < 120 for each in forecasts)
    assert np.mean([each.at(0.95) > 30 for each in forecasts]) > 0.9


def test_hardly_any_requests_are_forecast_as_hardly_any() -> None:
    """One request in 20 s: half the horizons have one, and none has many."""
    forecasts, _ = made(rng().poisson(0.05, size=3000))
    assert all(0 <= each.point_rps <= 1.5 and each.at(0.95) <= 4 for each in forecasts)


@pytest.mark.parametrize("seen_s", [1, 2, 5, 10, 20, 40, 80])
@pytest.mark.parametrize("rate_rps", [1, 30, 1000])
def test_the_first_seconds_of_a_load_are_enough_for_a_forecast(seen_s: int, rate_rps: int) -> None:
    draws = rng()
    for _ in range(20):
        load = draws.poisson(rate_rps, size=seen_s).astype(float)
        found = PREDICTOR.forecast(observation(load.tolist()), HORIZON_S)
        assert 0.5 * load.mean() <= found.point_rps <= 1.5 * load.max() + 1
        assert found.point_rps <= found.at(0.95) <= 2 * load.max() + 3
