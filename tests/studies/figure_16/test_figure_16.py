"""Figure 16: what is changed can be run, and late forecasts are late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipa.policies import create_predictor
from tests.studies.figure_16.late import Late
from tests.studies.figure_16.runs import Lost, in_order, scenario_of
from tests.studies.figure_16.settings import FORECASTS, PIPELINES, Setting, settings
from tests.tiny import observation

PLAIN = Setting("as published")


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_everything_that_is_changed_is_a_key_of_a_scenario(pipeline: str) -> None:
    for setting in settings():
        for forecast in FORECASTS:
            assert scenario_of(pipeline, forecast, setting, 2).seed == 2
    as_published = scenario_of(pipeline, "lstm", PLAIN, 1)
    assert (as_published.decision_delay_s, as_published.dispatch, as_published.drop) == (2.0, "eager", "batch")


def test_a_late_forecast_is_that_of_some_seconds_ago() -> None:
    load = tuple(float(second % 17) for second in range(130))
    plain = create_predictor("lstm")
    seen = replace(observation(load), load_rps=load[:-10])
    assert Late("lstm", 10).forecast(observation(load), 20.0) == plain.forecast(seen, 20.0)


@pytest.mark.parametrize(
    ("requests", "is_in_order"),
    [((43, 69, 368), True), ((131, 132, 683), True), ((0, 0, 0), False), ((5, 4, 9), False), ((5, 5, 5.4), False)],
)
def test_the_published_order(requests: tuple[float, ...], *, is_in_order: bool) -> None:
    of = {forecast: Lost(count, 0.0) for forecast, count in zip(FORECASTS, requests, strict=True)}
    assert in_order(of) is is_in_order
