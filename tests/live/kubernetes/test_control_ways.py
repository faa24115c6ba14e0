"""The two ways to a gateway's control port on a cluster, before a gateway and an API server of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from ipa.live.errors import LiveError, RunError
from ipa.live.gateway_client import ControlCall, ControlWay, RefusedError
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.cluster_gateway import ProxiedWay, read_token, way_to
from ipa.live.tokens import CONTROL_HEADER
from tests.live.kubernetes.world import secret, tiny

TOKEN = "the-token-of-the-gateway"


class Server:
    """An API server that has the Secret and the Service, and notes what goes by its proxy."""

    read_only = False

    def __init__(self, token: str = TOKEN, port: int = 0) -> None:
        self.token, self.port = token, port
        self.read: list[str] = []
        self.proxied: list[tuple[str, str, Mapping[str, str]]] = []
        self.failure: ApiError | None = None

    def get(self, kind: str, namespace: str, name: str, within_s: float) -> Any:
        self.read.append(f"{kind} {name}")
        if kind == "Secret":
            return secret(self.token) if self.token else None
        return {"spec": {"clusterIP": "127.0.0.1", "ports": [{"port": self.port}]}} if self.port else None

    def request(self, method: str, path: str, body: object, *, within_s: float, headers: Mapping[str, str]) -> Any:
        self.proxied.append((method, path, headers))
        if self.failure is not None:
            raise self.failure
        return {"epoch": "first"}


def by_proxy(server: Server, folder: Path, *calls: str) -> Any:
    way = ProxiedWay(server, tiny(folder))  # type: ignore[arg-type]

    async def story() -> Any:
        return [await way.answer(ControlCall("GET", call, query={"after": "0"})) for call in calls][-1]

    return asyncio.run(story())


PROXY = "/api/v1/namespaces/default/services/http:ipa-tiny-control:control/proxy"


def test_the_proxy_gets_the_secret_s_token_in_a_header_that_it_forwards(tmp_path: Path) -> None:
    server = Server()
    assert by_proxy(server, tmp_path, "/control/records", "/control/records") == {"epoch": "first"}
    assert server.proxied == [("GET", f"{PROXY}/control/records?after=0", {CONTROL_HEADER: TOKEN})] * 2
    assert server.read == ["Secret ipa-tiny-control"]  # once


def test_a_token_that_is_refused_is_read_again_for_the_next_call(tmp_path: Path) -> None:
    server = Server()
    way = ProxiedWay(server, tiny(tmp_path))  # type: ignore[arg-type]

    async def story() -> None:
        server.failure = ApiError("GET", 401, '{"error":"needs the token of the control port"}')
        with pytest.raises(RunError, match=r"does not answer GET /x by the API server's proxy: .*needs the token"):
            await way.answer(ControlCall("GET", "/x"))
        server.failure, server.token = None, "the-next-token-of-it"
        await way.answer(ControlCall("GET", "/x"))

    asyncio.run(story())
    assert [headers[CONTROL_HEADER] for _, _, headers in server.proxied] == [TOKEN, "the-next-token-of-it"]


def test_without_a_secret_the_way_is_named_and_what_to_do(tmp_path: Path) -> None:
    said = r"does not answer GET /x by the API server's proxy: Secret ipa-tiny-control does not exist; run ipa live up"
    with pytest.raises(RunError, match=said):
        by_proxy(Server(token=""), tmp_path, "/x")


def test_a_secret_that_holds_no_token_is_named_and_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(LiveError, match="Secret ipa-tiny-control, key token: should hold tokens") as refused:
        read_token(Server(token="brief"), tiny(tmp_path))  # type: ignore[arg-type]
    assert "brief" not in str(refused.value)


def test_a_gateway_that_is_given_something_wrong_refuses_it_by_either_way(tmp_path: Path) -> None:
    server = Server()
    server.failure = ApiError("PUT", 400, "allowed: a number")
    with pytest.raises(RefusedError, match="allowed: a number"):
        by_proxy(server, tmp_path, "/x")


# ---- to the Service ----


def to_service(
    folder: Path, use: Callable[[ControlWay, Server, TestServer], Awaitable[None]], token: str = TOKEN
) -> list[web.Request]:
    """What a gateway is asked while `use` calls it; the token's file holds `token`."""
    seen: list[web.Request] = []

    async def gateway(request: web.Request) -> web.Response:
        seen.append(request)
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": "needs the token"}, status=401)
        if request.path == "/wrong":
            return web.json_response({"error": "allowed: a number"}, status=400)
        return web.json_response({"epoch": "first"})

    async def story() -> None:
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", gateway)
        path = folder / "token"
        path.write_text(token)
        path.chmod(0o600)
        async with TestServer(app) as listening, aiohttp.ClientSession() as session:
            assert listening.port is not None
            server = Server(port=listening.port)
            await use(way_to(server, tiny(folder), session, path), server, listening)  # type: ignore[arg-type]

    asyncio.run(story())
    return seen


