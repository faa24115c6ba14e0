"""Dynamo's Planner: the slow loop with its correction, and the fast one above its floor; numbers to check by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from ipa.policies import Configuration, Decision, LatencyQuantiles, Memory, Observation, Planner, ReplicaCounts
from tests.tiny import chosen, configuration, observation, published, two_by_two

PIPELINE = two_by_two(published(accuracy="sum"))
"""Small serves batches of 1 in 0.1 s, 10 rps, and of 2 in 0.16 s, 12.5 rps. A stage's share of the SLA is 0.5 s."""

NO_LATENCY_SEEN = LatencyQuantiles(float("nan"), float("nan"), float("nan"))


def planner(**parameters: object) -> Planner:
    """Plans for the last 10 s."""
    return Planner(PIPELINE, **{"predictor": "reactive", **parameters})  # type: ignore[arg-type]


def plan(batch: int, floor: int, slow_s: float = 0.0) -> Memory:
    """The memory after a step of the slow loop."""
    return {
        "plan": {"batch": {"a": batch, "b": batch}, "floor": {"a": floor, "b": floor}},
        "times_s": {"slow": slow_s},
        "measured": {},
    }


def seen(
    a: int,
    queue: int = 0,
    *,
    time_s: float = 10.0,
    batch: int = 1,
    in_service: int = 0,
    replicas: Mapping[str, ReplicaCounts] | None = None,
) -> Observation:
    """Stage a with so many replicas, a queue and requests in service; b is idle with one."""
    at_hand: Configuration = configuration(a=("small", batch, a, 1), b=("small", batch, 1, 1))
    given = observation([8.0] * 30, at_hand=at_hand, time_s=time_s, queue_length={"a": queue}, replicas=replicas)
    return replace(given, stages={**given.stages, "a": replace(given.stages["a"], in_service=in_service)})


def of_a(decision: Decision) -> int:
    return decision.configuration["a"].replicas


# The slow loop


def test_the_batch_of_the_greatest_throughput_within_the_target_and_its_replicas() -> None:
    """20 rps: batches of 2 take 0.025 s to fill on average and 0.16 s: within 0.5 s; ceil(20 / 12.5) = 2."""
    decision = planner().decide(observation([20.0] * 30, time_s=0.0, nothing_runs=True), {})
    assert chosen(decision.configuration) == {"a": ("small", 2, 2), "b": ("small", 2, 2)}
    assert (decision.forecast_rps, decision.memory["times_s"]) == (20.0, {"slow": 0.0, "fast": 0.0})


def test_a_batch_that_fills_too_slowly_is_not_chosen() -> None:
    """1 rps: a batch of 2 waits 1 s at most, 0.5 s on average, and takes 0.16 s: more than 0.5 s."""
    decision = planner().decide(observation([1.0] * 30, time_s=0.0, nothing_runs=True), {})
    assert chosen(decision.configuration)["a"] == ("small", 1, 1)


def late(p50_s: float, time_s: float = 180.0, completions: int = 200) -> Observation:
    """Stage a: batches of 2 with a timeout of 0.05 s at 20 rps, which fill, so that 0.025 + 0.16 s are expected."""
    at_hand = configuration(a=("small", 2, 2, 1), b=("small", 2, 2, 1))
    given = observation([20.0] * 30, at_hand=at_hand, time_s=time_s)
    a = replace(
        given.stages["a"],
        configuration=replace(at_hand["a"], batch_timeout_s=0.05),
        latency=LatencyQuantiles(p50_s, p50_s, p50_s),
        completions=completions,
    )
    return replace(given, stages={**given.stages, "a": a})


@pytest.mark.parametrize(
    ("p50_s", "batch", "note"),
    [
        (0.185, 2, "a: 1 times the expected latency, batches of 2"),
        (0.48, 2, "a: 2.59 times the expected latency, batches of 2"),  # 0.5 / 2.59 = 0.193
        (0.74, 1, "a: 4 times the expected latency, batches of 1"),  # 0.5 / 4 = 0.125
        (7.4, 1, "a: 40 times the expected latency, batches of 1"),  # nothing fits
    ],
)
def test_the_target_is_corrected_by_the_observed_latency(p50_s: float, batch: int, note: str) -> None:
    decision = planner().decide(late(p50_s), plan(2, 1))
    assert decision.configuration["a"].batch == batch
    assert decision.notes[0] == note
    assert of_a(decision) == 2  # 20 rps on 12.5 or 10


