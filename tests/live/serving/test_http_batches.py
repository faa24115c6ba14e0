"""Batches of a gateway, over HTTP, and what it tells of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from ipa import profiles
from ipa.live.serving.batch_service import BatchService, Job
from ipa.live.serving.gateway_metrics import KSERVE_DURATION
from ipa.live.serving.host import Gateway
from ipa.live.serving.metrics import TABLE
from ipa.live.serving.replica_clients import ReplicaError
from ipa.live.serving.request import Batch, Request, RoutedReplica
from ipa.live.serving.tensors import TensorError, of_array
from tests.live.serving.serving_plane import Plane, Process, ask, call, entry, plane, put, until, wanted
from tests.live.serving.video_plane import (
    CLASSIFICATION,
    DETECTION,
    STAGES,
    configured,
    infer,
    listed,
    observed,
    recorded,
)


def test_more_requests_than_there_is_memory_for_are_refused_and_have_room_again_later(
    video: tuple[Plane, Process], tmp_path: Path
) -> None:
    """Each counts 16 KiB and its small head and body, from its headers on: two have room in the 45 KiB of 50 that one
    peer may have, a third has not."""
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", "video", "--sla", "600", "--most-inside", str(50 * 2**10))
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(infer, gateway) for _ in range(2)]
            until(lambda: observed(gateway)["stages"][DETECTION]["queue_length"] == 2, "both are inside")
            status, told = infer(gateway)
            assert (status, told["error"].partition(" hold")[0]) == (503, "the requests of 127.0.0.1 inside")
            listed(gateway, video[0].listed)
            assert [each.result()[0] for each in waiting] == [200, 200]
        assert infer(gateway)[0] == 200


def at_once(gateway: Process, values: Sequence[int]) -> list[tuple[int, Any]]:
    """Requests of these values sent together, by their number as id."""
    together = Barrier(len(values))

    def one(number: int) -> tuple[int, Any]:
        together.wait()
        return infer(gateway, ask(data=[values[number]], id=str(number)))

    with ThreadPoolExecutor(len(values)) as pool:
        return list(pool.map(one, range(len(values))))


def test_requests_share_a_batch_and_each_gets_its_own_answer(gateway: Process) -> None:
    configured(gateway, batch=4, timeout_s=60.0)
    before = recorded(gateway)["next"]
    answers = at_once(gateway, range(4))
    assert [(status, answer["outputs"][0]["data"]) for status, answer in answers] == [(200, [n]) for n in range(4)]
    records = recorded(gateway, f"?after={before}")["records"]
    assert {record["id"] for record in records} == {"0", "1", "2", "3"}
    for stage in (0, 1):
        visits = [record["stages"][stage] for record in records]
        assert [visit["batch_size"] for visit in visits] == [4] * 4
        assert len({visit["batch"] for visit in visits}) == 1
    for record in records:
        first, second = record["stages"]
        assert record["outcome"] == "completed"
        assert record["arrival_s"] == first["enqueue_s"] <= first["start_s"] <= first["finish_s"]
        assert first["finish_s"] == second["enqueue_s"] <= second["start_s"] <= second["finish_s"] == record["end_s"]


POISONED = """
import threading

class Model:
    def predict(self, inputs):
        if (inputs["x"] == 13).any():
            threading.Event().wait()
        return {"y": [list(range(8))[n] for n in inputs["x"]]}
