"""Malformed requests by the thousand: none is answered 500, none hangs, and nothing is left inside.

IPA_FUZZ sets how many each server gets; `make soak` sends 10,000.
"""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import os
import socket
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle, islice
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipa.profiles import DATATYPES
from tests.live.serving import hostile
from tests.live.serving.serving_plane import Process, ask, call, entry, get, plane, put, until
from tests.live.world import usage

REQUESTS = int(os.environ.get("IPA_FUZZ", "600"))
LONG = 10_000
ALLOWED = {200, 400, 404, 405, 408, 411, 413, 415, 431, 502, 504}
"""502: a replica refused what the gateway, which does not know the model, had let through."""

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=8,
)
SHAPES = st.one_of(st.lists(st.integers(-1, 3), max_size=4), ANYTHING)
PARAMETERS = st.one_of(
    st.dictionaries(
        st.sampled_from(["binary_data_size", "binary_data", "binary_data_output", "batch_number", "batch_size", "x"]),
        st.one_of(st.integers(-2, 40), st.booleans(), ANYTHING),
        max_size=3,
    ),
    ANYTHING,
)


def tensor(data: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.fixed_dictionaries(
            {
                "name": st.one_of(st.text(max_size=4), ANYTHING),
                "datatype": st.one_of(st.sampled_from(DATATYPES), ANYTHING),
                "shape": SHAPES,
            },
            optional={"data": data, "parameters": PARAMETERS},
        ),
        ANYTHING,
    )


DATA = st.one_of(st.lists(st.integers(-300, 300), max_size=9), st.lists(SCALARS, max_size=9), ANYTHING)
MESSAGES = st.one_of(
    st.fixed_dictionaries(
        {"inputs": st.one_of(st.lists(tensor(DATA), max_size=3), ANYTHING)},
        optional={
            "id": ANYTHING,
            "parameters": PARAMETERS,
            "outputs": st.one_of(st.lists(tensor(DATA), max_size=2), ANYTHING),
        },
    ),
    ANYTHING,
)


@st.composite
def sound(draw: st.DrawFn) -> Any:
    """Requests that may well be right, so that the pipeline is reached too."""
    shape = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    count = 1
    for size in shape:
        count *= size
    data = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    message = ask(datatype=draw(st.sampled_from(["FP32", "INT8", "UINT64"])), shape=shape, data=data)
    return message | draw(st.fixed_dictionaries({}, optional={"parameters": PARAMETERS, "id": st.text(max_size=5)}))


BODIES = st.one_of(
    MESSAGES.map(lambda message: json.dumps(message).encode(errors="surrogatepass")),
    sound().map(lambda message: json.dumps(message).encode(errors="surrogatepass")),
    st.binary(max_size=60),
)
LENGTHS = st.one_of(
    st.none(), st.integers(0, 300).map(str), st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=5)
)
PATHS = st.sampled_from(
    ["infer"] * 8 + ["ready", "", "versions/1/infer", "versions/2/infer", "../infer", "%00", "infer?x=1"]
)
CODINGS = st.one_of(
    st.just(("", bytes)),
    st.sampled_from([("gzip", gzip.compress), ("deflate", zlib.compress), ("gzip", zlib.compress), ("gzip", bytes)]),
    st.tuples(st.sampled_from(["br", "gzip, gzip", "deflate", "identity", "x-gzip", "?"]), st.just(bytes)),
)
"""What a body says that it is compressed with, and what it really is."""
METHODS = st.sampled_from(["POST"] * 9 + ["GET", "PUT", "DELETE", "HEAD", "PATCH"])


START = b"POST /v2/models/video/infer HTTP/1.1\r\nHost: localhost\r\n"
RAW = st.one_of(
    st.binary(min_size=1, max_size=80),
    st.binary(max_size=40).map(lambda tail: START + tail),
    st.binary(max_size=40).map(lambda tail: START + b"Content-Length: 20\r\n\r\n" + tail),
    st.binary(max_size=40).map(lambda tail: START + b"Transfer-Encoding: chunked\r\n\r\n" + tail),
    st.binary(max_size=40).map(lambda tail: START + b"Content-Encoding: gzip\r\nContent-Length: 40\r\n\r\n" + tail),
)
"""Garbage, broken headers, bodies cut short, wrong chunks, wrong compression."""


class Target:
    """A server under fire, over one connection that is opened again where the server closed it."""

    def __init__(self, process: Process, model: str) -> None:
        self.process = process
        self.model = model
        self.statuses: Counter[int] = Counter()
        self._connection: http.client.HTTPConnection | None = None

    def send(
        self, method: str, path: str, body: bytes, length: str | None, coding: str = "", *, is_chunked: bool = False
    ) -> None:
        headers = {} if length is None else {"Inference-Header-Content-Length": length}
        headers |= {"Content-Encoding": coding} if coding else {}
        sent = iter([body[:7], body[7:]]) if is_chunked and body else body
        connection = self._connection or http.client.HTTPConnection(
            self.process.url.removeprefix("http://"), timeout=20
        )
        self._connection = connection
        try:
            connection.request(method, f"/v2/models/{self.model}/{path}".rstrip("/"), sent, headers)
            response = connection.getresponse()
            text = response.read()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            connection.close()
            self._connection = None
            return
        self.statuses[response.status] += 1
        assert response.status in ALLOWED, (response.status, text)
        if response.status != 200 and method != "HEAD":
            assert set(json.loads(text)) == {"error"}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Target]]:
    with plane(tmp_path_factory.mktemp("fuzz")) as up:
        gateway = up.gateway("--pipeline", "video", "--log-level", "error")
        servers = {
            stage: up.emulated("video", stage, variant, "--factor", "0")
            for stage, variant in (("object-detection", "yolov5n"), ("image-classification", "resnet18"))
        }
        replicas = {
            "object-detection": [entry(0, servers["object-detection"].url, "yolov5n")],
            "image-classification": [entry(0, servers["image-classification"].url, "resnet18")],
        }
        put(gateway.urls["control_url"] + "/control/replicas", replicas)
        made = {"gateway": Target(gateway, "video"), "server": Target(servers["object-detection"], "yolov5n")}
        yield made
        for target in made.values():
            target.close()


