"""Gateway and model servers as processes, driven by a public client of the protocol and by their control API."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Thread
from typing import Any
from unittest import mock

import click
import numpy as np
import pytest
from aiohttp import streams
from aiohttp.test_utils import make_mocked_request
from click.testing import CliRunner
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from ipa import profiles
from ipa.live.serving.control_api import control_application
from ipa.live.serving.gateway import main as gateway_command
from ipa.live.serving.gateway_options import GatewayOptions
from ipa.live.serving.host import Gateway
from ipa.live.serving.metrics import TABLE
from ipa.live.serving.server import main as server_command
from ipa.live.tokens import TokenFile, create_token_file
from tests.live.serving.serving_plane import Plane, Process, ask, call, entry, get, plane, put, until, wanted

DETECTION, CLASSIFICATION = "object-detection", "image-classification"
STAGES = ((DETECTION, "yolov5n"), (CLASSIFICATION, "resnet18"))


def listed(gateway: Process, replicas: dict[str, list[dict[str, Any]]]) -> Any:
    """Tell the gateway its replicas; stages not named have none."""
    stages = {stage: replicas.get(stage, []) for stage, _ in STAGES}
    return put(gateway.urls["control_url"] + "/control/replicas", stages)


def configured(gateway: Process, batch: int = 1, timeout_s: float = 0.0) -> Any:
    """The lightest variants at both stages."""
    stages = {stage: wanted(variant, batch, timeout_s) for stage, variant in STAGES}
    return put(gateway.urls["control_url"] + "/control/configuration", stages)


def observed(gateway: Process, query: str = "") -> Any:
    return get(gateway.urls["control_url"] + "/control/observation" + query)


def recorded(gateway: Process, query: str = "") -> Any:
    return get(gateway.urls["control_url"] + "/control/records" + query)


def infer(gateway: Process, request: object | None = None) -> tuple[int, Any]:
    return call("POST", gateway.url + "/v2/models/video/infer", ask() if request is None else request)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plane, Process]]:
    """The video pipeline with one replica a stage that takes no time."""
    with plane(tmp_path_factory.mktemp("plane")) as up:
        gateway = up.gateway("--pipeline", "video")
        up.listed = {
            stage: [entry(0, up.emulated("video", stage, variant, "--factor", "0").url, variant)]
            for stage, variant in STAGES
        }
        yield up, gateway


@pytest.fixture
def gateway(video: tuple[Plane, Process]) -> Process:
    """Its gateway, configured afresh."""
    up, running = video
    listed(running, up.listed)
    configured(running)
    return running


def peak_bytes(process: Process) -> int:
    """The most resident memory that a process has had."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@pytest.fixture
def client(gateway: Process) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(gateway.url.removeprefix("http://"), concurrency=8) as made:
        yield made


# ---- the protocol, as a public client speaks it ----


def floats(values: list[list[float]], binary: bool = True) -> triton.InferInput:
    tensor = triton.InferInput("image", [len(values), len(values[0])], "FP32")
    tensor.set_data_from_numpy(np.array(values, dtype=np.float32), binary_data=binary)
    return tensor


def words(values: list[bytes], binary: bool = True) -> triton.InferInput:
    tensor = triton.InferInput("words", [len(values)], "BYTES")
    tensor.set_data_from_numpy(np.array(values, dtype=object), binary_data=binary)
    return tensor


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_a_public_client_gets_its_tensors_back(client: Any, binary: bool, compression: str | None) -> None:
    inputs = [floats([[1.5, -2.0]], binary), words([b"caf\xc3\xa9"], binary)]
    answer = client.infer("video", inputs, request_id="7", request_compression_algorithm=compression)
    assert answer.as_numpy("image").tolist() == [[1.5, -2.0]]
    assert answer.as_numpy("words").tolist() == [b"caf\xc3\xa9"]
    assert answer.get_response()["id"] == "7"
    assert answer.get_response()["model_name"] == "video"


def test_a_public_client_chooses_outputs_and_their_form(client: Any) -> None:
    asked = [triton.InferRequestedOutput("words", binary_data=False)]
    answer = client.infer("video", [floats([[1.0]]), words([b"yes"])], outputs=asked, model_version="1")
    assert answer.get_response()["outputs"] == [{"name": "words", "datatype": "BYTES", "shape": [1], "data": ["yes"]}]


def test_a_public_client_asks_for_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("video")
    assert client.is_model_ready("video", "1")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert client.get_model_metadata("video") == {
        "name": "video", "versions": ["1"], "platform": "ipa_pipeline", "inputs": [], "outputs": [],
    }  # fmt: skip


