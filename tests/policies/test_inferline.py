"""InferLine: the plan for a sample, the envelope, and when the tuner acts; numbers to check by hand."""

from __future__ import annotations

from math import inf, nan

import pytest

from ipa.policies import Configuration, Decision, InferLine, Memory
from ipa.policies.inferline import InferLinePlan, Size, latency_s, peak_rps, plan
from tests.tiny import chosen, configuration, observation, published, two_by_two

PIPELINE = two_by_two(published(accuracy="sum"))
SINGLE = Size(batch=1, throughput_rps=10.0, latency_s=0.1, fill_s=0.0, cores=1)
PAIRS = Size(batch=2, throughput_rps=12.5, latency_s=0.16, fill_s=0.05, cores=1)


ONE, TWO = ((),), ((), (0,))
"""The parents of the stages of a chain."""


# The plan


def test_a_fluid_queue_makes_a_burst_wait() -> None:
    """20, then nothing: of 20 requests 10 wait a second: 10 / 10 = 1 s, and 0.1 s of service. Then it is empty."""
    assert latency_s([20, 0, 0, 0], [SINGLE], [1], ONE) == pytest.approx(1.1)
    assert latency_s([20, 0, 0, 0], [SINGLE], [2], ONE) == pytest.approx(0.1)


def test_what_a_stage_cannot_serve_does_not_reach_the_next() -> None:
    """The second stage sees 10, 10 and never waits: 1 s in all, and twice 0.1 s."""
    assert latency_s([20, 0, 0, 0], [SINGLE, SINGLE], [1, 1], TWO) == pytest.approx(1.2)


def test_one_request_of_a_hundred_may_be_late() -> None:
    """The burst's 20, which wait a second, are 1 % of 2,000 requests, and more of 1,990."""
    assert latency_s([20, 0, *[10] * 198], [SINGLE], [1], ONE) == pytest.approx(0.1)
    assert latency_s([20, 0, *[10] * 197], [SINGLE], [1], ONE) == pytest.approx(1.1)


def test_less_than_the_mean_load_is_never_enough() -> None:
    assert latency_s([10, 10], [SINGLE], [0.99], ONE) == inf
    assert latency_s([10, 10], [SINGLE], [1], ONE) == pytest.approx(0.1)


def test_a_larger_batch_is_taken_where_it_saves_a_replica() -> None:
    """12 rps: two replicas with batches of 1; one with batches of 2 (12.5), which adds 0.21 s: if the SLA allows."""
    sample = [12.0] * 60
    roomy, tight = (plan(sample, [[SINGLE, PAIRS]], sla_s, [100], ONE) for sla_s in (0.25, 0.2))
    assert (roomy.sizes, roomy.replicas) == ((PAIRS,), (1,))
    assert (tight.sizes, tight.replicas) == ((SINGLE,), (2,))


def test_the_bottleneck_grows_first_and_nothing_is_left_over() -> None:
    """25 rps on 10 and on 20: 3 and 2 replicas."""
    fast = Size(batch=1, throughput_rps=20.0, latency_s=0.05, fill_s=0.0, cores=1)
    assert plan([25.0] * 60, [[SINGLE], [fast]], 1.0, [100, 100], TWO).replicas == (3, 2)


def test_rho_is_of_the_replicas_needed() -> None:
    """12 rps need 1.2 of the 2 replicas: rho 1. A burst of 30 that may wait 1 s needs 1.5: rho = 3 / 15."""
    steady = plan([12.0] * 60, [[SINGLE]], 1.0, [100], ONE)
    assert (steady.replicas, steady.rho) == ((2,), (pytest.approx(1.0),))
    bursty = plan([30.0, *[0.0] * 9], [[SINGLE]], 1.1, [100], ONE)
    assert (bursty.replicas, bursty.rho) == ((2,), (pytest.approx(3 / 15, rel=1e-4),))


