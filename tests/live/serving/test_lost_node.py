"""What a gateway makes of replicas that do not answer as they should.

A replica whose node is lost: connections to it hang, and those that there are bring nothing more. The batch goes to
another, and it is sent nothing more.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

pytest.importorskip("aiohttp")

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from ipa import profiles
from ipa.live.plane import ASKED_WITHIN_S, asked_after_s, given_up_after_s
from ipa.live.serving import kept_connections, replica_clients
from ipa.live.serving.batch_service import BatchService, Job
from ipa.live.serving.protocol import BINARY_EXTENSION
from ipa.live.serving.replica_clients import ReplicaClients, ReplicaError
from ipa.live.serving.request import Batch, Request, RoutedReplica
from ipa.live.serving.tensors import of_array
from tests.live.world import PATIENCE_S, hanging_server


def test_a_batch_whose_connection_hangs_has_not_reached_its_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_connections, "CONNECT_S", 0.2)

    async def story(hanging: str) -> None:
        clients = ReplicaClients(60.0, 2**20, asyncio.Lock())
        clients._is_binary[hanging] = False  # it has served before
        batch: Any = SimpleNamespace(replica=SimpleNamespace(url=hanging, model="small"), requests=())
        try:
            with pytest.raises(ReplicaError, match="cannot be reached") as lost:
                await clients.infer(batch, [], {})
            assert (lost.value.served, lost.value.again) == (False, True)
        finally:
            await clients.close()

    with hanging_server() as url:
        asyncio.run(story(url))


@pytest.mark.parametrize(
    ("answers_of_health", "is_served"),
    [(3, True), (2, False), (0, False)],
    ids=["slow, and there", "lost in the meantime", "lost"],
)
def test_a_batch_that_is_late_is_given_up_once_its_replica_answers_nothing(
    monkeypatch: pytest.MonkeyPatch, answers_of_health: int, is_served: bool
) -> None:
    """It would have ten minutes. A replica that is there is waited for: here until it has been asked three times."""
    monkeypatch.setattr(replica_clients, "asked_after_s", lambda _: 0.02)
    monkeypatch.setattr(replica_clients, "IS_THERE", aiohttp.ClientTimeout(total=0.5))
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path == "/v2/health/live" and asked.count(request.path) > answers_of_health:
            await asyncio.Event().wait()
        while request.method == "POST" and asked.count("/v2/health/live") < 3:
            await asyncio.sleep(0.01)
        while request.method == "POST" and not is_served:
            await asyncio.Event().wait()
        tensor = {"name": "y", "datatype": "FP64", "shape": [1], "data": [7.0]}
        return web.json_response({"model_name": "small", "outputs": [tensor]}, status=200 if is_served else 503)

    async def story() -> None:
        app = web.Application()
        app.router.add_route("*", "/{_:.*}", answer)
        clients = ReplicaClients(600.0, 2**20, asyncio.Lock())
        async with TestServer(app) as server, asyncio.timeout(PATIENCE_S):
            replica = RoutedReplica(0, "small", 1, str(server.make_url("/")).rstrip("/"), "small")
            clients._is_binary[replica.url] = False
            serving = clients.infer(Batch(0, 0, replica, [], 0.0), [of_array("x", np.zeros(1))], {}, p99_s=100.0)
            if is_served:
                assert [tensor.name for tensor in (await serving).outputs] == ["y"]
            else:
                with pytest.raises(ReplicaError, match="did not answer in time") as lost:
                    await serving
                assert (lost.value.served, lost.value.again) == (True, True)
            await clients.close()

    asyncio.run(story())


def test_the_time_of_a_batch_is_by_its_own_variant_size_and_cores() -> None:
    times_s: list[float] = []

    async def infer(*given: Any) -> None:
        times_s.append(given[-1])
        raise ReplicaError("not now")

    async def story() -> None:
        tasks: list[asyncio.Future[None]] = []

        def spawn(work: Any, **_: Any) -> None:
            tasks.append(asyncio.ensure_future(work))

        pipeline = profiles.load("video")
        around: Any = (mock.Mock(), SimpleNamespace(infer=infer), mock.Mock(), mock.Mock())
        service = BatchService(pipeline, *around, spawn)  # type: ignore[call-arg]
        job = Job([of_array("x", np.zeros((1, 1)))], {}, mock.Mock())
        for stage, variant, size, cores in ((0, "yolov5n", 1, 1), (0, "yolov5x", 4, 8), (1, "resnet18", 2, 1)):
            requests = [Request(str(number), 0.0, None, job) for number in range(size)]
            service.start(Batch(0, stage, RoutedReplica(0, variant, size, cores=cores), requests, 0.0))
        await asyncio.gather(*tasks)

    asyncio.run(story())
    detection, classification = profiles.load("video").stages
    assert times_s == [
        detection.variant("yolov5n").p99_s(1, 1),
        detection.variant("yolov5x").p99_s(4, 8),
        classification.variant("resnet18").p99_s(2, 1),
    ]
    assert [asked_after_s(p99_s) + ASKED_WITHIN_S for p99_s in (0.1, 13.0)] == [2.2, 28.0]
    assert given_up_after_s(0.1) == 5.5


def test_one_bad_answer_of_a_replica_about_itself_is_not_remembered() -> None:
    """While it starts, as behind a proxy, it answers 503 at first."""
    asked: list[str] = []

    async def describe(request: web.Request) -> web.Response:
        asked.append(request.path)
        said = {"extensions": [BINARY_EXTENSION], "outputs": [{"name": "y"}]}
        return web.json_response(said, status=503 if asked.count(request.path) == 1 else 200)

    async def story() -> None:
        app = web.Application()
        app.router.add_get("/{_:.*}", describe)
        clients = ReplicaClients(60.0, 2**20, asyncio.Lock())
        async with TestServer(app) as server:
            replica = RoutedReplica(0, "small", 1, str(server.make_url("/")).rstrip("/"))
            assert [await clients._takes_binary(replica.url) for _ in range(3)] == [False, True, True]
            assert [list(await clients.output_names(replica)) for _ in range(3)] == [[], ["y"], ["y"]]
        await clients.close()

    asyncio.run(story())
    assert asked == ["/v2", "/v2", "/v2/models/small", "/v2/models/small"]
