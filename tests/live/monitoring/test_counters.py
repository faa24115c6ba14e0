"""What samples of counters say and do not say: resets, gaps, several gateways."""

from __future__ import annotations

from math import inf, isnan, nan

import numpy as np

from ipa.live.monitoring.prometheus_api import added, bucket_quantiles, clean, increase_since, per_second
from ipa.policies import NO_LATENCY, LatencyQuantiles


def test_what_comes_between_two_samples_is_spread_over_the_time_between() -> None:
    samples = [(0.0, 0.0), (1.0, 4.0), (2.0, 6.0), (3.5, 12.0), (4.5, 12.0)]
    # 4 and 2 in the first two seconds; 4 a second from 2 to 3.5; then none.
    np.testing.assert_allclose(per_second(samples, 4.0, 4), [4.0, 2.0, 4.0, 2.0])


def test_a_second_that_no_samples_cover_is_no_sample_and_not_zero() -> None:
    samples = [(1.0, 0.0), (2.0, 3.0), (3.0, 6.0)]
    assert [isnan(count) for count in per_second(samples, 5.0, 5)] == [True, False, False, True, True]
    assert all(map(isnan, per_second([(1.0, 7.0)], 3.0, 3)))
    assert all(map(isnan, per_second([], 3.0, 3)))


def test_no_requests_in_covered_seconds_are_zero() -> None:
    assert per_second([(0.0, 5.0), (1.0, 5.0), (2.0, 5.0)], 2.0, 2) == [0.0, 0.0]


def test_a_silence_of_some_scrapes_is_a_gap() -> None:
    samples = [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (5.0, 50.0), (6.0, 51.0), (7.0, 52.0)]
    counts = per_second(samples, 7.0, 7)
    assert [count for count in counts if not isnan(count)] == [1.0, 1.0, 1.0, 1.0]
    assert [isnan(count) for count in counts] == [False, False, True, True, True, False, False]


def test_a_counter_that_was_reset_counts_from_zero() -> None:
    samples = [(0.0, 100.0), (1.0, 104.0), (2.0, 3.0), (3.0, 5.0)]
    assert per_second(samples, 3.0, 3) == [4.0, 3.0, 2.0]
    assert increase_since(samples, 0.0) == 9.0
    assert increase_since(samples, 1.0) == 5.0


def test_nothing_is_counted_twice_and_nothing_before_the_first_sample() -> None:
    assert increase_since([(1.0, 40.0), (2.0, 42.0)], 0.0) == 2.0
    assert increase_since([(1.0, 40.0), (2.0, 42.0)], 2.0) == 0.0


def test_samples_that_are_no_numbers_are_passed_over() -> None:
    assert clean([(0.0, nan), (1.0, 2.0), (2.0, inf)]) == [(1.0, 2.0)]


def test_several_gateways_add_up_where_each_has_a_sample() -> None:
    counts = added([[1.0, nan, nan], [2.0, 3.0, nan]], 3)
    assert counts[:2] == (3.0, 3.0)
    assert isnan(counts[2])
    assert all(map(isnan, added([], 2)))


def test_quantiles_lie_within_their_bucket() -> None:
    # 100 requests: 50 up to 1 s, 45 between 1 and 2, 5 above 4.
    buckets = {1.0: 50.0, 2.0: 95.0, 4.0: 95.0, inf: 100.0}
    assert bucket_quantiles(buckets) == LatencyQuantiles(1.0, 2.0, 4.0)
    assert bucket_quantiles({1.0: 0.0, inf: 0.0}) is NO_LATENCY
    assert bucket_quantiles({}) is NO_LATENCY