def test_what_cannot_be_is_said() -> None:
    slow = plan([25.0] * 10, [[SINGLE]], 0.05, [100], ONE)
    assert (slow.replicas, slow.feasible) == ((3,), False)
    capped = plan([25.0] * 10, [[SINGLE]], 1.0, [2], ONE)
    assert (capped.replicas, capped.feasible) == ((2,), False)
    assert plan([0.0] * 10, [[SINGLE]], 1.0, [2], ONE) == InferLinePlan((SINGLE,), (1,), (1.0,), True)


def test_a_sample_of_next_to_nothing_leaves_a_number_of_replicas() -> None:
    assert plan([1e-300, 0.0], [[SINGLE]], 1.0, [100], ONE).rho == (1e-6,)
    policy = InferLine(PIPELINE, sample_rps=[1e-300], max_replicas=7)
    decision = policy.decide(observation([50.0] * 20), {})
    assert [stage.replicas for stage in decision.configuration.values()] == [7, 7]


# The envelope


def test_the_envelope_is_the_greatest_mean_of_a_window() -> None:
    load = [1, 5, 3, 3, 8, 0]
    assert [peak_rps(load, window_s) for window_s in (1, 2, 3, 6, 60)] == pytest.approx(
        [8, 5.5, 14 / 3, 20 / 6, 20 / 6]
    )


def test_missing_seconds_are_left_out_of_the_envelope() -> None:
    assert peak_rps([nan, 4, nan, 2], 2) == 4
    assert peak_rps([nan, nan], 1) == 0
    assert peak_rps([], 1) == 0


# The tuner

STEADY = [10.0] * 120
"""The sample: small carries it with one replica (10 rps, rho 1); every window's rate is 10."""


def tuned(
    load: list[float], time_s: float, memory: Memory, at_hand: tuple[int, int] = (1, 1), **parameters: object
) -> Decision:
    """The decision where so many replicas are wanted and there."""
    a, b = at_hand
    memory = {**memory, "replicas": {"a": a, "b": b}} if memory else memory
    configured: Configuration = configuration(a=("small", 1, a, 1), b=("small", 1, b, 1))
    policy = InferLine(PIPELINE, sample_rps=STEADY, **parameters)  # type: ignore[arg-type]
    return policy.decide(observation(load, at_hand=configured, time_s=time_s), memory)


def replicas(decision: Decision) -> tuple[int, ...]:
    return tuple(stage.replicas for stage in decision.configuration.values())


PLANNED = tuned(STEADY, 0.0, {}).memory


def test_the_plan_stands_while_the_load_is_as_the_sample() -> None:
    decision = tuned(STEADY, 0.0, {})
    assert chosen(decision.configuration) == {"a": ("small", 1, 1), "b": ("small", 1, 1)}
    assert PLANNED["plan"]["rho"] == {"a": pytest.approx(1.0), "b": pytest.approx(1.0)}
    assert PLANNED["plan"]["envelope"] == [[1, 10], [2, 10], [4, 10], [8, 10], [16, 10], [32, 10]]
    assert replicas(tuned(STEADY, 60.0, PLANNED)) == (1, 1)


def test_the_first_load_seen_is_the_sample_unless_one_is_given() -> None:
    decision = InferLine(PIPELINE).decide(observation([nan, *[20.0] * 60], time_s=0.0, nothing_runs=True), {})
    assert replicas(decision) == (2, 2)
    assert dict(decision.memory["plan"]["envelope"])[1] == 20


def test_a_burst_of_one_second_is_answered_at_once() -> None:
    """25 in one second: the 1 s window has 25, the 2 s window 17.5, ... The greatest: ceil(25 / 10) = 3."""
    decision = tuned([*STEADY, 25.0], 1.0, PLANNED)
    assert replicas(decision) == (3, 3)
    assert decision.notes == ("the load's envelope exceeds the sample's: 25 rps",)
    assert decision.memory["changed_s"] == 1.0


