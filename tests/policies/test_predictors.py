"""Predictors: windows counted back from the newest second, missing samples skipped."""

from __future__ import annotations

from math import inf, isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa.policies.forecast import LEVELS, Forecast, spread
from ipa.policies.interface import Observation, PolicyError
from ipa.policies.predictors import (
    Ewma,
    Holt,
    Max,
    Mean,
    Oracle,
    Outlook,
    Poisson,
    Reactive,
    create_predictor,
    window_loads,
)
from tests.tiny import observation

# Three windows of 4 s: maxima 3, 9, 5; means 2, 4, 4.
LOAD = (1, 2, 3, 2, 9, 1, 3, 3, 5, 4, 4, 3)


def test_reactive_is_the_last_window() -> None:
    assert Reactive(window_s=4).predict(observation(LOAD)) == 5.0
    assert Reactive(window_s=4, of="mean").predict(observation(LOAD)) == 4.0


def test_max_is_the_greatest_of_the_last_windows() -> None:
    assert Max(windows=3, window_s=4).predict(observation(LOAD)) == 9.0
    assert Max(windows=1, window_s=4).predict(observation(LOAD)) == 5.0
    assert Max(windows=3, window_s=4, of="mean").predict(observation(LOAD)) == 4.0


def test_mean_is_factor_times_the_mean_of_the_windows() -> None:
    assert Mean(windows=3, factor=1.0, window_s=4).predict(observation(LOAD)) == pytest.approx(17 / 3)
    assert Mean(windows=2, factor=1.5, window_s=4).predict(observation(LOAD)) == pytest.approx(10.5)


def test_the_default_is_the_published_setting() -> None:
    """Four 10 s windows whose maxima are 10, 20, 30 and 40 forecast 1.04 x 25 = 26."""
    load = [v for top in (99, 10, 20, 30, 40) for v in (*[1] * 9, top)]
    assert create_predictor("mean").forecast(observation(load), 20.0).point_rps == pytest.approx(26.0)


def test_windows_are_newest_first_and_the_oldest_may_be_short() -> None:
    assert window_loads(LOAD[2:], windows=5, window_s=4, statistic="max") == [5.0, 9.0, 3.0]


def test_a_missing_second_is_no_zero() -> None:
    load = (nan, 4, nan, 6)
    assert Reactive(window_s=4, of="mean").predict(observation(load)) == 5.0
    assert Reactive(window_s=4).predict(observation((2, nan, nan, nan))) == 2.0


def test_a_missing_window_is_skipped() -> None:
    load = (8, 8, nan, nan, 4, 4)
    assert Mean(windows=3, factor=1.0, window_s=2).predict(observation(load)) == 6.0


@pytest.mark.parametrize("name", ["reactive", "max", "mean", "ewma", "holt", "poisson"])
@pytest.mark.parametrize("load", [(), (nan,) * 50])
def test_no_sample_at_all_is_no_forecast(name: str, load: tuple[float, ...]) -> None:
    assert isnan(create_predictor(name).forecast(observation(load), 20.0).point_rps)


def test_the_oracle_sees_its_horizon() -> None:
    seen = observation(LOAD, future_rps=(1, 2, 9, 50))
    assert Oracle(horizon_s=3).predict(seen) == 9.0
    assert Oracle(horizon_s=2, of="mean").predict(seen) == 1.5
    assert Oracle.reads == ("future_rps",)
    assert isnan(Oracle().predict(observation(LOAD, future_rps=())))


def test_the_oracle_says_where_there_is_no_future() -> None:
    with pytest.raises(PolicyError, match="only a simulation"):
        Oracle().predict(observation(LOAD))


def test_a_predictor_is_made_from_a_mapping_or_is_one() -> None:
    assert create_predictor({"name": "mean", "factor": 1.1}) == Mean(factor=1.1)
    given = Max(windows=2)
    assert create_predictor(given) is given


