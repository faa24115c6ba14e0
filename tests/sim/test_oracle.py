"""Stories for the oracle that a reader can check by hand, one to a few per rule of the model."""

from __future__ import annotations

import importlib.util
import os
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.sim.oracle import simulate
from tests.sim.random_scenarios import DEADLINE, scenario

MODES = [("central", "request"), ("central", "batch"), ("eager", "request"), ("eager", "batch"), *DEADLINE]


def stage(
    latency_s: float = 1.0, largest: int = 8, start_up_s: float = 2.0, drop_limit_s: float = 99.0
) -> dict[str, Any]:
    """Variants a and b, on 1 or 2 cores, that serve every batch in `latency_s`."""
    table = {cores: dict.fromkeys(range(1, largest + 1), latency_s) for cores in (1, 2)}
    variant = {"latency_s": table, "start_up_s": start_up_s}
    return {"variants": {"a": variant, "b": variant}, "drop_limit_s": drop_limit_s}


def wanted(
    variant: str = "a", replicas: int = 1, batch: int = 1, timeout_s: float = 0.0, cores: int = 1
) -> dict[str, Any]:
    return {
        "variant": variant,
        "cores": cores,
        "batch": batch,
        "replicas": replicas,
        "batch_timeout_s": timeout_s,
    }


