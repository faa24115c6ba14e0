"""Knative's autoscaler: windows, panic and limits, with numbers to check by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest

from ipa.policies import Kpa, Memory, Observation, ReplicaCounts
from ipa.studies import find, simulate
from tests.tiny import chosen, configuration, observation, published, two_by_two

PIPELINE = two_by_two(published(accuracy="sum"))
LOAD = [4.0] * 20


def kpa(**parameters: object) -> Kpa:
    """Aims at 7 requests for each replica: 0.7 x 10."""
    return Kpa(PIPELINE, **{"batch": 1, "target_concurrency": 10, **parameters})  # type: ignore[arg-type]


def seen(a: int, concurrency: int, time_s: float, starting: int = 0) -> Observation:
    """Stage a with so many ready replicas and requests; b is idle."""
    return observation(
        LOAD,
        at_hand=configuration(a=("small", 1, a, 1), b=("small", 1, 1, 1)),
        time_s=time_s,
        queue_length={"a": concurrency},
        replicas={"a": ReplicaCounts(ready=a, starting=starting)},
    )


def played(policy: Kpa, at_hand: int, concurrencies: Iterable[tuple[float, int]], memory: Memory) -> dict[float, int]:
    """Time -> replicas of a, where they change; what is decided is ready at the next tick."""
    story: dict[float, int] = {}
    for time_s, concurrency in concurrencies:
        decision = policy.decide(seen(at_hand, concurrency, time_s), memory)
        count, memory = decision.configuration["a"].replicas, decision.memory
        if count != at_hand:
            story[time_s] = count
        at_hand = count
    return story


def ticks(*parts: tuple[int, int]) -> list[tuple[float, int]]:
    """Every 2 s from 2 s on: so many ticks of such a concurrency, one part after the other."""
    values = [concurrency for count, concurrency in parts for _ in range(count)]
    return [(2.0 * step, concurrency) for step, concurrency in enumerate(values, start=1)]


def calm(samples: Iterable[tuple[float, int]] = ()) -> dict[str, Mapping[str, object]]:
    """The memory of an autoscaler without a panic."""
    return {"a": {"samples": list(samples), "panic": None}, "b": {"samples": [], "panic": None}}


def test_the_mean_of_a_minute_sets_the_replicas() -> None:
    """10 requests until 28 s, then 20. The mean exceeds 2 x 7 at 48 s: (14 x 10 + 10 x 20) / 24 = 14.2, 3 replicas.

    The last 6 s want ceil(20 / 7) = 3 of 2: 150 %, no panic.
    """
    assert played(kpa(), 2, ticks((14, 10), (20, 20)), calm()) == {48.0: 3}


def test_what_is_older_than_the_window_is_forgotten() -> None:
    """50 requests 60 s ago and 7 now: the mean is 7; 58 s ago it would be 28.5: 5 replicas."""
    for age_s, expected in ((60.0, 1), (58.0, 5)):
        decision = kpa(panic_threshold=100).decide(seen(1, 7, 100.0), calm([(100.0 - age_s, 50)]))
        assert decision.configuration["a"].replicas == expected
        assert len(decision.memory["a"]["samples"]) == (1 if age_s == 60 else 2)


def test_panic_begins_at_200_percent_of_the_ready_replicas() -> None:
    """A minute of 14 (2 replicas), then 22 and 28: the last 6 s have 16.67 (3), then 21.3 (4 = 200 % of 2): at once."""
    history = [(2.0 * step, 14) for step in range(30)]
    first = kpa().decide(seen(2, 22, 60.0), calm(history))
    assert first.memory["a"]["panic"] is None
    second = kpa().decide(seen(2, 28, 62.0), first.memory)
    assert second.memory["a"]["panic"] == {"since_s": 62.0, "most": 4}
    assert second.configuration["a"].replicas == 4
    assert second.notes == ("a: panic, last exceeded at 62 s",)


def test_panic_counts_ready_replicas_only() -> None:
    """4 wanted: with 2 ready a panic, whatever is starting; with 3 ready none."""
    for ready, panics in ((2, True), (3, False)):
        decision = kpa().decide(seen(ready, 28, 0.0, starting=5), calm())
        assert (decision.memory["a"]["panic"] is not None) is panics


def test_in_panic_replicas_never_fall_and_it_ends_a_window_after_the_last_excess() -> None:
    """1 replica, 28 requests at 2 s, then 7: 4 replicas at 2 s.

    The panic window's mean is 28, 17.5, 14, 7, ...: from 4 s on less than twice the 4 ready ones. The panic ends when
    more than 60 s have passed since 2 s, at 64 s: the minute then holds only 7s, 1 replica, but not less than half of
    4 at one tick, nor of 2: 2, then 1.
    """
    assert played(kpa(), 1, ticks((1, 28), (40, 7)), calm()) == {2.0: 4, 64.0: 2, 66.0: 1}


def test_a_panic_goes_on_while_the_threshold_is_exceeded() -> None:
    first = kpa().decide(seen(1, 28, 0.0), calm())
    second = kpa().decide(seen(1, 35, 2.0), first.memory)
    assert first.memory["a"]["panic"] == {"since_s": 0.0, "most": 4}
    assert second.memory["a"]["panic"] == {"since_s": 2.0, "most": 5}  # mean 31.5: ceil(4.5)


def test_more_than_one_replica_at_the_start_is_a_panic() -> None:
    """9 stand ready and nothing comes: they stay for a minute, then halve at each tick, rounded down."""
    story = played(kpa(), 9, ticks((40, 0)), {})
    assert story == {64.0: 4, 66.0: 2, 68.0: 1}
    assert played(kpa(), 1, ticks((5, 7)), {}) == {}


def test_the_scale_up_rate_bounds_a_tick() -> None:
    """100 requests, 15 wanted; at most 3 x 2 ready."""
    decision = kpa(max_scale_up_rate=3).decide(seen(2, 100, 0.0), calm())
    assert decision.configuration["a"].replicas == 6


def test_the_target_is_the_batch_unless_given() -> None:
    """Batch 2: 0.7 x 2 = 1.4 a replica; 4 requests: 3 replicas."""
    decision = Kpa(PIPELINE, batch=2).decide(seen(2, 4, 0.0), calm())
    assert chosen(decision.configuration)["a"] == ("small", 2, 3)


def test_before_anything_runs_the_load_sets_the_replicas() -> None:
    """20 rps on 0.7 x 10 rps: 3, which then stay for a minute."""
    decision = kpa().decide(observation([20] * 20, time_s=0.0, nothing_runs=True), {})
    assert chosen(decision.configuration) == {"a": ("small", 1, 3), "b": ("small", 1, 3)}
    assert decision.memory["a"] == {"samples": [], "panic": {"since_s": 0.0, "most": 3}}


def test_a_backlog_at_the_replicas_is_concurrency_too() -> None:
    """80 requests in 2 s at one replica, which serves 5 of them: no queue is left, but 75 are there.

    The k-th comes at k / 40 s: of the 2 s it is there for 2 - k / 40, but for five that leave: 37.5 on average. That by
    0.7 are 54 replicas.
    """
    values = {"policy": "kpa", "trace": "constant:40:4", "arrivals": "even", "interval_s": 2}
    as_published = {"dispatch": "eager", "start": "configured", "service_times": "mean", "policy.max_replicas": 200}
    first = simulate(find("audio-qa", {**values, **as_published})).entries[0]
    stage = first.observation.stages["speech-to-text"]
    assert (stage.completions, stage.in_service, stage.queue_length) == (5, 1, 74)
    assert stage.concurrency == pytest.approx(37.5, abs=0.1)
    assert first.decision.configuration["speech-to-text"].replicas == 54


def test_concurrency_is_a_mean_and_not_a_sample() -> None:
    """At each whole second the requests of the second before have been served: 10 of 0.5 s each are 5 all the time."""
    observed = seen(1, 0, 60.0)
    stages = {**observed.stages, "a": replace(observed.stages["a"], concurrency=35.0)}
    assert chosen(kpa().decide(replace(observed, stages=stages), calm()).configuration)["a"][2] == 5
