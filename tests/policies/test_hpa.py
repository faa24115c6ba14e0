"""The HorizontalPodAutoscaler's rules one by one, with numbers to check by hand."""

from __future__ import annotations

from math import nan

import pytest

from ipa.policies import Decision, Hpa, Memory, Observation
from ipa.policies.hpa import Tolerances, recommendation
from tests.tiny import chosen, configuration, observation, published, two_by_two

PIPELINE = two_by_two(published(accuracy="sum"))
LOAD = [4.0] * 20


def hpa(**parameters: object) -> Hpa:
    """On small variants with batches of 1."""
    return Hpa(PIPELINE, **{"batch": 1, **parameters})  # type: ignore[arg-type]


def seen(a: int, busy: float, time_s: float = 0.0, **more: object) -> Observation:
    """Stage a with `a` ready replicas that are busy so much; b has one, busy exactly as wanted."""
    at_hand = configuration(a=("small", 1, a, 1), b=("small", 1, 1, 1))
    return observation(LOAD, at_hand=at_hand, time_s=time_s, busy={"a": busy, "b": 0.8}, **more)  # type: ignore[arg-type]


def replicas(decision: Decision) -> int:
    assert decision.configuration["b"].replicas == 1
    return decision.configuration["a"].replicas


def recommended(current: int, ready: int, starting: int = 0, missing: int = 0, *, usage: float) -> int:
    """With the defaults of utilisation: target 0.8, tolerance 0.1."""
    return recommendation(current, ready, starting, missing, usage=usage, target=0.8, tolerances=Tolerances(0.1, 0.1))


@pytest.mark.parametrize(("busy", "expected"), [(0.72, 10), (0.8, 10), (0.88, 10), (0.9, 12), (0.7, 9), (0.0, 0)])
def test_within_ten_percent_of_the_target_nothing_changes(busy: float, expected: int) -> None:
    """0.88 / 0.8 = 1.1 is within; 0.9 / 0.8 = 1.125 is not: ceil(11.25) = 12; 0.7 / 0.8 = 0.875: ceil(8.75) = 9."""
    assert recommended(10, 10, usage=busy) == expected


def test_a_busy_stage_grows_by_a_quarter_at_most() -> None:
    """Utilisation cannot exceed 1: ceil(4 x 1 / 0.8) = 5, however long the queue is."""
    assert replicas(hpa().decide(seen(4, 1.0, queue_length={"a": 1000}), {})) == 5


def test_it_acts_every_15_s_and_holds_between() -> None:
    """Always busy: 4, 5 at 0 s; at 15 s the fifth has no metric yet: 4 / 5 / 0.8 = 1; at 30 s ceil(5 x 1.25) = 7."""
    policy, at_hand, acted = hpa(), 4, []
    memory: Memory = {}
    for time_s in range(0, 40, 5):
        decision = policy.decide(seen(at_hand, 1.0, float(time_s)), memory)
        if replicas(decision) != at_hand:
            acted.append(time_s)
        at_hand, memory = replicas(decision), decision.memory
    assert (acted, at_hand) == ([0, 30], 7)


def test_an_interval_of_10_s_syncs_at_the_first_step_after_each_tick() -> None:
    """Ticks at 15, 30, 45, 60 s are seen at 20, 30, 50, 60 s; a pause of a minute leaves the ticks where they were."""
    policy, synced = hpa(metric="rps"), []
    memory: Memory = {}
    for time_s in (0, 10, 20, 30, 40, 50, 60, 130, 140):
        memory = policy.decide(seen(4, 0.8, float(time_s)), memory).memory
        if memory["measured"] == {}:
            synced.append((time_s, memory["tick_s"]))
    assert synced == [(0, 0), (20, 15), (30, 30), (50, 45), (60, 60), (130, 120), (140, 135)]


def test_scaling_down_waits_for_the_highest_recommendation_of_300_s() -> None:
    """10 replicas, 5 wanted, at 100 s once 8. The 10 of the start count until 300 s, the 8 until 400 s."""
    policy, at_hand, story = hpa(), 10, {}
    memory: Memory = {}
    for step in range(31):
        time_s = 20.0 * step
        busy = 0.6 if time_s == 100 else 4.0 / at_hand
        decision = policy.decide(seen(at_hand, busy, time_s), memory)
        if replicas(decision) != at_hand:
            story[time_s] = replicas(decision)
        at_hand, memory = replicas(decision), decision.memory
    assert story == {300.0: 8, 400.0: 5}


def test_what_holds_a_recommendation_back_is_noted() -> None:
    down = hpa().decide(seen(10, 0.4), {})
    up = hpa(metric="concurrency").decide(pressed(4, 0.0), {})
    assert down.notes == ("a: recommended 5, kept at 10 for 300 s",)
    assert up.notes == ("a: recommended 500, 8 at most for now",)


def pressed(at_hand: int, time_s: float) -> Observation:
    return seen(at_hand, 1.0, time_s, queue_length={"a": 500, "b": 1})


@pytest.mark.parametrize(("at_hand", "most"), [(3, 7), (6, 12)])
def test_in_15_s_at_most_4_more_or_twice_as_many(at_hand: int, most: int) -> None:
    """500 requests in all, one per replica wanted: 500 replicas."""
    assert replicas(hpa(metric="concurrency").decide(pressed(at_hand, 0.0), {})) == most


def test_what_was_added_counts_for_15_s() -> None:
    """Synced every 5 s: 4 -> 8 at 0 s, no more at 5 and 10 s, 8 -> 16 at 15 s."""
    policy, at_hand, story = hpa(metric="concurrency", sync_s=5), 4, []
    memory: Memory = {}
    for time_s in (0.0, 5.0, 10.0, 15.0):
        decision = policy.decide(pressed(at_hand, time_s), memory)
        at_hand, memory = replicas(decision), decision.memory
        story.append(at_hand)
    assert story == [8, 8, 8, 16]


