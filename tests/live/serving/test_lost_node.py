"""What a gateway makes of replicas that do not answer as they should.

A replica whose node is lost: connections to it hang. The batch goes to another, and it is sent nothing more.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from aiohttp import web
from aiohttp.test_utils import TestServer

from ipa.live.serving import kept_connections
from ipa.live.serving.bodies import Turns
from ipa.live.serving.protocol import BINARY_EXTENSION
from ipa.live.serving.replica_clients import ReplicaClients, ReplicaError
from ipa.live.serving.request import RoutedReplica
from tests.live.world import hanging_server


def test_a_batch_whose_connection_hangs_has_not_reached_its_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_connections, "CONNECT_S", 0.2)

    async def story(hanging: str) -> None:
        clients = ReplicaClients(60.0, 2**20, Turns())
        clients._is_binary[hanging] = False  # it has served before
        batch: Any = SimpleNamespace(replica=SimpleNamespace(url=hanging, model="small"))
        try:
            with pytest.raises(ReplicaError, match="cannot be reached") as lost:
                await clients.infer(batch, [], {})
            assert (lost.value.served, lost.value.again) == (False, True)
        finally:
            await clients.close()

    with hanging_server() as url:
        asyncio.run(story(url))


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
        clients = ReplicaClients(60.0, 2**20, Turns())
        async with TestServer(app) as server:
            replica = RoutedReplica(0, "small", 1, str(server.make_url("/")).rstrip("/"))
            assert [await clients._takes_binary(replica.url) for _ in range(3)] == [False, True, True]
            assert [list(await clients.output_names(replica)) for _ in range(3)] == [[], ["y"], ["y"]]
        await clients.close()

    asyncio.run(story())
    assert asked == ["/v2", "/v2", "/v2/models/small", "/v2/models/small"]