def test_a_public_client_can_ask_a_replica_directly(video: tuple[Plane, Process]) -> None:
    url = video[0].listed[DETECTION][0]["url"]
    with triton.InferenceServerClient(url.removeprefix("http://")) as direct:
        assert direct.is_model_ready("yolov5n")
        assert direct.infer("yolov5n", [floats([[1.0], [2.0]])]).as_numpy("image").tolist() == [[1.0], [2.0]]
        with pytest.raises(InferenceServerException, match="batch_size 65; allowed: 1 to 64, as profiled"):
            direct.infer("yolov5n", [floats([[1.0]] * 65)])


def test_errors_have_the_form_of_the_protocol(client: Any, gateway: Process) -> None:
    text = "no model is called 'audio'; this server has 'video'"
    with pytest.raises(InferenceServerException, match=text) as refused:
        client.infer("audio", [floats([[1.0]])])
    assert refused.value.status() == "404"
    assert call("GET", gateway.url + "/v2/models/video/versions/2") == (
        404, {"error": "model 'video' has no version '2'; this server has version '1'"},
    )  # fmt: skip
    assert call("GET", gateway.url + "/v3") == (404, {"error": "GET /v3: Not Found"})
    assert call("GET", gateway.url + "/v2/models/video/infer")[0] == 405
    assert infer(gateway, ask(datatype="INT"))[0] == 400
    zipped = call("POST", gateway.url + "/v2/models/video/infer", b"no gzip", {"Content-Encoding": "gzip"})
    assert zipped[0] == 400
    assert zipped[1]["error"].startswith("the body cannot be read: it is not gzip: Error -3")
    unknown = call("POST", gateway.url + "/v2/models/video/infer", b"?", {"Content-Encoding": "br"})
    assert unknown == (415, {"error": "Content-Encoding: br; allowed: gzip, deflate, identity"})


@pytest.fixture
def in_a_pod(video: tuple[Plane, Process]) -> Process:
    """A gateway of the same replicas with the limits that 512 MiB of memory give."""
    up, _ = video
    small = up.gateway("--pipeline", "video", "--most-inside", str(128 * 2**20))
    listed(small, up.listed)
    return small


def test_bodies_that_would_take_all_memory_are_refused_by_a_gateway_that_goes_on(in_a_pod: Process) -> None:
    url = in_a_pod.url + "/v2/models/video/infer"
    bomb = gzip.compress(b'{"inputs":[' + b"{}," * 22_000_000 + b"{}]}")
    assert len(bomb) < 70_000
    status, answer = call("POST", url, bomb, {"Content-Encoding": "gzip"})
    assert (status, answer["error"].partition(":")[0]) == (413, "the body's JSON is too large")
    status, answer = infer(in_a_pod, b'{"inputs":[{"name":"x","data":[' + b"0.5," * 15_500_000 + b"1]}]}")
    assert (status, answer["error"].partition(";")[0]) == (413, "the body of JSON is too large")
    status, answer = infer(in_a_pod, b'{"inputs":[' + b"{}," * 2_000_000 + b"{}]}")
    assert (status, answer["error"].partition(":")[0]) == (413, "the body's JSON is too large")
    assert peak_bytes(in_a_pod) < 200 * 2**20
    assert infer(in_a_pod)[0] == 200


def test_large_json_and_larger_binary_data_are_answered(in_a_pod: Process) -> None:
    values = np.arange(150_528, dtype=np.float32)
    status, answer = infer(in_a_pod, ask(datatype="FP32", shape=[1, 150_528], data=values.tolist()))
    assert status == 200
    assert answer["outputs"][0]["data"] == values.tolist()
    size = 24 * 2**20
    with triton.InferenceServerClient(in_a_pod.url.removeprefix("http://")) as made:
        tensor = triton.InferInput("image", [1, size], "UINT8")
        tensor.set_data_from_numpy(np.ones((1, size), dtype=np.uint8))
        assert made.infer("video", [tensor]).as_numpy("image").sum() == size
        with pytest.raises(InferenceServerException, match=r"the answer is too large for JSON: .* Ask for binary data"):
            made.infer("video", [tensor], outputs=[triton.InferRequestedOutput("image", binary_data=False)])


