"""A gateway drops what expires by time, the model at the next attempt: the same requests, with no other batches."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from ipa.sim import rules
from tests.live.serving.gateway_world import GatewayWorld
from tests.live.serving.test_gateway_queue import arrive, ready, router
from tests.sim.blocks import blocks
from tests.sim.random_scenarios import scenario

LIMIT_S = 100.0
"""The drop limit of the queue tests' router."""


def surely_dropped_s(drawn: dict[str, Any], stage: int) -> float:
    """Whoever is older is dropped at the next attempt, whatever the other stages are like then."""
    limit_s: float = drawn["stages"][stage]["drop_limit_s"]
    return min(limit_s, drawn["sla_s"]) if drawn["drop"] == "deadline" else limit_s


class LookingWorld(GatewayWorld):
    """A gateway that looks for expired requests: at random moments, and as soon as one has expired at a stage.

    Within an instant, the look comes at a random place among the other events.
    """

    def __init__(self, drawn: dict[str, Any], draws: random.Random) -> None:
        super().__init__(drawn)
        self._drop_limits_s = [stage["drop_limit_s"] for stage in drawn["stages"]]
        self.has_given_up = False  # all that waited, as all replicas of a stage were gone for its drop limit
        limits_s = [surely_dropped_s(drawn, stage) for stage in range(len(drawn["stages"]))]
        moments = [
            math.nextafter(arrival_s + limit_s, math.inf) for arrival_s in drawn["arrivals"] for limit_s in limits_s
        ]
        moments += [draws.uniform(0.0, 2.0 * drawn["duration_s"]) for _ in range(50)]
        moments += draws.sample(drawn["arrivals"], len(drawn["arrivals"]) // 2)
        for moment_s in moments:
            self._at(moment_s, draws.randint(rules.COMPLETION, rules.CLOSING), draws.randint(0, 3), self._look)

    def _look(self) -> None:
        for stage in self.router.stages:
            stage.expire(self._now_s)
            self.has_given_up |= stage.outage_s(self._now_s) >= self._drop_limits_s[stage.position]
            assert all(
                not stage._is_waiting(each) or not rules.is_expired(self._now_s, each.arrival_s, stage.oldest_s)
                for each in stage.waiting
            )
            assert stage.length == sum(each.outcome is None for each in stage.waiting)


def told(world: GatewayWorld, kinds: list[int]) -> dict[str, Any]:
    for request, kind in zip(world.requests, kinds, strict=True):
        request.kind = kind
    return world.run()


def lives_until(found: dict[str, Any], end_s: float) -> list[Any]:
    """What happened to every replica up to then."""
    return [
        [
            {key: value if not isinstance(value, float) or value <= end_s else None for key, value in life.items()}
            for life in fleet
            if life["created"] <= end_s
        ]
        for fleet in found["replicas"]
    ]


BLOCK = 25


@pytest.mark.parametrize("block", blocks(16))
@pytest.mark.parametrize("drop", ["request", "batch", "deadline"])
def test_looking_for_what_has_expired_changes_the_moment_of_drops_alone(drop: str, block: int) -> None:
    """Half of the scenarios have requests of several kinds.

    What the model calls unfinished, because no attempt found it until the bound, is dropped here if it had expired.
    A gateway also gives up all that waits where a rollout leaves no replica for the drop limit, which no model does.
    """
    sooner = given_up = 0
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn, draws = scenario(seed, dispatch="central", drop=drop), random.Random(seed)
        kinds = [draws.randint(0, seed % 2) for _ in drawn["arrivals"]]
        looking = LookingWorld(drawn, draws)
        expected, found = told(GatewayWorld(drawn), kinds), told(looking, kinds)
        if looking.has_given_up:
            given_up += 1
            continue
        assert found["end_s"] <= expected["end_s"]
        assert lives_until(found, found["end_s"]) == lives_until(expected, found["end_s"])
        for arrival_s, model, live in zip(drawn["arrivals"], expected["requests"], found["requests"], strict=True):
            assert live["stages"] == model["stages"], seed
            if live["outcome"] != "dropped":
                assert live["outcome"] == model["outcome"], seed
                continue
            limit_s = surely_dropped_s(drawn, live["dropped_at"])
            if model["outcome"] == "dropped":
                assert live["dropped_at"] == model["dropped_at"], seed
                assert live["dropped_s"] <= model["dropped_s"], seed
                sooner += live["dropped_s"] < model["dropped_s"]
            else:
                assert model["outcome"] == "unfinished", seed
                assert live["dropped_at"] == len(model["stages"]) - 1, seed
                assert expected["end_s"] > arrival_s + limit_s, seed
    assert sooner > 0
    assert given_up <= 2


# ---- by hand ----


def test_an_expired_request_is_dropped_although_no_replica_is_idle() -> None:
    made, host = router()
    a, b = arrive(made, "ab")
    made.expire(LIMIT_S)
    assert b.outcome is None
    made.expire(LIMIT_S + 0.01)
    assert (b.outcome, b.end_s, made.counts[0].drops) == ("dropped", LIMIT_S + 0.01, 1)
    assert made.stages[0].length == len(made.stages[0].waiting) == 0
    made.finished(host.serving[0], LIMIT_S + 1.0)  # what is in service is not dropped
    assert a.outcome == "completed"


def test_a_request_behind_a_younger_one_is_dropped_in_time_and_keeps_its_place_in_the_batch() -> None:
    """At the second stage b is behind a, which came 50 s later. They still count as the full batch that they were."""
    made, host = router(stages=2, batch=2, timeout_s=70.0)
    ready(made, 1, [])
    (a,), (b,) = arrive(made, "a", now_s=50.0), arrive(made, "b", now_s=0.0)
    for request in (a, b):
        made.stages[0].withdraw(request, 60.0)
        made.enqueue(1, (request,), 60.0)
    made.stages[1].expire(101.0)
    assert (a.outcome, b.outcome) == (None, "dropped")
    assert (made.stages[1].length, len(made.stages[1].waiting)) == (1, 2)
    ready(made, 1, [0], now_s=102.0)
    assert host.started()[-1] == (1, 0, ["a"])
    assert made.stages[1].waiting == made.stages[1].waiting.__class__()


def test_time_0_anew_leaves_nothing_of_what_was_dropped_before() -> None:
    made, host = router(stages=1, batch=2, replicas=0)
    arrive(made, "a", now_s=50.0)
    arrive(made, "b", now_s=0.0)
    made.stages[0].expire(101.0)
    made.stages[0].expire(151.0)
    made.restart(0.0)
    ready(made, 0, [0], now_s=1.0)
    assert host.started() == []


# ---- stages without a replica ----


def test_where_nobody_has_served_for_the_drop_limit_whoever_comes_is_dropped_at_once() -> None:
    made, _ = router(replicas=0)
    made.expire(0.0)
    (a,) = arrive(made, "a", now_s=60.0)
    made.expire(99.0)
    assert a.outcome is None
    made.expire(100.0)
    (b,) = arrive(made, "b", now_s=100.0)
    assert (a.outcome, b.outcome) == ("dropped", None)
    made.expire(100.05)
    assert (b.outcome, b.end_s) == ("dropped", 100.05)
    assert (made.counts[0].arrivals, made.counts[0].drops, made.inside) == (2, 2, 0)


def test_what_waits_for_the_first_replica_after_none_is_dropped_only_as_it_expires() -> None:
    made, _ = router(replicas=0)
    one = made.stages[0].configuration
    made.configure_stage(0, replace(one, replicas=0))
    made.configure_stage(0, one)
    made.expire(10.0)
    (a,) = arrive(made, "a", now_s=20.0)
    made.expire(115.0)
    assert (a.outcome, made.stages[0].outage_s(115.0)) == (None, 0.0)
    ready(made, 0, [0], now_s=118.0)
    assert a.visits[-1].batch is not None
    ready(made, 0, [], now_s=119.0)
    made.expire(120.0)
    (b,) = arrive(made, "b", now_s=210.0)
    made.expire(220.0)
    assert b.outcome == "dropped", "it is lost now"


def test_an_outage_ends_with_a_replica_that_can_take_batches() -> None:
    made, _ = router(replicas=0)
    made.expire(0.0)
    made.expire(90.0)
    assert (made.unserved, made.stages[0].outage_s(90.0)) == (["a"], 90.0)
    ready(made, 0, [0], now_s=95.0)
    made.expire(96.0)
    assert (made.unserved, made.stages[0].outage_s(96.0)) == ([], 0.0)
    ready(made, 0, [], now_s=97.0)
    made.expire(98.0)
    (a,) = arrive(made, "a", now_s=120.0)
    made.expire(130.0)
    assert a.outcome is None


def test_a_suspended_replica_cannot_take_batches_and_a_busy_one_can() -> None:
    made, host = router()
    arrive(made, "a")
    assert made.unserved == []
    made.failed(host.serving[0], 1.0, "died")
    assert made.unserved == ["a"]
    made.resume(0, made.stages[0].replicas[0], 2.0)
    assert made.unserved == []
