"""The order of measurements, and what need not be measured."""

from __future__ import annotations

from ipa.live.profiling import MeasuredVariant, ruled_out, visits


def test_all_single_requests_come_first_and_batches_ascend() -> None:
    assert visits([("a", "x"), ("b", "y")], [2, 1], [8, 1, 4]) == [
        MeasuredVariant("a", "x", 1, (1,)),
        MeasuredVariant("a", "x", 2, (1,)),
        MeasuredVariant("b", "y", 1, (1,)),
        MeasuredVariant("b", "y", 2, (1,)),
        MeasuredVariant("a", "x", 1, (4, 8)),
        MeasuredVariant("a", "x", 2, (4, 8)),
        MeasuredVariant("b", "y", 1, (4, 8)),
        MeasuredVariant("b", "y", 2, (4, 8)),
    ]


def test_a_batch_is_ruled_out_by_a_smaller_one_that_takes_too_long() -> None:
    mean_s = {1: 0.3, 2: 0.6, 4: 1.2}
    assert ruled_out(mean_s, 8, 1.0) == 4
    assert ruled_out(mean_s, 4, 1.0) is None  # 2 takes 0.6 s: 4 may keep 1 s
    assert ruled_out(mean_s, 8, 2.0) is None
