"""How requests end, over HTTP: expired, given up, failed; and how a gateway does."""

from __future__ import annotations

import http.client
import json
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.live.serving.serving_plane import (
    HeldModel,
    Plane,
    Process,
    ask,
    call,
    entry,
    plane,
    put,
    until,
    until_ready,
)
from tests.live.serving.video_plane import (
    CLASSIFICATION,
    DETECTION,
    half_sent,
    infer,
    listed,
    metrics_text,
    observed,
    recorded,
)


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


def test_by_deadline_a_graph_s_request_is_answered_504_where_its_slowest_way_is_too_long(tmp_path: Path) -> None:
    """Of 10 ms, detection takes 8.7 with its lightest variant, and the cars after it 3.9 more."""
    with plane(tmp_path) as up:
        replica = up.emulated("traffic", "detection", "yolov5n")
        until_ready(replica.url)
        gateway = up.gateway("--pipeline", "traffic", "--sla", "0.01", "--drop", "deadline")
        stages = {"detection": [entry(0, replica.url, "yolov5n")], "cars": [], "faces": []}
        put(gateway.urls["control_url"] + "/control/replicas", stages)
        status, answer = call("POST", gateway.url + "/v2/models/traffic/infer", ask())
        assert status == 504
        assert answer["error"].startswith("dropped: too late for the SLA at stage 'detection', ")
        (record,) = recorded(gateway)["records"]
        assert (record["outcome"], [item["start_s"] for item in record["stages"]]) == ("dropped", [None])


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
        outage = re.search(r"ipa_stage_outage_seconds{[^}]*object-detection[^}]*} (.*)", metrics_text(gateway))
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
        assert {line["event"] for line in gateway.logged()} <= {"requests refused"}


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
        model = HeldModel(tmp_path)  # it answers when all else has been looked at
        held = up.server(*model.options, "--model", "yolov5n")
        until_ready(held.url)
        listed(gateway, video[0].listed | {DETECTION: [entry(0, held.url, "yolov5n")]})
        with ThreadPoolExecutor(1) as pool:
            inside = pool.submit(infer, gateway)
            try:
                until(lambda: model.has_begun, "it is inside")
                late = half_sent(gateway)
                gateway.popen.send_signal(signal.SIGTERM)
                until(lambda: call("GET", gateway.url + "/v2/health/ready")[0] == 503, "it is not ready")
                late.sendall(b"}")
                assert late.recv(65536).startswith(b"HTTP/1.1 503 ")
                late.close()
                assert infer(gateway) == (503, {"error": "the gateway is shutting down"})
                assert call("GET", gateway.url + "/v2/health/live")[0] == 200
            finally:
                model.let_go()
            assert inside.result()[0] == 200
        assert gateway.popen.wait(30) == 0
        assert {line["event"] for line in gateway.logged()} <= {"requests refused"}
