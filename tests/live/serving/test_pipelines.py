"""Pipelines of real models: ONNX behind one's own class, tensors renamed between stages, an MLServer among them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from tritonclient import http as triton

from tests.live.serving.serving_plane import Process, call, entry, get, plane, put, until, until_ready, wanted

ROOT = Path(__file__).parents[3]
MLSERVER = ROOT / ".venv-mlserver" / "bin" / "mlserver"

ADDING = """
class MyModel:
    def predict(self, inputs):
        return {"sum": inputs["image"] + 1, "unused": inputs["image"]}
"""


def tickets(folder: Path, inputs: str = "") -> Path:
    """The example pipeline of stages sort and answer, whose second takes its `inputs` from the first one's outputs."""
    text = (ROOT / "studies" / "examples" / "tickets.yaml").read_text()
    path = folder / "tickets.yaml"
    path.write_text(text.replace("    task: drafts an answer\n", f"    task: drafts an answer\n{inputs}"))
    return path


def configure(gateway: Process, servers: dict[str, str], batch: int = 2, timeout_s: float = 30.0) -> None:
    """One small replica a stage."""
    control = gateway.urls["control_url"] + "/control/"
    put(control + "configuration", {stage: wanted("small", batch, timeout_s) for stage in servers})
    put(control + "replicas", {stage: [entry(0, url, "small")] for stage, url in servers.items()})


def doubled(url: str, rows: list[list[float]]) -> list[Any]:
    """Each row as a request of its own, all at once; the answers in order."""
    together = Barrier(len(rows))

    def one(row: list[float]) -> Any:
        with triton.InferenceServerClient(url.removeprefix("http://")) as client:
            image = triton.InferInput("image", [1, len(row)], "FP32")
            image.set_data_from_numpy(np.array([row], dtype=np.float32))
            together.wait()
            return client.infer("tickets", [image])

    with ThreadPoolExecutor(len(rows)) as pool:
        return list(pool.map(one, rows))


def test_a_stage_takes_the_outputs_that_its_inputs_name(tmp_path: Path) -> None:
    """image + 1 = sum; sum becomes x; 2 x + 1."""
    onnx = pytest.importorskip("onnx")
    from tests.live.serving.models_world import affine_file

    (tmp_path / "my.py").write_text(ADDING)
    affine_file(onnx, tmp_path / "affine.onnx")
    pipeline = str(tickets(tmp_path, "    inputs: {x: sum}\n"))
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", pipeline)
        first = up.server("--backend", f"{tmp_path / 'my.py'}:MyModel", "--model", "small")
        second = up.server("--backend", "onnx", "--file", str(tmp_path / "affine.onnx"), "--model", "small")
        for server in (first, second):
            until_ready(server.url)
        configure(gateway, {"sort": first.url, "answer": second.url})
        answers = doubled(gateway.url, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
        assert [each.as_numpy("y").tolist() for each in answers] == [[[3.0, 5.0, 7.0]], [[9.0, 11.0, 13.0]]]
        described = get(gateway.url + "/v2/models/tickets")
        assert described["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}]
        records = get(gateway.urls["control_url"] + "/control/records")["records"]
        assert [[visit["batch_size"] for visit in record["stages"]] for record in records] == [[2, 2], [2, 2]]


@pytest.mark.parametrize(("first", "status"), [("onnx", 400), ("own", 502)])
def test_a_shape_that_the_first_model_does_not_take_is_the_client_s_and_a_later_one_s_is_not(
    tmp_path: Path, first: str, status: int
) -> None:
    onnx = pytest.importorskip("onnx")
    from tests.live.serving.models_world import affine_file

    (tmp_path / "my.py").write_text(ADDING)
    affine_file(onnx, tmp_path / "affine.onnx")
    pipeline = str(tickets(tmp_path, "    inputs: {x: sum}\n"))
    takes_three = ("--backend", "onnx", "--file", str(tmp_path / "affine.onnx"))
    takes_any = ("--backend", f"{tmp_path / 'my.py'}:MyModel")
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", pipeline)
        backends = (takes_three, takes_any) if first == "onnx" else (takes_any, takes_three)
        servers = [up.server(*backend, "--model", "small") for backend in backends]
        for server in servers:
            until_ready(server.url)
        configure(gateway, {"sort": servers[0].url, "answer": servers[1].url}, batch=1, timeout_s=0.0)
        name = "x" if first == "onnx" else "image"
        request = {"inputs": [{"name": name, "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]}
        answered, answer = call("POST", gateway.url + "/v2/models/tickets/infer", request)
    assert answered == status
    assert "input 'x': shape [1, 2]; the model takes [-1, 3]" in answer["error"]


def test_an_output_that_the_next_stage_lacks_fails_the_request_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text(ADDING)
    pipeline = str(tickets(tmp_path, "    inputs: {x: total}\n"))
    with plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", pipeline)
        first = up.server("--backend", f"{tmp_path / 'my.py'}:MyModel", "--model", "small")
        until_ready(first.url)
        configure(gateway, {"sort": first.url, "answer": "http://127.0.0.1:9"}, batch=1, timeout_s=0.0)
        request = {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1], "data": [1.0]}]}
        status, answer = call("POST", gateway.url + "/v2/models/tickets/infer", request)
        assert status == 502
        assert "no output 'total' for 'answer'; outputs: sum, unused" in answer["error"]


@contextmanager
def mlserver(folder: Path) -> Iterator[str]:
    """An MLServer that doubles, and its URL."""
    if not MLSERVER.exists():
        pytest.skip("MLServer is not here: `make mlserver` installs it")
    ports = dict(zip(("http_port", "grpc_port", "metrics_port"), free_ports(3), strict=True))
    settings = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False, **ports}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps({"name": "double", "implementation": "doubling.Doubling"}))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["PYTHONPATH"] = str(ROOT / "tests" / "mlserver")
    with (folder / "mlserver.log").open("w") as log:
        process = subprocess.Popen([MLSERVER, "start", folder], stdout=log, stderr=log, env=environment)
    url = f"http://127.0.0.1:{ports['http_port']}"
    try:
        until(lambda: answers(url + "/v2/models/double/ready"), "MLServer is ready", timeout_s=60.0)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        return call("GET", url)[0] == 200
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def test_a_real_mlserver_serves_behind_the_gateway(tmp_path: Path) -> None:
    """It gets batches of two rows, in JSON, as it takes no binary data; the client speaks binary all the same."""
    pipeline = str(tickets(tmp_path, "    inputs: {image: doubled, rows: rows}\n"))
    (tmp_path / "mlserver").mkdir()
    with mlserver(tmp_path / "mlserver") as url, plane(tmp_path) as up:
        gateway = up.gateway("--pipeline", pipeline)
        last = up.emulated(pipeline, "answer", "small", "--factor", "0")
        control = gateway.urls["control_url"] + "/control/"
        put(control + "configuration", {stage: wanted("small", 2, 30.0) for stage in ("sort", "answer")})
        listed = {
            "sort": [entry(0, url, "small") | {"model": "double"}],
            "answer": [entry(0, last.url, "small")],
        }
        put(control + "replicas", listed)
        rows = [[1.5] * 1000, [-0.25] * 1000]  # large enough for MLServer to compress its answer if it may
        found = doubled(gateway.url, rows)
        assert [each.as_numpy("image").tolist() for each in found] == [[[3.0] * 1000], [[-0.5] * 1000]]
        assert [each.as_numpy("rows").tolist() for each in found] == [[[2]], [[2]]]
