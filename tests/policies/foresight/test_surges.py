"""The level of a load, the surges in it, and the period that they keep."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from ipa.policies.foresight.clock import period_of
from ipa.policies.foresight.learning import learnt
from ipa.policies.foresight.level import level_of
from ipa.policies.foresight.surges import Surge, from_memory, large_onsets_s, surges_in, to_memory
from tests.policies.foresight.cases import LONG_SLA, steps
from tests.tiny import observation


def test_the_deviation_is_that_of_seconds_and_not_of_a_rise() -> None:
    alternating = steps((4, 1), (6, 1)) * 30
    level = level_of(alternating)
    assert level is not None
    assert (level.m3_rps, level.m10_rps, level.m60_rps) == (pytest.approx(16 / 3), 5, 5)
    assert level.deviation_rps == pytest.approx(2 * 0.8862, rel=1e-3)
    risen = level_of(steps((5, 30), (65, 30)))
    assert risen is not None
    assert risen.deviation_rps == pytest.approx(0.8862 * 60 / 59, rel=1e-3)


def test_seconds_without_a_sample_are_left_out_and_none_at_all_is_no_level() -> None:
    level = level_of([float("nan")] * 100 + [4.0, float("nan"), 6.0])
    assert level is not None
    assert level.m10_rps == 5.0
    assert level_of([float("nan")] * 120) is None


def test_a_surge_is_known_by_its_onset_its_level_and_what_it_brought() -> None:
    load = steps((6, 300), (28, 100), (6, 100))
    (found,) = surges_in(load, 500.0)
    assert (found.onset_s, found.base_rps, found.follows) == (300.0, 6.0, False)
    assert found.excess[:3] == (110.0, 220.0, 330.0)
    assert found.peak_rps == 22.0
    assert found.end_s == pytest.approx(410, abs=2)


def test_surges_found_step_by_step_are_those_found_at_once() -> None:
    rng = np.random.default_rng(3)
    rate = np.array(steps((6, 900), (28, 300), (6, 700), (25, 200), (7, 600)))
    load = rng.poisson(rate).astype(float).tolist()
    at_once = surges_in(load, float(len(load)))
    found: list[Surge] = []
    for until in range(120, len(load) + 1, 10):
        found = surges_in(
            load[until - 120 : until], float(until), from_memory(json.loads(json.dumps(to_memory(found))))
        )
    assert [round(each.onset_s) for each in at_once] == pytest.approx([900, 1900], abs=10)
    assert [each.onset_s for each in found] == pytest.approx([each.onset_s for each in at_once], abs=3)


def test_noise_is_no_surge_and_a_step_is_one_until_it_is_the_level() -> None:
    rng = np.random.default_rng(1)
    assert surges_in(rng.poisson(6, 20_000).astype(float), 20_000.0) == []
    found = surges_in(steps((6, 300), (20, 4000)), 4300.0)
    assert [(each.onset_s, each.end_s) for each in found] == [(300.0, 2100.0)]


@pytest.mark.parametrize("factor", [0.25, 4.0, 1000.0])
def test_a_load_of_another_size_has_the_same_surges(factor: float) -> None:
    load = np.random.default_rng(2).poisson(np.array(steps((6, 900), (28, 300), (6, 700)))).astype(float)
    ones, others = surges_in(load, 1900.0), surges_in(factor * load, 1900.0)
    assert [(each.onset_s, each.end_s) for each in ones] == [(each.onset_s, each.end_s) for each in others]
    assert [each.peak_rps * factor for each in ones] == pytest.approx([each.peak_rps for each in others], abs=0.01)


def test_large_surges_are_remembered_for_three_days_and_others_for_one() -> None:
    day = steps((20, 40_000), (80, 200), (20, 20_000), (40, 200), (20, 26_000))
    found = surges_in(day * 4, 4.0 * 86_400)
    assert [round(each.peak_rps) for each in found] == [60, 60, 60, 20]
    assert large_onsets_s(found) == [each.onset_s for each in found[:3]]
    assert large_onsets_s(found, 3.0 * 86_400) == [found[2].onset_s]


@pytest.mark.parametrize("rate_rps", [6.0, 40.0])
def test_a_gap_takes_the_mean_before_it_and_no_surge_comes_after_it(rate_rps: float) -> None:
    for seed in range(5):
        load = np.random.default_rng(seed).poisson(rate_rps, 2000).astype(float)
        for first, end in ((0, 50), (500, 560), (900, 1300)):
            load[first:end] = float("nan")
        load[499] = load[899] = 0.0  # as the last second before a silence is often not a whole one
        assert surges_in(load.tolist(), 2000.0) == []
        found: list[Surge] = []
        for until in range(120, 2001, 10):
            found = surges_in(load[until - 120 : until].tolist(), float(until), found)
        assert found == []


def test_a_surge_ends_after_half_an_hour_whatever_is_shown() -> None:
    lasting = Surge(100.0, 5.0, None, (50.0,), False)
    assert surges_in([20.0] * 60, 1899.0, [lasting]) == [lasting]
    assert [each.end_s for each in surges_in([20.0] * 60, 1900.0, [lasting])] == [1900.0]


def test_one_flash_crowd_leaves_the_large_surges_of_the_last_day_large() -> None:
    """Every half hour, 40 requests/s more come; once, two days ago, 200 did."""
    load = steps((20, 1700), (220, 100), *[(20, 1700), (60, 100)] * 95)
    known, _ = learnt(
        LONG_SLA.stages, replace(observation(load[-120:], elapsed_s=0.0), past_rps=tuple(load[:-120])), {}, 10.0, 0.0
    )
    assert known["period_s"] == 1800.0


def test_a_load_that_comes_back_after_a_minute_of_silence_is_remembered_as_a_surge_that_does_not_last() -> None:
    (found,) = surges_in([*steps((5, 600), (0, 70), (5, 300))], 970.0)
    assert (found.onset_s, found.base_rps, found.end_s, found.is_lasting) == (670.0, 0.0, None, False)
    (real,) = surges_in([*steps((5, 600), (20, 300))], 900.0)
    assert real.is_lasting
    assert not surges_in([*steps((5, 600), (20, 300), (5, 60))], 960.0)[0].is_lasting


def test_a_period_is_found_and_proven() -> None:
    rng = np.random.default_rng(4)
    slots = rng.choice(48, 12, replace=False)
    onsets = sorted((1800 * slots + rng.uniform(100, 180, 12)).tolist())
    assert period_of(onsets) == 1800.0


def test_a_time_of_the_period_that_is_about_its_end_is_one_time() -> None:
    """Timers at full and half hours, seconds early or late: the period is the half hour."""
    rng = np.random.default_rng(10)
    slots = np.sort(rng.choice(np.arange(1, 48), 24, replace=False))
    assert period_of((1800.0 * slots + rng.uniform(-6, 6, 24)).tolist()) == 1800.0


def test_surges_at_random_times_keep_no_clock() -> None:
    rng = np.random.default_rng(5)
    found = [period_of(sorted(rng.uniform(0, 86_400, 12).tolist())) for _ in range(200)]
    assert sum(period is not None for period in found) <= 4
    assert period_of([0.0, 1800.0]) is None


def test_six_of_nine_at_the_same_time_of_the_half_hour_prove_it_and_five_of_eight_do_not() -> None:
    """Chance brings so many together in a half hour with less than 0.06 and 0.5 %; 61 periods are tried at 5 %."""
    kept, others = [140.0 + 1800 * k for k in (0, 5, 11, 18, 30, 44)], [3000.0, 21_000.0, 50_700.0]
    assert period_of([*kept, *others]) == 1800.0
    assert period_of([*kept[:5], *others]) is None
