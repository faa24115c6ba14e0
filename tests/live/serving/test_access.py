"""Attacks on a gateway's ports: without the token, with a wrong one, from web pages, with replicas elsewhere."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner

from ipa import profiles
from ipa.live.gateway_settings import GatewaySettings
from ipa.live.plane import ACCEPTS_PATH
from ipa.live.serving import access
from ipa.live.serving.control_api import control_application
from ipa.live.serving.gateway import main as gateway_command
from ipa.live.serving.host import Gateway
from ipa.live.serving.web import application, json_response
from ipa.live.tokens import CONTROL_HEADER, TokenFile, create_token_file
from tests.live.serving.serving_plane import Plane, Process, call, entry, plane
from tests.live.world import until_now

CALLS = (
    ("PUT", "/control/start"),
    ("PUT", "/control/configuration"),
    ("PUT", "/control/replicas"),
    ("GET", "/control/observation"),
    ("GET", "/control/records"),
    ("GET", "/no/such/path"),
    ("POST", "/metrics"),
)
OPEN = ("/v2/health/live", "/v2/health/ready", "/metrics")
WRONG = "a-wrong-token-of-43-characters-0123456789abc"


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    create_token_file(tmp_path / "token")
    return TokenFile(tmp_path / "token")


def asked(
    tokens: TokenFile, method: str, path: str, headers: dict[str, str], body: object = None, **options: Any
) -> tuple[int, str, str]:
    """Status, text and challenge of one call of the control port of a gateway of its own."""

    async def story() -> tuple[int, str, str]:
        gateway = Gateway(profiles.load("video"), GatewaySettings(**options))
        try:
            async with (
                TestClient(TestServer(control_application(gateway, tokens))) as client,
                client.request(method, path, headers=headers, json=body) as answer,
            ):
                return answer.status, await answer.text(), answer.headers.get("WWW-Authenticate", "")
        finally:
            await gateway.close()

    return asyncio.run(story())


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_without_the_token_nothing_is_set_or_read(tokens: TokenFile, method: str, path: str) -> None:
    assert asked(tokens, method, path, {"Authorization": f"Bearer {WRONG}"})[::2] == (401, "Bearer")


def test_what_is_almost_the_token_is_not(tokens: TokenFile) -> None:
    (token,) = tokens.read()
    for headers in (
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {token}x"},
        {"Authorization": f"Basic {token}"},
        {"Authorization": token},
        {"Cookie": f"token={token}"},
        {CONTROL_HEADER: WRONG},
        {CONTROL_HEADER: ""},
    ):
        assert asked(tokens, "GET", "/control/records", headers)[::2] == (401, "Bearer"), headers


def test_a_token_in_the_query_is_none(tokens: TokenFile) -> None:
    (token,) = tokens.read()
    for query in (f"token={token}", f"access_token={token}", f"Authorization=Bearer%20{token}"):
        status, text, _ = asked(tokens, "GET", f"/control/records?{query}", {})
        assert status == 401
        assert token not in text


def test_the_token_is_taken_as_bearer_and_in_the_header_that_the_api_server_s_proxy_leaves(tokens: TokenFile) -> None:
    (token,) = tokens.read()
    for headers in (tokens.headers(), {"authorization": f"bearer {token}"}, {CONTROL_HEADER: token}):
        assert asked(tokens, "GET", "/control/records", headers)[0] == 200


@pytest.mark.parametrize("path", OPEN)
def test_health_and_metrics_need_no_token(tokens: TokenFile, path: str) -> None:
    assert asked(tokens, "GET", path, {})[0] == 200
    assert asked(tokens, "GET", path, {"Authorization": f"Bearer {WRONG}"})[0] == 200


@pytest.mark.parametrize("path", [*OPEN, "/control/records"])
def test_web_pages_are_refused_even_with_the_token(tokens: TokenFile, path: str) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:8001"):
        assert asked(tokens, "GET", path, {"Origin": origin, **tokens.headers()})[0] == 403


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("127.0.0.1:8001", True),
        ("localhost:8001", True),
        ("LOCALHOST", True),
        ("10.1.2.3:8081", True),
        ("[::1]:8001", True),
        ("ipa-video-control.default.svc:8081", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example:8001", False),
        ("localhost.evil.example", False),
        ("ipa-video-control.default.svc.evil.example", False),
        ("evil.example@127.0.0.1", False),
        ("localhost#.evil.example", False),
        ("localhost/evil.example", False),
        ("localhost?evil.example", False),
        ("127.0.0.1\\evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_a_name_that_a_page_may_have_rebound_gets_nothing_without_the_token(
    tokens: TokenFile, host: str, is_own: bool
) -> None:
    assert access.is_own_host(host, ("Ipa-video-control.default.svc",)) == is_own
    if not is_own and host:
        assert asked(tokens, "GET", "/metrics", {"Host": host})[0] == 403
        assert asked(tokens, "GET", "/control/records", {"Host": host})[0] == 401
        assert asked(tokens, "GET", "/control/records", {"Host": host, **tokens.headers()})[0] == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.9:8101",
        "http://evil.example:8101",
        "http://localhost:8101",
        "http://127.0.0.1.evil.example:8101",
        "http://127.0.0.1@10.0.0.9:8101",
        "http://user:pass@127.0.0.1:8101",
        "http://169.254.169.254",
        "http://[fe80::1]:8101",
        "http://[::ffff:10.0.0.9]:8101",
        "http://[::ffff:127.0.0.1]:8101",
        "http://0.0.0.0:8101",
        "http://0x7f000001:8101",
        "http://2130706433:8101",
        "http://127.1:8101",
        "http://127.0.0.1:8101/path",
        "http://127.0.0.1:8101?query",
        "http://127.0.0.1:999999",
        "http://[::1:8101",
        "ftp://127.0.0.1:8101",
        "//127.0.0.1:8101",
        "",
        None,
        7,
    ],
)
def test_requests_are_never_sent_where_no_replica_can_be(tokens: TokenFile, url: object) -> None:
    """Even with the token, from the gateway's own machine."""
    replica = {"number": 0, "url": url, "variant": "yolov5n", "cores": 1, "state": "ready"}
    body = {"object-detection": [replica], "image-classification": []}
    status, text, _ = asked(tokens, "PUT", "/control/replicas", tokens.headers(), body)
    assert status == 400
    assert "object-detection[0].url=" in text


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://10.1.2.3:8080", ""),
        ("http://[fd00::1]:8080", ""),
        ("http://10.1.2.3:8081", "port 8080"),
        ("http://10.1.2.3", "port 8080"),
        ("http://127.0.0.1:8080", "an address in 0.0.0.0/0, ::/0"),  # the gateway's own pod
        ("http://169.254.169.254:8080", "an address in"),  # a cloud's metadata
        ("http://224.0.0.1:8080", "an address in"),
        ("http://[::1]:8080", "an address in"),
        ("http://[::ffff:127.0.0.1]:8080", "an address in"),
    ],
)
def test_on_a_cluster_replicas_are_pods_at_their_port(tokens: TokenFile, url: str, allowed: str) -> None:
    networks = tuple(map(ip_network, ("0.0.0.0/0", "::/0")))
    body = {"object-detection": [entry(0, url, "yolov5n")], "image-classification": []}
    options = {"replica_networks": networks, "replica_port": 8080}
    status, text, _ = asked(tokens, "PUT", "/control/replicas", tokens.headers(), body, **options)
    assert (status, allowed in text) == (400 if allowed else 200, True)


