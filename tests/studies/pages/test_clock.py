"""Time in plots: what a moment is, and how it is said."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from ipa.studies.pages.clock import ORIGIN_MS, Clock


def test_no_moment_can_be_taken_for_a_year() -> None:
    """Plotly reads numbers of two or four digits on an axis of time as years."""
    assert min(len(str(moment)) for moment in Clock(20.0).moments(np.arange(0.0, 20.0, 0.01))) > 4


def test_a_moment_is_a_whole_millisecond_and_none_what_is_unknown() -> None:
    assert Clock(100.0).moments([0.0, 0.0014, 75.5, float("nan")]) == [
        ORIGIN_MS,
        ORIGIN_MS + 1,
        ORIGIN_MS + 75500,
        None,
    ]


@pytest.mark.parametrize(
    ("time_s", "duration_s", "text"),
    [
        (1.25, 20.0, "1.25 s"),
        (751.4, 1200.0, "12 min 31 s"),
        (1200.0, 1200.0, "20 min 0 s"),
        (3599.6, 7200.0, "1 h 0 min"),
        (18190.0, 86400.0, "5 h 3 min 10 s"),
        (104580.0, 2 * 86400.0, "day 2, 5:03"),
    ],
)
def test_a_time_is_said_as_exactly_as_the_run_is_long(time_s: float, duration_s: float, text: str) -> None:
    assert Clock(duration_s).text(time_s) == text


def test_the_axis_ends_with_the_run_but_before_a_tick_that_would_read_zero() -> None:
    assert Clock(1200.0).axis()["range"] == [ORIGIN_MS, ORIGIN_MS + 1_200_000]
    low, high = Clock(3600.0).axis()["range"]
    assert (low, 3_598_000 < high - low < 3_600_000) == (ORIGIN_MS, True)


def ticks(duration_s: float, every_s: int) -> str:
    """The form of the ticks of a run, every so many seconds."""
    for form in Clock(duration_s).axis()["tickformatstops"]:
        low, high = form["dtickrange"]
        if (low or 0) <= 1000 * every_s <= (high or float("inf")):
            return str(form["value"])
    raise AssertionError(every_s)


def test_ticks_are_in_the_unit_of_the_run() -> None:
    assert ticks(40.0, 5) == "%-S s"
    assert ticks(1200.0, 120) == "%-M min"
    assert ticks(1200.0, 10) == "%-M:%S min"
    assert ticks(7200.0, 900) == "%-H:%M h"
    assert ticks(86400.0, 3 * 3600) == "%-H h"
    assert ticks(3 * 86400.0, 6 * 3600) == "%-H h<br>day %-j"
    assert ticks(30 * 86400.0, 2 * 86400) == "day %-j"


MORNING = datetime.fromisoformat("2018-04-03T08:59:50+02:00")


def test_a_load_with_a_clock_of_its_own_is_told_by_it() -> None:
    assert Clock(1200.0, MORNING).text(12.4) == "09:00:02"
    assert Clock(86400.0, MORNING).text(12.4) == "3 Apr 09:00:02"


def test_on_a_clock_of_its_own_moments_axes_and_titles_are_those_of_the_clock() -> None:
    """8:59:50 on 3 April 2018 as the clock shows it is 1,522,745,990 s after the epoch."""
    start_ms, clock = 1_522_745_990_000, Clock(20.0, MORNING)
    assert clock.moments([0.0, float("nan"), 1.0]) == [start_ms, None, start_ms + 1000]
    axis = clock.axis()
    assert axis["range"] == [start_ms, start_ms + 20_000]
    assert axis["title"]["text"] == "time on 3 April 2018 (UTC+02:00)"
    assert Clock(2 * 86400.0, MORNING).axis()["title"]["text"] == "time (UTC+02:00)"
    assert clock.axis("")["title"]["text"] == ""