def test_inside_the_service_is_called_itself_and_no_secret_is_read(tmp_path: Path) -> None:
    async def use(way: ControlWay, server: Server, listening: TestServer) -> None:
        for _ in range(2):
            assert await way.answer(ControlCall("PUT", "/control/start", {"origin": 0.0}, {"a": "b"})) == {
                "epoch": "first"
            }
        with pytest.raises(RefusedError, match=r"^allowed: a number$"):
            await way.answer(ControlCall("GET", "/wrong"))
        assert (server.read, server.proxied) == (["Service ipa-tiny-control"], [])

    seen = to_service(tmp_path, use)
    assert [each.path_qs for each in seen] == ["/control/start?a=b"] * 2 + ["/wrong"]


def test_a_failure_of_the_service_names_it_and_its_address_is_read_again(tmp_path: Path) -> None:
    async def use(way: ControlWay, server: Server, listening: TestServer) -> None:
        await way.answer(ControlCall("GET", "/x"))
        await listening.close()
        said = r"^Service ipa-tiny-control: the gateway does not answer GET /x at http://127.0.0.1:\d+: "
        for _ in range(2):
            with pytest.raises(RunError, match=said):
                await way.answer(ControlCall("GET", "/x"))
        server.port = 0
        with pytest.raises(RunError, match="Service ipa-tiny-control does not exist; run ipa live up"):
            await way.answer(ControlCall("GET", "/x"))
        assert server.read == ["Service ipa-tiny-control"] * 3

    to_service(tmp_path, use)


def test_a_wrong_token_is_said_with_its_file_and_never_quoted(tmp_path: Path) -> None:
    async def use(way: ControlWay, *_: object) -> None:
        with pytest.raises(RunError, match=r"Service .* refuses the token in .*/token: needs the token") as refused:
            await way.answer(ControlCall("GET", "/x"))
        assert "a-token-of-another" not in str(refused.value)

    to_service(tmp_path, use, token="a-token-of-another")


def test_an_adviser_s_client_sends_no_write(tmp_path: Path) -> None:
    async def use(way: ControlWay, server: Server, _: TestServer) -> None:
        server.read_only = True
        with pytest.raises(RefusedError, match="PUT /control/configuration: this client only reads"):
            await way.answer(ControlCall("PUT", "/control/configuration", {}))
        await way.answer(ControlCall("GET", "/control/records"))

    assert [each.method for each in to_service(tmp_path, use)] == ["GET"]


# ---- the Secret is made once ----


@pytest.mark.parametrize("status", [201, 409])
def test_what_exists_is_never_written_again(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    asked = []

    def request(method: str, path: str, body: object) -> Any:
        asked.append((method, path))
        if status >= 400:
            raise ApiError("POST", status, "already exists")

    api = object.__new__(Api)
    monkeypatch.setattr(api, "request", request)
    made = {"kind": "Secret", "metadata": {"namespace": "there", "name": "it"}}
    api.create(made)
    assert asked == [("POST", "/api/v1/namespaces/there/secrets")]