"""


@pytest.mark.long
def test_a_request_that_its_model_cannot_serve_fails_alone_with_its_reason(
    video: tuple[Plane, Process], tmp_path: Path
) -> None:
    """Of a batch of four, one is an index out of range. Then, of one the model never returns: it is tried with two
    replicas, which are neither ready nor live any more; the third one serves on, first those that were in its batch."""
    (tmp_path / "my.py").write_text(POISONED)
    with plane(tmp_path) as up:
        own = ("--backend", f"{tmp_path / 'my.py'}:Model", "--model", "yolov5n")
        servers = [up.server(*own) for _ in range(3)]
        gateway = up.gateway("--pipeline", "video", "--sla", "600", "--replica-timeout", "2")
        replicas = video[0].listed | {
            DETECTION: [entry(number, each.url, "yolov5n") for number, each in enumerate(servers)]
        }
        listed(gateway, replicas)
        stages = {DETECTION: wanted("yolov5n", 4, 60.0), CLASSIFICATION: wanted("resnet18", 1)}
        put(gateway.urls["control_url"] + "/control/configuration", stages)
        for poison, why in (
            (8, "answered 500: the model failed: IndexError: list index out of range"),
            (13, "did not answer in time"),
        ):
            before = recorded(gateway)["next"]
            answers = at_once(gateway, [1, 2, poison, 3])
            assert [status for status, _ in answers] == [200, 200, 502, 200]
            assert answers[2][1]["error"].endswith(why)
            records = recorded(gateway, f"?after={before}")["records"]
            assert [why in record["problem"] for record in records] == [record["id"] == "2" for record in records]
        put(gateway.urls["control_url"] + "/control/configuration", stages | {DETECTION: wanted("yolov5n", 1)})
        lives = [each.url + "/v2/health/live" for each in servers]
        until(lambda: sorted(call("GET", url)[0] for url in lives) == [200, 503, 503], "two tell")
        assert [infer(gateway)[0] for _ in range(4)] == [200] * 4
        assert sorted(each["suspended"] for each in listed(gateway, replicas)[DETECTION]) == [False, True, True]


def test_what_a_batch_failed_of_does_not_say_what_its_requests_fail_of_alone() -> None:
    """Together they are too large for the replica (413); alone, the replica's answer has other rows (502).

    The router is told after the attempt that has started them, however soon they fail.
    """
    errors: list[Exception] = [ReplicaError("too large", again=False, status=413), TensorError("other rows")]

    async def infer(*_: object) -> None:
        raise errors.pop(0)

    router = mock.Mock()
    around: Any = (router, SimpleNamespace(infer=infer), mock.Mock(), mock.Mock())
    job = Job([of_array("x", np.zeros((1, 1)))], {}, mock.Mock())
    replica = RoutedReplica(0, "yolov5n", 1)
    batch = Batch(0, 0, replica, (Request("a", 0.0, None, job),), 0.0)
    said = []

    async def story() -> None:
        tasks: Any = SimpleNamespace(_loop=asyncio.get_running_loop(), _tasks=set(), _done=lambda _: None)
        service = BatchService(profiles.load("video"), *around, partial(Gateway.spawn, tasks))  # type: ignore[call-arg]
        for number in range(2):
            service.start(batch)
            assert router.failed.call_count == number
            while router.failed.call_count == number:
                await asyncio.sleep(0)
            said.append(job.status)

    asyncio.run(story())
    assert said == [413, None]


def test_a_batch_of_another_size_or_timeout_needs_no_restart(gateway: Process) -> None:
    configured(gateway, batch=4, timeout_s=60.0)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(infer, gateway) for _ in range(3)]
        until(lambda: observed(gateway)["stages"][DETECTION]["queue_length"] == 3, "three wait")
        configured(gateway, batch=3, timeout_s=60.0)
        assert [each.result()[0] for each in waiting] == [200] * 3
        alone = pool.submit(infer, gateway)
        until(lambda: observed(gateway)["stages"][DETECTION]["queue_length"] == 1, "one waits")
        configured(gateway, batch=3, timeout_s=0.0)
        assert alone.result()[0] == 200


def test_the_observation_counts_what_came_and_went(gateway: Process) -> None:
    before = observed(gateway)
    assert [infer(gateway)[0] for _ in range(3)] == [200] * 3
    now = observed(gateway, f"?since={before['time_s']}")
    assert now["epoch"] == before["epoch"]
    assert len(now["latencies_s"]) == 3
    for stage, _ in STAGES:
        grown = {
            key: now["stages"][stage][key] - before["stages"][stage][key]
            for key in ("arrivals", "completions", "drops", "failures")
        }
        assert grown == {"arrivals": 3, "completions": 3, "drops": 0, "failures": 0}
        assert len(now["stages"][stage]["latencies_s"]) == 3
        assert now["stages"][stage]["in_service"] == now["stages"][stage]["queue_length"] == 0
        assert now["stages"][stage]["busy_s"] > before["stages"][stage]["busy_s"]


def test_what_a_stage_has_finished_has_its_latency_there_while_it_waits_at_the_next(
    video: tuple[Plane, Process], tmp_path: Path
) -> None:
    with plane(tmp_path) as up, ThreadPoolExecutor(1) as pool:
        gateway = up.gateway("--pipeline", "video")
        listed(gateway, {DETECTION: video[0].listed[DETECTION]})
        inside = pool.submit(infer, gateway)
        until(lambda: observed(gateway)["stages"][CLASSIFICATION]["queue_length"] == 1, "it waits")
        stages = observed(gateway)["stages"]
        assert [len(stages[stage]["latencies_s"]) for stage in (DETECTION, CLASSIFICATION)] == [1, 0]
        listed(gateway, video[0].listed)
        assert inside.result()[0] == 200


def test_the_load_is_counted_by_seconds_of_the_shared_clock(gateway: Process) -> None:
    origin = time.monotonic() - 100.0
    put(gateway.urls["control_url"] + "/control/start", {"origin": origin})
    arrivals = []
    for _ in range(5):
        infer(gateway)
        arrivals.append(recorded(gateway)["records"][-1]["arrival_s"])
    until(lambda: observed(gateway)["time_s"] >= int(arrivals[-1]) + 1, "the second is over")
    seen = observed(gateway, "?seconds=3")
    last = int(seen["time_s"])
    first = last - len(seen["load_rps"])
    assert 100.0 <= arrivals[0] <= seen["time_s"] <= time.monotonic() - origin
    assert first == last - 3 or 100 <= first <= int(arrivals[0])  # none before the clock was set
    assert seen["load_rps"] == [sum(int(t) == second for t in arrivals) for second in range(first, last)]


def test_another_time_0_begins_a_new_run(gateway: Process) -> None:
    """The k-th batch of a run takes the k-th draw, and its records are its own, on a gateway that has served before."""
    for _ in range(2):
        infer(gateway)
        before = observed(gateway)["epoch"]
        said = put(gateway.urls["control_url"] + "/control/start", {"origin": time.monotonic()})
        assert before != said["epoch"] == observed(gateway)["epoch"]  # whoever takes differences begins anew
        nothing = {"started": True, "next": 0, "lost": 0, "refused": {}, "records": []}
        assert recorded(gateway) == {"epoch": said["epoch"], **nothing}
        assert {stage["arrivals"] for stage in observed(gateway)["stages"].values()} == {0}
        infer(gateway)
        (record,) = recorded(gateway)["records"]
        assert [visit["batch"] for visit in record["stages"]] == [0, 0]


def test_the_time_0_that_holds_already_changes_nothing(gateway: Process) -> None:
    url, origin = gateway.urls["control_url"] + "/control/start", {"origin": time.monotonic()}
    epoch = put(url, origin)["epoch"]
    infer(gateway)
    assert put(url, origin)["epoch"] == epoch
    assert len(recorded(gateway)["records"]) == 1


def test_an_observation_says_what_configuration_is_in_force_as_it_was_put(gateway: Process) -> None:
    for batch, timeout_s in ((4, 0.05), (1, 0.0)):
        configured(gateway, batch, timeout_s)
        stages = {stage: wanted(variant, batch, timeout_s) for stage, variant in STAGES}
        assert observed(gateway)["configuration"] == stages
        put(gateway.urls["control_url"] + "/control/configuration", observed(gateway)["configuration"])


def test_metrics_are_those_of_the_table(gateway: Process) -> None:
    infer(gateway)
    status, text = call("GET", gateway.urls["control_url"] + "/metrics")
    assert status == 200
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert told == {metric.name for metric in TABLE if "gateway" in metric.processes} | {KSERVE_DURATION}
    assert 'ipa_replicas{pipeline="video",stage="object-detection",state="ready",variant="yolov5n"} 1.0' in text
    assert 'ipa_requests_total{outcome="completed",pipeline="video"}' in text
    assert 'ipa_request_duration_seconds_bucket{le="6.89",pipeline="video"}' in text
