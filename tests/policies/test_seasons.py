"""What came around the same second of yesterday and of last week, as far as that is known."""

from __future__ import annotations

from dataclasses import replace
from math import isnan, nan

import numpy as np
import pytest

from ipa.policies import PolicyError, SeenLoad, create_predictor, seasons_at
from ipa.policies.predictors.trained import features
from ipa.policies.seasons import AFTER_S, BEFORE_S, DAY_S, WEEK_S, Seasons
from tests.tiny import observation

LOAD = (20.0, 30.0, 25.0, 22.0, 28.0) * 24


def test_a_season_is_two_minutes_before_and_a_minute_after_the_same_second() -> None:
    counts = np.arange(WEEK_S + 200.0)
    day, week = seasons_at(counts, WEEK_S + 150)
    now = WEEK_S + 150
    assert day == tuple(float(second) for second in range(now - DAY_S - BEFORE_S, now - DAY_S + AFTER_S))
    assert week == tuple(float(second) for second in range(30, 210))


def test_what_lies_before_all_that_is_known_is_no_zero() -> None:
    day, week = seasons_at(np.ones(DAY_S), DAY_S + 10)
    assert week == ()
    assert day[:110] == pytest.approx([nan] * 110, nan_ok=True)
    assert day[110:] == (1.0,) * 70
    assert seasons_at(np.ones(DAY_S), 600) == ((), ())


def test_what_lies_after_all_that_is_known_is_no_zero_either() -> None:
    """A controller that has seen nothing since."""
    (day, _) = seasons_at(np.ones(100), DAY_S + 90)
    assert day[30:130] == (1.0,) * 100
    assert all(map(isnan, day[130:]))


def test_a_live_controller_remembers_what_it_has_seen() -> None:
    seen = SeenLoad()
    assert seen.seasons_at(5.0) == ((), ())
    seen.note(2.5, (nan,) * 8 + (1.0, 2.0))  # two seconds of the run; those before it are history
    seen.note(4.0, (1.0, 2.0, 3.0, 4.0))
    seen.note(10.0, (9.0, 10.0))  # 4 to 8 were not seen
    day, week = seen.seasons_at(DAY_S + 5.0)
    assert week == ()
    assert day[BEFORE_S - 5 : BEFORE_S + 5] == pytest.approx([1, 2, 3, 4, *[nan] * 4, 9, 10], nan_ok=True)


def test_a_live_controller_forgets_what_is_older_than_a_week() -> None:
    seen = SeenLoad()
    seen.note(10.0, (1.0,) * 10)
    seen.note(WEEK_S + 1000.0, (2.0,) * 60)
    assert seen.seasons_at(DAY_S + 10.0) == ((), ())
    assert seen.seasons_at(WEEK_S + DAY_S + 1000.0)[0][60:BEFORE_S] == (2.0,) * 60


def test_the_seasons_of_many_seconds_are_those_of_each() -> None:
    counts = np.random.default_rng(1).poisson(9.0, WEEK_S + 1000).astype(float)
    seconds = np.array([60, DAY_S + 60, WEEK_S + 60, WEEK_S + 900])
    many = features.seasons_before(counts, seconds)
    for second, of in zip(seconds.tolist(), many, strict=True):
        assert np.array_equal(of, features.by_lag(seasons_at(counts, second))[0], equal_nan=True)


def test_a_season_with_a_hole_is_not_known() -> None:
    whole = features.by_lag(((5.0,) * 180, ()))
    assert features.are_known(whole).tolist() == [[True, False]]
    for second in (0, 100, 179):
        holed = whole.copy()
        holed[0, 0, second] = nan
        assert not features.are_known(holed).any()
    silent = whole.copy()
    silent[0, 0, 60:120] = 0.0
    assert not features.are_known(silent).any()


def test_the_features_of_a_season_are_what_followed_it_then_and_would_today() -> None:
    """Yesterday 10 rps were followed by 20 in half of the seconds, and 30 once: the rise is 20 rps, two deviations of
    today's 40 rps; three times as much as before are 120 rps today, eight deviations above."""
    after = [20.0, 10.0] * 30
    after[5] = 30.0
    seasons = features.by_lag(((10.0,) * 120 + tuple(after), ()))
    found = features.seasonal(seasons, np.array([40.0]), np.array([10.0]), np.array([20.0]))
    mean = (10 * 20 + 9 * 10 + 30) / 20
    minute = (30 * 20 + 29 * 10 + 30) / 60
    assert found.shape == (1, 10)
    assert found[0, :5] == pytest.approx([2.0, (mean - 10) / 10, -1.0, 8.0, (4 * minute - 40) / 10])
    assert found[0, 5:].tolist() == [0.0] * 5
    at_5_s = features.seasonal(seasons, np.array([40.0]), np.array([10.0]), np.array([5.0]))
    assert at_5_s[0, 0] == 1.0


def test_without_any_season_the_forecast_is_that_of_quantile_gbm() -> None:
    seen = replace(observation(LOAD), seasons_rps=((), (0.0,) * 180))
    seasonal, plain = (create_predictor(name) for name in ("seasonal-gbm", "quantile-gbm"))
    assert seasonal.forecast(seen, 20.0) == plain.forecast(seen, 20.0)


def around(after_rps: float) -> Seasons:
    rng = np.random.default_rng(1)
    before = rng.poisson(25.0, BEFORE_S).astype(float)
    after = rng.poisson(after_rps, AFTER_S).astype(float)
    return ((*before, *after), (*before, *after))


def test_if_the_load_tripled_at_this_time_on_both_days_a_higher_quantile_is_forecast() -> None:
    predictor = create_predictor("seasonal-gbm")
    calm, rising = (
        predictor.forecast(replace(observation(LOAD), seasons_rps=around(after)), 20.0) for after in (25.0, 75.0)
    )
    assert rising.at(0.95) > 1.2 * calm.at(0.95)


def test_ten_times_the_load_on_all_days_has_ten_times_the_forecast() -> None:
    predictor = create_predictor("seasonal-gbm")
    seasons = around(40.0)
    once = predictor.forecast(replace(observation(LOAD), seasons_rps=seasons), 20.0)
    tenfold = predictor.forecast(
        replace(
            observation(tuple(10 * count for count in LOAD)),
            seasons_rps=tuple(tuple(10 * count for count in season) for season in seasons),
        ),
        20.0,
    )
    assert tenfold.values_rps == pytest.approx([10 * value for value in once.values_rps])


def test_an_observation_without_seasons_is_refused() -> None:
    with pytest.raises(PolicyError, match="needs seasons_rps"):
        create_predictor("seasonal-gbm").forecast(observation(LOAD), 20.0)