def run(
    arrivals: list[float],
    stages: list[dict[str, Any]],
    initial: list[dict[str, Any]],
    decisions: dict[float, list[dict[str, Any]]] | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Ten seconds, a surge of 1, and nothing else, unless `others` say so."""
    world = {
        "arrivals": arrivals,
        "duration_s": 10.0,
        "sla_s": 10.0,
        "stages": stages,
        "initial": initial,
        "decisions": [[time, given] for time, given in (decisions or {}).items()],
        "hop_s": 0.0,
        "stop_s": 0.0,
        "decision_delay_s": 0.0,
        "max_surge": 1,
        "max_unavailable": 0,
    }
    return simulate(world | others)


def seen(result: dict[str, Any], key: str, at: int = 0) -> list[Any]:
    """`key` of every request's visit of stage `at`; None where it has none."""
    return [r["stages"][at].get(key) if at < len(r["stages"]) else None for r in result["requests"]]


def drops(result: dict[str, Any]) -> dict[int, tuple[int, float]]:
    """Request -> (stage, time) of those dropped."""
    return {
        number: (request["dropped_at"], request["dropped_s"])
        for number, request in enumerate(result["requests"])
        if request["outcome"] == "dropped"
    }


def lives(result: dict[str, Any], at: int = 0) -> list[tuple[Any, ...]]:
    """(created, ready, removed, gone) of every replica of a stage."""
    keys = ("created", "ready", "removed", "gone")
    return [tuple(replica[key] for key in keys) for replica in result["replicas"][at]]


# -------------------------------------------------------------------- rule 2: dispatch


def test_one_replica_serves_one_after_another() -> None:
    result = run([0, 0, 1], [stage(latency_s=2)], [wanted()])
    assert seen(result, "start") == [0, 2, 4]
    assert seen(result, "finish") == [2, 4, 6]
    assert seen(result, "batch_id") == [0, 1, 2]


def test_a_batch_starts_when_full_or_when_its_head_has_waited_long_enough() -> None:
    result = run([0, 0.5, 3, 3, 3], [stage()], [wanted(batch=3, timeout_s=1)])
    assert seen(result, "start") == [1, 1, 3, 3, 3]
    assert seen(result, "batch") == [2, 2, 3, 3, 3]


def test_the_batch_timeout_counts_from_the_enqueue_at_this_stage() -> None:
    result = run([0], [stage(latency_s=2), stage()], [wanted(), wanted(batch=2, timeout_s=1)])
    assert seen(result, "enqueue", 1) == [2]
    assert seen(result, "start", 1) == [3]


def test_an_expired_request_behind_the_head_counts_towards_the_batch() -> None:
    # Request 1 overtakes request 0 in stage 0. At 5 request 0 (0 + 4 < 5) makes stage 1's batch
    # full and is dropped from it; request 1 (1 + 4 = 5) is just not expired.
    result = run(
        [0, 1],
        [stage(), stage(drop_limit_s=4)],
        [wanted(replicas=2), wanted(batch=2, timeout_s=10)],
        factors=[[5.0], []],
    )
    assert seen(result, "enqueue", 1) == [5, 2]
    assert drops(result) == {0: (1, 5)}
    assert seen(result, "start", 1) == [None, 5]
    assert seen(result, "batch", 1) == [None, 1]


def test_a_batch_is_no_larger_than_profiled_but_waits_for_the_size_decided() -> None:
    # Four at once are b = 4, but two are the most at a time; then two are fewer than four.
    result = run([0, 0, 0, 0], [stage(largest=2)], [wanted(batch=4, timeout_s=9)])
    assert seen(result, "start") == [0, 0, 9, 9]


MIXED = {1.0: [wanted("b", replicas=2)]}
"""a, a (0, 1) to b, b: 2 is ready at 3, 1 goes then and 3 starts: 0 and 2 are ready from 3 to 5."""


def test_a_replica_of_the_configured_variant_is_chosen_first_then_another() -> None:
    result = run([4, 4], [stage()], [wanted(replicas=2)], MIXED)
    assert seen(result, "replica") == [2, 0]
    assert seen(result, "variant") == ["b", "a"]


def test_the_choice_looks_at_the_variant_and_not_at_the_cores() -> None:
    to_two_cores = {1.0: [wanted(replicas=2, cores=2)]}
    result = run([4, 4], [stage()], [wanted(replicas=2)], to_two_cores)
    assert lives(result)[:3] == [(0, 0, 5, 5), (0, 0, 3, 3), (1, 3, None, None)]
    assert seen(result, "replica") == [0, 2]


def test_without_a_hop_the_completion_brings_the_whole_batch_to_the_next_stage() -> None:
    result = run([0, 0], [stage(), stage()], [wanted(batch=2), wanted(batch=2)])
    assert seen(result, "start", 1) == [1, 1]
    assert seen(result, "batch", 1) == [2, 2]


def test_with_a_hop_the_delivery_comes_a_hop_after_the_finish() -> None:
    result = run([0], [stage(), stage()], [wanted(), wanted()], hop_s=0.5)
    assert seen(result, "enqueue", 1) == [1.5]
    assert seen(result, "finish", 1) == [2.5]


def test_a_batch_decided_takes_effect_in_the_queue_at_once() -> None:
    at_once = {2.0: [wanted(batch=2, timeout_s=0)]}
    result = run([0], [stage()], [wanted(batch=2, timeout_s=9)], at_once)
    assert seen(result, "start") == [2]


def test_every_timer_but_the_last_is_silent() -> None:
    # 0 and 1 leave as a pair at 1; 2 is expired from 4.5 on, and found when it is due at 6.5, not at 5.
    result = run([0, 1, 1.5], [stage(drop_limit_s=3)], [wanted(replicas=2, batch=2, timeout_s=5)])
    assert seen(result, "start") == [1, 1, None]
    assert drops(result) == {2: (0, 6.5)}


def test_a_decision_that_changes_nothing_is_followed_by_an_attempt() -> None:
    same = wanted(batch=2, timeout_s=5)
    result = run([0], [stage(drop_limit_s=1)], [same], {2.0: [same]})
    assert drops(result) == {0: (0, 2)}


def test_a_draining_replicas_completion_is_followed_by_an_attempt() -> None:
    # Replica 1 goes at 1, busy until 6. Replica 0 is free at 2 and request 2 waits there for a pair.
    fewer = {1.0: [wanted(batch=2, timeout_s=8)]}
    stages = [stage(drop_limit_s=2)]
    result = run([0, 0, 3], stages, [wanted(replicas=2)], fewer, factors=[[2.0, 6.0]])
    assert lives(result) == [(0, 0, None, None), (0, 0, 1, 6)]
    assert drops(result) == {2: (0, 6)}


# -------------------------------------------------------------------- rule 3: service


def test_the_kth_batch_started_takes_the_kth_factor() -> None:
    result = run([0, 0, 0], [stage()], [wanted()], factors=[[2.0, 0.5]])
    assert seen(result, "finish") == [2, 2.5, 3.5]


# -------------------------------------------------------------------- rule 4: drops


def test_a_request_at_its_limit_is_served_and_one_beyond_is_dropped_alone() -> None:
    # Both of 0 and the one of 0.5 are looked at again at 2, when the first batch finishes.
    result = run([0, 0, 0.5], [stage(latency_s=2, drop_limit_s=2)], [wanted()])
    assert seen(result, "start") == [0, 2, None]
    assert drops(result) == {2: (0, 4)}
    result = run([0, 0, 0.5], [stage(latency_s=2, drop_limit_s=1.75)], [wanted()])
    assert drops(result) == {1: (0, 2)}
    assert seen(result, "start") == [0, None, 2]


def test_a_limit_counts_from_the_arrival_at_the_pipeline() -> None:
    result = run([0], [stage(latency_s=3), stage(drop_limit_s=2)], [wanted(), wanted()])
    assert drops(result) == {0: (1, 3)}


def test_limits_and_timeouts_are_single_additions_of_doubles() -> None:
    # 0.2 + 0.6 is 0.8, though 0.8 - 0.2 is more than 0.6; 0.2 + 0.5 is 0.7, though 0.7 - 0.2 < 0.5.
    result = run([0, 0.2], [stage(latency_s=0.8, drop_limit_s=0.6)], [wanted()])
    assert seen(result, "start") == [0, 0.8]
    result = run([0.2], [stage()], [wanted(batch=2, timeout_s=0.5)])
    assert seen(result, "start") == [0.7]


def test_a_batch_is_dropped_whole_by_its_oldest_or_one_by_one() -> None:
    # At 3 only request 2 (0.5 + 2 < 3) is expired.
    story = ([0, 0, 0.5, 2.5, 2.75], [stage(latency_s=3, drop_limit_s=2)], [wanted(batch=2)])
    whole = run(*story, drop="batch")
    assert drops(whole) == {2: (0, 3), 3: (0, 3)}
    assert seen(whole, "start") == [0, 0, None, None, 3]
    alone = run(*story, drop="request")
    assert drops(alone) == {2: (0, 3)}
    assert seen(alone, "start") == [0, 0, None, 3, 3]


def test_the_oldest_of_a_batch_need_not_be_its_head() -> None:
    # As in the story of the expired one behind the head: request 1 leads, request 0 is older.
    result = run(
        [0, 1],
        [stage(), stage(drop_limit_s=4)],
        [wanted(replicas=2), wanted(batch=2, timeout_s=10)],
        factors=[[5.0], []],
        drop="batch",
    )
    assert drops(result) == {0: (1, 5), 1: (1, 5)}


# -------------------------------------------------------------------- rule 5: rollouts


def test_a_rollout_surges_by_one_and_never_goes_below_the_desired() -> None:
    result = run([], [stage()], [wanted(replicas=2)], MIXED)
    assert lives(result) == [(0, 0, 5, 5), (0, 0, 3, 3), (1, 3, None, None), (3, 5, None, None)]


def test_the_default_surge_is_a_quarter_rounded_up() -> None:
    new = {1.0: [wanted("b", replicas=5)]}
    result = run([], [stage()], [wanted(replicas=5)], new, max_surge=None)
    assert [created for created, *_ in lives(result)[5:]] == [1, 1, 3, 3, 5]


def test_without_surge_the_old_goes_before_the_new_comes() -> None:
    new = {1.0: [wanted("b")]}
    result = run([0.5, 2], [stage()], [wanted()], new, max_surge=0, max_unavailable=1)
    # Removed at 1 while busy until 1.5; the second request waits for the new one.
    assert lives(result) == [(0, 0, 1, 1.5), (1, 3, None, None)]
    assert seen(result, "start") == [0.5, 3]


def test_surplus_goes_starting_first_then_idle_then_busy_highest_first() -> None:
    # Four stand ready, 0 and 1 are busy from 2 to 6; 4 and 5 are starting from 1 to 6.
    decisions = {1.0: [wanted(replicas=6)], 3.0: [wanted(replicas=1)]}
    result = run(
        [2, 2],
        [stage(latency_s=4, start_up_s=5)],
        [wanted(replicas=4)],
        decisions,
        stop_s=1.5,
    )
    assert lives(result) == [
        (0, 0, None, None),
        (0, 0, 3, 7.5),  # busy until 6: the finish + stop
        (0, 0, 3, 4.5),
        (0, 0, 3, 4.5),
        (1, None, 3, 4.5),
        (1, None, 3, 4.5),
    ]
    fewer = run([2, 2], [stage(latency_s=4)], [wanted(replicas=4)], {3.0: [wanted(replicas=3)]})
    assert [removed for _, _, removed, _ in lives(fewer)] == [None, None, None, 3]


def test_an_idle_replica_goes_before_a_busy_one_of_a_higher_number() -> None:
    fewer = {3.0: [wanted()]}
    result = run([0, 0], [stage()], [wanted(replicas=2)], fewer, factors=[[1.0, 9.0]])
    assert lives(result) == [(0, 0, 3, 3), (0, 0, None, None)]


def test_going_back_makes_what_remains_current_and_removes_what_was_starting() -> None:
    there_and_back = MIXED | {2.0: [wanted(replicas=2)]}
    result = run([], [stage()], [wanted(replicas=2)], there_and_back)
    assert lives(result) == [(0, 0, None, None), (0, 0, None, None), (1, None, 2, 2)]


def test_a_change_of_cores_alone_is_a_rollout() -> None:
    result = run([], [stage()], [wanted()], {1.0: [wanted(cores=2)]})
    assert lives(result) == [(0, 0, 3, 3), (1, 3, None, None)]
    assert [replica["cores"] for replica in result["replicas"][0]] == [1, 2]


def test_the_jth_replica_created_takes_the_jth_start_up_factor() -> None:
    factors = [[9.0, 0.5, 2.0]]
    result = run([], [stage()], [wanted()], {1.0: [wanted(replicas=3)]}, start_up_factors=factors)
    assert [ready for _, ready, _, _ in lives(result)] == [0, 2, 5]


def test_a_world_that_could_never_roll_out_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        run([], [stage()], [wanted()], max_surge=0, max_unavailable=0)


# -------------------------------------------------------------------- rules 7, 8 and 9


def test_a_decision_takes_effect_after_its_delay_even_past_the_duration() -> None:
    late = {9.0: [wanted(replicas=2)]}
    result = run([0], [stage(latency_s=15)], [wanted()], late, decision_delay_s=3.0)
    assert lives(result)[1] == (12, 14, None, None)
    assert result["end_s"] == 15


def test_an_arrival_is_seen_by_an_application_of_its_instant_before_its_own_attempt() -> None:
    held = {2.0: [wanted(batch=2, timeout_s=5)]}
    assert seen(run([2], [stage()], [wanted()], held), "start") == [7]


def test_a_completion_of_the_instant_sees_the_arrival_and_the_old_configuration() -> None:
    held = {2.0: [wanted(batch=2, timeout_s=5)]}
    assert seen(run([0, 2], [stage(latency_s=2)], [wanted()], held), "start") == [0, 2]


def test_a_completion_comes_before_a_delivery_of_its_instant() -> None:
    # Stage 1 receives at 2, 3 and 4, and is free again at 4: it takes request 1 before 2 is there.
    initial = [wanted(replicas=3), wanted(batch=2)]
    result = run([0, 1, 2], [stage(), stage(latency_s=2)], initial, hop_s=1.0)
    assert seen(result, "start", 1) == [2, 4, 6]


def test_an_earlier_stage_completes_before_a_later_one() -> None:
    # At 3 stage 0 finishes request 2 and stage 1 request 0: requests 1 and 2 leave together.
    result = run([0, 1, 2], [stage(), stage(latency_s=2)], [wanted(), wanted(batch=2)])
    assert seen(result, "start", 1) == [1, 3, 3]


def test_completions_of_a_stage_come_in_the_order_their_batches_started() -> None:
    # Both finish at 2, the one started at 0 on replica 0 first.
    initial = [wanted(replicas=2), wanted()]
    result = run([0, 1], [stage(), stage()], initial, factors=[[2.0], []])
    assert seen(result, "start", 1) == [2, 3]


def test_an_activation_comes_before_an_application_of_its_instant() -> None:
    # Replica 2 is ready at 3, 1 goes and 3 is created; going back then removes 3 and creates 4.
    result = run([], [stage()], [wanted(replicas=2)], MIXED | {3.0: [wanted(replicas=2)]})
    assert lives(result) == [
        (0, 0, None, None),
        (0, 0, 3, 3),
        (1, 3, 5, 5),
        (3, None, 3, 3),
        (3, 5, None, None),
    ]


def test_a_replica_without_start_up_is_ready_in_the_instant_of_its_creation() -> None:
    result = run([0], [stage(start_up_s=0)], [wanted()], {2.0: [wanted("b", replicas=2)]})
    assert lives(result) == [(0, 0, 2, 2), (2, 2, None, None), (2, 2, None, None)]


@pytest.mark.parametrize(("latency_s", "outcome", "finish"), [(5.0, "completed", 5), (5.5, "unfinished", None)])
def test_what_happens_at_the_bound_still_happens(latency_s: float, outcome: str, finish: float | None) -> None:
    result = run([0], [stage(latency_s)], [wanted()], duration_s=3.0, bound_s=2.0)
    assert result["requests"][0]["outcome"] == outcome
    assert seen(result, "start") == [0]
    assert seen(result, "finish") == [finish]
    assert result["end_s"] == 5


def test_a_run_lasts_for_its_duration_when_all_have_ended_before() -> None:
    result = run([0], [stage()], [wanted()], {5.0: [wanted(replicas=2)]})
    assert result["end_s"] == 10
    assert lives(result)[1] == (5, 7, None, None)


def test_presence_is_integrated_over_waiting_and_service() -> None:
    # Two served 0 to 2 and 2 to 4 (2 + 4), one dropped at 4 having come at 0.5 (3.5); the other
    # stage holds one from 2 until the run's end at 12 and one from 4.
    result = run(
        [0, 0, 0.5],
        [stage(latency_s=2, drop_limit_s=2), stage(latency_s=20)],
        [wanted(), wanted(replicas=1)],
        bound_s=2.0,
    )
    assert result["queue_integral"] == [9.5, 18]
    assert result["end_s"] == 12


# -------------------------------------------------------------------- eager dispatch


def test_eager_batches_go_round_and_wait_at_their_replica() -> None:
    # Formed at 0: requests 0 and 2 for replica 0, 1 and 3 for replica 1; 0 takes three times 2 s.
    # With central dispatch request 2 would have started at 2. The fourth starts before the third.
    result = run(
        [0, 0, 0, 0],
        [stage(latency_s=2)],
        [wanted(replicas=2)],
        factors=[[3.0]],
        dispatch="eager",
    )
    assert seen(result, "replica") == [0, 1, 0, 1]
    assert seen(result, "start") == [0, 0, 6, 2]
    assert seen(result, "batch_id") == [0, 1, 3, 2]


def test_a_waiting_batch_starts_before_a_new_one_is_formed() -> None:
    # At 2 replica 0 is free, request 1 waits at it and request 2 is in the queue.
    result = run([0, 0, 2], [stage(latency_s=2)], [wanted()], dispatch="eager")
    assert seen(result, "start") == [0, 2, 4]


def test_the_round_goes_on_from_the_last_replica_chosen_though_it_is_idle() -> None:
    result = run([0, 5, 9], [stage()], [wanted(replicas=2)], dispatch="eager")
    assert seen(result, "replica") == [0, 1, 0]


def test_the_round_takes_all_variants_alike() -> None:
    result = run([4, 4, 4], [stage()], [wanted(replicas=2)], MIXED, dispatch="eager")
    assert seen(result, "replica") == [0, 2, 0]


def test_expiry_is_not_looked_at_again_when_a_waiting_batch_starts() -> None:
    stages = [stage(latency_s=3, drop_limit_s=1)]
    assert seen(run([0, 0], stages, [wanted()], dispatch="eager"), "start") == [0, 3]
    assert drops(run([0, 0], stages, [wanted()], dispatch="central")) == {1: (0, 3)}


def test_waiting_batches_of_removed_replicas_return_in_the_order_they_were_formed() -> None:
    # 0, 3, 6 wait at replica 0, 1, 4, 7 at 1 and 2, 5, 8 at 2; 1 and 2 go at 1 and finish theirs.
    fewer = {1.0: [wanted(replicas=1)]}
    result = run([0] * 9, [stage(latency_s=4)], [wanted(replicas=3)], fewer, dispatch="eager")
    assert seen(result, "start") == [0, 0, 0, 4, 12, 16, 8, 20, 24]
    assert seen(result, "replica") == [0, 1, 2, 0, 0, 0, 0, 0, 0]
    assert lives(result) == [(0, 0, None, None), (0, 0, 1, 4), (0, 0, 1, 4)]


def test_returning_requests_come_before_those_that_waited_in_the_queue() -> None:
    # Pairs: 01 and 45 at replica 0, 23 and 67 at replica 1, 8 in the queue. Replica 1 goes at 1:
    # 67 are a pair again, for replica 0, and 8 is due at 10 and starts when 67 have finished.
    initial, fewer = wanted(replicas=2, batch=2, timeout_s=10), wanted(batch=2, timeout_s=10)
    result = run([0] * 9, [stage(latency_s=4)], [initial], {1.0: [fewer]}, dispatch="eager")
    assert seen(result, "start") == [0, 0, 0, 0, 4, 4, 8, 8, 12]
    assert seen(result, "enqueue") == [0] * 9


def test_with_no_ready_replica_returned_requests_stay_in_the_queue() -> None:
    new = {1.0: [wanted("b")]}
    others = {"max_surge": 0, "max_unavailable": 1, "dispatch": "eager"}
    result = run([0, 0], [stage(latency_s=1.5)], [wanted()], new, **others)
    assert seen(result, "start") == [0, 3]
    assert seen(result, "variant") == ["a", "b"]


def test_a_batch_dropped_when_formed_leaves_the_round_where_it_was() -> None:
    # The lone one is due at 3, past its limit of 2; the next batch is still for replica 0.
    initial = wanted(replicas=2, batch=2, timeout_s=3)
    result = run([0, 4, 4], [stage(drop_limit_s=2)], [initial], dispatch="eager", drop="batch")
    assert drops(result) == {0: (0, 3)}
    assert seen(result, "replica") == [None, 0, 0]


# -------------------------------------------------------------------- laws, in every mode


@pytest.mark.parametrize(("dispatch", "drop"), MODES)
def test_the_laws_hold_on_random_scenarios(dispatch: str, drop: str) -> None:
    for seed in range(150):
        drawn = scenario(seed, dispatch=dispatch, drop=drop)
        result = simulate(drawn)
        for request, arrival in zip(result["requests"], drawn["arrivals"], strict=True):
            check_times(request, arrival, drawn["hop_s"])
        for position, integral in enumerate(result["queue_integral"]):
            assert integral == pytest.approx(presence(result, position), abs=1e-6), seed
            check_service(result, position)
            if dispatch == "central":
                check_order(result, position)


def check_times(request: dict[str, Any], arrival: float, hop_s: float) -> None:
    """Laws L1 and L2."""
    before = arrival
    for visit in request["stages"]:
        assert visit["enqueue"] == before
        assert visit["enqueue"] <= visit.get("start", visit["enqueue"])
        assert visit.get("start", 0.0) <= visit.get("finish", float("inf"))
        assert (visit["batch_id"] is None) == ("start" not in visit)
        before = visit.get("finish", float("nan")) + hop_s
    if request["outcome"] == "completed":
        assert "finish" in request["stages"][-1]
    if request["outcome"] == "dropped":
        assert "start" not in request["stages"][-1]
        assert request["dropped_at"] == len(request["stages"]) - 1


def visits(result: dict[str, Any], position: int) -> list[dict[str, Any]]:
    return [r["stages"][position] for r in result["requests"] if position < len(r["stages"])]


def presence(result: dict[str, Any], position: int) -> float:
    """Law L9's other side: the sum of (leave - enqueue)."""
    total = 0.0
    for request in result["requests"]:
        if position < len(request["stages"]):
            visit = request["stages"][position]
            ended_here = request.get("dropped_at") == position
            end = request["dropped_s"] if ended_here else result["end_s"]
            total += visit.get("finish", end) - visit["enqueue"]
    return total


def check_service(result: dict[str, Any], position: int) -> None:
    """Law L4: a replica serves one batch at a time, while it is ready, and starts none removed."""
    batches: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for visit in visits(result, position):
        if "start" in visit:
            batches[visit["batch_id"]].append(visit)
    assert sorted(batches) == list(range(len(batches)))
    free_at: dict[int, float] = {}
    for number in sorted(batches):
        first = batches[number][0]
        assert {v["start"] for v in batches[number]} == {first["start"]}
        assert first["batch"] == len(batches[number])
        replica = result["replicas"][position][first["replica"]]
        assert first["start"] >= max(replica["ready"], free_at.get(first["replica"], 0.0))
        assert replica["removed"] is None or first["start"] <= replica["removed"]
        free_at[first["replica"]] = first.get("finish", float("inf"))


def check_order(result: dict[str, Any], position: int) -> None:
    """Law L3: an earlier enqueue never starts after a later one."""
    started = [v for v in visits(result, position) if "start" in v]
    by_enqueue = sorted(started, key=lambda v: (v["enqueue"], v["start"]))
    starts = [v["start"] for v in by_enqueue]
    assert starts == sorted(starts)


def test_random_scenarios_are_the_same_each_time_and_know_their_keys() -> None:
    assert scenario(7) == scenario(7)
    assert scenario(7, hop_s=0.125) == scenario(7) | {"hop_s": 0.125}
    with pytest.raises(TypeError, match="hops_s"):
        scenario(7, hops_s=0.1)


# -------------------------------------------------------------------- another reading of the rules


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    path = os.environ.get("IPA_REFERENCE")
    if not path:
        pytest.skip("IPA_REFERENCE does not name a reference simulator's file")
    spec = importlib.util.spec_from_file_location("reference", Path(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_the_reference_format(drawn: dict[str, Any]) -> dict[str, Any]:
    """One allocation per variant, none in the configurations, and the surge a number."""

    def bare(configurations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{k: v for k, v in c.items() if k != "cores"} for c in configurations]

    def flat(variant: dict[str, Any]) -> dict[str, Any]:
        (table,) = variant["latency_s"].values()
        return variant | {"latency_s": table}

    stages = [
        given | {"variants": {name: flat(v) for name, v in given["variants"].items()}} for given in drawn["stages"]
    ]
    decisions = [[time, bare(configurations)] for time, configurations in drawn["decisions"]]
    return drawn | {"stages": stages, "initial": bare(drawn["initial"]), "decisions": decisions}


@pytest.mark.parametrize("block", range(6))
def test_the_oracle_equals_the_reference(reference: ModuleType, block: int) -> None:
    for seed in range(block * 50, block * 50 + 50):
        drawn = scenario(seed, core_sizes=1, dispatch="central", drop="request")
        if drawn["max_surge"] is None:  # the reference wants a number
            drawn["max_surge"] = 1 + seed % 2
        result, expected = simulate(drawn), reference.simulate(in_the_reference_format(drawn))
        for request in result["requests"]:
            for visit in request["stages"]:
                del visit["batch_id"]
        for replica in (r for replicas in result["replicas"] for r in replicas):
            del replica["cores"]
        assert result["requests"] == expected["requests"], f"seed {seed}"
        assert result["replicas"] == expected["replicas"], f"seed {seed}"
