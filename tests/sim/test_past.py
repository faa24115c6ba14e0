"""What a policy that reads the past is shown of it: once, before its window; the same time of the days before; and the
wall clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from ipa import Scenario
from ipa.policies import from_line, to_line
from ipa.policies.seasons import DAY_S
from ipa.sim import load_view
from ipa.sim.load_view import LoadView
from ipa.studies import simulate
from ipa.studies.scenario.loads import brought
from ipa.traces import Trace

HISTORY = np.arange(300)
LOAD = Trace.of_counts("given", np.full(60, 5), history_counts=HISTORY, starts_at=datetime(2026, 1, 5, 10, tzinfo=UTC))


def test_the_past_is_what_lies_before_the_window_at_the_first_two_steps() -> None:
    view = LoadView(np.arange(0.0, 60.0), HISTORY, 120, 60.0)
    assert view.past(0, 0.0) == tuple(map(float, range(180)))
    assert view.past(1, 10.0) == tuple(map(float, range(190)))
    assert (*view.past(1, 10.0), *view.before(10.0)) == (*map(float, range(300)), *[1.0] * 10)
    assert view.past(2, 20.0) == ()
    assert LoadView(np.arange(0.0, 60.0), HISTORY[:100], 120, 60.0).past(0, 0.0) == ()
    late = LoadView(np.arange(0.0, 600.0), HISTORY, 120, 600.0)
    assert (*late.past(1, 300.0), *late.before(300.0))[-120:] == (1.0,) * 120


def given(policy: Any, **keys: Any) -> Scenario:
    return Scenario(**{"pipeline": "video", "trace": "given", "policy": policy, **keys})


@pytest.mark.parametrize("start", ["warm", "configured"])
def test_a_run_shows_the_past_to_a_policy_that_reads_it_and_the_clock_to_all(start: Any) -> None:
    with brought({"given": LOAD}):
        entries = simulate(given("foresight", start=start)).entries
        others = simulate(given("rate", start=start)).entries
    first = entries[0].observation
    assert first.past_rps is not None
    assert first.past_rps == tuple(map(float, range(180 if start == "warm" else 190)))
    assert entries[-1].observation.past_rps == ()
    assert others[0].observation.past_rps is None
    for entry in (*entries, *others):
        assert entry.observation.clock_s == 1767607200.0 + entry.observation.time_s


def test_a_journal_keeps_the_past_and_the_clock() -> None:
    with brought({"given": LOAD}):
        entries = simulate(given("foresight")).entries
    for entry in entries:
        assert from_line(to_line(entry)) == entry


def test_foresight_decides_the_same_in_a_replay() -> None:
    from ipa import profiles
    from ipa.policies import create, replay_journal

    with brought({"given": LOAD}):
        entries = simulate(given("foresight")).entries
    pipeline = profiles.load("video")
    lines = [from_line(to_line(entry)) for entry in entries]
    again = list(replay_journal(pipeline, create("foresight", pipeline), lines))
    assert [each.decision for each in again] == [each.decision for each in entries]


DAYS = Trace.of_counts("days", np.arange(60) % 7 + 1, history_counts=np.arange(DAY_S + 200) % 11 + 1)
SEASONAL = {"name": "ipa", "predictor": "seasonal-gbm"}


def test_what_came_a_day_ago_is_seen_at_every_step_that_the_history_reaches_back_to() -> None:
    view = LoadView(np.arange(0.0, 60.0), DAYS.history_counts, 120, 60.0)
    day, week = view.seasons(20.5)
    assert day == tuple((np.arange(100, 280) % 11 + 1.0).tolist())
    assert week == ()


def test_in_a_run_of_days_yesterday_is_a_part_of_the_run() -> None:
    """A request at the start of every second of it; the history is short."""
    view = LoadView(np.arange(0.0, DAY_S + 600.0), HISTORY, 120, DAY_S + 600.0)
    assert view.seasons(300.0)[0] == ()
    assert view.seasons(DAY_S + 300.0) == ((1.0,) * 180, ())
    day, _ = view.seasons(DAY_S + 60.0)
    assert day == (*HISTORY[-60:].astype(float).tolist(), *[1.0] * 120)


def test_nothing_of_a_season_was_seen_later_than_now() -> None:
    """What has not come yet may change without any change of what is seen."""
    others = np.concatenate([np.arange(0.0, DAY_S + 300.0), np.repeat(np.arange(DAY_S + 300.0, DAY_S + 600.0), 9)])
    one, other = (LoadView(load, HISTORY, 120, DAY_S + 600.0) for load in (np.arange(0.0, DAY_S + 600.0), others))
    assert one.seasons(DAY_S + 300.0) == other.seasons(DAY_S + 300.0)


def test_seconds_of_an_outage_are_unknown_a_day_later_too() -> None:
    view = LoadView(np.arange(0.0, DAY_S + 600.0), HISTORY, 120, DAY_S + 600.0, outages=[(290.0, 295.0)])
    day, _ = view.seasons(DAY_S + 300.0)
    assert [place for place, count in enumerate(day) if count != count] == [110, 111, 112, 113, 114]


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_a_seasonal_forecast_is_made_of_them_in_a_run_and_again_in_a_replay(engine: Any) -> None:
    from ipa import profiles
    from ipa.policies import create, replay_journal

    with brought({"days": DAYS}):
        entries = simulate(given(SEASONAL, trace="days", engine=engine)).entries
        others = simulate(given("ipa", trace="days", engine=engine)).entries
    assert all(entry.observation.seasons_rps is not None for entry in entries)
    assert all(entry.observation.seasons_rps is None for entry in others)
    assert [entry.decision.forecast_rps for entry in entries] != [entry.decision.forecast_rps for entry in others]
    pipeline = profiles.load("video")
    lines = [from_line(to_line(entry)) for entry in entries]
    again = replay_journal(pipeline, create("ipa", pipeline, {"predictor": "seasonal-gbm"}), lines)
    assert [each.decision for each in again] == [entry.decision for entry in entries]


def test_a_journal_holds_seasons_only_where_they_are_read() -> None:
    with brought({"days": DAYS}):
        entries = simulate(given(SEASONAL, trace="days")).entries
        others = simulate(given("ipa", trace="days")).entries
    assert all(from_line(to_line(entry)) == entry for entry in entries)
    assert not any("seasons_rps" in to_line(entry) for entry in others)


# ---- what runs on the same load share ----


def test_views_of_the_same_counts_show_the_same_histories_as_objects() -> None:
    """Whenever the requests of a second come, and only if the windows are as long."""
    one, other = (LoadView(np.arange(0.0, 60.0) + shift, HISTORY, 120, 60.0) for shift in (0.0, 0.5))
    assert one.before(20.0) is other.before(20.0)
    shorter = LoadView(np.arange(0.0, 60.0), HISTORY, 60, 60.0)
    assert shorter.before(20.0) == one.before(20.0)[60:]


def test_a_long_load_is_not_kept() -> None:
    kept = load_view._kept.cache_info().currsize
    long = [LoadView(np.arange(0.0, load_view.MOST_SECONDS + 1.0), HISTORY, 120) for _ in range(2)]
    assert load_view._kept.cache_info().currsize == kept
    assert long[0].before(20.0) == long[1].before(20.0)
    assert long[0].before(20.0) is not long[1].before(20.0)