def test_a_predictor_is_made_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "class Flat:\n"
        "    reads = ()\n"
        "    def __init__(self, load_rps=3.0):\n"
        "        self.load_rps = load_rps\n"
        "    def predict(self, observation):\n"
        "        return self.load_rps\n"
    )
    flat = create_predictor({"name": f"{file}:Flat", "load_rps": 7.0})
    assert flat.forecast(observation(), 20.0) == Forecast(20.0, 7.0)


# ---- distributions ----


def test_the_spread_of_poisson_is_that_of_counts() -> None:
    """A mean of 16 rps has a deviation of 4. The busiest of two seconds stays below its 0.25 quantile where both stay
    below the median, so that quantile is the mean itself."""
    forecast = Poisson(window_s=2).forecast(observation((99, 10, 22)), 2.0)
    assert forecast.at(0.25) == pytest.approx(16.0)
    assert forecast.point_rps == forecast.at(0.5)
    single = Poisson(window_s=2).forecast(observation((10, 22)), 1.0)
    assert single.at(0.95) == pytest.approx(16.0 + 1.6449 * 4.0, abs=1e-3)
    assert Poisson(window_s=2, k=2.0).forecast(observation((10, 22)), 1.0).at(0.95) == pytest.approx(29.16, abs=0.01)


def test_a_longer_horizon_has_a_busier_second() -> None:
    load = observation([20.0] * 60)
    near, far = (Poisson().forecast(load, horizon_s) for horizon_s in (5.0, 60.0))
    assert all(one < other for one, other in zip(near.values_rps, far.values_rps, strict=True))


def test_ewma_weighs_the_newest_most_and_spreads_by_its_errors() -> None:
    """Maxima 4, 8, 8 with the weight 1/2: levels 4, 6, 7, so the errors were 4 and 2, sqrt(10) in the mean square."""
    forecast = Ewma(weight=0.5, windows=3, window_s=1).forecast(observation((4, 8, 8)), 1.0)
    assert forecast.point_rps == 7.0
    assert forecast.at(0.5) == 7.0
    assert forecast.at(0.95) == pytest.approx(7.0 + 1.6449 * 10**0.5, abs=1e-3)


def test_holt_follows_a_trend_as_far_as_the_horizon_reaches() -> None:
    """With all weight on the newest, the trend of 2, 4, 6 is 2; undamped, three windows on there are 12."""
    trend = Holt(weight=1.0, trend_weight=1.0, damping=1.0, windows=3, window_s=1)
    assert trend.forecast(observation((2, 4, 6)), 3.0).point_rps == 12.0
    assert trend.forecast(observation((2, 4, 6)), 1.0).point_rps == 8.0
    damped = Holt(weight=1.0, trend_weight=1.0, damping=0.5, windows=2, window_s=1)
    assert damped.forecast(observation((2, 4)), 2.0).point_rps == 4.0 + 0.5 * 2.0 + 0.25 * 2.0
    assert trend.forecast(observation((6, 3, 0)), 3.0).point_rps == 0.0  # no load is negative


def test_a_quantile_lies_on_a_line_between_given_ones_and_ends_with_them() -> None:
    forecast = Forecast(20.0, 5.0, (0.5, 0.9), (10.0, 20.0))
    assert [forecast.at(level) for level in (0.1, 0.5, 0.7, 0.9, 0.99)] == [10.0, 10.0, 15.0, 20.0, 20.0]
    assert Forecast(20.0, 5.0).at(0.99) == 5.0
    assert isnan(Forecast(20.0, nan, (0.5,), (1.0,)).at(0.5))


def test_quantiles_never_cross_and_are_never_negative() -> None:
    made = spread(1.0, (3.0, -1.0, 2.0, 4.0, 5.0, 6.0, 8.0, 7.0), 20.0)
    assert made.levels == LEVELS
    assert made.values_rps == (0.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)


# ---- what a policy plans from ----