def test_replicas_that_start_count_as_idle_for_scaling_up() -> None:
    """4 ready and busy, 1 starting: 4 x 1 / 5 = 0.8, as wanted. 3 + 1: 8 ready: 8 / 9 / 0.8 = 1.11, ceil(10) = 10."""
    assert recommended(5, 4, 1, usage=1.0) == 5
    assert recommended(9, 8, 1, usage=1.0) == 10


def test_replicas_that_start_do_not_count_for_scaling_down() -> None:
    """4 ready at 0.2: ceil(4 x 0.25) = 1, though 4 more are starting; at 0.75 within the tolerance, whatever starts."""
    assert recommended(8, 4, 4, usage=0.2) == 1
    assert recommended(8, 4, 4, usage=0.75) == 8


def test_a_change_that_would_turn_is_none() -> None:
    """2 ready and busy (1.25 up), 2 starting: with them 2 / 4 / 0.8 = 0.625, down.

    1 measured at 0.7 (0.875 down), 3 without a metric: 3.7 / 4 / 0.8 = 1.156, up. 8 measured at 0.6 (0.75 down) and 2
    without: (4.8 + 2) / 10 / 0.8 = 0.85, ceil(8.5) = 9, which is more than the 4 desired (others are on their way out).
    """
    assert recommended(4, 2, 2, usage=1.0) == 4
    assert recommended(4, 4, 0, 3, usage=0.7) == 4
    assert recommended(4, 10, 0, 2, usage=0.6) == 4


def test_replicas_without_a_metric_count_as_busy_for_scaling_down_and_idle_for_scaling_up() -> None:
    """2 measured at 0.2 and 2 unmeasured: (0.4 + 2) / 4 / 0.8 = 0.75, 3; without them it would be 1.

    8 measured at 1 and 1 unmeasured: 8 / 9 / 0.8 = 1.11, 10.
    """
    assert recommended(4, 4, 0, 2, usage=0.2) == 3
    assert recommended(9, 9, 0, 1, usage=1.0) == 10


def test_the_metric_is_the_mean_since_the_last_sync() -> None:
    """4 replicas, busy 1 for 10 s and 0.7 for 5 s: 0.9 / 0.8 = 1.125, ceil(4.5) = 5; the last 5 s alone would be 4."""
    memory: Memory = {"time_s": 0.0, "tick_s": 0.0}
    for time_s, busy in ((10.0, 1.0), (15.0, 0.7)):
        decision = hpa().decide(seen(4, busy, time_s), memory)
        memory = decision.memory
    assert replicas(decision) == 5
    assert memory["measured"] == {}


def test_a_replica_that_became_ready_since_the_last_sync_has_no_metric_yet() -> None:
    """4 ready, 2 of them new, busy 0.2: 3, as above; stabilised only by itself with no window."""
    policy = hpa(scale_down_window_s=0)
    memory = {"tick_s": 0.0, "ready": {"a": 2, "b": 1}, "stages": {}}
    assert replicas(policy.decide(seen(4, 0.2, 15.0), memory)) == 3
    assert replicas(policy.decide(seen(4, 0.2, 15.0), {**memory, "ready": {"a": 4, "b": 1}})) == 1


@pytest.mark.parametrize(("ready", "usage"), [(0, 0.9), (2, nan)])
def test_without_a_metric_nothing_changes(ready: int, usage: float) -> None:
    assert recommended(4, ready, 4 - ready, usage=usage) == 4


def test_concurrency_and_rps_are_per_ready_replica() -> None:
    """9 requests, batch 1, 4 ready: 9 wanted. 40 rps on 0.8 x 10 rps: 5 wanted."""
    by_concurrency = hpa(metric="concurrency", scale_up_rules=[{"percent": 900}])
    assert replicas(by_concurrency.decide(seen(4, 1.0, queue_length={"a": 9, "b": 1}), {})) == 9
    at_hand = configuration(a=("small", 1, 4, 1), b=("small", 1, 5, 1))
    decision = hpa(metric="rps").decide(observation([40] * 20, at_hand=at_hand), {})
    assert chosen(decision.configuration) == {"a": ("small", 1, 5), "b": ("small", 1, 5)}


def test_before_anything_runs_the_load_sets_the_replicas() -> None:
    """20 rps on 0.8 x 10 rps: 3; and they are the first recommendation."""
    opening = observation([20] * 20, time_s=0.0, nothing_runs=True)
    decision = hpa().decide(opening, {})
    assert chosen(decision.configuration) == {"a": ("small", 1, 3), "b": ("small", 1, 3)}
    assert decision.planned_load_rps == pytest.approx(24.0)
    kept = hpa().decide(seen(3, 0.1, 20.0), decision.memory)
    assert kept.notes == ("a: recommended 1, kept at 3 for 300 s",)
    assert replicas(hpa().decide(seen(3, 1.0, 20.0), decision.memory)) == 4  # all three have a metric


def test_only_utilisation_reads_the_busy_fraction() -> None:
    assert hpa().reads == ("busy_fraction",)
    assert hpa(metric="rps").reads == ()


def test_memory_is_bounded() -> None:
    """The recommendations of 300 s at a sync every 15 s: 20."""
    policy = hpa()
    memory: Memory = {}
    for step in range(100):
        memory = policy.decide(seen(4, 0.8, 15.0 * step), memory).memory
    assert len(memory["stages"]["a"]["recommended"]) == 20
