"""The moments of forecasts: what is seen before each, and what comes after."""

from __future__ import annotations

import pytest

from ipa.studies.many.predictor import ForecastCases, cases_of
from ipa.studies.scenario.errors import ScenarioError
from ipa.traces import Trace


def seen(cases: ForecastCases) -> list[tuple[float, ...]]:
    return [cases.observation(number).load_rps for number in range(len(cases))]


TEN = Trace.of_counts("ten", [5, 1, 2, 9, 4, 3, 7, 6, 8, 0])


def test_each_moment_sees_the_seconds_before_and_is_scored_by_the_busiest_after() -> None:
    """Before second 0 nothing is known, so the first moment is 3; after second 9 nothing is, so the last is 7."""
    cases = cases_of(TEN, interval_s=2, history_s=3, horizon_s=2)
    assert cases.time_s.tolist() == [3, 5, 7]
    assert seen(cases) == [(5, 1, 2), (2, 9, 4), (4, 3, 7)]
    assert cases.actual_rps.tolist() == [9, 7, 8]


def test_the_future_is_seen_only_by_whoever_asks() -> None:
    cases = cases_of(TEN, interval_s=2, history_s=3, horizon_s=2)
    assert cases.observation(1).future_rps is None
    assert cases.observation(1, future=True).future_rps == (3, 7)


def test_what_is_seen_may_lie_before_the_window_and_before_the_trace_but_what_comes_is_within() -> None:
    with_history = Trace.of_counts("ten", TEN.load, history_counts=[20, 30, 40])
    cases = cases_of(with_history, [(0, 3), (7, 10)], interval_s=1, history_s=3, horizon_s=2)
    assert cases.time_s.tolist() == [0, 1, 7, 8]
    assert seen(cases) == [(20, 30, 40), (30, 40, 5), (4, 3, 7), (3, 7, 6)]
    assert cases.actual_rps.tolist() == [5, 2, 8, 8]


def test_seconds_without_a_request_can_be_removed_as_gaps() -> None:
    """1 2 _ _ 3 4 5 becomes 1 2 3 4 5; the moment before the 3 is still called second 4."""
    gaps = Trace.of_counts("gaps", [1, 2, 0, 0, 3, 4, 5])
    cases = cases_of(gaps, [(2, 7)], interval_s=1, history_s=2, horizon_s=2, without_zeros=True)
    assert cases.time_s.tolist() == [4, 5]
    assert seen(cases) == [(1, 2), (2, 3)]
    assert cases.actual_rps.tolist() == [4, 5]


def test_times_of_requests_are_counted_by_the_second() -> None:
    times = Trace.of_timestamps("times", [0.1, 1.2, 1.3, 2.5, 3.1, 3.2, 3.9])
    assert cases_of(times, history_s=2, horizon_s=1).actual_rps.tolist() == [1]


@pytest.mark.parametrize("window", [(5, 5), (8, 12), (-1, 4)])
def test_a_window_outside_of_the_trace_is_refused(window: tuple[float, float]) -> None:
    with pytest.raises(ScenarioError, match=r"should end after its start and lie within the trace.*seconds 0 to 10"):
        cases_of(TEN, [window])


def test_too_little_to_forecast_from_is_said() -> None:
    with pytest.raises(ScenarioError, match="ten: nothing to forecast: a forecast needs 120 s before it"):
        cases_of(TEN)
