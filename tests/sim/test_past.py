"""What a policy that reads the past is shown of it: once, before its window; the same time of the days before; and the
wall clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from ipa import Scenario
from ipa.policies import from_line, to_line
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


def test_the_busiest_minute_may_begin_at_any_second() -> None:
    """One request a second, and 30 more in each second from 50 to 80; in half a minute all there is."""
    more = np.repeat(np.arange(50.0, 80.0), 30) + 0.5
    view = LoadView(np.sort(np.concatenate([np.arange(0.0, 200.0), more])), HISTORY, 120, 200.0)
    assert view.busiest_minute_rps(200.0) == 1 + 30 * 30 / 60
    assert LoadView(np.arange(0.0, 30.0, 0.5), HISTORY, 120, 30.0).busiest_minute_rps(30.0) == 2.0


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