def test_a_slow_rise_is_seen_in_the_long_windows() -> None:
    """One more each second second: the 1 s window has 11, the 32 s window 10.5: ceil(11 / 10) = 2."""
    assert replicas(tuned([10.0, 11.0] * 30, 60.0, PLANNED)) == (2, 2)


def test_what_is_wanted_but_not_yet_in_force_is_not_taken_back() -> None:
    """3 replicas wanted at 1 s; at 2 s one is still what is configured, as the decision takes a control step."""
    wanted = tuned([*STEADY, 25.0], 1.0, PLANNED)
    after = InferLine(PIPELINE).decide(
        observation([10.0] * 60, at_hand=configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1)), time_s=2.0),
        wanted.memory,
    )
    assert replicas(after) == (3, 3)
    assert after.memory["changed_s"] == 1.0


def test_only_the_last_minute_counts() -> None:
    assert replicas(tuned([25.0, *[10.0] * 60], 60.0, PLANNED)) == (1, 1)


def test_scaling_down_waits_for_15_s_without_a_change() -> None:
    """4 replicas, 12 rps for 30 s, changed at 100 s: rho 1, ceil(12 / 10) = 2. The envelope (12 > 10) wants no more."""
    memory = {**PLANNED, "changed_s": 100.0}
    load = [12.0] * 60
    assert replicas(tuned(load, 114.0, memory, (4, 4))) == (4, 4)
    after = tuned(load, 115.0, memory, (4, 4))
    assert replicas(after) == (2, 2)
    assert after.memory["changed_s"] == 115.0


def test_scaling_down_goes_by_the_busiest_5_s_of_30() -> None:
    """2 rps, but 5 s of 9 within the last 30 s; the SLA's ratio rho is 1: ceil(9 / 10) = 1. With b at 3 likewise."""
    load = [*[2.0] * 20, *[9.0] * 5, *[2.0] * 20]
    assert replicas(tuned(load, 50.0, PLANNED, (3, 3))) == (1, 1)
    halved = {**PLANNED, "plan": {**PLANNED["plan"], "rho": {"a": 1.0, "b": 0.4}}}
    assert replicas(tuned(load, 50.0, halved, (3, 3))) == (3, 3)  # the least rho for both: ceil(9 / 4)
    assert replicas(tuned([*load, *[2.0] * 10], 60.0, halved, (3, 3))) == (1, 1)  # ceil(2 / 4)


def test_scaling_down_leaves_what_the_envelope_asks_for() -> None:
    """A second of 25 within the minute wants 3 replicas, the last 30 s want 1: 3 of 5 stay."""
    load = [25.0, *[10.0] * 50]
    assert replicas(tuned(load, 50.0, PLANNED, (5, 5))) == (3, 3)


def test_a_plan_that_cannot_keep_the_sla_says_so() -> None:
    policy = InferLine(two_by_two(), variants={"a": "large", "b": "large"}, max_replicas=1)
    decision = policy.decide(observation([50.0] * 20), {})
    assert (decision.rung, decision.feasible) == ("sla-excess", False)


# ---- graphs ----


def test_in_a_graph_the_slowest_way_counts_and_what_a_stage_serves_in_requests() -> None:
    """One entry, two stages after it, of which one takes 0.3 s and the other 0.1 s; all have room enough."""
    sizes = [Size(1, 100.0, seconds, 0.0, 1) for seconds in (0.2, 0.3, 0.1)]
    assert latency_s([5.0] * 4, sizes, [1, 1, 1], parents=((), (0,), (0,))) == pytest.approx(0.5)


def test_in_a_graph_a_join_waits_for_the_slower_stage() -> None:
    """4 requests in the first second; the left stage serves 2 a second: the second half waits a second for it."""
    sizes = [Size(1, throughput_rps, 0.1, 0.0, 1) for throughput_rps in (100.0, 2.0, 100.0, 100.0)]
    found = latency_s([4.0, 0.0], sizes, [1, 1, 1, 1], parents=((), (0,), (0,), (1, 2)))
    assert found == pytest.approx(0.3 + 1.0)
