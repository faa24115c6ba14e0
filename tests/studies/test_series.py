"""What plots show, checked by hand on small tables."""

from __future__ import annotations

import numpy as np
import pytest

from ipa.sim import bin_edges
from ipa.studies.series import (
    MOST_CURVE_POINTS,
    MOST_SEGMENTS,
    MOST_STEPS,
    bin_s,
    decided,
    existing_cores,
    latency_curve,
    latency_quantiles_s,
    load_rps,
    segments,
    violation_counts,
)
from tests.studies.made import SLA_S, decisions_of, replicas_of, requests_of


def test_bins_are_of_ten_seconds_and_at_most_120() -> None:
    assert [bin_s(duration_s) for duration_s in (2.0, 60.0, 1200.0, 1201.0, 86400.0)] == [0.2, 10.0, 10.0, 20.0, 1000.0]
    assert bin_edges(25.0, 10.0).tolist() == [0.0, 10.0, 20.0, 25.0]


def test_load_counts_arrivals_by_the_second() -> None:
    load = load_rps({"requests": requests_of([0.0, 0.5, 2.0, 2.2, 2.4], [1.0] * 5)}, 2.5)
    assert load.edges_s.tolist() == [0.0, 1.0, 2.0, 2.5]
    assert load.value.tolist() == [2.0, 0.0, 6.0]


def test_existing_cores_follow_creation_and_going() -> None:
    """1 core for 15 s, 2 for all 20 s, 4 from second 5 to after the end: none beyond the duration."""
    steps = existing_cores(replicas_of((1, 0.0, 15.0), (2, 0.0, np.nan), (4, 5.0, 21.0), (8, 20.0, 25.0)), 20.0)
    assert steps.edges_s.tolist() == [0.0, 5.0, 15.0, 20.0]
    assert steps.value.tolist() == [3.0, 7.0, 6.0]


def test_many_steps_are_thinned_to_their_means() -> None:
    """A replica of 3 cores that exists every other second of 6000: 1.5 cores in the mean of every thinned step."""
    steps = existing_cores(replicas_of(*((3, float(at), at + 1.0) for at in range(0, 6000, 2))), 6000.0)
    assert len(steps.value) == MOST_STEPS
    assert steps.value == pytest.approx(np.full(MOST_STEPS, 1.5))


def test_a_forecast_that_a_policy_does_not_make_has_no_line() -> None:
    assert decided(decisions_of((0.0, "small", 1, 1), forecast=np.nan), "forecast_rps", 20.0) is None


def test_equal_decisions_are_one_segment() -> None:
    decisions = decisions_of(
        (0.0, "a", 1, 2), (10.0, "a", 1, 2), (20.0, "b", 4, 2), (30.0, "b", 4, 2), (40.0, "b", 8, 2)
    )
    found = [(part.start_s, part.end_s, part.variant, part.batch) for part in segments(decisions, "detect", 45.0)]
    assert found == [(0.0, 20.0, "a", 1), (20.0, 40.0, "b", 4), (40.0, 45.0, "b", 8)]


def test_too_many_segments_are_thinned() -> None:
    decisions = decisions_of(*((10.0 * step, "a", 1 + step % 2, 1) for step in range(2 * MOST_SEGMENTS + 1)))
    found = segments(decisions, "detect", 20.0 * MOST_SEGMENTS + 10.0)
    assert len(found) <= MOST_SEGMENTS
    assert (found[0].start_s, found[-1].end_s) == (0.0, 20.0 * MOST_SEGMENTS + 10.0)


def test_latency_quantiles_are_by_arrival_with_gaps_where_none_completed() -> None:
    requests = requests_of([1.0, 2.0, 3.0, 15.0, 119.0], [1.0, 2.0, 6.0, "dropped", 0.5])
    middle_s, (p50_s,) = latency_quantiles_s({"requests": requests}, 120.0, (0.5,))
    assert middle_s.tolist() == [5.0, 15.0, *range(25, 120, 10)]
    assert (p50_s[0], p50_s[-1]) == (2.0, 0.5)
    assert np.isnan(p50_s[1:-1]).all()


def test_a_violation_is_counted_once_by_its_kind() -> None:
    requests = requests_of([1.0, 2.0, 11.0, 11.5, 12.0, 13.0], [1.9, 2.1, "dropped", "dropped", "failed", "unfinished"])
    _, counts = violation_counts({"requests": requests}, 20.0, SLA_S)
    assert {kind: int(of.sum()) for kind, of in counts.items()} == {
        "late": 1,
        "dropped": 2,
        "failed": 1,
        "unfinished": 1,
    }


def test_the_curve_at_the_sla_is_the_share_without_violation() -> None:
    """Of 10,000 requests 8,000 take 1 ms to 8 s evenly and 2,000 are dropped: 20 % are within the SLA of 2 s."""
    latency_s: list[float | str] = [0.001 * (place + 1) for place in range(8000)]
    requests = requests_of(np.zeros(10000).tolist(), [*latency_s, *["dropped"] * 2000])
    x, y = latency_curve([{"requests": requests}], SLA_S)
    assert len(x) <= MOST_CURVE_POINTS
    assert y[np.searchsorted(x, SLA_S, side="right") - 1] == pytest.approx(20.0)
    assert (x[-1], y[-1]) == pytest.approx((8.0, 80.0))
