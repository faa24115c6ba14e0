"""A gateway of the video pipeline as a process, and what one asks it over HTTP."""

from __future__ import annotations

import json
import socket
from typing import Any

from tests.live.serving.serving_plane import Process, ask, call, get, put, wanted

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


def half_sent(gateway: Process) -> socket.socket:
    """A connection whose request lacks its last byte."""
    host, port = gateway.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    body = json.dumps(ask()).encode()
    head = f"POST /v2/models/video/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body[:-1])
    return connection


def metrics_text(gateway: Process) -> str:
    text: str = call("GET", gateway.urls["control_url"] + "/metrics")[1]
    return text
