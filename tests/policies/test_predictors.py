"""Predictors: windows counted back from the newest second, missing samples skipped."""

from __future__ import annotations

from math import inf, isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa.policies.interface import Observation, PolicyError
from ipa.policies.predictors import Max, Mean, Oracle, Reactive, create_predictor, forecast_of, window_loads
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
    assert create_predictor("mean").predict(observation(load)) == pytest.approx(26.0)


def test_windows_are_newest_first_and_the_oldest_may_be_short() -> None:
    assert window_loads(LOAD[2:], windows=5, window_s=4, of="max") == [5.0, 9.0, 3.0]


def test_a_missing_second_is_no_zero() -> None:
    load = (nan, 4, nan, 6)
    assert Reactive(window_s=4, of="mean").predict(observation(load)) == 5.0
    assert Reactive(window_s=4).predict(observation((2, nan, nan, nan))) == 2.0


def test_a_missing_window_is_skipped() -> None:
    load = (8, 8, nan, nan, 4, 4)
    assert Mean(windows=3, factor=1.0, window_s=2).predict(observation(load)) == 6.0


@pytest.mark.parametrize("name", ["reactive", "max", "mean"])
@pytest.mark.parametrize("load", [(), (nan,) * 50])
def test_no_sample_at_all_is_no_forecast(name: str, load: tuple[float, ...]) -> None:
    assert isnan(create_predictor(name).predict(observation(load)))


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
    assert flat.predict(observation()) == 7.0


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
        forecast_of(Answering(answer), observation())


@pytest.mark.parametrize("answer", [3, 3.0, np.float32(3.0), np.int64(3)])
def test_any_number_is_a_forecast(answer: object) -> None:
    found = forecast_of(Answering(answer), observation())
    assert (type(found), found) == (float, 3.0)


def test_no_forecast_is_one_too() -> None:
    assert isnan(forecast_of(Answering(np.nan), observation()))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("maen", r"unknown predictor 'maen' \(did you mean 'mean'\?\); allowed: max, mean, oracle"),
        ({"factor": 1.0}, "lacks a name"),
        ({"name": "mean", "factr": 1}, r"unknown parameter 'factr' of predictor 'mean' .*'factor'"),
        ({"name": "mean", "factor": 0}, "factor=0 must be a finite number and above 0"),
        ({"name": "mean", "factor": "1"}, "factor='1' must be a finite number"),
        ({"name": "max", "windows": 0}, "windows=0 must be a whole number of at least 1"),
        ({"name": "reactive", "window_s": 1.5}, "window_s=1.5 must be a whole number"),
        ({"name": "reactive", "of": "sum"}, "of='sum' is none of: max, mean"),
        (3, "predictor=3 must be a name, a mapping or have predict"),
    ],
)
def test_what_cannot_be_is_refused(given: object, text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        create_predictor(given)  # type: ignore[arg-type]
