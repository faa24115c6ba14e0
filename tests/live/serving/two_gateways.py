"""Two gateways of the tiny pipeline as processes, a replica that notes who sends it batches, and a steady client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

from ipa.live.plane import LOOPBACK, open_port
from ipa.live.serving.lease import LEASE_HEADER
from ipa.live.tokens import create_token_file
from tests.live.serving.serving_plane import TOKEN_FILES, call, entry, put, until, wanted
from tests.live.world import pipeline_file

INFER = "/v2/models/tiny/infer"
ONE = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}]}
EVERY_S = 0.1


@dataclass
class Replica:
    """A model server that echoes its inputs after `takes_s`, and notes the term of each batch's gateway."""

    url: str
    terms: list[int] = field(default_factory=list)
    takes_s: float = 0.02


@contextmanager
def replica() -> Iterator[Replica]:
    """A replica that serves."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer({"name": "small", "ready": True, "extensions": []})

        def do_POST(self) -> None:
            inputs = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
            serving.terms.append(int(self.headers[LEASE_HEADER].split()[0]))
            time.sleep(serving.takes_s)
            self._answer({"model_name": "small", "outputs": inputs})

        def _answer(self, value: object) -> None:
            text = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None: ...

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # the gateway was killed
                self.close_connection = True

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    server.daemon_threads = True
    serving = Replica(f"http://{LOOPBACK}:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield serving
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Gateways:
    """The gateways that have been started, in order; two of them live at a time. `url` and `control_url` lead to the
    one that serves."""

    folder: Path
    url: str = ""
    control_url: str = ""
    ports: tuple[int, ...] = ()
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> int:
        """Start one; its number."""
        number = len(self.started)
        options = ["--pipeline", str(self.folder / "tiny.yaml"), "--control-token-file", str(self.folder / "token")]
        options += ["--port-fd", str(self.ports[0]), "--control-port-fd", str(self.ports[1])]
        options += ["--lease-file", str(self.folder / "lease"), "--linger", "0"]
        with (self.folder / f"gateway-{number}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ipa.live.serving.gateway", *options],
                stdout=log,
                stderr=log,
                pass_fds=self.ports,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self.started.append(process)
        return number

    @property
    def serving(self) -> int:
        """The gateway that serves."""
        (number,) = self._running(SERVES)
        return number

    @property
    def waiting(self) -> int:
        """The gateway that waits and knows as much; a new one where the last one that waited serves now."""
        if not self._running(WAITS):
            self.until_it(self.start(), WAITS)
        (number,) = self._running(WAITS)
        return number

    def _running(self, latest: str) -> list[int]:
        """The gateways that run and have logged this as the latest of their states."""
        states = {
            number: [event for event in self.events(number) if event in (SERVES, WAITS, HAS_LOST)]
            for number, process in enumerate(self.started)
            if process.poll() is None
        }
        return [number for number, events in states.items() if events[-1:] == [latest]]

    def events(self, number: int) -> list[str]:
        """What a gateway has logged, in order."""
        return events_in(self.folder / f"gateway-{number}.log")

    def until_it(self, number: int, event: str, times: int = 1) -> None:
        until(lambda: self.events(number).count(event) >= times, f"gateway {number}: {event}, {times} times")

    def signal(self, number: int, which: signal.Signals) -> None:
        self.started[number].send_signal(which)


def events_in(log: Path) -> list[str]:
    """What a log says, in order."""
    return [json.loads(line)["event"] for line in log.read_text().splitlines() if '"event"' in line]


SERVES, WAITS, HAS_LOST = "this gateway serves", "this gateway waits", "another gateway has taken over"


@contextmanager
def two_gateways(folder: Path, replica_url: str) -> Iterator[Gateways]:
    """One gateway serves, with that replica; the first that is asked for as `waiting` is started then."""
    pipeline_file(folder)
    create_token_file(folder / "token")
    with open_port(LOOPBACK, 0) as data, open_port(LOOPBACK, 0) as control:
        urls = [f"http://{LOOPBACK}:{port.getsockname()[1]}" for port in (data, control)]
        TOKEN_FILES[urls[1]] = str(folder / "token")
        up = Gateways(folder, urls[0], urls[1], (data.fileno(), control.fileno()))
        try:
            up.start()
            up.until_it(0, SERVES)
            put(f"{up.control_url}/control/replicas", {"sort": [entry(0, replica_url, "small")]})
            put(f"{up.control_url}/control/configuration", {"sort": wanted("small")})
            yield up
        finally:
            for process in up.started:
                process.kill()
            for process in up.started:
                process.wait()


@dataclass(frozen=True)
class Asked:
    """A request of the steady client: when it was sent and ended, and the status of its answer; 0: none."""

    sent_s: float
    ended_s: float
    status: int


class Client(threading.Thread):
    """Sends ten requests a second, each on a connection of its own and to one URL after the other, until the end of the
    `with` block."""

    def __init__(self, *urls: str) -> None:
        super().__init__(daemon=True)
        self.asked: list[Asked] = []
        self._urls = cycle(urls)
        self._ends = threading.Event()
        self._requests: list[threading.Thread] = []

    def __enter__(self) -> Client:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self.join()
        for each in self._requests:
            each.join()

    def run(self) -> None:
        while not self._ends.wait(EVERY_S):
            self._requests.append(threading.Thread(target=self._ask, args=(next(self._urls),), daemon=True))
            self._requests[-1].start()

    def _ask(self, url: str) -> None:
        sent_s = time.monotonic()
        try:
            status, _ = call("POST", url + INFER, ONE)
        except (OSError, HTTPException):
            status = 0
        self.asked.append(Asked(sent_s, time.monotonic(), status))

    def until_answered(self, count: int) -> None:
        """Wait until so many more requests were answered with 200."""
        before = self._answered
        until(lambda: self._answered >= before + count, f"{count} more answers")

    @property
    def _answered(self) -> int:
        return sum(each.status == 200 for each in list(self.asked))

    def lost(self) -> list[Asked]:
        return [each for each in self.asked if each.status != 200]


def were_inside(faults_s: Sequence[tuple[float, float]], lost: Sequence[Asked]) -> bool:
    """Whether the lost requests were all inside during one of these faults, each from when to when it came about."""
    return all(any(each.sent_s < until_s and each.ended_s >= from_s for from_s, until_s in faults_s) for each in lost)


def is_in_turn(terms: Sequence[int]) -> bool:
    """Whether no batch came from a gateway after one from its successor."""
    return all(earlier <= later for earlier, later in pairwise(terms))


class KeptConnection:
    """One connection to a gateway, on which several requests are sent."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._connection = HTTPConnection(host, int(port), timeout=90.0)

    def ask(self) -> tuple[int, Any]:
        self.send()
        return self.answer()

    def send(self) -> None:
        self._connection.request("POST", INFER, json.dumps(ONE), {"Content-Type": "application/json"})

    def answer(self) -> tuple[int, Any]:
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def close(self) -> None:
        self._connection.close()

    @property
    def is_closed(self) -> bool:
        """Whether the gateway has closed it after an answer."""
        return self._connection.sock is None
