"""Sweeps on a real Ray cluster on this machine, with two workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.command import ipa, start
from tests.studies.many.slow_network import slowed
from tests.studies.many.waiting import FAILED, LIMIT_S, command, until, until_waiting

pytestmark = [
    pytest.mark.long,
    # Not imported here: it would change how this process logs.
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed"),
]


FAILS_FIRST = """
import sys

import ray

name, left = sys.argv.pop(1), int(sys.argv.pop(1))
works = getattr(ray, name)


def fails_first(*args, **options):
    global left
    left -= 1
    if left >= 0:
        raise ConnectionAbortedError("Initialization failure from server: oh")
    return works(*args, **options)


setattr(ray, name, fails_first)

from ipa.__main__ import main

main()
"""
"""`ipa` where a function of Ray's fails so many times, as if the cluster had not started the client's part of its
server, or that had ended at once."""


class Cluster:
    """A head node of two processors, with its client server at `address`."""

    def __init__(self, log: Path) -> None:
        gcs, client, *workers = free_ports(24)
        self.address = f"127.0.0.1:{client}"
        self._files = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp")  # its sockets' paths must be short
        options = {
            "port": gcs,
            "ray-client-server-port": client,
            "worker-port-list": ",".join(map(str, workers)),
            "num-cpus": 2,
            "object-store-memory": 100_000_000,
            "include-dashboard": "false",
            "temp-dir": self._files.name,
            "node-ip-address": "127.0.0.1",
        }
        ray = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats"]
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*ray, *(f"--{name}={value}" for name, value in options.items())],
                cwd=log.parent,
                # For each client the head node forks a process, which gRPC's threads else bring down now and then.
                env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        until(lambda: "Ray runtime started" in log.read_text() or self._process.poll(), "a Ray cluster")
        assert self._process.poll() is None, log.read_text()

    def end(self) -> None:
        """End all its processes: they are one group."""
        with self._files:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("ray") / "ray.log")
    yield made
    made.end()


def test_a_worker_that_is_killed_in_the_middle_costs_nothing(here: Path, whole: bytes, cluster: Cluster) -> None:
    """The workers have neither the user's policy nor the folder."""
    far = start(*command(here, "out", "--on", f"ray://{cluster.address}"))
    (worker,) = until_waiting(far, here)
    os.kill(worker, signal.SIGKILL)
    (here / "go").touch()
    assert far.communicate(timeout=LIMIT_S)[1] == FAILED
    assert (here / "out" / "runs.parquet").read_bytes() == whole
    assert json.loads((here / "out" / "manifest.json").read_text())["ran_on"].endswith(cluster.address)


@pytest.mark.parametrize(("function", "failures"), [("init", 2), ("init", 3), ("put", 2), ("put", 3)])
def test_a_cluster_that_answers_but_starts_no_server_is_asked_again(
    here: Path, whole: bytes, cluster: Cluster, function: str, failures: int
) -> None:
    (here / "go").touch()
    asked = [str(part) for part in command(here, "out", "--on", f"ray://{cluster.address}")]
    code = [sys.executable, "-c", FAILS_FIRST, function, str(failures), *asked]
    ended = subprocess.run(code, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ended.returncode == 1
    if failures == 2:
        assert ended.stderr == FAILED
        assert (here / "out" / "runs.parquet").read_bytes() == whole
    else:
        assert ended.stderr.startswith(f"Error: no Ray cluster answers at {cluster.address}: Initialization failure")


def test_an_interrupt_ends_in_order(here: Path, whole: bytes, cluster: Cluster) -> None:
    far = start(*command(here, "out", "--on", f"ray://{cluster.address}"))
    until_waiting(far, here)
    far.send_signal(signal.SIGINT)
    output, errors = far.communicate(timeout=LIMIT_S)
    assert (far.returncode, output) == (1, "")
    assert errors == "Error: interrupted; finished runs are kept in out: repeat the command to resume\n"
    (here / "go").touch()
    assert ipa(*command(here, "out", "--jobs", 1)).exit_code == 1
    assert (here / "out" / "runs.parquet").read_bytes() == whole


def test_after_the_cluster_is_gone_the_same_command_goes_on(
    here: Path, whole: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cluster = Cluster(tmp_path_factory.mktemp("another") / "ray.log")
    try:
        far = start(*command(here, "out", "--on", f"ray://{cluster.address}"))
        until_waiting(far, here)
    finally:
        cluster.end()
    errors = far.communicate(timeout=LIMIT_S)[1]
    assert errors == (
        f"Error: the Ray cluster at {cluster.address} is gone; finished runs are kept in out: repeat the command to "
        "resume\n"
    )
    assert far.returncode == 1
    (here / "go").touch()
    assert ipa(*command(here, "out", "--jobs", 1)).exit_code == 1
    assert (here / "out" / "runs.parquet").read_bytes() == whole


def test_a_message_after_the_connection_was_given_up_is_answered_as_a_lost_cluster() -> None:
    said = """
from ipa.studies.many.on_ray import _read
for text in ("Cannot invoke RPC on closed channel!", "another"):
    try:
        with _read("there"):
            raise ValueError(text)
    except Exception as error:
        print(type(error).__name__, error)
"""
    found = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert found.stdout == "WorkerError the Ray cluster at there is gone\nValueError another\n"


def test_a_slow_network_changes_nothing(here: Path, whole: bytes, cluster: Cluster) -> None:
    """Whatever passes between here and the cluster is 0.1 s late."""
    (here / "go").touch()
    with slowed(cluster.address, 0.1) as address:
        far = start(*command(here, "out", "--on", f"ray://{address}"))
        assert far.communicate(timeout=LIMIT_S)[1] == FAILED
    assert (here / "out" / "runs.parquet").read_bytes() == whole
