"""The life of a model server, and what keeps a process from starting."""

from __future__ import annotations

import http.client
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ipa import profiles
from ipa.live.plane import LOOPBACK, open_port
from ipa.live.serving.gateway import main as gateway_command
from ipa.live.serving.server import main as server_command
from tests.live.serving.serving_plane import START_S, HeldModel, ask, call, plane, until, until_ready
from tests.live.serving.video_plane import DETECTION


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
        model = HeldModel(tmp_path)
        server = up.server(*model.options, "--model", "m", "--stop", "1")
        url = f"{server.url}/v2/models/m"
        until_ready(server.url)
        with ThreadPoolExecutor(1) as pool:
            serving = pool.submit(call, "POST", url + "/infer", ask())
            until(lambda: model.has_begun, "it serves a batch")
            server.popen.send_signal(signal.SIGTERM)
            until(lambda: call("GET", url + "/ready")[0] == 503, "it is not ready")
            assert call("POST", url + "/infer", ask()) == (503, {"error": "replica of 'm' is stopping"})
            assert not serving.done()
            let_go_s = time.monotonic()
            model.let_go()
            assert serving.result()[0] == 200
        assert server.popen.wait(START_S) == 0
        assert time.monotonic() - let_go_s >= 1.0  # it stays for so long after its last batch


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


def test_a_server_whose_client_has_given_up_is_not_ready_until_its_model_is_done(tmp_path: Path) -> None:
    with plane(tmp_path) as up:
        model = HeldModel(tmp_path)
        server = up.server(*model.options, "--model", "m")
        url = f"{server.url}/v2/models/m"
        until(lambda: call("GET", url + "/ready")[0] == 200, "it is ready")
        with closing(http.client.HTTPConnection(server.url.removeprefix("http://"))) as client:
            client.request("POST", "/v2/models/m/infer", json.dumps(ask()))
            until(lambda: model.has_begun, "the model has the batch")
        why = "replica of 'm' works on a batch that has been given up"
        until(lambda: call("GET", server.url + "/v2/health/live") == (503, {"live": False}), "it is not live")
        assert call("GET", url + "/ready") == (503, {"name": "m", "ready": False, "error": why})
        assert call("POST", url + "/infer", ask()) == (503, {"error": why})
        model.let_go()
        until(lambda: call("GET", url + "/ready")[0] == 200, "it is ready again")
        assert call("GET", server.url + "/v2/health/live") == (200, {"live": True})
        assert call("POST", url + "/infer", ask())[0] == 200


def service_s(variant: str, factor: float) -> float:
    """The first batch of one at the first stage with seed 1."""
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


def test_a_port_that_is_taken_is_said() -> None:
    with open_port(LOOPBACK, 0) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(gateway_command, ["--pipeline", "video", "--port", str(port)])
    assert result.exit_code == 2
    assert f"Error: cannot listen: 127.0.0.1 port {port}: Address already in use" in result.stderr
