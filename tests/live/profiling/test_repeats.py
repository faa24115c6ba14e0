"""How sure a mean and a p99 are: known distributions, and what too few values say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, log

import numpy as np
import pytest

from ipa.live.profiling import repeats
from tests.programs.verification.coverage import profiled


def test_the_p99_is_the_nearest_rank_and_its_interval_two_order_statistics() -> None:
    """Of 1,000 values, 4 to 17 lie above the true p99 in 95 % of all cases: so it lies between 983 and 997."""
    assert repeats.p99_of([float(n) for n in range(1, 1001)]) == repeats.TimeEstimate(990.0, 983.0, 997.0)


@pytest.mark.parametrize(("count", "is_bounded"), [(367, False), (368, True), (100_000, True)])
def test_a_p99_has_an_upper_bound_from_368_values(count: int, is_bounded: bool) -> None:
    """0.99^368 = 2.48 %: only then it is unlikely enough that no value lies above it."""
    high = repeats.p99_of([float(n) for n in range(count)]).high
    assert (high < inf) is is_bounded


def test_the_intervals_hold_the_truth_in_about_95_of_100_cases() -> None:
    generator = np.random.default_rng(1)
    held_mean = held_p99 = 0
    for _ in range(400):
        values = generator.exponential(1.0, 500).tolist()
        mean, p99 = repeats.mean_of(values), repeats.p99_of(values)
        held_mean += mean.low <= 1.0 <= mean.high
        held_p99 += p99.low <= log(100) <= p99.high
    assert 370 <= held_mean <= 395
    assert 370 <= held_p99 <= 396


MEAN, BOTH = (repeats.mean_of,), (repeats.mean_of, repeats.p99_of)


@pytest.mark.parametrize(
    ("of", "within", "truth"),
    [
        (MEAN, 0.05, 1.0),
        pytest.param(MEAN, 0.1, 1.0, marks=pytest.mark.long),
        pytest.param(BOTH, 0.2, log(100), marks=pytest.mark.long),
    ],
)
def test_they_hold_it_as_often_where_measuring_ends_once_they_are_narrow(
    of: tuple[Callable[[Sequence[float]], repeats.TimeEstimate], ...], within: float, truth: float
) -> None:
    """Stopped at the first look at which it was narrow, the mean's held the truth in 91.6 to 92.8 of 100 cases."""
    assert profiled(of, within, truth, 400, np.random.default_rng(5)) >= 0.935


def test_values_that_follow_each_other_closely_leave_a_mean_less_sure() -> None:
    """The same 400 values, mixed and one slow half after the other: blocks see the difference."""
    slow_after_fast = [1.0] * 200 + [2.0] * 200
    mixed = [1.0, 2.0] * 200
    assert repeats.mean_of(mixed).within < 0.01 < 0.1 < repeats.mean_of(slow_after_fast).within


def test_too_few_values_say_nothing() -> None:
    assert repeats.mean_of([1.0] * 19).within == inf
    assert not any(repeats.StoppingRule(0.05, look_at=n).is_over([1.0] * n) for n in (300, 400))  # a single look


def test_measuring_ends_at_the_second_look_in_succession_that_is_narrow() -> None:
    stopping = repeats.StoppingRule(0.05)
    said = {n for n in range(1, 700) if stopping.is_over([1.0] * n)}
    assert min(said) == 487  # narrow from 368 values on: at 389 first


def test_a_value_far_out_is_counted() -> None:
    """Quartiles 2.25 and 7.75: far out is above 7.75 + 3 x 5.5 = 24.25."""
    assert repeats.outliers_in([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 24.0, 25.0]) <= 1
    assert repeats.outliers_in([*map(float, range(1, 100)), 1000.0]) == 1
    assert repeats.outliers_in([1.0, 2.0]) == 0
