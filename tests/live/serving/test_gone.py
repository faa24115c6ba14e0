"""Who has gone is dropped, in a queue or at the next stage; who has only closed its side waits for its answer."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ipa.live.serving.graph_flow import GraphRouting
from ipa.live.serving.request import Arrival, Item, WholeRequest
from ipa.live.serving.router import Router
from ipa.profiles import Edge, Graph
from tests.live.serving.serving_plane import HeldModel, Plane, Process, ask, entry, plane, until, until_ready
from tests.live.serving.test_gateway_queue import Host, arrive, ready, router
from tests.live.serving.video_plane import CLASSIFICATION, DETECTION, infer, listed, observed, recorded
from tests.sim.stories import of

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with which closing resets a connection."""


def sent(gateway: Process, version: str = "1.1") -> socket.socket:
    """A connection that has sent a request."""
    host, port = gateway.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60.0)
    body = json.dumps(ask()).encode()
    head = f"POST /v2/models/video/infer HTTP/{version}\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def closes(connection: socket.socket) -> None:
    connection.close()


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


@pytest.mark.parametrize("goes", [closes, resets])
def test_who_goes_while_it_waits_is_dropped_and_another_is_not(
    video: tuple[Plane, Process], tmp_path: Path, goes: Callable[[socket.socket], None]
) -> None:
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", "video", "--sla", "600")
        stays, leaves = sent(gateway), sent(gateway)
        until(lambda: observed(gateway)["stages"][DETECTION]["queue_length"] == 2, "both wait")
        goes(leaves)
        until(lambda: observed(gateway)["stages"][DETECTION]["queue_length"] == 1, "one is dropped")
        (record,) = recorded(gateway)["records"]
        assert (record["outcome"], record["stage"], record["problem"]) == ("dropped", DETECTION, "its client has gone")
        assert observed(gateway)["stages"][DETECTION]["drops"] == 1
        listed(gateway, video[0].listed)
        with stays:
            assert stays.recv(15) == b"HTTP/1.1 200 OK"


def test_who_goes_while_it_is_served_does_not_come_to_the_next_stage(tmp_path: Path) -> None:
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", "video", "--sla", "600")
        model = HeldModel(tmp_path)
        slow = up.server(*model.options, "--model", "yolov5n")
        until_ready(slow.url)
        last = up.emulated("video", CLASSIFICATION, "resnet18", "--factor", "0")
        listed(
            gateway,
            {DETECTION: [entry(0, slow.url, "yolov5n")], CLASSIFICATION: [entry(0, last.url, "resnet18")]},
        )
        connection = sent(gateway)
        until(lambda: observed(gateway)["stages"][DETECTION]["in_service"] == 1, "it is served")
        connection.close()
        until(lambda: recorded(gateway)["records"], "the gateway has seen that it has gone")
        model.let_go()
        until(lambda: observed(gateway)["stages"][DETECTION]["completions"] == 1, "the replica is done with it")
        assert infer(gateway)[0] == 200
        stages = observed(gateway)["stages"]
        assert (stages[DETECTION]["completions"], stages[CLASSIFICATION]["arrivals"]) == (2, 1)
        assert [record["outcome"] for record in recorded(gateway)["records"]] == ["unfinished", "completed"]


@pytest.mark.parametrize(("version", "word"), [("1.1", b"HTTP/1.1 100 Continue\r\n\r\n"), ("1.0", b"")])
def test_who_has_closed_its_side_gets_the_answer(
    video: tuple[Plane, Process], tmp_path: Path, version: str, word: bytes
) -> None:
    """After a word by which the gateway has found that somebody is there."""
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", "video", "--sla", "600")
        with sent(gateway, version) as connection:
            until(lambda: observed(gateway)["stages"][DETECTION]["queue_length"] == 1, "it waits")
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.3)  # in which one that had gone would be dropped
            listed(gateway, video[0].listed)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        assert answer.startswith(word + b"HTTP/%b 200 OK" % version.encode())
        assert [record["outcome"] for record in recorded(gateway)["records"]] == ["completed"]


def test_one_that_leaves_a_batch_leaves_the_others_in_it_and_is_not_dropped_where_it_has_started() -> None:
    made, host = router(batch=2, stages=2)
    first, second, third = arrive(made, "abc")
    made.leave(third, 1.0)
    made.finished(host.serving[0], 1.0)
    made.leave(second, 1.5)
    made.leave(second, 1.6)
    assert [(request.name, request.outcome) for request in host.over] == [("c", "dropped"), ("b", "unfinished")]
    assert first.outcome is None
    assert [(counts.arrivals, counts.completions, counts.drops) for counts in made.counts] == [(3, 1, 1), (1, 0, 0)]
    assert made.inside == 1


class Fans:
    """The request a becomes 999 items, and any other one."""

    def carried(self, item: Item, edge: int, drawn: Callable[[], int]) -> Sequence[Any]:
        return [None] * (999 if item.name == "a" else 1)

    def prepare(self, item: Item, arrived: Sequence[Arrival]) -> str:
        return ""


class GraphHost(Host):
    def later(self, stage: int, at_s: float) -> None: ...

    def left(self, request: WholeRequest) -> None: ...


def test_of_a_request_that_leaves_a_graph_no_item_goes_on() -> None:
    """999 items: 4 are served, and the others wait; of another request, one waits behind them."""
    graph, host = Graph((Edge("fan", "work", items_from="rows"),), 10.0), GraphHost()
    names, configuration = ("fan", "work"), {"fan": of("small"), "work": of("small", batch=4)}
    made = Router(names, (100.0, 100.0), configuration, host, flow=GraphRouting(names, host, Fans(), graph))
    for stage in (0, 1):
        ready(made, stage, range(1))
    many, one = (WholeRequest(name, 0.0, "k") for name in "ab")
    for request in (many, one):
        made.arrive(request, 0.0)
    made.finished(host.serving.pop(0), 1.0)
    made.finished(host.serving.pop(1), 1.0)
    made.leave(many, 2.0)
    assert (many.outcome, one.outcome, made.stages[1].length) == ("unfinished", None, 1)
    assert {item.outcome for item in many.items if item.stage == 1} == {"unfinished"}
    made.finished(host.serving.pop(0), 3.0)
    assert [[item.name for item in batch.requests] for batch in host.serving] == [["b"]]
    made.finished(host.serving.pop(0), 4.0)
    assert (one.outcome, made.inside) == ("completed", 0)
