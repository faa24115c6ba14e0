"""How likely surges are, and the rate that insures against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa import Scenario
from ipa.policies.foresight.insurance import RELAPSE_S, Allowed, insured_rps, intensities, may_come_back, return_rps
from ipa.policies.foresight.surges import AFTER_S, LONGEST_S, MOST_KEPT, Surge
from ipa.sim import COMPLETED
from ipa.studies import simulate
from tests.policies.foresight.cases import TIMING, decided, steps, surge

STUCK = replace(TIMING, is_stuck=True)


def test_a_surge_that_keeps_the_clock_is_likely_at_its_time_alone() -> None:
    surges = [surge(1800.0 * k + 120) for k in range(12)]
    due, not_due = (intensities(now_s, surges, 1800.0, 21_600.0, TIMING).sum() for now_s in (21_720.0, 22_500.0))
    assert due > 12 / (12 * 150)
    assert not_due == 0
    without = intensities(22_500.0, surges, None, 21_600.0, TIMING).sum()
    assert without == pytest.approx(12 / 21_600)


def test_a_surge_that_came_once_at_its_time_is_likelier_then_if_most_others_keep_the_clock() -> None:
    """Twelve keep the half hour and one came once, 900 s later in it: its share of the clock is 12 / 14."""
    surges = [*(surge(1800.0 * k + 120) for k in range(12)), surge(1800.0 * 5 + 1020)]
    due, not_due = (intensities(now_s, surges, 1800.0, 21_600.0, TIMING) for now_s in (22_620.0, 22_300.0))
    at_its_time = 1 / (12 * (60 + 18))
    assert due[-1] == pytest.approx(12 / 14 * at_its_time + 2 / 14 / 21_600)
    assert not_due[-1] == pytest.approx(2 / 14 / 21_600)
    assert due[:-1].sum() == 0.0
    (alone,) = intensities(22_620.0, [surges[-1]], 1800.0, 21_600.0, TIMING)
    assert alone == pytest.approx(1 / 21_600)


def insured(allowed: float, surges: Sequence[Surge], **changes: Any) -> float:
    (rate_rps,) = insured_rps(90_000.0, 5.0, surges, None, 86_400.0, replace(TIMING, **changes), [Allowed(allowed)])
    return rate_rps


def test_without_surges_a_day_of_calm_is_not_insured() -> None:
    assert insured(0.03, []) == 5.0


def test_less_risk_is_more_insurance() -> None:
    surges = [surge(7200.0 * k) for k in range(12)]
    rates = [insured(allowed, surges) for allowed in (10.0, 0.3, 0.1, 0.03, 0.001)]
    assert all(one <= other for one, other in pairwise(rates))
    assert rates[0] == 5.0
    assert rates[-1] > 10.0


def test_a_longer_lead_and_replicas_that_keep_what_waits_are_more_insurance() -> None:
    surges = [surge(7200.0 * k) for k in range(12)]
    assert insured(0.03, surges) < insured(0.03, surges, lead_s=20.0)
    assert insured(0.03, surges) < insured(0.03, surges, is_stuck=True)
    assert insured(0.03, surges, wait_s=60.0) == 5.0


def test_a_surge_whose_time_it_is_makes_no_more_late_than_allowed_however_seldom_it_comes() -> None:
    """Twelve surges of the half hour are small; one that came once, 900 s later in it, is large."""
    surges = [*(surge(1800.0 * k + 120, 3.0) for k in range(12)), surge(1800.0 * 5 + 1020)]

    def rates(now_s: float) -> list[float]:
        allowed = (Allowed(1.0), Allowed(1.0, 60.0), Allowed(1.0, 20.0), Allowed(1.0, 0.0))
        return insured_rps(now_s, 5.0, surges, 1800.0, 86_400.0, TIMING, allowed)

    expected, some, few, none = rates(90_000.0 + 1010)
    assert expected < some < few < none
    assert len(set(rates(90_000.0 + 600))) == 1


def test_a_surge_may_come_back_for_a_while_after_its_end() -> None:
    first, last = surge(3600.0), surge(7200.0, follows=True)
    ended_s = 7500.0
    assert may_come_back(ended_s + RELAPSE_S, [first, last]) == [False, True]
    assert may_come_back(ended_s + RELAPSE_S + 1, [first, last]) == [False, False]
    assert may_come_back(4000.0, [first]) == [True]
    assert may_come_back(4000.0, []) == []


def test_where_no_more_surges_can_be_remembered_those_that_are_count_over_their_own_time() -> None:
    surges = [surge(600.0 * k) for k in range(MOST_KEPT)]
    found = intensities(600.0 * MOST_KEPT, surges, None, 3 * 86_400.0, TIMING)
    assert found.sum() == pytest.approx(1 / 600.0)


def test_a_small_surge_takes_nothing_from_a_large_one_before_it() -> None:
    large, small = surge(3600.0, 60.0), replace(surge(3960.0, 5.0), end_s=3990.0)
    assert may_come_back(4000.0, [large, small]) == [True, True]


def test_a_surge_that_goes_on_or_has_become_the_level_does_not_come_back() -> None:
    level = replace(surge(3600.0), end_s=3600.0 + LONGEST_S)
    assert may_come_back(3600.0 + LONGEST_S + 10, [level]) == [False]
    assert may_come_back(3700.0, [replace(surge(3600.0), end_s=None)]) == [False]


def test_nothing_comes_back_before_it_has_ended_as_clocks_may_restart() -> None:
    assert may_come_back(60.0, [surge(3600.0)]) == [False]


def test_a_surge_that_may_come_back_makes_no_more_late_than_allowed_however_seldom_one_does() -> None:
    surges = [surge(3600.0, 40.0), surge(7200.0)]

    def rates(now_s: float) -> list[float]:
        allowed = (Allowed(10.0), Allowed(10.0, 60.0), Allowed(10.0, 0.0))
        return insured_rps(now_s, 5.0, surges, None, 86_400.0, TIMING, allowed)

    expected, some, none = rates(7500.0 + 60)
    assert expected == 5.0 < some < none <= 5.0 + 20.0
    assert rates(7500.0 + RELAPSE_S + 60) == [5.0, 5.0, 5.0]


def test_a_surge_that_has_just_ended_may_come_back_at_its_height() -> None:
    """It began with 1 rps more for a minute but for ten seconds with 40 more."""
    slow = replace(surge(7200.0), excess=tuple(5.0 * k + (400.0 if k > 10 else 0.0) for k in range(1, 13)))

    def rates(now_s: float) -> list[float]:
        allowed = (Allowed(10.0, 60.0, 60.0), Allowed(10.0, 60.0))
        return insured_rps(now_s, 5.0, [slow], None, 86_400.0, TIMING, allowed)

    at_once, as_before = rates(7500.0 + RELAPSE_S)
    assert as_before < 10.0 < 20.0 < at_once < 50.0
    assert len(set(rates(7500.0 + RELAPSE_S + 1))) == 1
    eager = [
        insured_rps(7500.0 + after_s, 5.0, [slow], None, 86_400.0, STUCK, [Allowed(10.0, 60.0, 60.0)])
        for after_s in (AFTER_S, AFTER_S + 1)
    ]
    assert eager[0] > eager[1]


def test_a_return_is_insured_against_where_the_load_has_fallen_far_below_what_was_before_the_surge() -> None:
    """At 2 rps after one from 5 to 25 rps: back at once, a minute of 25 rps needs more than 2 and 20."""
    fallen = surge(7200.0)
    none_late = [Allowed(1e6, inf, most) for most in (0.0, inf)]
    at_once, not_asked = insured_rps(7500.0, 2.0, [fallen], None, 86_400.0, replace(TIMING, lead_s=60.0), none_late)
    assert not_asked == 2.0
    assert 22.0 < at_once <= 25.0


def test_a_load_that_has_fallen_is_insured_against_being_back_at_once() -> None:
    """30 rps instead of 10, for the 9 s before what comes can wait for new replicas: the longer, the more are late."""
    assert return_rps(10.0, 10.0, TIMING, 0.0) == return_rps(10.0, 8.0, TIMING, 0.0) == 10.0
    none, some = (return_rps(10.0, 30.0, TIMING, most) for most in (0.0, 60.0))
    assert 10.0 < some < none <= 30.0
    assert return_rps(10.0, 30.0, replace(TIMING, wait_s=60.0), 0.0) == 10.0
    assert return_rps(20.0, 60.0, TIMING, 120.0) == pytest.approx(2 * some)


def test_in_a_surge_that_lasts_the_load_of_the_last_two_minutes_may_be_back() -> None:
    def planned_rps(low_s: int) -> float:
        found = decided(steps((20, 3600), (80, 200), (40, low_s)), gain=0.0, elapsed_s=0.0).planned_load_rps
        assert found is not None
        return found

    assert planned_rps(int(AFTER_S) - 20) > 42.0 > 40.0 > planned_rps(int(AFTER_S) + 10)


def test_of_the_days_before_the_last_large_surges_alone_are_remembered() -> None:
    """One small and one large surge a day; of the small ones that of the last day counts as one in a day."""
    surges = [surge(86_400.0 * day + at_s, height) for day in range(3) for at_s, height in ((0.0, 40.0), (9000.0, 8.0))]
    large, small = intensities(3 * 86_400.0, surges, None, 3 * 86_400.0, TIMING)[-2:]
    assert (large, small) == (pytest.approx(1 / (3 * 86_400)), pytest.approx(1 / 86_400))


def test_after_a_surge_its_like_is_planned_for_and_then_the_calm_load_again() -> None:
    def planned_rps(after_s: int) -> float:
        load = steps((20, 80_000), (60, 300), (20, after_s))
        found = decided(load, gain=0.0).planned_load_rps
        assert found is not None
        return found

    soon, later = planned_rps(int(RELAPSE_S) - 60), planned_rps(int(RELAPSE_S) + 60)
    assert later < 22.0 < 28.0 < soon <= 60.0


def test_of_two_surges_within_minutes_the_second_makes_nobody_late(tmp_path: Path) -> None:
    """After a day without any, nobody can foresee the first; with eager dispatch, what waits stays where it is."""
    day_s, first_s, lasts_s, between_s = 86_400, 900, 240, 180
    load = steps((5, day_s + first_s), (22, lasts_s), (5, between_s), (22, lasts_s))
    path = tmp_path / "load.csv"
    path.write_text("\n".join(["count", *map(str, load)]))
    keys = {"trace": str(path), "window": f"{day_s}:{len(load)}", "dispatch": "eager", "arrivals": "even"}
    run = simulate(Scenario(pipeline="sum-qa", policy="foresight").with_values(keys))
    late = run.records.end_s - run.records.arrival_s > run.pipeline.sla_s
    late_s = run.records.arrival_s[late | (run.records.outcome != COMPLETED)]
    in_first = (late_s >= first_s) & (late_s < first_s + lasts_s)
    assert np.count_nonzero(in_first) == len(late_s) > 0
