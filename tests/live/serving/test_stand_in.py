"""The stand-in for a gateway that has ended passes on what comes to its port, and waits where nobody serves yet."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from ipa.live.plane import LOOPBACK, open_port
from ipa.live.serving.lease import Address
from ipa.live.serving.stand_in import StandIn
from ipa.live.tokens import TokenFile, create_token_file
from tests.live.world import until_now


class Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def other_gateway() -> Iterator[Address]:
    """Another gateway that serves."""
    server = ThreadingHTTPServer((LOOPBACK, 0), Answers)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield Address(f"http://{LOOPBACK}:{server.server_port}", "")
    server.shutdown()
    server.server_close()


def ask(number: int) -> int:
    with closing(http.client.HTTPConnection(LOOPBACK, number, timeout=60.0)) as connection:
        connection.request("POST", "/v2/models/tiny/infer", b"{}")
        return connection.getresponse().status


def test_one_that_begins_again_waits_for_the_gateway_that_will_serve(tmp_path: Path) -> None:
    """When its gateway came back, that one served; now it has ended a second time, and who serves is not known yet.

    What comes meanwhile is not passed on to its own port, but waits.
    """
    create_token_file(tmp_path / "token")
    with open_port(LOOPBACK, 0) as port, other_gateway() as other, ThreadPoolExecutor() as threads:
        number = port.getsockname()[1]
        stand_in = StandIn(port, TokenFile(tmp_path / "token"))
        stand_in.begin(1, other)
        assert ask(number) == 200
        stand_in.end(2)
        stand_in.begin(2, None)
        asking = threads.submit(ask, number)
        until_now(lambda: not stand_in.is_quiet, "it has come")
        time.sleep(0.3)  # in which it would have been passed on
        stand_in.begin(3, other)
        assert asking.result() == 200
        stand_in.end(3)
        stand_in.close()