@pytest.mark.parametrize(
    ("changes", "headers", "status"),
    [
        ({}, {"Inference-Header-Content-Length": "9" * 4300}, 400),
        ({"inputs": "DEEP"}, {}, 400),
        ({"parameters": {"a": "DEEP"}}, {}, 400),
        ({"id": "i" * 257}, {}, 400),
        ({"parameters": {"a": "b" * 70_000}}, {}, 400),
        ({"inputs": [ask()["inputs"][0]] * 1025}, {}, 400),
    ],
)
def test_what_is_out_of_bounds_is_refused(
    gateway: Process, changes: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    body = json.dumps({**ask(), **changes}).encode().replace(b'"DEEP"', b"[" * 1000 + b"]" * 1000)
    found, answer = call("POST", gateway.url + "/v2/models/video/infer", body, headers)
    assert (found, list(answer)) == (status, ["error"])
    assert len(answer["error"]) < 300


def test_parameters_that_only_python_takes_for_equal_do_not_share_a_batch(gateway: Process) -> None:
    configured(gateway, batch=4, timeout_s=0.2)
    before = recorded(gateway)["next"]
    with ThreadPoolExecutor(4) as pool:
        asked = [ask(parameters={"a": value}, id=repr(value)) for value in (1, 1.0, True, 1)]
        assert [status for status, _ in pool.map(lambda each: infer(gateway, each), asked)] == [200] * 4
    batches: dict[int, set[str]] = {}
    for record in recorded(gateway, f"?after={before}")["records"]:
        batches.setdefault(record["stages"][0]["batch"], set()).add(record["id"])
    assert all(len(names) == 1 for names in batches.values()), batches


def test_an_output_that_no_replica_declares_is_refused_before_any_stage(
    video: tuple[Plane, Process], gateway: Process, tmp_path: Path
) -> None:
    """Where the last stage's replicas declare outputs; those that declare none may have any."""
    (tmp_path / "model.py").write_text(DECLARING)
    with plane(tmp_path) as up:
        server = up.server("--backend", f"{tmp_path / 'model.py'}:Model", "--model", "resnet18")
        listed(gateway, video[0].listed | {CLASSIFICATION: [entry(0, server.url, "resnet18")]})
        before = recorded(gateway)["next"]
        status, answer = infer(gateway, ask(outputs=[{"name": "labels"}]))
        assert (status, answer) == (
            400,
            {"error": "no output is called 'labels' (did you mean 'label'?); outputs: label"},
        )
        assert recorded(gateway)["next"] == before
        assert infer(gateway, ask(outputs=[{"name": "label"}]))[0] == 200


DECLARING = """
class Model:
    def predict(self, inputs):
        return {"label": inputs["x"]}

    def metadata(self):
        return {"outputs": [{"name": "label", "datatype": "INT64", "shape": [-1]}]}
"""


def test_batches_have_no_more_bytes_than_a_model_server_takes(video: tuple[Plane, Process], in_a_pod: Process) -> None:
    """Four requests of 12 MiB wait together; a message may have 32 MiB, so they go as two and two."""
    configured(in_a_pod, batch=4, timeout_s=1.0)
    size = 12 * 2**20
    head = json.dumps(
        {
            "inputs": [
                {"name": "x", "datatype": "UINT8", "shape": [1, size], "parameters": {"binary_data_size": size}}
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()

    def send(_: int) -> int:
        return call("POST", in_a_pod.url + "/v2/models/video/infer", head + bytes(size), {
            "Inference-Header-Content-Length": str(len(head))
        })[0]  # fmt: skip

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(send, range(4))) == [200] * 4
    records = recorded(in_a_pod)["records"]
    assert {visit["batch_size"] for record in records for visit in record["stages"]} <= {1, 2}
    assert not any(
        replica["failures"] for replicas in listed(in_a_pod, video[0].listed).values() for replica in replicas
    )


class FindsAllTooLarge(BaseHTTPRequestHandler):
    """A model server whose limit is lower than the gateway's."""

    def do_GET(self) -> None:
        self.answer(200, {"extensions": []})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(413, {"error": "more than I take"})

    def answer(self, status: int, said: dict[str, Any]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def test_what_a_model_server_finds_too_large_is_told_so_and_the_replica_goes_on(gateway: Process) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), FindsAllTooLarge) as small:
        Thread(target=small.serve_forever, daemon=True).start()
        replicas = {DETECTION: [entry(7, f"http://127.0.0.1:{small.server_port}", "yolov5n")]}
        listed(gateway, replicas)
        said = f"failed at stage '{DETECTION}': replica 7 (yolov5n) answered 413: more than I take"
        assert [infer(gateway) for _ in range(2)] == [(413, {"error": said})] * 2
        (replica,) = listed(gateway, replicas)[DETECTION]
        assert (replica["batches"], replica["suspended"]) == (2, False)
        small.shutdown()


# ---- batches and what is told of them ----


def test_more_requests_than_there_is_memory_for_are_refused_and_have_room_again_later(
    video: tuple[Plane, Process], tmp_path: Path
) -> None:
    """Each counts 16 KiB and its small body, from its headers on: two have room in 40 KiB, a third has not."""
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", "video", "--most-inside", str(40 * 2**10))
        listed(gateway, video[0].listed)
        coming = [half_sent(gateway) for _ in range(2)]
        until(lambda: infer(gateway)[0] == 503, "both are on their way")
        status, told = infer(gateway)
        assert (status, told["error"].partition(" hold")[0]) == (503, "the requests inside")
        for each in coming:
            each.sendall(b"}")
            assert each.recv(65536).startswith(b"HTTP/1.1 200 ")
            each.close()
        assert infer(gateway)[0] == 200


def at_once(gateway: Process, count: int) -> list[tuple[int, Any]]:
    """So many requests sent together, by their number as id."""
    together = Barrier(count)

    def one(number: int) -> tuple[int, Any]:
        together.wait()
        return infer(gateway, ask(data=[number], id=str(number)))

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_requests_share_a_batch_and_each_gets_its_own_answer(gateway: Process) -> None:
    configured(gateway, batch=4, timeout_s=60.0)
    before = recorded(gateway)["next"]
    answers = at_once(gateway, 4)
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
    assert 100.0 <= arrivals[0] <= seen["time_s"] <= time.monotonic() - origin
    assert seen["load_rps"] == [sum(int(t) == second for t in arrivals) for second in range(max(100, last - 3), last)]


def test_another_time_0_begins_a_new_run(gateway: Process) -> None:
    """The k-th batch of a run takes the k-th draw, and its records are its own, on a gateway that has served before."""
    for _ in range(2):
        infer(gateway)
        before = observed(gateway)["epoch"]
        said = put(gateway.urls["control_url"] + "/control/start", {"origin": time.monotonic()})
        assert before != said["epoch"] == observed(gateway)["epoch"]  # whoever takes differences begins anew
        assert recorded(gateway) == {"epoch": said["epoch"], "started": True, "next": 0, "lost": 0, "records": []}
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
    assert told == {metric.name for metric in TABLE if "gateway" in metric.processes}
    assert 'ipa_replicas{pipeline="video",stage="object-detection",state="ready",variant="yolov5n"} 1.0' in text
    assert 'ipa_requests_total{outcome="completed",pipeline="video"}' in text
    assert 'ipa_request_duration_seconds_bucket{le="6.89",pipeline="video"}' in text


# ---- the control API refuses what is wrong, and changes nothing ----

WRONG_CONFIGURATIONS: list[tuple[Any, str]] = [
    ([], "the configuration=[] must be a mapping with each of: object-detection, image-classification"),
    ({"object-detection": {}}, "the configuration lacks image-classification"),
    ({"detection": {}}, "unknown key 'detection' of the configuration (did you mean 'object-detection'?)"),
    ({"batch": 65}, "batch 65; allowed for 'yolov5n': whole numbers from 1 to 64"),
    ({"batch": 1.5}, "batch 1.5; allowed for 'yolov5n': whole numbers from 1 to 64"),
    ({"variant": "yolo"}, "unknown variant 'yolo' (did you mean 'yolov5x'?)"),
    ({"variant": []}, "unknown variant []"),
    ({"cores": 3}, "3 cores are not profiled for 'yolov5n'"),
    ({"replicas": 0}, "replicas 0; allowed: whole numbers from 1"),
    ({"batch_timeout_s": -1}, "batch_timeout_s -1; allowed: finite seconds from 0"),
    ({"speed": 1}, "unknown key 'speed' of object-detection"),
]


@pytest.mark.parametrize(
    ("changes", "answer"), WRONG_CONFIGURATIONS, ids=[answer for _, answer in WRONG_CONFIGURATIONS]
)
def test_a_wrong_configuration_is_refused(gateway: Process, changes: Any, answer: str) -> None:
    body = changes
    if isinstance(changes, dict) and not any(isinstance(value, dict) for value in changes.values()):
        body = {DETECTION: wanted("yolov5n") | changes, CLASSIFICATION: wanted("resnet18", batch=7)}
    status, told = call("PUT", gateway.urls["control_url"] + "/control/configuration", body)
    assert status == 400
    assert answer in told["error"]
    assert 'ipa_batch_size_limit{pipeline="video",stage="image-classification"} 1.0' in get_text(gateway)


def get_text(gateway: Process) -> str:
    text: str = call("GET", gateway.urls["control_url"] + "/metrics")[1]
    return text


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"url": "127.0.0.1:80"}, "object-detection[0].url='127.0.0.1:80'; allowed: http://ADDRESS:PORT"),
        ({"url": "http://10.0.0.1:80"}, "url='http://10.0.0.1:80'; allowed: an address in 127.0.0.0/8, ::1/128"),
        ({"state": "dead"}, "object-detection[0].state='dead' is none of: ready, draining"),
        ({"variant": "resnet18"}, "object-detection[0]: object-detection has no variant 'resnet18'"),
        ({"number": "1"}, "object-detection[0].number='1' must be a whole number of at least 0"),
        ({"cores": 99}, "object-detection[0]: yolov5n is not profiled with 99 cores"),
        ({"model": "a/b"}, "object-detection[0].model='a/b'; allowed: a name"),
        ({"colour": "red"}, "unknown key 'colour' of object-detection[0]"),
    ],
)
def test_a_wrong_list_of_replicas_is_refused(gateway: Process, change: dict[str, Any], answer: str) -> None:
    body = {DETECTION: [entry(3, "http://127.0.0.1:1", "yolov5n") | change], CLASSIFICATION: []}
    status, told = call("PUT", gateway.urls["control_url"] + "/control/replicas", body)
    assert status == 400
    assert answer in told["error"]
    assert infer(gateway)[0] == 200