@pytest.mark.parametrize("name", ["gateway", pytest.param("server", marks=pytest.mark.long)])
def test_no_request_breaks_a_server(targets: dict[str, Target], name: str) -> None:
    target = targets[name]
    call("POST", f"{target.process.url}/v2/models/{target.model}/infer", ask())  # then its connections are there
    before = resources(target.process)

    @settings(
        max_examples=REQUESTS // 2, deadline=None, database=None, derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(METHODS, PATHS, BODIES, st.binary(max_size=20), LENGTHS, CODINGS, st.booleans())
    def fire(
        method: str, path: str, body: bytes, tail: bytes, length: str | None, coding: Any, is_chunked: bool
    ) -> None:
        target.send(method, path, body + tail, length)
        named, compress = coding
        target.send("POST", "infer", compress(body), length, named, is_chunked=is_chunked)

    fire()
    assert target.statuses[200] > 0.02 * REQUESTS, target.statuses
    assert target.statuses[400] > 0.2 * REQUESTS, target.statuses
    assert call("POST", f"{target.process.url}/v2/models/{target.model}/infer", ask())[0] == 200
    assert target.process.log.read_text() == ""
    gives_back(target.process, before, files=4)
    assert resources(target.process)["bytes"] <= before["bytes"] + 48 * 2**20
    if name == "gateway":
        seen = get(target.process.urls["control_url"] + "/control/observation")["stages"]
        assert all(stage["queue_length"] == stage["in_service"] == 0 for stage in seen.values())


@pytest.mark.parametrize("name", ["gateway", "server"])
def test_bytes_that_are_no_http_end_their_connection_alone(targets: dict[str, Target], name: str) -> None:
    process = targets[name].process
    host, port = process.url.removeprefix("http://").split(":")
    before = resources(process)

    @settings(max_examples=max(20, REQUESTS // 20), deadline=None, database=None, derandomize=True)
    @given(RAW)
    def fire(data: bytes) -> None:
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            with suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    answer += part
        assert b" 500 " not in answer[:20]

    fire()
    assert call("GET", process.url + "/v2/health/live")[0] == 200
    assert process.log.read_text() == ""
    gives_back(process, before, files=4)


@pytest.mark.long
@pytest.mark.parametrize("name", ["gateway", "server"])
def test_hostile_bodies_and_slow_clients_leave_an_honest_client_alone(targets: dict[str, Target], name: str) -> None:
    """No 500, no growth, and an answer to the honest client each time."""
    target = targets[name]
    path = f"/v2/models/{target.model}/infer"
    kinds = hostile.kinds(12 if REQUESTS < LONG else 62).values()
    bodies = islice(cycle(kinds), max(len(kinds), REQUESTS // 10))
    call("POST", f"{target.process.url}/v2/models/{target.model}/infer", ask())  # then its connections are there
    before = resources(target.process)
    answers: Counter[int] = Counter()
    honest: Counter[int] = Counter()
    asyncio.run(_beside(target.process.url, path, bodies, answers, honest))
    assert set(answers) <= ALLOWED | {503, hostile.NO_ANSWER}
    assert answers[413] > 0
    assert set(honest) == {200}
    assert target.process.log.read_text() == ""
    gives_back(target.process, before, files=8)
    assert resources(target.process)["bytes"] <= before["bytes"] + 96 * 2**20


async def _beside(
    url: str, path: str, bodies: Iterator[hostile.Hostile], answers: Counter[int], honest: Counter[int]
) -> None:
    """Send the bodies, four at a time, while an honest client asks again and again."""

    async def attack() -> None:
        for body in bodies:
            answers[await hostile.send(url, path, body)] += 1

    attacks = asyncio.gather(*[attack() for _ in range(4)])
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        while not attacks.done():
            async with session.post(url + path, json=ask()) as response:
                await response.read()
                honest[response.status] += 1
            await asyncio.sleep(0.005)
    await attacks


def gives_back(process: Process, before: dict[str, int], files: int) -> None:
    """Wait until a process has at most so many files more than before: it closes a connection after its client does."""
    until(lambda: resources(process)["files"] <= before["files"] + files, "connections are closed")


def resources(process: Process) -> dict[str, int]:
    """Open files and resident memory of a process, where the system tells."""
    files, resident_bytes = usage(process.popen.pid)
    return {"files": files, "bytes": resident_bytes}