def test_the_correction_can_be_switched_off() -> None:
    decision = planner(correction=False).decide(late(7.4), plan(2, 1))
    assert decision.configuration["a"].batch == 2


def test_the_correction_is_of_all_completions_since_the_last_plan() -> None:
    """200 at 0.185 s as expected, then 200 at 1.295 s: (0.185 + 1.295) / 2 = 0.74, 4 times as long."""
    policy = planner()
    memory = policy.decide(late(0.185, 90.0), plan(2, 1)).memory
    decision = policy.decide(late(1.295), memory)
    assert decision.notes[0].startswith("a: 4 times")
    assert decision.memory["measured"] == {}


def test_steps_without_completions_say_nothing() -> None:
    given = late(0.74)
    a = replace(given.stages["a"], latency=NO_LATENCY_SEEN, completions=0)
    decision = planner().decide(replace(given, stages={**given.stages, "a": a}), plan(2, 1))
    assert decision.notes[0] == "a: 1 times the expected latency, batches of 2"


def test_the_slow_loop_runs_every_180_s() -> None:
    for time_s, forecast_rps in ((175.0, None), (180.0, 8.0)):
        assert planner().decide(seen(1, time_s=time_s), plan(1, 1)).forecast_rps == forecast_rps


def test_without_a_forecast_the_plan_stays_and_is_made_at_the_next_step() -> None:
    given = seen(1, time_s=180.0)
    blind = planner().decide(replace(given, load_rps=(8.0, *[float("nan")] * 10)), plan(1, 3))
    assert (blind.forecast_rps, of_a(blind), blind.memory["times_s"]["slow"]) == (None, 3, 0.0)
    after = planner().decide(seen(3, time_s=185.0), blind.memory)
    assert (after.forecast_rps, after.memory["times_s"]["slow"]) == (8.0, 185.0)


# The fast loop


@pytest.mark.parametrize(("queue", "expected"), [(4, 1), (5, 2)])
def test_one_replica_more_where_the_next_request_would_be_late(queue: int, expected: int) -> None:
    """The fifth behind four: 5 x 0.1 s, just in time; behind five 0.6 s."""
    assert of_a(planner().decide(seen(1, queue, in_service=1), plan(1, 1))) == expected


@pytest.mark.parametrize(("in_service", "queue", "expected"), [(1, 0, 2), (2, 0, 3), (0, 1, 2), (1, 1, 3)])
def test_one_fewer_where_the_requests_still_fit(in_service: int, queue: int, expected: int) -> None:
    """Of three, two serve two at a time: fewer than two requests fit, and the next is served at once."""
    assert of_a(planner().decide(seen(3, queue, in_service=in_service), plan(1, 1))) == expected


def test_one_fewer_must_keep_80_percent_of_the_target() -> None:
    """Of 12 replicas with batches of 2 there are 20 requests, below 22. 44 more waiting would take 3 x 0.16 = 0.48 s of
    the target of 0.5 s, more than 0.4 s; but that many do not fit. With a sensitivity of 0.3, one batch is too long."""
    calm = seen(12, batch=2, in_service=20)
    assert of_a(planner().decide(calm, plan(2, 1))) == 11
    assert of_a(planner(down_sensitivity=0.3).decide(calm, plan(2, 1))) == 12


def test_never_below_the_floor() -> None:
    assert of_a(planner().decide(seen(3), plan(1, 3))) == 3
    assert of_a(planner().decide(seen(2), plan(1, 4))) == 4


@pytest.mark.parametrize(
    "counts", [ReplicaCounts(starting=1, ready=1), ReplicaCounts(starting=1, ready=2), ReplicaCounts(ready=3)]
)
def test_while_replicas_come_and_go_only_the_floor_counts(counts: ReplicaCounts) -> None:
    waiting = seen(2, 50, replicas={"a": counts})
    assert of_a(planner().decide(waiting, plan(1, 1))) == 2
    assert of_a(planner().decide(waiting, plan(1, 5))) == 5


def test_the_fast_loop_runs_every_5_s() -> None:
    policy = planner()
    first = policy.decide(seen(1, 50, time_s=10.0), plan(1, 1))
    assert (of_a(first), first.memory["times_s"]["fast"]) == (2, 10.0)
    assert of_a(policy.decide(seen(2, 50, time_s=14.0), first.memory)) == 2
    assert of_a(policy.decide(seen(2, 50, time_s=15.0), first.memory)) == 3
