"""The protocol, as a public client speaks it to a gateway, and what is out of its bounds."""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from ipa.live.serving.protocol import RESERVED
from tests.live.serving.serving_plane import Plane, Process, ask, call, entry, plane, until
from tests.live.serving.video_plane import CLASSIFICATION, DETECTION, configured, infer, listed, recorded


@pytest.fixture
def client(gateway: Process) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(gateway.url.removeprefix("http://"), concurrency=8) as made:
        yield made


def peak_bytes(process: Process) -> int:
    """The most resident memory that a process has had."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


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


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_a_public_client_gets_a_large_answer_compressed_or_as_it_is(client: Any, compression: str) -> None:
    values = [[0.5] * 1000]
    answer = client.infer("video", [floats(values)], response_compression_algorithm=compression)
    assert answer.as_numpy("image").tolist() == values


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
    ready = {"name": "video", "version": "1", "state": "READY", "reason": ""}
    assert client.get_model_repository_index() == [ready]
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


def test_bodies_that_would_take_all_memory_are_refused_by_a_gateway_that_goes_on(in_a_pod: Process) -> None:
    url = in_a_pod.url + "/v2/models/video/infer"
    bomb = gzip.compress(b'{"inputs":[' + b"{}," * 22_000_000 + b"{}]}")
    assert len(bomb) < 70_000
    status, answer = call("POST", url, bomb, {"Content-Encoding": "gzip"})
    assert status == 413  # for its size, or for what little of it had come: that depends on how much came at once
    assert answer["error"].startswith(("the body's JSON is too large;", "the body grows from "))
    for large in (b'{"inputs":[{"name":"x","data":[' + b"0.5," * 15_500_000, b'{"inputs":[' + b"{}," * 2_000_000):
        status, answer = infer(in_a_pod, large + b"1]}]}")
        assert (status, answer["error"].partition(";")[0]) == (413, "the body's JSON is too large")
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
        with pytest.raises(
            InferenceServerException, match=r"the outputs are too large for JSON; allowed: 4194304 bytes"
        ):
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


@pytest.mark.long
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


def test_bodies_that_stand_still_keep_nobody_out(in_a_pod: Process) -> None:
    """They fill all of the room, to the last place for a request: before, all others were refused for 30 s."""
    host, port = in_a_pod.url.removeprefix("http://").split(":")
    head = b"POST /v2/models/video/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000001\r\n\r\n"
    with ExitStack() as stack:
        for count, size in ((20, 1_000_000), (60, 20_000), (20, 1000), (20, 10)):
            for _ in range(count):
                stalled = stack.enter_context(socket.create_connection((host, int(port))))
                stalled.sendall(head + b" " * size)
            until(lambda: infer(in_a_pod)[0] == 200, "the room of bodies that stand still is another's", 15.0)
        assert [infer(in_a_pod)[0] for _ in range(20)] == [200] * 20


class FindsAllTooLarge(BaseHTTPRequestHandler):
    """A model server whose limit is lower than the gateway's; it remembers the parameters that came with a batch."""

    parameters: list[dict[str, Any]]
    told: Mapping[str, str]

    def do_GET(self) -> None:
        self.answer(200, {"extensions": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.parameters.append(json.loads(body)["parameters"])
        type(self).told = {name.lower(): value for name, value in self.headers.items()}
        self.answer(413, {"error": "more than I take"})

    def answer(self, status: int, said: dict[str, Any]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def test_a_client_cannot_send_the_parameters_that_are_the_gateway_s_own(gateway: Process) -> None:
    """Before, a `batch_lane` of a client's went on to the replica. Other parameters are the models' affair."""
    FindsAllTooLarge.parameters = []
    with ThreadingHTTPServer(("127.0.0.1", 0), FindsAllTooLarge) as small:
        Thread(target=small.serve_forever, args=(0.01,), daemon=True).start()
        listed(gateway, {DETECTION: [entry(7, f"http://127.0.0.1:{small.server_port}", "yolov5n")]})
        for name in RESERVED:
            said = f"the parameter {name!r} is the gateway's own; leave it out"
            assert infer(gateway, ask(parameters={name: 1})) == (400, {"error": said})
        assert FindsAllTooLarge.parameters == []
        assert infer(gateway, ask(parameters={"priority": 1}))[0] == 413
        small.shutdown()
    (received,) = FindsAllTooLarge.parameters
    assert received.keys() - RESERVED == {"priority"}


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("sent", "of_body", "answered", "traced"),
    [
        ({"X-Request-Id": "mine-1", "traceparent": TRACE}, None, "mine-1", TRACE),
        ({"X-Request-Id": "mine-2", "traceparent": "nonsense"}, "7", "mine-2", None),
        ({"X-Request-Id": "mine-3", "traceparent": "ff" + TRACE[2:]}, None, "mine-3", None),
        ({"X-Request-Id": "mine-4", "traceparent": f"00-{'0' * 32}-{TRACE[36:]}"}, None, "mine-4", None),
        ({"X-Request-Id": "mine-5", "traceparent": f"{TRACE[:36]}{'0' * 16}-01"}, None, "mine-5", None),
        ({}, "7", "7", None),
        ({"X-Request-Id": "two words"}, "caf\u00e9 \n", None, None),
        ({}, None, None, None),
    ],
)
def test_a_request_is_known_by_one_id_to_its_client_the_books_and_its_replica(
    gateway: Process, sent: dict[str, str], of_body: str | None, answered: str | None, traced: str | None
) -> None:
    """Its client's, or one that is made. In the books, the id of a message comes first."""
    FindsAllTooLarge.parameters = []
    before = recorded(gateway)["next"]
    with ThreadingHTTPServer(("127.0.0.1", 0), FindsAllTooLarge) as small:
        Thread(target=small.serve_forever, args=(0.01,), daemon=True).start()
        listed(gateway, {DETECTION: [entry(7, f"http://127.0.0.1:{small.server_port}", "yolov5n")]})
        status, headers, _ = exchanged(gateway, ask(parameters={"a": 1}, id=of_body), sent)
        small.shutdown()
    told = headers["x-request-id"]
    assert (status, told) == (413, answered or told)
    assert re.fullmatch(answered or "[0-9a-f]{16}", told)
    assert FindsAllTooLarge.told["x-request-id"] == told
    assert FindsAllTooLarge.told.get("traceparent") == traced
    assert [record["id"] for record in recorded(gateway, f"?after={before}")["records"]] == [of_body or told]


def test_answers_without_a_replica_have_ids_too(gateway: Process) -> None:
    for body, path in (({"inputs": []}, "/v2/models/video/infer"), (ask(), "/v2/models/audio/infer")):
        assert exchanged(gateway, body, {"X-Request-Id": "mine"}, path)[1]["x-request-id"] == "mine"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("deflate, gzip;q=0.5", "gzip"), ("gzip;q=0", None), ("br", None), ("", None)],
)
def test_an_answer_of_some_size_is_gzip_where_that_is_asked_for(
    gateway: Process, accepted: str, coding: str | None
) -> None:
    values = [0.5] * 1000
    for size in (1, 1000):
        body = ask(datatype="FP32", shape=[1, size], data=values[:size])
        status, headers, answer = exchanged(gateway, body, {"Accept-Encoding": accepted})
        expected = coding if size > 1 else None
        assert (status, headers.get("content-encoding")) == (200, expected)
        assert json.loads(gzip.decompress(answer) if expected else answer)["outputs"][0]["data"] == values[:size]