def test_a_token_file_that_has_gone_closes_the_port_and_says_so(
    tokens: TokenFile, caplog: pytest.LogCaptureFixture
) -> None:
    headers = tokens.headers()
    tokens.path.unlink()
    assert asked(tokens, "GET", "/control/records", headers)[0] == 503
    assert "the token cannot be read" in str(caplog.records[0].__dict__["problem"])
    assert asked(tokens, "GET", "/metrics", {})[0] == 200


# ---- the data port ----


def test_clients_need_one_of_their_tokens_and_probes_none(tmp_path: Path) -> None:
    path = tmp_path / "clients"
    path.write_text("a-token-of-client-1\na-token-of-client-2\n")
    path.chmod(0o600)

    async def infer(_: web.Request) -> web.Response:
        return json_response({})

    async def story() -> list[int]:
        app = application(access.data_guard(TokenFile(path)))
        app.router.add_post("/v2/models/video/infer", infer)
        app.router.add_get("/v2/health/ready", infer)
        app.router.add_get(ACCEPTS_PATH, infer)
        async with TestClient(TestServer(app)) as client:
            given = [None, "Bearer a-token-of-client-1", "Bearer a-token-of-client-2", "Bearer a-token-of-client-3"]
            answers = [
                await client.post("/v2/models/video/infer", headers={} if each is None else {"Authorization": each})
                for each in given
            ]
            answers += [await client.get("/v2/health/ready"), await client.get(ACCEPTS_PATH)]
            answers += [await client.get("/v2/models/other")]
            return [answer.status for answer in answers]

    assert asyncio.run(story()) == [401, 200, 200, 401, 200, 200, 401]


