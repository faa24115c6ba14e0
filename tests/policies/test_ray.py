"""Ray Serve's autoscaler: ongoing requests, delays and factors, with numbers to check by hand."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ipa import profiles
from ipa.policies import Memory, Observation, Ray, ReplicaCounts, StageConfiguration
from tests.tiny import chosen, configuration, observation, published, two_by_two

PIPELINE = two_by_two(published(accuracy="sum"))
LOAD = [4.0] * 20


def ray(**parameters: object) -> Ray:
    """Two requests for each replica."""
    return Ray(PIPELINE, **{"batch": 1, **parameters})  # type: ignore[arg-type]


def seen(a: int, ongoing: int, time_s: float, starting: int = 0) -> Observation:
    """Stage a with so many running replicas and requests; b is idle."""
    return observation(
        LOAD,
        at_hand=configuration(a=("small", 1, a + starting, 1), b=("small", 1, 1, 1)),
        time_s=time_s,
        queue_length={"a": ongoing},
        replicas={"a": ReplicaCounts(ready=a, starting=starting)},
    )


def played(policy: Ray, at_hand: int, ongoing: Iterable[int], memory: Memory | None = None) -> dict[float, int]:
    """Time -> replicas of a, where they change; a step each 10 s, and what is decided runs at the next."""
    story: dict[float, int] = {}
    memory = memory or {}
    for step, requests in enumerate(ongoing):
        decision = policy.decide(seen(at_hand, requests, 10.0 * step), memory)
        count, memory = decision.configuration["a"].replicas, decision.memory
        if count != at_hand:
            story[10.0 * step] = count
        at_hand = count
    return story


def test_more_replicas_are_set_once_they_were_asked_for_during_30_s() -> None:
    """10 requests want 5 replicas at 0, 10, 20 and 30 s."""
    assert played(ray(), 1, [10] * 5) == {30.0: 5}


def test_fewer_are_set_once_they_were_asked_for_during_10_minutes() -> None:
    """4 requests want 2 of 5 replicas from 0 s on."""
    assert played(ray(), 5, [4] * 70) == {600.0: 2}


def test_a_step_that_asks_for_no_change_or_the_opposite_begins_the_wait_anew() -> None:
    """Averages of 30 s: 10, 10, 6.67, 3.33 at 30 s: 5, 5, 4 and 2 wanted, so 2 are set. Then 0: 1 wanted, and 3.33: 2
    wanted, as are set. From 60 s on more: 4, 5, 5, and 5 at 90 s.
    """
    assert played(ray(), 1, [10, 10, 0, 0, 0, 10, 10, 10, 10, 10]) == {30.0: 2, 90.0: 5}


def test_requests_are_averaged_over_30_s() -> None:
    """0, 0 and 30 requests: 10 on average, 5 replicas; without delay at once."""
    assert played(ray(upscale_delay_s=0), 1, [0, 0, 30]) == {20.0: 5}
    assert played(ray(upscale_delay_s=0, look_back_period_s=10), 1, [0, 0, 30]) == {20.0: 15}


def test_only_running_replicas_count_and_those_set_are_what_is_compared() -> None:
    """1 runs, 4 start; 10 requests want 5, as many as are set."""
    decision = ray(upscale_delay_s=0).decide(seen(1, 10, 0.0, starting=4), {})
    assert decision.configuration["a"].replicas == 5
    assert decision.memory["a"]["wait"] is None


@pytest.mark.parametrize(
    ("factors", "running", "ongoing", "expected"),
    [
        ({"upscaling_factor": 0.5}, 2, 20, 6),  # 2 + 0.5 x (10 - 2)
        ({"upscaling_factor": 2.0}, 2, 20, 18),  # 2 + 2 x (10 - 2)
        ({"downscaling_factor": 0.5}, 10, 4, 6),  # 10 + 0.5 x (2 - 10)
        ({"downscaling_factor": 0.1}, 3, 4, 2),  # ceil(3 + 0.1 x (2 - 3)) = 3 would stay for ever
    ],
)
def test_factors_take_a_share_of_the_way(factors: dict[str, float], running: int, ongoing: int, expected: int) -> None:
    decision = ray(upscale_delay_s=0, downscale_delay_s=0, **factors).decide(seen(running, ongoing, 0.0), {})
    assert decision.configuration["a"].replicas == expected


def test_what_is_set_but_not_yet_in_force_is_not_taken_back() -> None:
    policy = ray(upscale_delay_s=0)
    set_at_once = policy.decide(seen(1, 10, 0.0), {})
    after = policy.decide(seen(1, 10, 1.0), set_at_once.memory)
    assert after.configuration["a"].replicas == 5


def test_a_wait_is_said() -> None:
    decision = ray().decide(seen(1, 10, 0.0), {})
    assert decision.configuration["a"].replicas == 1
    assert decision.notes == ("a: wants 5, keeps 1 for now",)


def test_without_a_running_replica_what_the_requests_need_is_wanted() -> None:
    decision = ray(upscale_delay_s=0).decide(seen(0, 10, 0.0, starting=1), {})
    assert decision.configuration["a"].replicas == 5


def test_before_anything_runs_the_load_sets_the_replicas() -> None:
    """24 rps: in batches of 2, the target, 12.5 rps a replica: 2; in batches of 1, 10 rps: 3."""
    opening = observation([24.0] * 20, time_s=0.0, nothing_runs=True)
    assert chosen(ray(batch=2).decide(opening, {}).configuration)["a"] == ("small", 2, 2)
    assert chosen(ray(batch=2, target_ongoing_requests=1).decide(opening, {}).configuration)["a"] == ("small", 2, 3)


def test_memory_is_bounded_by_the_look_back_period() -> None:
    memory: Memory = {}
    for step in range(50):
        memory = ray().decide(seen(1, 3, 10.0 * step), memory).memory
    assert len(memory["a"]["samples"]) == 3


def test_a_replica_of_a_language_model_is_to_have_16_requests() -> None:
    """160 requests at each stage: 80 replicas of the embedding, 10 of the language model."""
    pipeline = profiles.load("chat")
    policy = Ray(pipeline, upscale_delay_s=0)
    assert policy.target_ongoing_requests == {"retrieve": 2.0, "answer": 16.0}
    now = {
        stage.name: StageConfiguration(stage.variants[0].name, 1, 1, 0.0, stage.variants[0].base_cores)
        for stage in pipeline.stages
    }
    queues = {stage.name: 160 for stage in pipeline.stages}
    ready = {stage.name: ReplicaCounts(ready=1) for stage in pipeline.stages}
    decision = policy.decide(observation(LOAD, at_hand=now, queue_length=queues, replicas=ready), {})
    assert {name: stage.replicas for name, stage in decision.configuration.items()} == {"retrieve": 80, "answer": 10}
    assert ray().target_ongoing_requests == 2.0
