"""What past decisions say: how many requests would have been late, at which multiple of the level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ipa.policies.foresight.forecast import (
    FALLING,
    GRID,
    MOST_BURSTS,
    REMEMBERED_S,
    RISING,
    STEADY,
    Prior,
    learnt,
    level_now,
    levels,
    multiple,
    period_of,
)
from ipa.policies.foresight.memory import Burst, Remembered
from tests.policies.foresight.cases import REACH, steps

NOTHING = np.empty(0)
PRIOR = Prior(rise=4.0, every_s=1800.0, worth_s=7200.0)
NO_PRIOR = replace(PRIOR, rise=1.0)
HOUR = 3600


def known(load: list[float], now_s: float = 0.0) -> Remembered:
    """What is learnt of a past."""
    return learnt(None, np.array(load[-120:]), np.array(load[:-120]), now_s, REACH)


def test_late_is_what_came_beyond_what_is_served_by_the_time_that_it_may_wait() -> None:
    """A load that doubles at once is at 28 by second 14, the last that the next decision's replicas do not help: what
    c x (14 + 6) does not serve is late, of the ten requests of an interval. With eager dispatch none are helped."""
    doubled = np.full((1, REACH.ahead_s), 2.0)
    assert REACH.ahead_s == 20
    expected = np.maximum(0, 2 * 14 - GRID * 20) / 10
    assert REACH.curves(doubled)[0] == pytest.approx(expected)
    eager = replace(REACH, is_eager=True).curves(doubled)[0]
    assert eager == pytest.approx(np.maximum(0, 2 * 20 - GRID * 26) / 10)


def test_a_level_that_was_enough_makes_nothing_late() -> None:
    late = REACH.curves(np.ones((1, 20)))[0]
    assert late[GRID >= 1].max() == 0
    assert (np.diff(late) <= 0).all()


@pytest.mark.parametrize(
    ("load", "kind", "level_rps"),
    [
        (steps((20, 120)), STEADY, 20),
        (steps((20, 115), (80, 5)), RISING, 80),
        (steps((20, 600), (60, 300), (20, 20)), FALLING, 40),  # the mean of ten minutes, of which five were at 60
        (steps((1, 115), (2, 5)), STEADY, 1.5),  # so few may be chance
    ],
)
def test_a_load_is_steady_rising_or_has_fallen(load: list[float], kind: int, level_rps: float) -> None:
    level, kinds = levels(np.array(load), np.array([len(load)]))
    assert kinds.tolist() == [kind]
    assert level[0] == pytest.approx(level_rps)


def test_what_begins_is_taken_to_go_on_as_it_has_begun() -> None:
    level = level_now(np.array(steps((20, 117), (40, 3))), 20.0)
    assert (level.short_rps, level.medium_rps) == (40, 26)
    assert level.coming_rps == 2 * 40 - 26


# ---- evidence ----


def test_with_nothing_known_a_rise_is_reckoned_with_and_hours_without_one_let_go_of_it() -> None:
    """Every half hour, a load of four times the level at once: 56 - c x 20 late of it, on ten of an interval, in one of
    180 decisions. At a risk of 0.2 % 3.6 may be late: c = 2.62. An hour later the rise is half as likely, and so on."""
    found = []
    for hours in (0, 1, 2, 6, 24, 72):
        seen = Remembered(now_s=0.0, seen_s=hours * HOUR)
        found.append(multiple(seen, STEADY, REACH, 0.002, PRIOR))
    assert found[0] == pytest.approx((56 - 3.6) / 20, abs=0.02)
    assert found[1] == pytest.approx((56 - 3.6 * 1.5) / 20, abs=0.02)
    assert found[2] == pytest.approx((56 - 3.6 * 2) / 20, abs=0.02)
    assert found == sorted(found, reverse=True)
    assert found[-1] == GRID[0]


def test_a_calm_past_plans_for_the_level_and_one_of_bursts_for_more() -> None:
    calm = known(steps((20, 6 * HOUR)))
    assert multiple(calm, STEADY, REACH, 0.002, NO_PRIOR) <= 1.0
    often = known(steps(*[(20, 1000), (80, 300)] * 16, (20, 1000)))
    assert len(often.bursts) == 16
    seldom = known(steps(*[(20, 20_000), (80, 300)] * 2, (20, 20_000)))
    c = [multiple(each, STEADY, REACH, 0.002, NO_PRIOR) for each in (calm, seldom, often)]
    assert c == sorted(c)
    assert c[0] < c[2]


def test_less_risk_never_plans_for_less() -> None:
    seen = known(steps(*[(20, 1000), (80, 300)] * 4, (20, 1000)))
    c = [multiple(seen, STEADY, REACH, risk, PRIOR) for risk in (0.5, 0.01, 0.001, 1e-5)]
    assert c == sorted(c)
    assert c[0] < c[-1]


def test_a_load_of_another_size_has_the_same_multiples() -> None:
    load = np.random.default_rng(6).poisson(np.array(steps(*[(200, 1000), (800, 300)] * 6, (200, 1000))))
    one, other = (known((factor * load).tolist()) for factor in (1.0, 4.0))
    assert one == replace(other, slow_rps=one.slow_rps, usual_rps=one.usual_rps)


def test_a_decision_counts_as_soon_as_it_is_over() -> None:
    """The load rises at 600 s. Of the 14 s after the decision at 590 s, four are of the burst: too few for half as much
    again to be too little. It takes the one at 600 s by surprise, which is over at 620 s; those after it are about a
    rising load."""
    load = steps((20, 600), (80, 300))
    seen = learnt(None, np.array(load[400:520]), np.array(load[:400]), 520.0, REACH)
    counts = []
    for now in range(530, 700, 10):
        seen = learnt(seen, np.array(load[now - 120 : now]), NOTHING, float(now), REACH)
        counts.append(len(seen.bursts))
    assert counts == [0] * 9 + [1] * 8
    assert seen.bursts[0].at_s == 600
    assert seen.tallies[RISING].decisions > 0


def test_seconds_without_a_sample_teach_nothing() -> None:
    before = known(steps((20, 600)))
    after = learnt(before, np.full(120, np.nan), NOTHING, 10.0, REACH)
    assert 51.9 < after.tallies[STEADY].decisions < before.tallies[STEADY].decisions == 52  # which fade


def test_what_is_remembered_is_bounded() -> None:
    seen = known(steps(*[(5, 1500), (50, 60)] * 160))
    assert len(seen.bursts) == MOST_BURSTS
    assert min(each.at_s for each in seen.bursts) > seen.now_s - REMEMBERED_S


# ---- periods ----


@pytest.mark.parametrize("period_s", [300.0, 420.0, 1800.0, 3600.0])
def test_a_period_is_found_from_bursts_that_keep_it_within_a_minute(period_s: float) -> None:
    rng = np.random.default_rng(3)
    times_s = 137.0 + period_s * np.arange(16) + rng.uniform(-30, 30, 16)
    assert period_of(times_s.tolist()) == period_s


def test_bursts_at_any_time_keep_no_period() -> None:
    drawn = (np.sort(np.random.default_rng(seed).uniform(0, 86_400, 24)).tolist() for seed in range(40))
    assert sum(period_of(times_s) is not None for times_s in drawn) <= 2  # 5 %
    assert period_of([]) is None
    assert period_of([0.0, 1800.0]) is None


def test_bursts_that_keep_a_period_count_at_their_time_of_it_and_others_at_any_time() -> None:
    """Every half hour for a day, but for one burst that came at another time."""
    late = tuple(np.maximum(0, 5 - 2 * GRID[GRID < 2.5]).tolist())
    kept = tuple(Burst(1800.0 * k, late) for k in range(48))
    odd = Burst(1800.0 * 20 + 700, late)
    bursts = tuple(sorted((*kept, odd), key=lambda each: each.at_s))
    seen = Remembered(now_s=86_400.0, seen_s=86_400.0, bursts=bursts, period_s=1800.0)
    due, between = (
        multiple(replace(seen, now_s=86_400.0 + at_s), STEADY, REACH, 0.002, NO_PRIOR) for at_s in (0.0, 900.0)
    )
    without = multiple(replace(seen, period_s=None), STEADY, REACH, 0.002, NO_PRIOR)
    assert between < without < due
    assert due > 2.4
