"""A replica that answers anything fails its batch, and goes on: whatever it says, it is asked again."""

from __future__ import annotations

import json
import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest

from tests.live.serving.serving_plane import Process, ask, call, entry, plane
from tests.live.serving.video_plane import CLASSIFICATION, DETECTION, infer, listed

BEYOND = 2**64
"""An integer that no 64 bits hold, with or without a sign."""
SOUND: dict[str, Any] = {"name": "y", "datatype": "INT64", "shape": [1], "data": [7]}


def message(status: str = "200 OK", body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def outputs(**changes: Any) -> bytes:
    return message("200 OK", json.dumps({"outputs": [SOUND | changes]}).encode())


UNREADABLE = {
    "an integer beyond 64 bits": outputs(parameters={"a": BEYOND}),
    "one below them": outputs(parameters={"a": -BEYOND}),
    "one that is nested": outputs(parameters={"a": [{"b": BEYOND}]}),
    "one of 5,000 digits": message(body=b'{"outputs":[{"name":"y","datatype":"INT64","shape":[1],"data":[7],'
                                        b'"parameters":{"a":1%s}}]}' % (b"0" * 5000)),
    "one as a shape": outputs(shape=[BEYOND]),
    "one as an element": outputs(data=[BEYOND]),
    "one as a size": outputs(parameters={"binary_data_size": BEYOND}),
    "deep parameters": outputs(parameters={"a": json.loads("[" * 40 + "]" * 40)}),
    "parameters that are none": outputs(parameters=[1]),
    "no shape": message(body=b'{"outputs":[{"name":"y","datatype":"INT64","data":[7]}]}'),
    "an unknown datatype": outputs(datatype="INT65"),
    "no output": message(body=b"{}"),
    "a list": message(body=b"[1]"),
    "no JSON": message(body=b"\xff\xfe{"),
    "half a surrogate": message(body=b'{"outputs":[{"name":"\\ud800","datatype":"INT64","shape":[1],"data":[7]}]}'),
    "nothing": message(),
    "a length that is none": message("200 OK", b"{}", "Inference-Header-Content-Length: -1"),
    "a length beyond its end": message("200 OK", b"{}", "Inference-Header-Content-Length: 9999"),
    "another coding": message("200 OK", b"{}", "Content-Encoding: gzip"),
    "an unknown status": b"HTTP/1.1 99999 What\r\nContent-Length: 0\r\n\r\n",
    "a status that is a word": b"HTTP/1.1 yes\r\nContent-Length: 0\r\n\r\n",
    "a negative size": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "two sizes": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "chunks that are none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "an answer cut short": message(body=b"{}", length=100),
    "a redirect": message("302 Found", b"", "Location: http://127.0.0.1:1/"),
    "no HTTP": b"\0\1\2\3 what?\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "an error that is a number": message("500 Oops", b'{"error": 3}'),
    "an error that is no text": message("500 Oops", b'{"error": {"a": [1]}}'),
}  # fmt: skip


class Odd(socketserver.ThreadingTCPServer):
    """A model server that answers each batch with `answer`, and each question about itself with `said`."""

    daemon_threads = True
    allow_reuse_address = True
    answer = b""
    said = message("200 OK", b'{"extensions": []}')

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Odd)
        while line := self.rfile.readline():
            length = 0
            while (header := self.rfile.readline()).strip():
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            answer = self.server.answer if line.startswith(b"POST") else self.server.said
            self.wfile.write(answer)
            if answer not in (self.server.said, outputs()):
                return


@contextmanager
def odd() -> Iterator[Odd]:
    with Odd(("127.0.0.1", 0), _Connection) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Odd]]:
    with plane(tmp_path_factory.mktemp("odd")) as up, odd() as replica:
        gateway = up.gateway("--pipeline", "video", "--sla", "600", "--log-level", "error")
        last = up.emulated("video", CLASSIFICATION, "resnet18", "--factor", "0")
        listed(
            gateway,
            {DETECTION: [entry(0, replica.url, "yolov5n")], CLASSIFICATION: [entry(0, last.url, "resnet18")]},
        )
        yield gateway, replica


@pytest.mark.parametrize("what", UNREADABLE)
def test_an_answer_that_cannot_be_read_fails_its_batch_alone(served: tuple[Process, Odd], what: str) -> None:
    """Before, one with an integer beyond 64 bits took the replica out for ever."""
    gateway, replica = served
    replica.answer = UNREADABLE[what]
    status, answer = infer(gateway)
    assert status == 502, answer
    assert answer["error"].startswith("failed at stage 'object-detection': replica 0 (yolov5n) ")
    replica.answer = outputs()
    assert infer(gateway)[0] == 200  # once it has reported ready again, if it had to
    assert gateway.log.read_text() == ""


@pytest.mark.parametrize(
    "parameters",
    [{"a": BEYOND}, {"a": -BEYOND}, {"a": {"b": [BEYOND]}}, {"a": 10**4000}],
    ids=["beyond 64 bits", "below them", "nested", "of 4,000 digits"],
)
@pytest.mark.parametrize("of_tensor", [False, True], ids=["request", "tensor"])
def test_an_integer_beyond_64_bits_in_parameters_is_a_counted_400(
    served: tuple[Process, Odd], parameters: dict[str, Any], of_tensor: bool
) -> None:
    gateway, _ = served
    sent = ask()
    (sent["inputs"][0] if of_tensor else sent)["parameters"] = parameters
    control = gateway.urls["control_url"] + "/control/records?limit=1"
    before = call("GET", control)[1]["refused"].get("invalid", 0)
    status, answer = infer(gateway, sent)
    assert status == 400
    assert "64" in answer["error"]
    assert call("GET", control)[1]["refused"]["invalid"] == before + 1
    assert gateway.log.read_text() == ""


SAID = [
    b"[1]", b'"x"', b"{}", b"\xff", b'{"extensions": 3}', b'{"outputs": 7, "inputs": {"a": 1}}', b'{"outputs": [3]}',
    b'{"outputs": [{}], "inputs": [{}]}', b'{"outputs": [{"name": 5}]}', b'{"outputs": [{"name": "y", "shape": "x"}]}',
    b'{"outputs": [{"name": "y", "datatype": "INT64", "shape": [18446744073709551616]}], "platform": []}',
]  # fmt: skip


@pytest.mark.parametrize("said", SAID, ids=[each.decode(errors="replace") for each in SAID])
def test_what_a_replica_says_of_itself_may_be_anything(served: tuple[Process, Odd], said: bytes) -> None:
    """Before, the metadata of the pipeline were a 500 where an output had no name."""
    gateway, _ = served
    with odd() as replica:
        replica.answer, replica.said = outputs(), message(body=said)
        stages = ((DETECTION, "yolov5n"), (CLASSIFICATION, "resnet18"))
        listed(gateway, {stage: [entry(1, replica.url, variant)] for stage, variant in stages})
        assert infer(gateway)[0] == 200
        assert infer(gateway, ask(outputs=[{"name": "y"}]))[0] in (200, 400)
        assert call("GET", gateway.url + "/v2/models/video")[0] == 200
        assert gateway.log.read_text() == ""
