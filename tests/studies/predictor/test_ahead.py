"""Forecasts of a run that are computed ahead."""

from __future__ import annotations

import pytest

from ipa.policies import Forecast, Observation
from ipa.policies.predictors import Outlook
from ipa.studies import Scenario, Shared, simulate


@pytest.mark.parametrize("predictor", ["lstm", "lstm-quantile", "quantile-gbm"])
def test_a_run_has_the_same_decisions_whether_forecasts_are_made_ahead_or_when_asked(
    predictor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = Scenario(pipeline="video", trace="bursty", window=((300.0, 500.0),)).with_values(
        {"policy.predictor": predictor}
    )
    asked: list[int] = []
    ask = Outlook._asked

    def counted(self: Outlook, observation: Observation) -> Forecast:
        asked.append(observation.step)
        return ask(self, observation)

    monkeypatch.setattr(Outlook, "_asked", counted)
    ahead = simulate(scenario, shared=Shared())
    assert asked == []
    monkeypatch.setattr(Outlook, "compute_ahead", lambda self, histories: None)
    when_asked = simulate(scenario, shared=Shared())
    assert asked == [*range(20)]
    assert ahead.entries == when_asked.entries
