"""Means over seeds with their intervals, by hand."""

from collections.abc import Sequence
from math import inf, isnan
from typing import Any

import numpy as np
import pytest

from ipa.studies.intervals import (
    difference_of,
    estimate,
    estimate_of,
    paired_change_percent,
    paired_difference,
    runs_to_show,
    unseen,
)
from tests.programs.verification.coverage import (
    OUTCOMES,
    REQUESTS,
    SPAN_S,
    WHOLE_BURSTS,
    WINNERS,
    Outcome,
    upper_ends_held,
    wrong_winners,
)


def test_an_interval_is_students_t() -> None:
    """1, 2, 3: mean 2, s = 1; t(0.975, 2) = 4.3027 and s / sqrt(3) = 0.57735 make 2.4841 on either side."""
    found = estimate([1.0, 2.0, 3.0])
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, 2.0 - 2.4841, 2.0 + 2.4841), abs=1e-4)


def test_an_objective_below_0_has_both_ends_around_its_mean() -> None:
    low = estimate_of("objective", [{"objective": value} for value in (-2.0, -1.0, -3.0)])
    assert low is not None
    assert low.low < low.mean == -2.0 < low.high < 1.0
    assert low.text(1) == "-2.0 ± 2.5"


def test_what_cannot_be_negative_has_no_interval_below_zero() -> None:
    """0, 0, 3: mean 1, s = sqrt(3); 4.3027 * sqrt(3) / sqrt(3) on either side reach from below 0 to 5.30."""
    found = estimate_of("changes", [{"changes": value} for value in (0, 0, 3)])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.0, 5.3027), abs=1e-4)
    assert found.text(2) == "1.00 [0, 5.30]"
    symmetric = estimate([1.0, 2.0, 3.0])
    assert symmetric is not None
    assert symmetric.text(2) == "2.00 ± 2.48"


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    found = estimate([None, 5.0])
    assert found is not None
    assert found.mean == 5.0
    assert isnan(found.low)
    assert not found.has_interval
    assert estimate([None]) is None


def test_pairs_are_of_the_same_seed() -> None:
    """Seeds 1 and 2 have both: 4 - 1 and 6 - 3 differ by 3 exactly; 4 / 1 - 1 and 6 / 3 - 1 are 300 and 100 percent."""
    one, other = {1: 4.0, 2: 6.0, 3: 9.0}, {1: 1.0, 2: 3.0, 4: 7.0}
    difference = paired_difference(one, other)
    change = paired_change_percent(one, other)
    assert difference is not None
    assert change is not None
    assert (difference.mean, difference.low, difference.high) == (3.0, 3.0, 3.0)
    assert change.mean == pytest.approx(200.0)


def runs(*rates: float) -> dict[int, dict[str, Any]]:
    return {
        seed: {"sla_violation_rate": rate, "dropped": rate * REQUESTS, "requests": REQUESTS, "duration_s": SPAN_S}
        for seed, rate in enumerate(rates)
    }


def test_where_no_run_had_any_there_may_be_one_burst_in_as_many_as_were_looked_at() -> None:
    """None in 5 x 120 bursts of 10 s: at most 1 - 0.025^(1/600) = 0.613 % of the requests, 88 of 14,412."""
    texts = [
        found.text(2)
        for key, factor in (("sla_violation_rate", 100.0), ("dropped", 1.0))
        if (found := estimate_of(key, runs(0, 0, 0, 0, 0).values(), factor))
    ]
    assert texts == ["0 (≤ 0.61)", "0 (≤ 88.34)"]


def test_a_share_s_interval_ends_where_shares_do() -> None:
    """95 % with a deviation of 11 points: Student's interval would reach from 81 to 109 %."""
    found = estimate_of("sla_violation_rate", runs(1.0, 1.0, 0.75, 1.0, 1.0).values(), 100.0)
    assert found is not None
    assert 50.0 < found.low < 80.0
    assert 99.0 < found.high <= 100.0


def test_shares_of_runs_whose_length_is_not_told_have_student_s_interval() -> None:
    """As in a table of one's own, without a column `duration_s`."""
    told, other = runs(0.01, 0, 0, 0, 0), runs(0, 0, 0, 0, 0)
    untold, against = (
        {seed: {key: run[key] for key in run if key != "duration_s"} for seed, run in each.items()}
        for each in (told, other)
    )
    student = estimate([0.01, 0, 0, 0, 0])
    assert student is not None
    for found in (
        estimate_of("sla_violation_rate", untold.values()),
        difference_of("sla_violation_rate", untold, against),
    ):
        assert found is not None
        assert found.high == pytest.approx(student.high)


