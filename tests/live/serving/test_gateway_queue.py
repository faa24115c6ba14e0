"""What the gateway does that the model does not know: kinds of requests, replicas that fail, requests given up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa.live.serving.request import Batch, Request, RoutedReplica
from ipa.live.serving.router import Router
from ipa.live.serving.stage_queue import DispatchOptions
from ipa.sim import NEVER
from tests.sim.stories import of


class Host:
    """Remembers what the router asks of it; time is told by the test."""

    def __init__(self) -> None:
        self.serving: list[Batch] = []
        self.over: list[Request] = []
        self.wakes: dict[int, float] = {}
        self.broken_off: list[Batch] = []

    def start(self, batch: Batch) -> None:
        self.serving.append(batch)

    def wake(self, stage: int, at_s: float) -> None:
        self.wakes[stage] = at_s

    def ended(self, request: Request) -> None:
        self.over.append(request)

    def break_off(self, batch: Batch) -> None:
        self.broken_off.append(batch)

    def started(self) -> list[tuple[int, int, list[str]]]:
        """(stage, replica, requests) of every batch started."""
        return [(batch.stage, batch.replica.number, [str(r.name) for r in batch.requests]) for batch in self.serving]


def router(
    batch: int = 1, timeout_s: float = 0.0, stages: int = 1, replicas: int = 1, most_bytes: int | None = None
) -> tuple[Router, Host]:
    """Stages with `replicas` ready each, which take up to 8 at a time; requests expire after 100 s."""
    host = Host()
    names = "abcdef"[:stages]
    configuration = {name: of("small", batch=batch, timeout_s=timeout_s) for name in names}
    made = Router(names, [100.0] * stages, configuration, host, DispatchOptions(most_bytes=most_bytes))
    for stage in range(stages):
        ready(made, stage, range(replicas))
    return made, host


def ready(made: Router, stage: int, numbers: range | list[int], now_s: float = 0.0) -> None:
    """These are the replicas of a stage."""
    made.stages[stage].list_replicas([RoutedReplica(n, "small", 8, f"http://{n}") for n in numbers])
    made.stages[stage].attempt(now_s)


def arrive(made: Router, names: str, now_s: float = 0.0, kind: object = "k", size_bytes: int = 0) -> list[Request]:
    requests = [Request(name, now_s, kind, size_bytes=size_bytes) for name in names]
    for request in requests:
        made.arrive(request, now_s)
    return requests


# ---- kinds ----


def test_a_batch_ends_where_the_kind_changes() -> None:
    """The replica is busy with a; then b, c of one kind, d of another, e of the first: b c, d, e, in order."""
    made, host = router(batch=4)
    arrive(made, "abc")
    arrive(made, "d", kind="other")
    arrive(made, "e")
    for _ in range(4):
        made.finished(host.serving[-1], 1.0)
    assert [requests for *_, requests in host.started()] == [["a"], ["b", "c"], ["d"], ["e"]]


def test_a_batch_that_another_kind_waits_behind_does_not_wait_for_company() -> None:
    """a waits for a batch of 4 until 5; b, of another kind, comes at 1: a can get no company and starts."""
    made, host = router(batch=4, timeout_s=5.0, replicas=2)
    arrive(made, "a")
    assert host.started() == []
    assert host.wakes[0] == 5.0
    arrive(made, "b", now_s=1.0, kind="other")
    assert host.started() == [(0, 0, ["a"])]
    assert host.wakes[0] == 6.0


def test_a_batch_ends_where_it_would_have_more_bytes_than_a_message_may() -> None:
    """A message may have 10 bytes, each request has 4: after a, two and two; one of 11 bytes goes alone."""
    made, host = router(batch=4, most_bytes=10)
    arrive(made, "abcde", size_bytes=4)
    arrive(made, "f", size_bytes=11)
    for _ in range(4):
        made.finished(host.serving[-1], 1.0)
    assert [requests for *_, requests in host.started()] == [["a"], ["b", "c"], ["d", "e"], ["f"]]


def test_a_batch_that_has_no_room_for_what_waits_behind_does_not_wait_for_company() -> None:
    """a waits for a batch of 4 until 5; b comes at 1 and has no room in a message of 10 bytes: a starts."""
    made, host = router(batch=4, timeout_s=5.0, replicas=2, most_bytes=10)
    (a,) = arrive(made, "a", size_bytes=6)
    assert host.started() == []
    (b,) = arrive(made, "b", now_s=1.0, size_bytes=6)
    assert host.started() == [(0, 0, ["a"])]
    made.give_up(b, 2.0)
    arrive(made, "c", now_s=2.0, size_bytes=4)
    assert host.started()[1:] == []
    made.finished(host.serving[0], 2.0)
    assert a.outcome == "completed"


@settings(deadline=None)
@given(st.lists(st.sampled_from("xyz"), min_size=1, max_size=30), st.integers(1, 5), st.data())
def test_batches_are_of_one_kind_and_in_order_whatever_is_withdrawn(
    kinds: list[str], batch: int, data: st.DataObject
) -> None:
    made, host = router(batch=batch, timeout_s=50.0, replicas=0)
    requests = [arrive(made, "r", kind=kind)[0] for kind in kinds]
    for request in data.draw(st.lists(st.sampled_from(requests), unique=True)):
        made.give_up(request, 1.0)
    ready(made, 0, [0], now_s=1.0)
    while made.inside:
        if any(request.outcome is None and request in made.stages[0].waiting for request in requests):
            made.timer(0, 60.0)
        made.finished(host.serving[-1], 60.0)
    assert all(len({request.kind for request in served.requests}) == 1 for served in host.serving)
    served = [request for each in host.serving for request in each.requests]
    assert served == [request for request in requests if request.outcome == "completed"]


# ---- failing replicas ----


def test_a_failed_batch_returns_to_the_head_in_order_and_goes_to_another_replica_one_by_one() -> None:
    made, host = router(batch=2, replicas=2, timeout_s=9.0)
    arrive(made, "abcdef")
    made.failed(host.serving[0], 1.0, "died")
    assert [request.name for request in made.stages[0].waiting] == ["a", "b", "e", "f"]
    for served in (1, 2, 3):
        made.finished(host.serving[served], 2.0)
    assert host.started() == [(0, 0, ["a", "b"]), (0, 1, ["c", "d"]), (0, 1, ["a"]), (0, 1, ["b"]), (0, 1, ["e", "f"])]


@pytest.mark.parametrize("again", [True, False])
def test_a_request_that_fails_every_batch_fails_alone_and_is_tried_twice(again: bool) -> None:
    """x kills its replica, is answered 500 (`again`), or makes outputs that are refused: so its batch does."""
    made, host = router(batch=4, replicas=2, timeout_s=9.0)
    requests = arrive(made, "abxc")
    for number in range(5):
        batch = host.serving[number]
        if any(request.name == "x" for request in batch.requests):
            made.failed(batch, 1.0, "index out of range", again=again)
            made.resume(0, batch.replica, 1.0)
        else:
            made.finished(batch, 1.0)
    assert sorted(names for *_, names in host.started()) == [["a"], ["a", "b", "x", "c"], ["b"], ["c"], ["x"]]
    assert {str(r.name): r.outcome for r in requests} == dict.fromkeys("abc", "completed") | {"x": "failed"}
    assert requests[2].problem == "index out of range"
    assert made.counts[0].failures == 1


def test_who_has_expired_when_its_batch_fails_or_is_given_up_in_service_is_told_of_its_replica() -> None:
    made, host = router(replicas=2)
    late, held = Request("late", 0.0), Request("held", 0.0)
    for request in (late, held):
        made.arrive(request, 0.0)
    made.failed(host.serving[0], 101.0, "replica 0 (small) did not answer in time")
    made.give_up(held, 101.0)
    told = [(request.outcome, request.problem) for request in (late, held)]
    assert told == [
        ("failed", "replica 0 (small) did not answer in time"),
        ("unfinished", "replica 1 (small) has not answered"),
    ]
    assert len(host.serving) == 2


def test_who_is_tried_again_neither_waits_for_company_nor_is_joined() -> None:
    """A batch of 2 is due at 9 at the latest, but a and b are tried at once; c, which comes then, waits for its own."""
    made, host = router(batch=2, replicas=1, timeout_s=9.0)
    arrive(made, "ab")
    made.failed(host.serving[0], 1.0, "died")
    arrive(made, "c", now_s=1.5)
    made.resume(0, made.stages[0].replicas[0], 2.0)
    made.finished(host.serving[1], 3.0)
    made.finished(host.serving[2], 4.0)
    assert [names for *_, names in host.started()] == [["a", "b"], ["a"], ["b"]]
    assert host.wakes[0] == 10.5


def test_a_batch_that_could_not_be_handed_over_has_not_used_up_its_second_try() -> None:
    made, host = router(replicas=3)
    (a,) = arrive(made, "a")
    for number in (0, 1):
        made.failed(host.serving[number], 1.0, "refused", served=False)
    made.failed(host.serving[2], 1.0, "died")
    assert a.outcome is None
    made.resume(0, made.stages[0].replicas[2], 2.0)
    made.failed(host.serving[3], 3.0, "died")
    assert a.outcome == "failed"


def test_a_request_that_any_replica_would_refuse_fails_at_once_and_the_replica_goes_on() -> None:
    made, host = router()
    a, b = arrive(made, "ab")
    made.failed(host.serving[0], 1.0, "answered 400", again=False)
    assert a.outcome == "failed"
    assert host.started()[-1] == (0, 0, ["b"])
    assert b.outcome is None


def test_a_suspended_replica_takes_nothing_until_it_is_ready_or_another_is_listed_in_its_place() -> None:
    made, host = router()
    arrive(made, "a")
    made.failed(host.serving[0], 1.0, "died")
    ready(made, 0, [0], now_s=2.0)  # listed as before
    assert len(host.serving) == 1
    made.stages[0].list_replicas([RoutedReplica(0, "small", 8, "http://new")])
    made.stages[0].attempt(3.0)
    assert host.serving[1].replica.url == "http://new"


def test_tries_are_counted_per_stage() -> None:
    made, host = router(stages=2)
    (a,) = arrive(made, "a")
    made.failed(host.serving[0], 1.0, "died")
    made.resume(0, made.stages[0].replicas[0], 1.0)
    made.finished(host.serving[1], 2.0)
    made.failed(host.serving[2], 3.0, "died")
    assert a.outcome is None
    assert [requests for *_, requests in host.started()] == [["a"]] * 3


# ---- the list of replicas, and requests given up ----


def test_a_replica_that_is_no_longer_listed_finishes_its_batch_and_is_forgotten() -> None:
    made, host = router(replicas=2)
    arrive(made, "abc")
    ready(made, 0, [1], now_s=0.5)
    made.finished(host.serving[0], 1.0)
    assert [replica.number for replica in made.stages[0].replicas] == [1]
    made.finished(host.serving[1], 2.0)
    assert host.started() == [(0, 0, ["a"]), (0, 1, ["b"]), (0, 1, ["c"])]


def test_sending_the_same_list_again_changes_nothing() -> None:
    made, _ = router(replicas=2)
    before = list(made.stages[0].replicas)
    ready(made, 0, [0, 1])
    assert made.stages[0].replicas == before


def test_a_request_given_up_in_the_queue_is_served_by_nobody() -> None:
    made, host = router(replicas=0)
    a, _ = arrive(made, "ab")
    made.give_up(a, 5.0)
    ready(made, 0, [0], now_s=6.0)
    assert host.started() == [(0, 0, ["b"])]
    assert (a.outcome, a.end_s) == ("unfinished", 5.0)


def test_a_request_given_up_in_service_ends_once_and_its_companions_go_on() -> None:
    made, host = router(batch=2, timeout_s=1.0, stages=2)
    a, b = arrive(made, "ab")
    made.give_up(a, 5.0)
    made.finished(host.serving[0], 6.0)
    made.timer(1, 7.0)
    made.finished(host.serving[1], 8.0)
    assert [(r.name, r.outcome) for r in host.over] == [("a", "unfinished"), ("b", "completed")]
    assert b.end_s == 8.0
    assert made.inside == 0


def test_an_unlisted_timer_is_cleared() -> None:
    made, host = router(batch=2, timeout_s=5.0)
    arrive(made, "a")
    assert host.wakes[0] == 5.0
    ready(made, 0, [], now_s=1.0)
    assert host.wakes[0] == NEVER


def test_a_new_run_begins_with_empty_queues_though_the_dropped_kept_their_places() -> None:
    """By batch, a dropped request keeps its place, and its 8 bytes; then b, of 4, has room for company in 10."""
    host, configuration = Host(), {"a": of("small", batch=4, timeout_s=5.0)}
    made = Router("a", [100.0], configuration, host, DispatchOptions("batch", most_bytes=10))
    (a,) = arrive(made, "a", size_bytes=8)
    made.expire(200.0)
    assert a.outcome == "dropped"
    made.restart(0.0)
    ready(made, 0, [0])
    arrive(made, "b", size_bytes=4)
    assert host.started() == []


# ---- law L1 under everything at once ----


EVENTS = ("arrive", "finish", "fail", "refuse", "break", "give-up", "list", "configure", "resume", "timer")


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 7)), max_size=120))
def test_every_request_ends_in_exactly_one_outcome(steps: list[tuple[str, int]]) -> None:
    made, host = router(batch=2, timeout_s=1.0, stages=2, replicas=2)
    requests: list[Request] = []
    open_batches: list[Batch] = []
    for now, (what, number) in enumerate(steps):
        now_s, known = float(now), len(host.serving)
        if what == "arrive":
            requests += arrive(made, str(number), now_s, kind=number % 2)
        elif what == "give-up" and requests:
            made.give_up(requests[number % len(requests)], now_s)
        elif what == "list":
            ready(made, number % 2, range(number // 2), now_s)
        elif what == "configure":
            made.configure(dict.fromkeys("ab", of("small", batch=1 + number % 3, timeout_s=number / 2)), now_s)
        elif what == "timer":
            made.timer(number % 2, now_s)
        elif what == "resume" and made.stages[number % 2].replicas:
            replicas = made.stages[number % 2].replicas
            made.resume(number % 2, replicas[number % len(replicas)], now_s)
        elif open_batches and what in ("finish", "fail", "refuse", "break"):
            batch = open_batches.pop(number % len(open_batches))
            if what == "finish":
                made.finished(batch, now_s)
            else:
                made.failed(batch, now_s, what, served=what != "refuse", again=what != "break")
        open_batches += host.serving[known:]
        check(made, requests, open_batches, host)


def check(made: Router, requests: list[Request], open_batches: list[Batch], host: Host) -> None:
    """Ended once, or in one queue, or in one batch; no replica has two."""
    assert len(host.over) == len(set(map(id, host.over)))
    alive = [request for request in requests if request.outcome is None]
    waiting = [request for stage in made.stages for request in stage.waiting]
    serving = [request for batch in open_batches for request in batch.requests if request.outcome is None]
    assert sorted(map(id, alive)) == sorted(map(id, waiting + serving))
    assert made.inside == len(alive)
    busy = [id(batch.replica) for batch in open_batches]
    assert len(busy) == len(set(busy))
    for stage in made.stages:
        kinds = [request.kind for request in stage.waiting]
        changes = sum(kind != before for kind, before in zip(kinds[1:], kinds, strict=False))
        assert stage._changes_of_kind == changes
        assert stage.in_service == sum(batch.size for batch in open_batches if batch.stage == stage.position)


def test_the_router_refuses_to_end_a_request_twice() -> None:
    made, _ = router()
    (a,) = arrive(made, "a")
    made.fail(a, 1.0, "once")
    with pytest.raises(AssertionError, match="twice"):
        made.fail(a, 2.0, "twice")
