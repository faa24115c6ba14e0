"""Servers that may open few files: they serve within bounded connections, and never hang or print a traceback."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.request import urlopen

import pytest

from ipa.live.plane import GATEWAY, SERVER
from tests.live.world import PATIENCE_S

REPLICA = ("--pipeline", "video", "--stage", "object-detection", "--variant", "yolov5n", "--start-up", "0")
SERVERS = {"gateway": (GATEWAY, "--pipeline", "video", "--linger", "0"), "model server": (SERVER, *REPLICA)}


@contextmanager
def started(server: str, files: int) -> Iterator[subprocess.Popen[str]]:
    """A server whose process may open so many files, no more."""
    process = subprocess.Popen(
        [sys.executable, "-m", *SERVERS[server]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("server", ["gateway", pytest.param("model server", marks=pytest.mark.long)])
def test_more_connections_than_it_has_files_for_give_way_to_who_asks(server: str) -> None:
    with started(server, 64) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        ports = [int(said[key].rpartition(":")[2]) for key in ("url", "control_url") if key in said]
        with ExitStack() as stack:
            for _ in range(100):
                for port in ports:
                    stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
            for _ in range(3):
                with urlopen(f"{said['url']}/v2/health/live", timeout=PATIENCE_S) as answer:
                    assert json.load(answer) == {"live": True}
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, "Traceback" in errors) == (0, False), errors


@pytest.mark.parametrize("server", ["gateway", pytest.param("model server", marks=pytest.mark.long)])
def test_with_hardly_any_files_it_ends_with_a_line(server: str) -> None:
    """Enough for Python and an event loop, too few to listen."""
    with started(server, 13) as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "\nError: cannot listen: Too many open files\n" in errors
    assert "Traceback" not in errors