@pytest.mark.parametrize(
    ("address", "is_taken"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("127.0.0.6", False),  # from where a service mesh delivers what others send
        ("::ffff:127.0.0.6", False),
        ("10.0.0.9", False),
        ("fd00::1", False),
        (None, False),
    ],
)
def test_where_requests_go_is_said_from_loopback_alone(tmp_path: Path, address: str | None, is_taken: bool) -> None:
    async def story() -> int:
        gateway = Gateway(GatewayOptions(profiles.load("video")))
        try:
            payload = streams.StreamReader(mock.Mock(), 2**16)
            payload.feed_data(json.dumps({stage: [] for stage, _ in STAGES}).encode())
            payload.feed_eof()
            create_token_file(tmp_path / "token")
            tokens = TokenFile(tmp_path / "token")
            made = make_mocked_request("PUT", "/control/replicas", tokens.headers(), payload=payload)
            request = made.clone(remote=address)
            app = control_application(gateway, tokens)
            app.freeze()
            return (await app._handle(request)).status
        finally:
            await gateway.close()

    assert asyncio.run(story()) == (200 if is_taken else 403)


def test_two_replicas_of_a_stage_cannot_have_one_number(gateway: Process) -> None:
    body = {DETECTION: [entry(3, "http://127.0.0.1:1", "yolov5n")] * 2, CLASSIFICATION: []}
    status, told = call("PUT", gateway.urls["control_url"] + "/control/replicas", body)
    assert (status, told) == (400, {"error": "object-detection[1]: two replicas have the number 3"})