def status_of(headers: dict[str, str], **options: Any) -> int:
    """The status of a request for inference with these headers."""

    async def infer(_: web.Request) -> web.Response:
        return json_response({})

    async def story() -> int:
        app = application(access.data_guard(**options))
        app.router.add_post("/v2/models/video/infer", infer)
        async with TestClient(TestServer(app)) as client:
            return (await client.post("/v2/models/video/infer", headers=headers)).status

    return asyncio.run(story())


def test_a_stranger_s_web_page_cannot_send_requests_unless_its_origin_is_allowed() -> None:
    page = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    assert status_of({}) == 200
    assert status_of(page) == 403
    assert status_of(page, origins=("https://ours.example",)) == 403
    assert status_of({"Origin": "https://ours.example"}, origins=("https://ours.example",)) == 200


def test_nor_can_one_that_has_rebound_its_name(tokens: TokenFile) -> None:
    """A token, which no page has, is proof enough; `names` None: whoever set the port up may call it anything."""
    rebound = {"Host": "evil.example:8080"}
    assert status_of(rebound) == 403
    assert status_of({"Host": "video.example"}, names=("video.example",)) == 200
    assert status_of(rebound, names=("video.example",)) == 403
    assert status_of(rebound, names=None) == 200
    assert status_of(rebound | tokens.headers(), tokens=tokens) == 200


@pytest.mark.parametrize("what", ["gateway", "server"])
def test_both_ports_for_requests_refuse_web_pages(what: str, video: tuple[Plane, Process]) -> None:
    up, gateway = video
    url = gateway.url if what == "gateway" else up.listed["object-detection"][0]["url"]
    for headers in ({"Origin": "null"}, {"Host": "evil.example"}):
        status, answer = call("POST", f"{url}/v2/models/video/infer", b"{}", headers)
        assert (status, list(answer)) == (403, ["error"])


