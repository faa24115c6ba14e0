"""The margin that ordinary seconds have needed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from ipa.policies.foresight.insurance import Timing
from ipa.policies.foresight.level import level_of
from ipa.policies.foresight.margin import Tried
from ipa.policies.foresight.peak import peak_of
from ipa.policies.foresight.surges import Surge, surges_in
from tests.policies.foresight.cases import MINUTE, TIMING, decided, steps
from tests.tiny import published, two_by_two


def uneven(high_rps: float = 17.0, low_rps: float = 3.0, seconds: int = 7200) -> list[float]:
    """Eight seconds high and eight low, again and again; by default 10 rps in the mean, and no surge."""
    return steps((high_rps, 8), (low_rps, 8)) * (seconds // 16)


def margin(load: Sequence[float], wait_s: float, risk: float = 0.0005, surges: Sequence[Surge] = ()) -> float:
    timing = replace(TIMING, wait_s=wait_s)
    return Tried().after(load, surges, float(len(load)), timing, is_past=True).least(risk)


def test_a_load_that_varies_within_seconds_needs_a_margin_where_requests_cannot_wait_for_replicas() -> None:
    assert margin(steps((10, 7200)), 0.1) == 1.0
    assert margin(uneven(), TIMING.answered_s) == 1.0
    assert 1.0 < margin(uneven(), 2.0) <= 1.51
    assert margin(uneven(), 2.0, risk=1.0) == 1.0
    assert margin(uneven(12, 8), 2.0) < margin(uneven(), 2.0)


def test_the_margin_is_the_least_in_steps_with_which_a_queue_would_have_been_short_enough() -> None:
    """Found again by going through the seconds of each decision."""
    load = np.random.default_rng(8).gamma(4.0, 2.5, 3600).round().tolist()
    timing = replace(TIMING, wait_s=1.5)
    found = Tried().after(load, (), 3600.0, timing, is_past=True)
    late, requests = np.zeros(11), 0.0
    planned = {}
    for end in range(MINUTE, 3600 + 1):
        level = level_of(load[:end])
        assert level is not None
        planned[end] = peak_of(level, (), 0.0)
    for end in range(3600 - 20, MINUTE - 1, -70):
        made = np.zeros(11)
        for step in range(11):
            waiting = 0.0
            for second in range(14):  # until 13.5 s, from when on the next decision's replicas serve in time
                level_rps = min(planned[end], planned[max(end - 10, MINUTE)] if second < 8 else planned[end])
                rate_rps = 2 ** (step / 17) * level_rps
                waiting = max(0.0, waiting + load[end + second] - rate_rps)
                made[step] += min(max(waiting - 1.5 * rate_rps, 0.0), load[end + second])
        if made[-1] == 0:
            late += made
            requests += sum(load[end : end + 14])
    assert late[0] > 0
    assert found.late == pytest.approx(7 * late)  # one decision in seven stands for all
    assert found.requests == pytest.approx(7 * requests)


def test_what_only_a_surge_s_rate_would_serve_asks_for_no_margin() -> None:
    load = steps(*[(10, 500), (40, 100)] * 12)
    assert margin(load, 2.0) == 1.0
    assert margin(load, 2.0, surges=surges_in(load, float(len(load)))) == 1.0


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_a_load_of_another_size_needs_the_same_margin(factor: float) -> None:
    load = np.random.default_rng(9).gamma(4.0, 2.5, 7200)
    assert margin((factor * load).tolist(), 2.0) == margin(load.tolist(), 2.0) > 1.0


def test_a_margin_is_learnt_step_by_step_too_and_from_a_memory() -> None:
    load, tried = uneven(), Tried()
    for until in range(120, len(load) + 1, 10):
        kept = json.loads(json.dumps(tried.kept))
        tried = Tried.of(kept).after(load[until - 120 : until], (), float(until), replace(TIMING, wait_s=2.0), False)
    assert tried.least(0.0005) == margin(uneven(), 2.0)
    gap = [*load[:60], float("nan"), *load[61:120]]
    assert tried.after(gap, (), 7210.0, TIMING, is_past=False) == tried
    assert tried.after(load[:60], (), 7210.0, TIMING, is_past=False) == tried


@pytest.mark.parametrize("timing", [Timing(10.4, 2.0, 20.0), Timing(16.4, 4.0, 20.0), Timing(0.4, 0.0, 1.0)])
def test_a_margin_is_learnt_whatever_part_of_a_second_the_interval_has(timing: Timing) -> None:
    for is_past in (True, False):
        tried = Tried().after(steps((10, 120)), (), 120.0, timing, is_past)
        assert tried.requests > 0
        assert tried.least(0.0005) == 1.0


def test_a_policy_plans_for_the_margin_that_its_past_has_needed() -> None:
    short = two_by_two(published()).with_limits(2.0, {})
    calm, unquiet = (
        decided(load, elapsed_s=0.0, gain=0.0, pipeline=short)
        for load in (steps((10, 7200)), [*uneven(seconds=7200), *steps((10, 120))])
    )
    assert calm.planned_load_rps == pytest.approx(1.1 * 10, rel=0.05)
    assert unquiet.planned_load_rps > 1.2 * calm.planned_load_rps  # type: ignore[operator]