@pytest.mark.parametrize(
    "query",
    ["observation?seconds=-1", "observation?since=x", "records?after=nan", "records?limit=0", "records?after=1e308"],
)
def test_a_wrong_query_is_refused(gateway: Process, query: str) -> None:
    status, told = call("GET", f"{gateway.urls['control_url']}/control/{query}")
    assert status == 400
    assert query.partition("?")[2] in told["error"]


def test_the_clock_is_not_set_under_requests(gateway: Process) -> None:
    configured(gateway, batch=2, timeout_s=60.0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(infer, gateway)
        until(lambda: observed(gateway)["stages"][DETECTION]["queue_length"] == 1, "one waits")
        answer = call("PUT", gateway.urls["control_url"] + "/control/start", {"origin": time.monotonic()})
        assert answer == (409, {"error": "1 requests are inside; the clock cannot be reset"})
        configured(gateway)
        assert waiting.result()[0] == 200


# ---- ends: expired, given up, failed, shut down ----


def test_an_expired_request_is_answered_504_with_its_stage_while_the_only_replica_is_busy(tmp_path: Path) -> None:
    """The first batch takes a minute; the second request is answered long before."""
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", "video", "--drop-limit", f"{DETECTION}=0.5")
        server = up.emulated("video", DETECTION, "yolov5n", "--factor", "800")
        listed(gateway, {DETECTION: [entry(0, server.url, "yolov5n")]})
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(infer, gateway)
            until(lambda: observed(gateway)["stages"][DETECTION]["in_service"] == 1, "the replica is busy")
            status, answer = infer(gateway)
            assert not first.done()
            (record,) = recorded(gateway)["records"]
            server.kill()
        assert status == 504
        assert answer["error"].startswith("dropped: expired at stage 'object-detection', ")
        assert (record["outcome"], record["stage"], record["stages"][0]["start_s"]) == ("dropped", DETECTION, None)


def test_by_deadline_a_request_that_cannot_be_in_time_is_answered_504_though_a_replica_is_idle(
    video: tuple[Plane, Process], tmp_path: Path
) -> None:
    """The SLA is 10 ms and both stages' profiles say more; without --drop deadline the request would be served."""
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", "video", "--sla", "0.01", "--drop", "deadline")
        listed(gateway, video[0].listed)
        status, answer = infer(gateway)
        (record,) = recorded(gateway)["records"]
        assert status == 504
        assert answer["error"].startswith("dropped: too late for the SLA at stage 'object-detection', ")
        assert (record["outcome"], record["stage"], record["stages"][0]["start_s"]) == ("dropped", DETECTION, None)


def test_where_no_replica_can_take_batches_a_request_is_answered_503_when_it_expires(tmp_path: Path) -> None:
    """It has arrived and was dropped, so the load and the drop are seen; the second finds nobody either."""
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", "video", "--drop-limit", f"{DETECTION}=0.5")
        for _ in range(2):
            status, headers, answer = call_with_headers(gateway)
            assert (status, headers["Retry-After"]) == (503, "8")  # the profile's start-up time
            assert answer["error"].startswith("dropped: no replica can take batches at stage 'object-detection', ")
        assert [record["outcome"] for record in recorded(gateway)["records"]] == ["dropped"] * 2
        stage = observed(gateway)["stages"][DETECTION]
        assert (stage["arrivals"], stage["drops"], stage["queue_length"]) == (2, 2, 0)
        assert observed(gateway)["stages"][CLASSIFICATION]["arrivals"] == 0
        outage = re.search(r"ipa_stage_outage_seconds{[^}]*object-detection[^}]*} (.*)", get_text(gateway))
        assert outage is not None
        assert float(outage[1]) >= 0.5


def call_with_headers(gateway: Process) -> tuple[int, Any, Any]:
    """Status, headers and answer of a request."""
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=30)
    with closing(connection):
        connection.request("POST", "/v2/models/video/infer", json.dumps(ask()))
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())