def test_requests_with_wrong_tokens_are_logged_and_many_of_them_slowed(
    tokens: TokenFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first ten are answered at once; a right token always is."""
    slept: list[float] = []
    monkeypatch.setattr(access, "asyncio", SimpleNamespace(sleep=AsyncMock(side_effect=slept.append)))

    async def story() -> list[int]:
        gateway = Gateway(profiles.load("video"))
        async with TestClient(TestServer(control_application(gateway, tokens))) as client:
            statuses = [(await client.get("/control/records")).status for _ in range(13)]
            statuses.append((await client.get("/control/records", headers=tokens.headers())).status)
            monkeypatch.setattr(access, "MOST_SLOWED", 0)
            statuses.append((await client.get("/control/records")).status)
        gateway.control_refusals.tell()
        await gateway.close()
        return statuses

    assert asyncio.run(story()) == [401] * 13 + [200, 429]
    assert slept == [access.DELAY_S] * 3
    told = vars(next(each for each in caplog.records if each.message == "requests refused"))
    assert (told["peer"], told["path"], told["count"]) == ("127.0.0.1", "/control/records", 14)


# ---- the process ----


@pytest.fixture
def by_hand(tmp_path: Path) -> Iterator[tuple[Plane, Process]]:
    with plane(tmp_path, is_fresh=True) as up:
        yield up, up.gateway("--pipeline", "video", "--log-level", "debug")


def test_a_gateway_by_hand_makes_a_token_of_its_own_which_is_nowhere_but_in_its_file(
    by_hand: tuple[Plane, Process],
) -> None:
    _, gateway = by_hand
    path = Path(gateway.urls["control_token_file"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    (token,) = TokenFile(path).read()
    url = gateway.urls["control_url"] + "/control/records"
    assert call("GET", url, headers={})[0] == call("GET", url, headers={"Authorization": f"Bearer {WRONG}"})[0] == 401
    assert call("GET", url, headers={"Authorization": f"Bearer {token}"})[0] == 200
    process = Path(f"/proc/{gateway.popen.pid}")
    for where in (process / "cmdline", process / "environ", gateway.log):
        assert token.encode() not in where.read_bytes()
    assert token not in json.dumps(dict(gateway.urls))
    assert gateway.terminate() == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--control-token-file", "{}/none/token"), "none/token: no token can be written there: No such file"),
        (("--control-token-file", "{}/open"), "open: everyone on this machine can read the token; chmod 600"),
        (("--data-token-file", "{}/none"), "none: the token cannot be read: No such file"),
        (("--data-token-file", "{}/empty"), "empty: should hold tokens, one a line"),
        (("--replica-network", "10.0.0.1/8"), "has host bits set; allowed: 10.0.0.0/8"),
        (("--replica-port", "0"), "--replica-port"),
    ],
)
def test_what_would_leave_a_port_open_or_shut_for_ever_is_refused_at_the_start(
    tmp_path: Path, arguments: tuple[str, str], said: str
) -> None:
    (tmp_path / "open").write_text("a-token-that-everyone-knows")
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "empty").touch(0o600)
    given = [each.format(tmp_path) for each in arguments]
    result = CliRunner().invoke(gateway_command, ["--pipeline", "video", *given])
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert "a-token-that-everyone-knows" not in result.output


def test_refusals_are_counted_and_logged_by_reason(tmp_path: Path) -> None:
    """Of what clients sent, and not of what was let in: that is in the books as completed, dropped or failed. Who asks
    whether the gateway is ready is not refused if it is not."""
    create_token_file(tmp_path / "clients")
    (token,) = TokenFile(tmp_path / "clients").read()
    bearer = {"Authorization": f"Bearer {token}"}
    tensor = {"name": "image", "datatype": "FP32", "shape": [1], "data": [1.0]}
    with plane(tmp_path) as opened:
        gateway = opened.gateway("--pipeline", "video", "--sla", "0.1", "--data-token-file", str(tmp_path / "clients"))
        for probe in ("/v2/health/ready", "/v2/models/video/ready"):
            with pytest.raises(HTTPError, match="503"):
                urlopen(Request(f"{gateway.url}{probe}", headers=bearer))
        infer = f"{gateway.url}/v2/models/video/infer"
        given = [({}, b"{}"), ({}, b"{}"), (bearer, b"{"), (bearer, json.dumps({"inputs": [tensor]}).encode())]
        answered = [posted(infer, headers, body) for headers, body in given]
        assert answered == [401, 401, 400, 503]  # the last was let in, and dropped where there is no replica
        _, said = call("GET", f"{gateway.urls['control_url']}/control/records")
        assert said["refused"] == {"token": 2, "invalid": 1}
        text = urlopen(f"{gateway.urls['control_url']}/metrics").read().decode()
        assert 'ipa_requests_refused_total{pipeline="video",reason="token"} 2.0' in text
        until_now(lambda: sum(line["count"] for line in refusals(gateway)) >= 3, "the log of what was refused")
        assert {line["reason"] for line in refusals(gateway)} == {"token", "invalid"}
        assert sum(line["count"] for line in refusals(gateway)) == 3


def refusals(gateway: Process) -> list[dict[str, Any]]:
    return [line for line in gateway.logged() if line["event"] == "requests refused"]


def posted(url: str, headers: dict[str, str], body: bytes) -> int:
    """The status of the answer."""
    try:
        return int(urlopen(Request(url, body, headers)).status)
    except HTTPError as error:
        return error.code