def test_a_policy_plans_for_the_point_or_for_a_quantile() -> None:
    seen = observation([20.0] * 60)
    poisson = Poisson().forecast(seen, 30.0)
    assert Outlook("poisson", horizon_s=30).rps(seen) == poisson.point_rps
    assert Outlook("poisson", quantile=0.9, horizon_s=30).rps(seen) == poisson.at(0.9)
    assert Outlook("max", quantile=0.9).rps(seen) == 20.0
    assert Outlook("oracle", horizon_s=2).rps(observation(LOAD, future_rps=(1, 2, 9, 50))) == 2.0


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"quantile": 0}, "quantile=0 must be a finite number above 0"),
        ({"quantile": 1}, "quantile=1 must be a finite number above 0 and below 1"),
        ({"horizon_s": 0.5}, "horizon_s=0.5 must be a finite number of at least 1"),
    ],
)
def test_an_outlook_that_cannot_be_is_refused(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        Outlook("mean", **wrong)


class Counting:
    """The sum of the load, one by one or many at once; remembers how it was asked."""

    def __init__(self) -> None:
        self.reads = ()
        self.asked: list[str] = []

    def forecast(self, observation: Observation, horizon_s: float) -> Forecast:
        self.asked.append("one")
        return Forecast(horizon_s, sum(observation.load_rps))

    def forecast_many(self, load_rps: Any, horizon_s: float) -> list[Forecast]:
        self.asked.append(f"{len(load_rps)}")
        return [Forecast(horizon_s, float(row.sum())) for row in load_rps]


def test_forecasts_are_made_ahead_where_the_load_is_all_they_see() -> None:
    counting = Counting()
    outlook = Outlook(counting)
    outlook.compute_ahead([(1.0, 2.0), (3.0, 4.0), (1.0, 2.0)])
    assert [outlook.rps(observation(load)) for load in ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0))] == [3.0, 7.0, 11.0]
    assert counting.asked == ["2", "one"]
    counting.reads = ("latency",)  # type: ignore[assignment]
    other = Outlook(counting)
    other.compute_ahead([(1.0, 2.0)])
    assert counting.asked == ["2", "one"]


class Answering:
    """Forecasts whatever it is given."""

    reads = ()

    def __init__(self, forecast: Any) -> None:
        self.forecast = forecast

    def predict(self, _: Observation) -> Any:
        """The answer."""
        return self.forecast


@pytest.mark.parametrize("answer", [None, "x", "5", True, -1.0, inf, [3.0]])
def test_a_forecast_that_is_no_rate_is_refused(answer: object) -> None:
    with pytest.raises(PolicyError, match=r"Answering.predict returned .*; allowed: requests per second"):
        Outlook(Answering(answer)).rps(observation())


@pytest.mark.parametrize("answer", [3, 3.0, np.float32(3.0), np.int64(3)])
def test_any_number_is_a_forecast(answer: object) -> None:
    found = Outlook(Answering(answer)).rps(observation())
    assert (type(found), found) == (float, 3.0)


class Wrong:
    """Answers a forecast with what is none."""

    reads = ()

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def forecast(self, _: Observation, __: float) -> Any:
        return self.answer


@pytest.mark.parametrize("answer", [None, 3.0, Forecast(20.0, -1.0), Forecast(20.0, 1.0, (0.5,), (inf,))])
def test_an_answer_that_is_no_forecast_is_refused(answer: object) -> None:
    with pytest.raises(PolicyError, match=r"Wrong.forecast returned .*; allowed: a Forecast of requests per second"):
        Outlook(Wrong(answer)).rps(observation())


def test_no_forecast_is_one_too() -> None:
    assert isnan(Outlook(Answering(np.nan)).rps(observation()))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("maen", r"unknown predictor 'maen' \(did you mean 'mean'\?\); allowed: ewma, holt, lstm"),
        ({"factor": 1.0}, "lacks a name"),
        ({"name": "mean", "factr": 1}, r"unknown parameter 'factr' of predictor 'mean' .*'factor'"),
        ({"name": "mean", "factor": 0}, "factor=0 must be a finite number above 0"),
        ({"name": "max", "windows": 0}, "windows=0 must be a whole number of at least 1"),
        ({"name": "reactive", "of": "sum"}, "of='sum' is none of: max, mean"),
        (3, "predictor=3 must be a name, a mapping, or have forecast"),
    ],
)
def test_what_cannot_be_is_refused(given: object, text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        create_predictor(given)