def test_a_pipeline_is_ready_while_every_stage_has_a_replica_that_can_take_batches(
    video: tuple[Plane, Process], tmp_path: Path
) -> None:
    """The gateway takes requests all the while: it can tell its clients why nobody serves them."""
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", "video")
        ready, of_model = gateway.url + "/v2/health/ready", gateway.url + "/v2/models/video/ready"
        missing = "no replica that can take batches at stage "
        both = f"{missing}'object-detection', 'image-classification'"
        assert call("GET", ready) == (503, {"ready": False, "error": both})
        assert call("GET", of_model) == (503, {"name": "video", "ready": False, "error": both})
        first = up.emulated("video", CLASSIFICATION, "resnet18", "--factor", "0")
        of_stage = video[0].listed
        listed(gateway, {DETECTION: of_stage[DETECTION]})
        assert call("GET", ready) == (503, {"ready": False, "error": f"{missing}'image-classification'"})
        listed(gateway, of_stage | {CLASSIFICATION: [entry(7, first.url, "resnet18")]})
        assert call("GET", ready) == (200, {"ready": True})
        assert call("GET", of_model) == (200, {"name": "video", "ready": True})
        first.kill()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(infer, gateway)  # fails, and its replica is suspended
            until(lambda: call("GET", ready)[0] == 503, "no replica is left that can take batches")
            assert call("GET", gateway.url + "/gateway/ready") == (200, {"ready": True})
            assert call("GET", gateway.urls["control_url"] + "/v2/health/ready") == (200, {"ready": True})
            listed(gateway, of_stage)
            assert call("GET", ready) == (200, {"ready": True})


def test_a_request_that_nobody_serves_is_given_up_at_the_bound(tmp_path: Path) -> None:
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", "video", "--bound", "0.2")
        status, answer = infer(gateway)
        assert status == 504
        assert answer["error"].startswith("unfinished: given up at stage 'object-detection' after ")
        (record,) = recorded(gateway)["records"]
        assert record["outcome"] == "unfinished"
        assert record["end_s"] - record["arrival_s"] > 0.2


def test_a_killed_replica_loses_nothing_while_another_is_there(
    video: tuple[Plane, Process], gateway: Process, tmp_path: Path
) -> None:
    spare = video[0].listed[DETECTION]
    before = recorded(gateway)["next"]
    with plane(tmp_path) as up, ThreadPoolExecutor(1) as pool:
        slow = up.emulated("video", DETECTION, "yolov5n", "--factor", "500")
        one = [entry(7, slow.url, "yolov5n")]
        listed(gateway, video[0].listed | {DETECTION: one})
        caught = pool.submit(infer, gateway)
        until(lambda: observed(gateway)["stages"][DETECTION]["in_service"] == 1, "the slow one has it")
        both = video[0].listed | {DETECTION: one + spare}
        listed(gateway, both)
        slow.kill()
        assert caught.result()[0] == 200
    (record,) = recorded(gateway, f"?after={before}")["records"]
    assert record["stages"][0]["replica"] == 0
    states = listed(gateway, both)[DETECTION]
    told = [(state["number"], state["failures"], state["suspended"]) for state in states]
    assert told == [(0, 0, False), (7, 1, True)]


