"""The shape of a load: its burstiness by time scale, its day and week, its rises."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from ipa.traces import Rise, Trace, daily, dispersion, info, rises, weekly

WEDNESDAY_23H = datetime(2026, 1, 7, 23, tzinfo=UTC)


def test_a_poisson_load_has_an_index_of_dispersion_of_one_at_every_scale() -> None:
    trace = Trace.of_counts("x", np.random.default_rng(1).poisson(20, 360_000))
    found = dispersion(trace)
    assert list(found) == [1, 10, 60, 600, 3600]
    for scale_s, index in found.items():
        assert index == pytest.approx(1.0, abs=4 * (2 * scale_s / 360_000) ** 0.5)  # sd sqrt(2 / stretches)


def test_bursts_show_at_the_scale_that_they_have() -> None:
    """0 and 8 in turns: variance 16, mean 4; ten of them are always 40. Ten of 0, ten of 8: 1600 / 40 in tens."""
    assert dispersion(Trace.of_counts("x", [0, 8] * 300)) == {1: 4.0, 10: 0.0, 60: 0.0}
    assert dispersion(Trace.of_counts("x", ([0] * 10 + [8] * 10) * 5)) == {1: 4.0, 10: 40.0}


def test_a_scale_of_fewer_than_ten_stretches_and_an_empty_load_have_no_index() -> None:
    assert dispersion(Trace.of_counts("x", [1] * 99)) == {1: 0.0}
    assert dispersion(Trace.of_counts("x", [0] * 200)) == {}
    assert dispersion(Trace.of_counts("x", [0] * 100 + [3])) == pytest.approx({1: 9 / 101 / (3 / 101) - 3 / 101, 10: 0})


def test_the_largest_rise_is_found_wherever_it_begins() -> None:
    """By 6 in a second at 14; in tens from 13 zeros to ten of 6 at 14 or, before, less."""
    trace = Trace.of_counts("x", [0] * 14 + [6] * 26)
    assert rises(trace) == [Rise(1, 14, 0.0, 6.0), Rise(10, 14, 0.0, 6.0)]
    assert rises(Trace.of_counts("x", [9, 8, 7])) == []
    assert rises(Trace.of_counts("x", [5])) == []


def test_the_day_begins_at_midnight_of_the_clock_or_with_the_trace() -> None:
    """2 rps for an hour, then 1: the hour from 23 of the clock, the first hour where there is none."""
    trace = Trace.of_counts("x", [2] * 3600 + [1] * (2 * 86_400 - 3600))
    on_clock = daily(replace(trace, starts_at=WEDNESDAY_23H))
    assert on_clock == [1.0] * 23 + [1.5]
    assert daily(trace) == [1.5] + [1.0] * 23
    assert daily(trace.window([(0, 86_399)])) is None


def test_the_week_begins_on_monday_of_the_clock_or_with_the_trace() -> None:
    """An hour of Wednesday, then a week but one hour: 3600 requests more on that Wednesday, in 86,400 s of it."""
    trace = Trace.of_counts("x", [25] * 3600 + [1] * (7 * 86_400 - 3600))
    assert weekly(replace(trace, starts_at=WEDNESDAY_23H)) == [1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0]
    assert weekly(trace) == [2.0, *[1.0] * 6]
    assert weekly(trace.window([(0, 604_799)])) is None


def test_the_figures_of_a_trace_include_its_shape() -> None:
    figures = info(Trace.of_counts("x", [0] * 14 + [6] * 26))
    assert figures["largest_rises"] == [
        {"span_s": 1, "at_s": 14, "from_rps": 0.0, "to_rps": 6.0},
        {"span_s": 10, "at_s": 14, "from_rps": 0.0, "to_rps": 6.0},
    ]
    assert figures["dispersion_by_scale"] == {"1": pytest.approx(36 * 0.65 * 0.35 / 3.9)}
    assert (figures["daily_rps"], figures["weekly_rps"]) == (None, None)
