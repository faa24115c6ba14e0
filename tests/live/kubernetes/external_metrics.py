"""An API server of external metrics, of which a HorizontalPodAutoscaler asks how many replicas a stage should have.

It runs in the test's process, which the cluster's node has to reach, and is made known by an APIService.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ipa.live.kubernetes.api import Api, ApiError

GROUP, VERSION = "external.metrics.k8s.io", "v1beta1"
SERVICE = "external-metrics"

Labels = dict[str, str]


@contextmanager
def external_metrics(
    api: Api, namespace: str, folder: Path, values: Callable[[str, Labels], float | None]
) -> Iterator[list[str]]:
    """Serve external metrics to the cluster meanwhile; `values` has that of a metric with such labels, if there is one.

    What is yielded are the metrics that have been asked for, in order.
    """
    address = _address(api)
    asked: list[str] = []
    server = ThreadingHTTPServer((address, 0), _handler(values, asked))
    server.socket = _certified(folder).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        for path, made in _objects(namespace, address, server.server_address[1]):
            api.request("POST", path, made)
        yield asked
    finally:
        with suppress(ApiError):  # while it is there and does not answer, no namespace can be deleted
            api.request("DELETE", f"/apis/apiregistration.k8s.io/v1/apiservices/{VERSION}.{GROUP}")
        server.shutdown()
        server.server_close()
        thread.join()


def _address(api: Api) -> str:
    """This machine's, as the node sees it."""
    (node,) = api.request("GET", "/api/v1/nodes")["items"]
    there = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((there, 9))  # which sends nothing
        return str(way.getsockname()[0])


def _certified(folder: Path) -> ssl.SSLContext:
    """With a certificate of our own, which an APIService need not check."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    made = ("-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={SERVICE}")
    subprocess.run(
        ["openssl", "req", "-x509", *made, "-keyout", key, "-out", certificate], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _objects(namespace: str, address: str, port: int) -> Iterator[tuple[str, dict[str, Any]]]:
    meta = {"name": SERVICE, "namespace": namespace}
    yield f"/api/v1/namespaces/{namespace}/services", {
        "apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"port": 443, "targetPort": port}]},
    }  # fmt: skip
    yield f"/api/v1/namespaces/{namespace}/endpoints", {
        "apiVersion": "v1", "kind": "Endpoints", "metadata": meta,
        "subsets": [{"addresses": [{"ip": address}], "ports": [{"port": port}]}],
    }  # fmt: skip
    yield "/apis/apiregistration.k8s.io/v1/apiservices", {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{VERSION}.{GROUP}"},
        "spec": {
            "group": GROUP, "version": VERSION, "service": meta, "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100, "versionPriority": 100,
        },
    }  # fmt: skip


def _handler(values: Callable[[str, Labels], float | None], asked: list[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            parts = url.path.strip("/").split("/")
            if parts == ["apis", GROUP, VERSION]:
                said: dict[str, Any] = {
                    "kind": "APIResourceList",
                    "groupVersion": f"{GROUP}/{VERSION}",
                    "resources": [],
                }
                self._answer(200, {"apiVersion": "v1", **said})
            elif parts[:4] == ["apis", GROUP, VERSION, "namespaces"] and len(parts) == 6:
                asked.append(parts[5])
                selector = parse_qs(url.query).get("labelSelector", [""])[0]
                labels = dict(each.split("=", 1) for each in selector.split(",") if each)
                value = values(parts[5], labels)
                now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                item = {"metricName": parts[5], "metricLabels": labels, "timestamp": now, "value": str(int(value or 0))}
                items = [] if value is None else [item]
                kind = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "ExternalMetricValueList", "metadata": {}}
                self._answer(200, {**kind, "items": items})
            else:
                self._answer(404, {})

        def _answer(self, status: int, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    return Handler