def test_two_settings_without_violations_are_not_known_to_be_alike() -> None:
    """Nor are those of which one has had some with one of five seeds known to differ."""
    none = {seed: {**run, "cost_mean_cores": 3.0} for seed, run in runs(0, 0, 0, 0, 0).items()}
    for one in (runs(0, 0, 0, 0, 0), runs(0.01, 0, 0, 0, 0)):
        found = difference_of("sla_violation_rate", one, none, 100.0)
        assert found is not None
        assert found.low < -0.4 < 0.6 < found.high


@pytest.mark.parametrize("rates", [(0, 0, 0), (0.01, 0, 0), (1e-4, 1e-4, 1e-4)])
def test_runs_that_are_alike_in_every_figure_differ_in_none(rates: tuple[float, ...]) -> None:
    """Whatever they are called, and however few violations there were."""
    one = {seed: {**run, "policy": "ipa", "wall_s": 1.0} for seed, run in runs(*rates).items()}
    other = {seed: {**run, "policy": "ipa beta=1", "wall_s": 2.0} for seed, run in runs(*rates).items()}
    for key in ("sla_violation_rate", "dropped"):
        found = difference_of(key, one, other, 100.0)
        assert found is not None
        assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)


def test_where_few_violations_were_as_many_with_every_seed_they_do_not_differ() -> None:
    """Settings of different costs, each with one late request of 14,412 in one of three runs: the same one."""
    dearer = {seed: {**run, "cost_mean_cores": 3.0} for seed, run in runs(1e-4, 0, 0).items()}
    found = difference_of("sla_violation_rate", runs(1e-4, 0, 0), dearer, 100.0)
    assert found is not None
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)


def test_a_mean_that_is_the_same_with_every_seed_stands_alone() -> None:
    found = estimate([31.88, 31.88, 31.88])
    assert found is not None
    assert found.text(2) == "31.88"


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda each: each.name)
def test_intervals_of_five_seeds_hold_the_mean_about_as_often_as_they_say(outcome: Outcome) -> None:
    """Student's hold it in 4 % of the cases where violations are rare, and in 88 % where p99 is skewed as `rate`'s."""
    ours, student = outcome.coverage(5, 2000, np.random.default_rng(2))
    assert ours >= outcome.least
    assert student <= ours + 0.01


@pytest.mark.parametrize("settings", WINNERS.values(), ids=WINNERS)
def test_a_setting_is_shown_to_win_wrongly_in_at_most_one_in_twenty_cases(settings: Sequence[Outcome]) -> None:
    assert wrong_winners(settings, 5, 1000, np.random.default_rng(3)) <= 0.05


# ---- what none seen says ----


def test_none_seen_bounds_by_bursts_or_by_requests_whichever_are_fewer() -> None:
    """None in 360 bursts of 10 s: 1 - .025 ^ (1 / 360); one request alone says next to nothing."""
    bounds_of = unseen(np.array([43_266.0, 1.0, 0.0]), np.array([3600.0, 86_400.0, 3600.0]))
    assert bounds_of.tolist() == pytest.approx([1.0 - 0.025 ** (1 / 360), 0.975, 1.0])
    run = {"requests": 1, "duration_s": 86_400.0, "sla_violation_rate": 0.0}
    found = estimate_of("sla_violation_rate", [run, run])
    assert found is not None
    assert found.high == pytest.approx(1.0 - 0.025 ** (1 / 2))


def test_four_runs_of_twenty_minutes_without_any_show_one_per_cent() -> None:
    assert [float(unseen(np.array(14_422.0 * n), np.array(1200.0 * n))) <= 0.01 for n in (3, 4)] == [False, True]
    assert runs_to_show(0.01, 14_422, 1200.0) == 4
    assert [runs_to_show(most, 1e6, 1200.0) for most in (0.0, 1.0)] == [inf, 1.0]
    assert runs_to_show(0.01, 0, 1200.0) == inf


def test_the_worst_hour_rests_on_an_hour_of_each_run() -> None:
    day = {"requests": 864_000, "duration_s": 86_400.0, "sla_violation_worst_hour_rate": 0.0, "sla_violation_rate": 0.0}
    hour, whole = (estimate_of(f"sla_violation_{name}rate", [day, day]) for name in ("worst_hour_", ""))
    assert hour is not None
    assert whole is not None
    assert hour.high == pytest.approx(1.0 - 0.025 ** (1 / 720))
    assert whole.high == pytest.approx(1.0 - 0.025 ** (1 / 17_280))


@pytest.mark.parametrize("seeds", [3, 4])
def test_an_upper_end_is_a_bound_of_97_5_per_cent(seeds: int) -> None:
    """Bursts of 10 s in which all requests are late, 1 % in the mean."""
    assert upper_ends_held(WHOLE_BURSTS, seeds, 5000, np.random.default_rng(2)) >= 0.967
