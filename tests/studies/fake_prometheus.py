"""A Prometheus server for tests, in a thread of this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

NOON_S = 1_767_614_400
"""2026-01-05T12:00:00Z."""


class Fake:
    """A server that answers range queries with `value(time)`, or what `says` holds, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], str | None]] = []
        self.value: Callable[[int], float | None] = lambda time_s: 10
        self.labels: dict[str, str] = {}
        self.says: tuple[int, bytes, dict[str, str]] | None = None
        self.waits = threading.Event()
        self.waits.set()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                given = {name: values[0] for name, values in parse_qs(parts.query).items()}
                fake.asked.append((parts.path, given, self.headers.get("Authorization")))
                fake.waits.wait(10)
                status, content, headers = fake.says or (200, fake.answer(given), {})
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                with suppress(ConnectionError):  # a client that waits no longer
                    self.end_headers()
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.netloc = f"127.0.0.1:{self.http.server_port}"
        self.url = f"http://{self.netloc}"

    def answer(self, given: dict[str, str]) -> bytes:
        times = range(int(given["start"]), int(given["end"]) + 1, int(given["step"]))
        values = [[each, str(value)] for each in times if (value := self.value(each)) is not None]
        result = [{"metric": self.labels, "values": values}] if values else []
        return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()


@contextmanager
def serving() -> Iterator[Fake]:
    """The server, at `url` for the block."""
    fake = Fake()
    thread = threading.Thread(target=fake.http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield fake
    finally:
        fake.waits.set()
        fake.http.shutdown()
        thread.join()
        fake.http.server_close()
