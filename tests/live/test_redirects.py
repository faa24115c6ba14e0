"""No client of live mode goes where an answer sends it: tensors and tokens are for the address that was given."""

from __future__ import annotations

import ast
import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ipa.errors import Error
from ipa.live.kubernetes import readiness
from ipa.live.kubernetes.api import Api
from ipa.live.load_generator import LoadJob, generate
from ipa.live.monitoring.prometheus_api import PrometheusApi
from ipa.live.server_answers import DEFAULT_BODY, metadata_of
from ipa.live.serving.replica_clients import ReplicaClients
from ipa.live.serving.request import Batch, RoutedReplica
from ipa.live.serving.tensors import of_array
from tests import house

REQUESTING = {"get", "post", "put", "delete", "patch", "options", "request"}


def test_every_request_of_a_client_session_refuses_redirects() -> None:
    calls = [
        (f"{path.name}:{node.lineno}", {keyword.arg for keyword in node.keywords})
        for path in sorted((house.ROOT / "live").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in REQUESTING
        and ast.unparse(node.func.value).endswith("session")
    ]
    assert len(calls) >= 8
    assert [where for where, keywords in calls if "allow_redirects" not in keywords] == []


async def replica(url: str) -> None:
    clients = ReplicaClients(5.0, 2**20, asyncio.Lock())
    try:
        asked = RoutedReplica(0, "m", 1, url)
        await clients.metadata(asked)
        await clients.is_ready(asked)
        await clients.infer(Batch(0, 0, asked, [], 0.0), [of_array("x", np.zeros(1))], {})
    finally:
        await clients.close()


async def load(url: str) -> None:
    await generate(LoadJob(url, "m", time.monotonic(), 5.0, DEFAULT_BODY), np.array([0.0]))


async def prometheus(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        await PrometheusApi(session, url, "video", ()).time_s()


async def api_server(url: str) -> None:
    """With the settings of `connect`."""
    import kubernetes

    configuration = kubernetes.client.Configuration(host=url)
    configuration.retries = False
    api = Api(kubernetes.client.ApiClient(configuration))
    await asyncio.to_thread(api.request, "GET", "/api/v1/nodes")


@pytest.mark.parametrize(
    "client",
    [
        replica,
        load,
        prometheus,
        api_server,
        lambda url: metadata_of(url, "m"),
        lambda url: readiness.until_reached(url, 0),
    ],
)
@pytest.mark.parametrize("status", [302, 307])
def test_a_client_that_is_sent_elsewhere_does_not_go_there(
    client: Callable[[str], Awaitable[object]], status: int
) -> None:
    asked: list[str] = []
    stranger_asked: list[str] = []

    async def stranger(http: web.Request) -> web.Response:
        stranger_asked.append(http.path)
        return web.json_response({})

    async def story() -> None:
        elsewhere = web.Application()
        elsewhere.router.add_route("*", "/{path:.*}", stranger)
        async with TestServer(elsewhere) as other:

            async def sends_elsewhere(http: web.Request) -> web.Response:
                asked.append(http.path)
                return web.Response(status=status, headers={"Location": str(other.make_url(http.path))})

            app = web.Application()
            app.router.add_route("*", "/{path:.*}", sends_elsewhere)
            async with TestServer(app) as server:
                with suppress(Error):
                    await client(str(server.make_url("")).rstrip("/"))

    asyncio.run(story())
    assert asked
    assert stranger_asked == []