def test_what_only_triton_has_is_not_here(client: Any) -> None:
    calls: list[Callable[[], Any]] = [
        partial(client.get_model_config, "video"),
        partial(client.load_model, "video"),
        partial(client.unload_model, "video"),
        client.get_inference_statistics,
        client.get_trace_settings,
        client.get_log_settings,
        partial(client.update_log_settings, {"log_info": True}),
        partial(client.update_trace_settings, settings={"trace_rate": "1"}),
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
    ]
    for each in calls:
        with pytest.raises(InferenceServerException, match="404"):
            each()


@pytest.mark.parametrize("which", ["classification", "shared_memory_region"])
def test_an_output_in_a_form_that_only_triton_has_is_refused(client: Any, which: str) -> None:
    asked = triton.InferRequestedOutput("image", class_count=int(which == "classification"))
    if which == "shared_memory_region":
        asked.set_shared_memory("region", 4)
    with pytest.raises(InferenceServerException, match=f"output 'image': {which} is Triton's alone") as refused:
        client.infer("video", [floats([[1.0]])], outputs=[asked])
    assert refused.value.status() == "400"


def test_an_input_in_shared_memory_is_refused(client: Any) -> None:
    image = triton.InferInput("image", [1, 1], "FP32")
    image.set_shared_memory("region", 4)
    with pytest.raises(InferenceServerException, match=r"inputs\[0\]: neither data nor"):
        client.infer("video", [image])


def test_sequences_priorities_and_timeouts_of_a_public_client_are_parameters_like_any_others(client: Any) -> None:
    more = {"sequence_id": 3, "sequence_start": True, "sequence_end": True, "priority": 1, "timeout": 1000}
    for answer in (
        client.infer("video", [floats([[1.0]])], **more, query_params={"a": 1}, headers={"X-Mine": "1"}),
        client.async_infer("video", [floats([[1.0]])], **more).get_result(),
    ):
        assert answer.as_numpy("image").tolist() == [[1.0]]


def test_the_models_are_listed(gateway: Process) -> None:
    assert call("GET", gateway.url + "/v2/models") == (200, {"models": ["video"]})


def exchanged(
    gateway: Process, body: dict[str, Any], headers: dict[str, str], path: str = "/v2/models/video/infer"
) -> tuple[int, dict[str, str], bytes]:
    """The status, headers and body of the answer to a request with these headers."""
    connection = HTTPConnection(gateway.url.removeprefix("http://"))
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def test_what_a_model_server_finds_too_large_is_told_so_and_the_replica_goes_on(gateway: Process) -> None:
    FindsAllTooLarge.parameters = []
    with ThreadingHTTPServer(("127.0.0.1", 0), FindsAllTooLarge) as small:
        Thread(target=small.serve_forever, args=(0.01,), daemon=True).start()
        replicas = {DETECTION: [entry(7, f"http://127.0.0.1:{small.server_port}", "yolov5n")]}
        listed(gateway, replicas)
        said = f"failed at stage '{DETECTION}': replica 7 (yolov5n) answered 413: more than I take"
        assert [infer(gateway) for _ in range(2)] == [(413, {"error": said})] * 2
        (replica,) = listed(gateway, replicas)[DETECTION]
        assert (replica["batches"], replica["suspended"]) == (2, False)
        small.shutdown()
