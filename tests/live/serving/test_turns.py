"""Peers take turns in a queue, of as many requests as a batch has; one peer alone is first in, first out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ipa.live.serving.graph_flow import GraphRouting
from ipa.live.serving.peers import QueueTurns
from ipa.live.serving.request import Arrival, Item, Request, WholeRequest
from ipa.live.serving.router import Router
from ipa.profiles import Edge, Graph
from tests.live.serving.test_gateway_queue import Host, ready, router
from tests.sim.stories import of


def arrive(made: Router, names: str, kind: object = "k") -> list[Request]:
    """Requests whose peer is the first letter of their names: `a0 a1 b0` are two of a, then one of b."""
    requests = [Request(name, 0.0, kind, peer=name[0]) for name in names.split()]
    for request in requests:
        made.arrive(request, 0.0)
    return requests


def served(made: Router, host: Host) -> list[str]:
    """Finish one batch after the other; the requests of each, as text."""
    for batch in host.serving:  # it grows meanwhile
        if batch in batch.replica.serving:
            made.finished(batch, 1.0)
    return [" ".join(names) for _, _, names in host.started()]


def many(peer: str, count: int) -> str:
    return " ".join(f"{peer}{number}" for number in range(count))


def test_who_sends_many_keeps_another_waiting_for_a_batch_alone() -> None:
    """Of 999 of a, one batch is served and another has its turn when b comes."""
    made, host = router(batch=4)
    arrive(made, many("a", 999))
    arrive(made, "b0 b1")
    assert served(made, host)[:3] == ["a0", "a1 a2 a3 a4", "b0 b1 a5 a6"]


def test_a_turn_is_as_many_as_a_batch_has_so_batches_stay_whole_where_peers_send_other_kinds() -> None:
    made, host = router(batch=2)
    arrive(made, "x0")  # the replica is busy with it
    arrive(made, many("a", 6), kind="of a")
    arrive(made, many("b", 5), kind="of b")
    assert served(made, host) == ["x0", "a0 a1", "b0 b1", "a2 a3", "b2 b3", "a4 a5", "b4"]


def test_who_comes_later_has_no_turns_saved() -> None:
    """c comes when the first turns of a and b are over."""
    made, host = router()
    arrive(made, "a0 a1 b0 a2 b1 a3")
    made.finished(host.serving[0], 1.0)
    made.finished(host.serving[1], 1.0)
    arrive(made, "c0 c1 c2")
    assert served(made, host) == ["a0", "a1", "b0", "a2", "b1", "c0", "a3", "c1", "c2"]


def test_who_is_tried_again_keeps_its_place() -> None:
    made, host = router(batch=2)
    arrive(made, "a0 a1 a2 b0")
    made.failed(host.serving[0], 1.0, "why", again=False)
    made.failed(host.serving[1], 1.0, "why")
    made.resume(0, host.serving[1].replica, 1.0)
    assert served(made, host)[:3] == ["a0", "a1 a2", "a1"]
    assert sorted(host.started()[2][2] + host.started()[3][2] + host.started()[4][2]) == ["a1", "a2", "b0"]


class Fans:
    """Each request of a becomes 999 items, and any other one."""

    def carried(self, item: Item, edge: int, drawn: Callable[[], int]) -> Sequence[Any]:
        return [None] * (999 if item.peer == "a" else 1)

    def prepare(self, item: Item, arrived: Sequence[Arrival]) -> str:
        return ""


class GraphHost(Host):
    def later(self, stage: int, at_s: float) -> None: ...

    def left(self, request: WholeRequest) -> None: ...


def test_a_request_that_becomes_many_items_keeps_another_waiting_for_a_batch_alone() -> None:
    graph, host = Graph((Edge("fan", "work", items_from="rows"),), 10.0), GraphHost()
    names, configuration = ("fan", "work"), {"fan": of("small"), "work": of("small", batch=4)}
    made = Router(names, (100.0, 100.0), configuration, host, flow=GraphRouting(names, host, Fans(), graph))
    for stage in (0, 1):
        ready(made, stage, range(1))
    for name in "ab":
        made.arrive(WholeRequest(name, 0.0, "k", peer=name), 0.0)
    for _ in range(5):
        made.finished(host.serving.pop(0), 1.0)
    (batch,) = host.serving
    assert [item.name for item in batch.requests] == ["b", "a", "a", "a"]
    assert made.stages[1].length == 1000 - 4 * 4


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 5))
def test_one_peer_is_first_in_first_out(gaps: list[int], batch: int) -> None:
    """Whatever is served between its requests."""
    made, host = router(batch=batch)
    names: list[str] = []
    for number, gap in enumerate(gaps):
        names.append(f"a{number}")
        arrive(made, names[-1])
        if gap < 20 and made.stages[0].replicas[0].serving:
            made.finished(host.serving[-1], 1.0)
    assert " ".join(served(made, host)).split() == names


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("kl"), st.booleans(), st.booleans()), max_size=80),
    st.integers(1, 3),
)
def test_whatever_comes_and_goes_turns_ascend_and_kinds_are_counted(
    steps: list[tuple[str, str, bool, bool]], batch: int
) -> None:
    made, host = router(batch=batch)
    queue = made.stages[0]
    for number, (peer, kind, serves, leaves) in enumerate(steps):
        (request,) = arrive(made, f"{peer}{number}", kind)
        if serves:
            made.finished(host.serving[-1], 1.0)
        if leaves and request in queue.waiting:
            made.give_up(request, 1.0)
        turns = [each.turn for each in queue.waiting]
        kinds = [each.kind for each in queue.waiting]
        assert turns == sorted(turns)
        assert queue._changes_of_kind == sum(one != other for one, other in pairwise(kinds))
        for one in "abcd":
            mine = [int(str(each.name)[1:]) for each in queue.waiting if each.peer == one]
            assert mine == sorted(mine)


def test_peers_whose_turns_are_over_are_forgotten() -> None:
    turns = QueueTurns()
    for number in range(10_000):
        assert turns.next(f"peer {number}", first=number, size=1) == number
        assert len(turns._latest) < 40