def test_a_request_that_a_model_refuses_fails_with_its_words(video: tuple[Plane, Process], gateway: Process) -> None:
    """Its replica is not to blame, and serves the next one."""
    (replica,) = video[0].listed[DETECTION]
    listed(gateway, {DETECTION: [replica | {"number": 7, "model": "other"}]})
    status, answer = infer(gateway)
    why = "replica 7 (yolov5n) answered 404: no model is called 'other'; this server has 'yolov5n'"
    assert (status, answer) == (502, {"error": f"failed at stage 'object-detection': {why}"})
    (state,) = listed(gateway, {DETECTION: [replica | {"number": 7}]})[DETECTION]
    assert (state["failures"], state["suspended"]) == (1, False)


def test_a_gateway_that_shuts_down_answers_those_who_are_connected_for_the_last_time(
    video: tuple[Plane, Process], tmp_path: Path
) -> None:
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", "video", "--linger", "60")
        listed(gateway, video[0].listed)
        kept, late = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=30), half_sent(gateway)
        assert answer_on(kept) == (200, None)
        gateway.popen.send_signal(signal.SIGTERM)
        until(lambda: call("GET", gateway.url + "/gateway/ready")[0] == 503, "it is to be sent no more")
        why = {"ready": False, "error": "the gateway is shutting down"}
        assert call("GET", gateway.url + "/v2/health/ready") == (503, why)
        assert infer(gateway)[0] == 200  # one who has not learnt of its end
        assert answer_on(kept) == (200, "close")
        late.sendall(b"}")
        assert late.recv(65536).startswith(b"HTTP/1.1 200 ")
        late.close()
        assert gateway.popen.wait(30) == 0  # nobody is connected any more
        assert gateway.log.read_text() == ""


def answer_on(connection: http.client.HTTPConnection) -> tuple[int, str | None]:
    """The status of a request on a connection that is kept, and what the answer says of that."""
    connection.request("POST", "/v2/models/video/infer", json.dumps(ask()))
    with connection.getresponse() as answer:
        answer.read()
        return answer.status, answer.headers["Connection"]


def test_a_gateway_that_shuts_down_refuses_at_last_what_is_new_and_finishes_what_is_inside(
    video: tuple[Plane, Process], tmp_path: Path
) -> None:
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", "video", "--linger", "0")
        slow = up.emulated("video", DETECTION, "yolov5n", "--factor", "12")
        listed(gateway, video[0].listed | {DETECTION: [entry(0, slow.url, "yolov5n")]})
        with ThreadPoolExecutor(1) as pool:
            inside = pool.submit(infer, gateway)
            until(lambda: observed(gateway)["stages"][DETECTION]["in_service"] == 1, "it is inside")
            late = half_sent(gateway)
            gateway.popen.send_signal(signal.SIGTERM)
            until(lambda: call("GET", gateway.url + "/v2/health/ready")[0] == 503, "it is not ready")
            late.sendall(b"}")
            assert late.recv(65536).startswith(b"HTTP/1.1 503 ")
            late.close()
            assert infer(gateway) == (503, {"error": "the gateway is shutting down"})
            assert call("GET", gateway.url + "/v2/health/live")[0] == 200
            assert inside.result()[0] == 200
        assert gateway.popen.wait(30) == 0
        assert gateway.log.read_text() == ""


def half_sent(gateway: Process) -> socket.socket:
    """A connection whose request lacks its last byte."""
    host, port = gateway.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    body = json.dumps(ask()).encode()
    head = f"POST /v2/models/video/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body[:-1])
    return connection


# ---- the model server's life ----


def test_a_server_is_ready_when_its_start_up_is_over(tmp_path: Path) -> None:
    with plane(tmp_path) as up:
        created_s = time.monotonic()
        chosen = ("--pipeline", "video", "--stage", DETECTION, "--variant", "yolov5n")
        server = up.server(*chosen, "--created", str(created_s), "--start-up", "1.5", "--factor", "0")
        url = f"{server.url}/v2/models/yolov5n"
        assert call("GET", server.url + "/v2/health/live")[0] == 200
        status, answer = call("POST", url + "/infer", ask())
        if time.monotonic() < created_s + 1.5:
            assert (status, answer) == (503, {"error": "replica of 'yolov5n' is starting"})
        until(lambda: call("GET", url + "/ready")[0] == 200, "it is ready")
        assert time.monotonic() >= created_s + 1.5
        assert call("POST", url + "/infer", ask())[0] == 200


