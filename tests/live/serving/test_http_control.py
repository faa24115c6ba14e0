"""What is wrong is refused by the control API, and changes nothing."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from aiohttp import streams
from aiohttp.test_utils import make_mocked_request

from ipa import profiles
from ipa.live.serving.control_api import control_application
from ipa.live.serving.host import Gateway
from ipa.live.tokens import TokenFile, create_token_file
from tests.live.serving.serving_plane import Process, call, entry, until, wanted
from tests.live.serving.video_plane import CLASSIFICATION, DETECTION, STAGES, configured, infer, metrics_text, observed

WRONG_CONFIGURATIONS: list[tuple[Any, str]] = [
    ([], "the configuration=[] must be a mapping with each of: object-detection, image-classification"),
    ({"object-detection": {}}, "the configuration lacks image-classification"),
    ({"detection": {}}, "unknown key 'detection' of the configuration (did you mean 'object-detection'?)"),
    ({"batch": 65}, "batch 65; allowed for 'yolov5n': whole numbers from 1 to 64"),
    ({"batch": 1.5}, "batch 1.5; allowed for 'yolov5n': whole numbers from 1 to 64"),
    ({"variant": "yolo"}, "unknown variant 'yolo' (did you mean 'yolov5x'?)"),
    ({"variant": []}, "unknown variant []"),
    ({"cores": 3}, "3 cores are not profiled for 'yolov5n'"),
    ({"replicas": -1}, "replicas -1; allowed: whole numbers from 0"),
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
    assert 'ipa_batch_size_limit{pipeline="video",stage="image-classification"} 1.0' in metrics_text(gateway)


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
        gateway = Gateway(profiles.load("video"))
        try:
            payload = streams.StreamReader(mock.Mock(), 2**16)
            payload.feed_data(json.dumps({stage: [] for stage, _ in STAGES}).encode())
            payload.feed_eof()
            create_token_file(tmp_path / "token")
            tokens = TokenFile(tmp_path / "token")
            made = make_mocked_request("PUT", "/control/replicas", tokens.headers(), payload=payload)
            request = made.clone(remote=address)  # type: ignore[arg-type]
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
