"""The study of steadiness: what depends on no count is the same in all worlds, and what follows each one is not."""

from __future__ import annotations

from tests.studies.foresight.cases import Window
from tests.studies.foresight.steadiness import DELAYS_MS, shares

WINDOW = Window("rise", {"trace": "bursty", "window": ((300, 540),)})


def test_decisions_that_do_not_look_at_the_load_are_equal_in_all_worlds() -> None:
    assert list(shares("video", WINDOW, "static")) == [100.0] * (len(DELAYS_MS) + 1)


def test_the_later_requests_may_come_the_fewer_decisions_are_equal() -> None:
    """KPA decides every two seconds on the mean of six; a start-up that takes longer than its interval is seen too."""
    *by_delay, longer = shares("video", WINDOW, "kpa")
    assert by_delay[0] > by_delay[-1]
    assert longer < 100.0