def test_a_server_that_is_told_to_stop_finishes_its_batch(tmp_path: Path) -> None:
    with plane(tmp_path) as up:
        server = up.emulated("video", DETECTION, "yolov5n", "--factor", "20", "--stop", "0.3")
        url = f"{server.url}/v2/models/yolov5n"
        with ThreadPoolExecutor(1) as pool:
            serving = pool.submit(call, "POST", url + "/infer", ask())
            time.sleep(0.3)
            assert not serving.done()
            server.popen.send_signal(signal.SIGTERM)
            until(lambda: call("GET", url + "/ready")[0] == 503, "it is not ready")
            assert call("POST", url + "/infer", ask()) == (503, {"error": "replica of 'yolov5n' is stopping"})
            assert serving.result()[0] == 200
            finished_s = time.monotonic()
        assert server.popen.wait(30) == 0
        assert time.monotonic() - finished_s >= 0.2


def test_a_second_sigterm_ends_a_server_at_once(tmp_path: Path) -> None:
    with plane(tmp_path) as up:
        server = up.emulated("video", DETECTION, "yolov5n", "--stop", "600")
        server.popen.send_signal(signal.SIGTERM)
        until(lambda: call("GET", server.url + "/v2/health/ready")[0] == 503, "it is stopping")
        server.popen.send_signal(signal.SIGTERM)
        assert server.popen.wait(30) == 1


def test_a_server_serves_one_batch_at_a_time(tmp_path: Path) -> None:
    """Two requests of 0.077 x 4 s each: the second answer comes after both."""
    with plane(tmp_path) as up:
        server = up.emulated("video", DETECTION, "yolov5n", "--factor", "4", "--seed", "1")
        url = f"{server.url}/v2/models/yolov5n/infer"
        start_s = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            both = [pool.submit(call, "POST", url, ask(parameters={"batch_number": 0})) for _ in range(2)]
            assert [each.result()[0] for each in both] == [200, 200]
        assert time.monotonic() - start_s >= 2 * service_s("yolov5n", 4.0)


def service_s(variant: str, factor: float) -> float:
    """The first batch of one at the first stage with seed 1."""
    from ipa import profiles
    from ipa.live.serving.emulated import Emulated
    from ipa.sim.model import stage_model

    stage = profiles.load("video").stages[0]
    service = stage_model(stage, 0.0, sampled=True).service[variant, stage.variant(variant).base_cores]
    return Emulated(service, seed=1, factor=factor).service_s(0, 1)


WRONG_OPTIONS: list[tuple[click.Command, list[str], str]] = [
    (gateway_command, ["--pipeline", "vidoe"], "no pipeline is called 'vidoe'; did you mean 'video'?"),
    (gateway_command, ["--pipeline", "video", "--drop-limit", "detection=1"], "video has no stage 'detection'"),
    (gateway_command, ["--pipeline", "video", "--drop-limit", "x"], "'x' should be STAGE=SECONDS"),
    (server_command, ["--backend", "emulated"], "the backend emulated needs --pipeline, --stage and --variant"),
    (
        server_command,
        ["--backend", "magic"],
        "no backend is called 'magic'; allowed: emulated, onnx, folder, or my.py:MyModel",
    ),
    (server_command, ["--backend", "onnx"], "the backend onnx needs --file model.onnx"),
    (server_command, ["--backend", "folder"], "the backend folder needs --file FOLDER"),
    (server_command, ["--backend", "onnx", "--file", "no.onnx"], "no.onnx: no such file"),
    (server_command, ["--backend", "no.py:Model"], "no.py: cannot be read"),
    (
        server_command,
        ["--pipeline", "video", "--stage", DETECTION, "--variant", "x"],
        "object-detection has no variant 'x'",
    ),
]


@pytest.mark.parametrize(("command", "options", "answer"), WRONG_OPTIONS, ids=[answer for *_, answer in WRONG_OPTIONS])
def test_wrong_options_end_with_one_message_and_exit_code_2(
    command: click.Command, options: list[str], answer: str
) -> None:
    result = CliRunner().invoke(command, options)
    assert result.exit_code == 2
    assert answer in result.stderr
    assert result.stdout == ""


def test_a_port_that_is_taken_is_said(gateway: Process) -> None:
    port = gateway.url.rpartition(":")[2]
    result = subprocess.run(
        [sys.executable, "-m", "ipa.live.serving.gateway", "--pipeline", "video", "--port", port],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert result.returncode == 2
    assert f"Error: cannot listen: 127.0.0.1 port {port}: Address already in use" in result.stderr
    assert "Traceback" not in result.stderr
