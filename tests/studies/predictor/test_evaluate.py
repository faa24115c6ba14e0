"""All forecasts of a predictor, and their scores."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import Any

import pytest

from ipa.policies import Forecast, Observation
from ipa.policies.forecast import missing
from ipa.policies.interface import PolicyError
from ipa.policies.predictors.trained import load
from ipa.studies.many.predictor import (
    NAMES,
    ForecastCases,
    ForecastScore,
    MeasuredOptions,
    cases_of,
    choose,
    evaluate,
    forecasts_of,
    score_of,
)
from ipa.studies.scenario.errors import ScenarioError
from ipa.traces import Trace, synthesise

LOAD = Trace.of_counts("load", [10, 20, 10, 40, 10, 30, 20, 10])
"""Forecast at seconds 1 to 7, a second each: 20, 10, 40, 10, 30, 20, 10 come."""


def cases() -> ForecastCases:
    return cases_of(LOAD, interval_s=1, history_s=1, horizon_s=1)


class Wide:
    """From the last second's half to its double, each as likely."""

    reads = ()

    def forecast(self, observation: Observation, horizon_s: float) -> Forecast:
        last = observation.load_rps[-1]
        return Forecast(horizon_s, last, (0.05, 0.5, 0.95), (last / 2, last, 2 * last))


class Shy(Wide):
    """The same, but nothing after 40."""

    def forecast(self, observation: Observation, horizon_s: float) -> Forecast:
        return missing(horizon_s) if observation.load_rps[-1] == 40 else super().forecast(observation, horizon_s)


def of(name: str, predictor: object) -> ForecastScore:
    return replace(score_of(name, predictor, cases(), MeasuredOptions()), forecast_ms=0.0)  # type: ignore[arg-type]


def test_the_scores_of_a_distribution_are_of_its_point_its_quantiles_and_its_interval() -> None:
    """It says 10, 20, 10, 40, 10, 30, 20, and 20, 10, 40, 10, 30, 20, 10 come.

    Exceeded are the points 10 (by 20), 10 (by 40) and 10 (by 30). Of the doubles, 20 by 40 and by 30. The halves of 20,
    40 and 30 are 10, 20 and 15, and only 10 of 40 comes below. So 3 of 7 are outside of the interval.
    """
    approx: Any = pytest.approx
    assert of("wide", Wide()) == ForecastScore(
        name="wide",
        moments=7,
        missing=0,
        smape_percent=approx(sum(200 * e for e in (1 / 3, 1 / 3, 3 / 5, 3 / 5, 1 / 2, 1 / 5, 1 / 3)) / 7),
        under_share=approx(3 / 7),
        pinball_rps=(
            approx(0.5 * (10 + 10 + 30 + 30 + 20 + 10 + 10) / 7),
            approx((0.95 * (20 + 10) + 0.05 * (0 + 30 + 70 + 40 + 30)) / 7),
        ),
        quantile_under_share=(approx(3 / 7), approx(2 / 7)),
        coverage=approx(4 / 7),
        forecast_ms=0.0,
    )


def test_without_a_distribution_every_quantile_is_the_point_and_no_interval_is_scored() -> None:
    score = of("reactive", choose("reactive window_s=1").predictor)
    assert score.quantile_under_share == pytest.approx((3 / 7, 3 / 7))
    assert score.coverage is None


def test_where_there_is_no_forecast_nothing_is_scored() -> None:
    """Without the moment after 40, at which 10 came."""
    score = of("shy", Shy())
    assert (score.moments, score.missing) == (7, 1)
    assert score.under_share == pytest.approx(3 / 6)
    assert score.coverage == pytest.approx(4 / 6)


def test_who_knows_the_future_errs_never() -> None:
    score = of("oracle", choose("oracle").predictor)
    assert (score.smape_percent, score.under_share, score.pinball_rps) == (0.0, 0.0, (0.0, 0.0))


@pytest.mark.parametrize("name", NAMES)
def test_forecasts_of_many_moments_are_those_of_each(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 30 at once, so that there are several lots."""
    monkeypatch.setattr(evaluate, "AT_ONCE", 30)
    many = cases_of(synthesise("bursty", 1))
    predictor = choose(name).predictor
    found = forecasts_of(predictor, many, (0.95,))
    for number in (0, 29, 30, 31, 75, 118):
        alone = predictor.forecast(many.observation(number), 20.0)
        assert (found.point_rps[number], found.quantiles_rps[0, number]) == (alone.point_rps, alone.at(0.95))


# ---- the choice ----


def test_parameters_follow_the_name() -> None:
    chosen = choose("poisson k=1.5 window_s=20")
    assert (chosen.name, chosen.predictor) == (
        "poisson k=1.5 window_s=20",
        choose("poisson k=1.5 window_s=20").predictor,
    )
    assert (chosen.predictor.k, chosen.predictor.window_s) == (1.5, 20)  # type: ignore[attr-defined]


def test_a_models_file_is_a_predictor_too() -> None:
    """The shipped network, once by name and once by its file, says the same."""
    by_file = choose(load("lstm").source).predictor
    seen = cases_of(synthesise("bursty", 1)).observation(40)
    assert by_file.forecast(seen, 20.0) == choose("lstm").predictor.forecast(seen, 20.0)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("poison", PolicyError, "did you mean 'poisson'"),
        ("gone.npz", PolicyError, "gone.npz: cannot be read"),
        ("poisson q=1", PolicyError, "unknown parameter 'q'"),
        ("poisson k=[1", ScenarioError, r"predictor 'poisson k=\[1': k=\[1"),
    ],
)
def test_a_wrong_choice_is_answered(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        choose(text)


def test_a_number_that_is_none_is_refused() -> None:
    class Odd(Wide):
        def forecast(self, observation: Observation, horizon_s: float) -> Forecast:
            return Forecast(horizon_s, -1.0 if observation.load_rps[-1] == 40 else nan)

    with pytest.raises(PolicyError, match=r"Odd\.forecast returned"):
        of("odd", Odd())
