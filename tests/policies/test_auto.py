"""The predictor that did best on the seconds just gone."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from ipa.policies import PolicyError, create_predictor
from ipa.policies.forecast import certain
from ipa.policies.predictors import Auto, Max, Mean, Poisson, Reactive, describe_predictor
from tests.tiny import observation

STEADY, LAST = Mean(windows=12, factor=1.0), Reactive(window_s=1)


def test_the_candidate_with_the_least_loss_is_asked() -> None:
    """The load rises by 1 a second. Ten seconds ahead it is 10 above the last second, and far above the mean."""
    rising = observation(np.arange(120).tolist())
    auto = Auto((STEADY, LAST))
    assert auto.best(rising, 10.0) is LAST
    assert auto.forecast(rising, 10.0).point_rps == 119.0


def test_the_first_is_left_only_for_one_that_is_better_by_the_margin() -> None:
    """Loads alternate between 1 and 9, so that maxima are 9. What forecasts 10 errs by 1, what forecasts 9.9 by 0.9,
    a tenth less."""
    load = observation([1.0, 9.0] * 60)
    first, better = Mean(factor=10 / 9), Mean(factor=9.9 / 9)
    assert Auto((first, better), margin=0.2).best(load) is first
    assert Auto((first, better), margin=0.05).best(load) is better
    assert Auto((better, first), margin=0.05).best(load) is better


def test_candidates_see_only_what_had_been_seen_by_then() -> None:
    """The load jumped 5 s ago, which no candidate could know: the one that is always high has the least loss."""
    load = observation([10.0] * 115 + [50.0] * 5)
    high = Mean(factor=4.0)
    seen: list[tuple[float, ...]] = []

    class Watching(Mean):
        def forecast(self, observation, horizon_s=20.0):  # type: ignore[no-untyped-def]
            seen.append(observation.load_rps)
            return super().forecast(observation, horizon_s)

    Auto((Watching(), high), window_s=30).best(load)
    assert [len(each) for each in seen] == [100, 90]
    assert Auto((Mean(), high), window_s=20).best(load) is high
    assert Auto((Mean(), high), window_s=50).best(load) is not high


def test_a_distribution_is_judged_as_one() -> None:
    """For counts of a Poisson process, its own spread loses less than a single number, its median."""
    load = observation(np.random.default_rng(1).poisson(30, size=300).tolist())

    class Median(Poisson):
        def forecast(self, observation, horizon_s=20.0):  # type: ignore[no-untyped-def]
            return certain(super().forecast(observation, horizon_s).point_rps, horizon_s)

    assert isinstance(Auto((Median(), Poisson()), window_s=250, margin=0.0).best(load), Poisson)


def test_with_too_short_a_history_the_first_is_asked() -> None:
    auto = Auto((STEADY, LAST))
    assert auto.best(observation([5.0] * 10)) is STEADY
    assert isnan(auto.forecast(observation(())).point_rps)
    assert isnan(auto.forecast(observation([float("nan")] * 120)).point_rps)


def test_candidates_are_named_like_predictors() -> None:
    auto = create_predictor({"name": "auto", "candidates": ["reactive", {"name": "max", "windows": 2}], "margin": 0.1})
    assert auto == Auto((Reactive(), Max(windows=2)), margin=0.1)
    described = describe_predictor(auto)
    assert described["candidates"][1] == {"name": "max", "windows": 2, "window_s": 10, "of": "max"}
    assert create_predictor(described) == auto


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"candidates": "max"}, "candidates='max' should be a list of predictors"),
        ({"candidates": []}, "should name at least one predictor"),
        ({"candidates": ["maxx"]}, "unknown predictor 'maxx'"),
        ({"candidates": ["oracle"]}, "Oracle reads future_rps, not the load alone"),
        ({"margin": 2}, "margin=2 must be"),
        ({"window_s": 0}, "window_s=0 must be"),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, object], told: str) -> None:
    with pytest.raises(PolicyError) as caught:
        create_predictor({"name": "auto", **parameters})
    assert told in str(caught.value)
