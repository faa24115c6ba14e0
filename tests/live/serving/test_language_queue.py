"""The queue of a stage of language models: each request goes by itself to a replica, which has several at once."""

from __future__ import annotations

from ipa.live.serving.request import RoutedReplica
from ipa.live.serving.router import GONE, Router
from ipa.live.serving.stage_queue import DispatchOptions
from tests.live.serving.test_gateway_queue import Host, arrive
from tests.sim.stories import of


def router(at_once: int, replicas: int, sequences: int = 8) -> tuple[Router, Host]:
    """One stage with `replicas` ready, which have up to `at_once` requests each; requests expire after 100 s."""
    host = Host()
    made = Router("a", [100.0], {"a": of("small", batch=at_once)}, host, DispatchOptions(singly=(0,)))
    made.stages[0].list_replicas([RoutedReplica(n, "small", sequences, f"http://{n}") for n in range(replicas)])
    return made, host


def test_each_request_goes_by_itself_to_the_replica_with_the_fewest() -> None:
    made, host = router(at_once=2, replicas=2)
    arrive(made, "vwxyz")
    assert host.started() == [(0, 0, ["v"]), (0, 1, ["w"]), (0, 0, ["x"]), (0, 1, ["y"])]
    assert (made.stages[0].length, made.stages[0].in_service) == (1, 4)
    made.finished(host.serving[1], 1.0)
    assert host.started()[4:] == [(0, 1, ["z"])]
    assert made.state(0, 2.0).busy_s == 1.0 + 2.0 + 2.0 + 2.0 + 1.0


def test_a_replica_has_no_more_requests_than_its_model_has_sequences() -> None:
    made, host = router(at_once=4, replicas=1, sequences=3)
    arrive(made, "wxyz")
    assert [names for _, _, names in host.started()] == [["w"], ["x"], ["y"]]


def test_another_batch_size_is_in_force_at_once() -> None:
    made, host = router(at_once=1, replicas=1)
    arrive(made, "wxyz")
    made.configure({"a": of("small", batch=3)}, 1.0)
    assert [names for _, _, names in host.started()] == [["w"], ["x"], ["y"]]
    made.configure({"a": of("small", batch=1)}, 2.0)
    made.finished(host.serving[0], 3.0)
    made.finished(host.serving[1], 3.0)
    assert len(host.serving) == 3
    made.finished(host.serving[2], 4.0)
    assert host.started()[3:] == [(0, 0, ["z"])]


def test_a_replica_that_is_no_longer_listed_finishes_all_that_it_has() -> None:
    made, host = router(at_once=2, replicas=1)
    first, second = arrive(made, "ab")
    made.stages[0].list_replicas([])
    made.finished(host.serving[0], 1.0)
    assert len(made.stages[0].replicas) == 1
    made.finished(host.serving[1], 2.0)
    assert made.stages[0].replicas == []
    assert [first.outcome, second.outcome] == ["completed", "completed"]


def test_a_text_that_is_broken_off_fails_alone_and_the_replica_goes_on() -> None:
    made, host = router(at_once=2, replicas=1)
    first, second = arrive(made, "ab")
    arrive(made, "c")
    made.failed(host.serving[0], 1.0, "no context left", again=False)
    assert (first.outcome, first.problem, second.outcome) == ("failed", "no context left", None)
    assert host.started()[2:] == [(0, 0, ["c"])]
    made.finished(host.serving[1], 2.0)
    assert second.outcome == "completed"


def test_all_that_a_lost_replica_had_is_tried_once_more_elsewhere() -> None:
    made, host = router(at_once=2, replicas=2)
    requests = arrive(made, "abcd")
    for batch in [each for each in host.serving if each.replica.number == 0]:
        made.failed(batch, 1.0, "broke off")
    assert [request.outcome for request in requests] == [None] * 4
    assert [replica.is_suspended for replica in made.stages[0].replicas] == [True, False]
    for batch in host.serving[:4]:
        if batch.replica.number == 1:
            made.finished(batch, 2.0)
    assert sorted(names for _, _, names in host.started()[4:]) == [["a"], ["c"]]


def test_nothing_more_is_generated_for_a_client_that_has_gone() -> None:
    made, host = router(at_once=1, replicas=1)
    gone, waits = arrive(made, "gw")
    made.leave(gone, 1.0)
    assert (gone.outcome, gone.problem) == ("unfinished", GONE)
    assert host.broken_off == [host.serving[0]]
    assert host.started()[1:] == [(0, 0, ["w"])]
    assert waits.outcome is None


def test_a_request_that_is_given_up_leaves_its_place_to_others() -> None:
    made, host = router(at_once=1, replicas=1)
    slow, _ = arrive(made, "sw")
    made.give_up(slow, 50.0)
    assert slow.problem == "replica 0 (small) has not answered"
    assert [names for _, _, names in host.started()] == [["s"], ["w"]]
