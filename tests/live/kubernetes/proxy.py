"""A proxy in front of an API server that fails on demand, and notes what passes: for tests of what a controller does
while its cluster is unwell."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import urllib3

from ipa.live.tokens import CONTROL_HEADER

KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{url}"}}}}]
users: [{{name: u, user: {{token: "{token}"}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
"""


@dataclass(frozen=True)
class Passed:
    """An answered request; it came, went on and was answered at these times of `time.monotonic()`."""

    method: str
    path: str
    body: bytes
    status: int
    came_s: float
    sent_s: float
    end_s: float


class Proxy:
    """`fail(method, pattern, status, times)` answers matching requests with a status; `is_away` breaks all off;
    `scraped`, unless None, is said for the gateway's metrics; `delay_s` passes before each request does; `note` learns
    of each that the server has answered (`Passed`)."""

    def __init__(self) -> None:
        import kubernetes

        configuration = kubernetes.client.Configuration()
        kubernetes.config.load_kube_config(client_configuration=configuration)
        self._host = configuration.host
        self._token = str(
            configuration.get_api_key_with_prefix("BearerToken") or configuration.api_key["authorization"]
        )
        self._pool = urllib3.PoolManager(
            ca_certs=configuration.ssl_ca_cert,
            cert_file=configuration.cert_file,
            key_file=configuration.key_file,
            retries=False,
        )
        self.is_away = False
        self.delay_s = 0.0
        self.note: Callable[[Passed], object] = lambda _: None
        self.scraped: tuple[int, bytes] | None = None
        self.seen: list[tuple[str, str, int]] = []
        self.refused: list[tuple[str, str]] = []
        self._failures: list[tuple[str, str, int, int]] = []
        self._watches: list[Any] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with suppress(ConnectionError):  # a client that has been killed
                    proxy._pass(self)

            do_PUT = do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail(self, method: str, pattern: str, status: int, times: int = 1) -> None:
        """Answer the next requests that match with a status, without asking the server."""
        self._failures.append((method, pattern, status, times))

    def recover(self) -> None:
        """Fail no more requests."""
        self._failures = []

    def drop_watches(self) -> None:
        """Break all watches off."""
        for connection in self._watches:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._watches = []

    def kubeconfig(self, folder: Path, token: str = "") -> Path:
        """A kubeconfig that goes through this proxy; `token`: another user's than KUBECONFIG's."""
        path = folder / "proxy-kubeconfig"
        path.write_text(KUBECONFIG.format(url=self.url, token=token), encoding="utf-8")
        return path

    # ---- one request ----

    def _pass(self, asked: BaseHTTPRequestHandler) -> None:
        method, path = asked.command, asked.path
        came_s = time.monotonic()
        body = asked.rfile.read(int(asked.headers.get("Content-Length") or 0))
        status = 0 if self.is_away else self._failure(method, path)
        if self.is_away:
            asked.connection.close()
            return
        if self.scraped is not None and path.endswith("/proxy/metrics"):
            self._answer(asked, *self.scraped, {"Content-Type": "text/plain"})
            return
        if status:
            self._answer(asked, status, b'{"kind": "Status", "message": "not now, says the proxy"}')
            return
        time.sleep(self.delay_s)
        sent_s = time.monotonic()
        said = self._pool.request(
            method, self._host + path, body=body, headers=self._headers(asked), preload_content=False, redirect=False
        )
        self.seen.append((method, path, said.status))
        self.note(Passed(method, path, body, said.status, came_s, sent_s, time.monotonic()))
        if said.status in (401, 403):
            self.refused.append((method, path))
        if "watch=" in path and said.status == 200:
            self._stream(asked, said)
        else:
            self._answer(asked, said.status, said.data, self._kept(said))

    def _headers(self, asked: BaseHTTPRequestHandler) -> dict[str, str]:
        given = asked.headers.get("Authorization") or ""
        token = given.removeprefix("Bearer").strip() or self._token.removeprefix("Bearer").strip()
        kept = {key: asked.headers[key] for key in ("Content-Type", "Accept", CONTROL_HEADER) if asked.headers.get(key)}
        return {**kept, "Authorization": f"Bearer {token}"}

    def _failure(self, method: str, path: str) -> int:
        for position, (of_method, pattern, status, times) in enumerate(self._failures):
            if method == of_method and re.search(pattern, path):
                left = (of_method, pattern, status, times - 1)
                self._failures[position : position + 1] = [left] if times > 1 else []
                return status
        return 0

    @staticmethod
    def _kept(said: Any) -> dict[str, str]:
        """What clients read of the server's headers: its clock among them, not this process's."""
        return {key: said.headers[key] for key in ("Content-Type", "Date") if key in said.headers}

    @staticmethod
    def _answer(
        asked: BaseHTTPRequestHandler,
        status: int,
        data: bytes,
        headers: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json"}),
    ) -> None:
        asked.send_response_only(status)
        for key, value in headers.items():
            asked.send_header(key, value)
        asked.send_header("Content-Length", str(len(data)))
        asked.end_headers()
        asked.wfile.write(data)

    def _stream(self, asked: BaseHTTPRequestHandler, said: Any) -> None:
        self._watches.append(asked.connection)
        asked.send_response_only(200)
        for key, value in {**self._kept(said), "Connection": "close"}.items():
            asked.send_header(key, value)
        asked.end_headers()
        try:
            for part in said.stream(amt=None, decode_content=False):
                if self.is_away:
                    break
                asked.wfile.write(part)
                asked.wfile.flush()
        except Exception:
            pass
        asked.close_connection = True


@contextmanager
def proxied() -> Iterator[Proxy]:
    proxy = Proxy()
    try:
        yield proxy
    finally:
        proxy.close()
