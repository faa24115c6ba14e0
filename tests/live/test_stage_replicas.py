"""Rule 5 on real replicas: the stories of a Deployment, and variants that fail to start. Times by hand, no process."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ipa.live.stage_replicas import Replica, StageReplicas
from ipa.policies import ReplicaCounts, StageConfiguration


def stage(variant: str = "small", replicas: int = 2, **settings: Any) -> StageReplicas:
    """A stage whose replicas stand ready at 0."""
    made = StageReplicas("sort", wanted(variant, replicas), **settings)
    for _ in range(replicas):
        made.create(0.0).ready_s = 0.0
    return made


def wanted(variant: str, replicas: int) -> StageConfiguration:
    return StageConfiguration(variant, 1, replicas, 0.0, 1)


def step(of: StageReplicas, now_s: float) -> tuple[int, list[int]]:
    """One rollout step carried out: how many were created, which were removed."""
    change = of.roll_out(now_s)
    for replica in change.remove:
        replica.removed_s = now_s
    for _ in range(change.create):
        of.create(now_s)
    return change.create, [replica.number for replica in change.remove]


def test_what_stands_as_wanted_is_left_alone() -> None:
    assert step(stage(), 1.0) == (0, [])


def test_a_variant_is_changed_one_by_one_and_none_goes_before_its_successor_is_ready() -> None:
    sort = stage("small", 2)
    sort.configuration = wanted("large", 2)
    assert step(sort, 10.0) == (1, [])  # max surge: a quarter of 2, rounded up
    assert step(sort, 11.0) == (0, [])
    sort.all[2].ready_s = 18.0
    assert step(sort, 18.0) == (1, [1])  # the highest number of the two small ones
    sort.all[3].ready_s = 26.0
    assert step(sort, 26.0) == (0, [0])
    assert sort.counts() == {"large": ReplicaCounts(ready=2), "small": ReplicaCounts(draining=2)}


def test_of_too_many_the_starting_go_first_then_the_idle_then_the_busy() -> None:
    sort = stage("small", 3)
    sort.configuration = wanted("small", 4)
    assert step(sort, 1.0) == (1, [])
    sort.all[2].is_busy = True
    sort.configuration = wanted("small", 1)
    assert step(sort, 2.0) == (0, [3, 1, 0])


def test_max_unavailable_lets_old_ones_go_at_once() -> None:
    sort = stage("small", 2, max_surge=0, max_unavailable=1)
    sort.configuration = wanted("large", 2)
    assert step(sort, 1.0) == (1, [1])


def wide(replicas: int) -> StageConfiguration:
    return StageConfiguration("wide", 1, replicas, 0.0, 2)


def gone(of: StageReplicas, number: int, now_s: float) -> None:
    of.all[number].gone_s = now_s


def test_without_room_one_replica_is_replaced_after_the_other() -> None:
    sort = stage("small", 3, budget_cores=3)
    sort.configuration = wanted("large", 3)
    assert step(sort, 10.0) == (0, [2])
    assert step(sort, 11.0) == (0, [])  # what drains has its core
    gone(sort, 2, 12.0)
    assert step(sort, 12.0) == (1, [])
    assert step(sort, 13.0) == (0, [])  # its successor starts
    sort.all[3].ready_s = 18.0
    assert step(sort, 18.0) == (0, [1])
    gone(sort, 1, 19.0)
    assert step(sort, 19.0) == (1, [])


def test_so_many_are_replaced_at_once_as_one_larger_replica_needs() -> None:
    sort = stage("small", 3, budget_cores=3)
    sort.configuration = wide(1)
    assert step(sort, 10.0) == (0, [2, 1])
    gone(sort, 2, 11.0)
    assert step(sort, 11.0) == (0, [])
    gone(sort, 1, 12.0)
    assert step(sort, 12.0) == (1, [])


@pytest.mark.parametrize(("variant", "replaces"), [("large", False), ("wide", True)])
def test_a_stage_waits_as_it_is_where_it_may_not_replace_or_there_would_be_no_room(
    variant: str, replaces: bool
) -> None:
    sort = stage("small", 1, budget_cores=1, replaces=replaces)
    sort.configuration = wide(1) if variant == "wide" else wanted("large", 1)
    assert step(sort, 10.0) == (0, [])
    sort.budget_cores = 3
    assert step(sort, 20.0) == (1, [])


def test_with_room_a_rollout_adds_before_it_removes() -> None:
    sort = stage("small", 2, budget_cores=3)
    sort.configuration = wanted("large", 2)
    assert step(sort, 10.0) == (1, [])
    sort.all[2].ready_s = 12.0
    assert step(sort, 12.0) == (0, [1])


def test_while_a_variant_may_not_be_started_no_other_replica_makes_room_for_it() -> None:
    sort = stage("small", 3, budget_cores=3)
    sort.configuration = wanted("large", 3)
    step(sort, 10.0)
    gone(sort, 2, 10.5)
    for now_s in (11.0, 12.0):
        step(sort, now_s)
        sort.died(sort.all[-1], now_s)
        gone(sort, len(sort.all) - 1, now_s)
    assert sort.back_off_left_s(12.1) > 0.0
    assert step(sort, 12.1) == (0, [])


def test_how_often_and_how_long_room_was_lacked_counts_until_the_end_of_the_load() -> None:
    sort = stage("small", 2, budget_cores=2)
    for lacks_room, now_s in [(False, 1.0), (True, 2.0), (True, 3.0), (False, 5.0), (True, 7.0)]:
        sort.note_room(lacks_room, now_s)
    assert [sort.room_lack(until_s) for until_s in (2.0, 4.0, 6.0, 10.0)] == [(0, 0.0), (1, 2.0), (1, 3.0), (2, 6.0)]
    sort.restart()
    assert sort.room_lack(10.0) == (0, 0.0)


def test_going_back_makes_the_remaining_ones_current_again() -> None:
    sort = stage("small", 2)
    sort.configuration = wanted("large", 2)
    step(sort, 1.0)
    sort.configuration = wanted("small", 2)
    assert step(sort, 2.0) == (0, [2])
    assert [replica.number for replica in sort.existing] == [0, 1]


def test_a_replica_that_dies_is_replaced_at_once_and_its_variant_is_no_failure() -> None:
    sort = stage("small", 2)
    die(sort, sort.all[0], 60.0)
    assert step(sort, 60.0) == (1, [])
    assert (sort.failed_variants, sort.deaths["small"]) == ((), 1)


def test_a_variant_that_never_comes_up_backs_off_and_counts_as_failed() -> None:
    sort = stage("small", 1)
    sort.configuration = wanted("large", 1)
    waits_s = []
    for _ in range(6):
        die(sort, sort.create(0.0), 0.0)
        waits_s.append(sort.back_off_left_s(0.0))
    assert waits_s == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert sort.failed_variants == ("large",)
    assert step(sort, 7.9) == (0, [])
    assert step(sort, 8.0) == (1, [])
    assert [replica.number for replica in sort.ready] == [0]  # the old one serves on


def test_a_back_off_never_exceeds_half_a_minute() -> None:
    sort = stage("small", 1)
    for _ in range(20):
        die(sort, sort.create(0.0), 0.0)
    assert sort.back_off_left_s(0.0) == 30.0


@pytest.mark.parametrize(("now_s", "failed"), [(9.9, ("small",)), (10.0, ())])
def test_a_replica_that_serves_for_ten_seconds_clears_its_variant(now_s: float, failed: tuple[str, ...]) -> None:
    sort = stage("small", 1)
    for _ in range(3):
        die(sort, sort.create(0.0), 0.0)
    sort.note_steady(now_s)
    assert sort.failed_variants == failed


def test_a_failed_variant_may_be_tried_again_after_five_minutes() -> None:
    sort = stage("small", 1)
    for _ in range(3):
        die(sort, Replica("sort", 9, "large", 1, 0.0), 100.0)
    sort.note_steady(399.0)
    assert sort.failed_variants == ("large",)
    sort.note_steady(400.0)
    assert sort.failed_variants == ()


def test_of_two_batch_sizes_the_larger_one_holds_until_it_is_known_which_is_in_force() -> None:
    """Sent at 9 s and in force by 9.5 s; then sent at 12 s and in force by 12.5 s."""
    sort = StageReplicas("sort", replace(wanted("small", 1), batch=4))
    for batch, sent_s in ((2, 9.0), (2, 10.0), (8, 12.0)):
        sort.note_batch(batch, sent_s, sent_s + 0.5)
    assert sort.batches == [(0.0, 4), (9.5, 2), (12.0, 8)]


def test_cost_and_readiness_come_from_the_timeline() -> None:
    sort = stage("small", 2)  # two cores from 0
    sort.all[1].removed_s, sort.all[1].gone_s = 10.0, 12.0
    assert sort.core_s(20.0) == 20.0 + 12.0
    assert sort.cores == 1
    assert sort.available_s(5.0, 20.0) == 15.0 + 7.0
    records = sort.records()
    assert records.gone_s.tolist()[1] == 12.0
    assert records.gone_s[0] != records.gone_s[0]  # NaN: it is still there


def die(sort: StageReplicas, replica: Replica, now_s: float) -> None:
    replica.gone_s = now_s
    sort.died(replica, now_s)
