"""A serving plane for tests: a gateway and model servers as processes on free ports, and what a control plane sends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.live.serving import forked

TOKEN_FILES: dict[str, str] = {}
"""The files with the tokens of control ports, by URL."""

START_S = 90.0
"""How long a process may take to listen, on a busy machine."""


@dataclass
class Process:
    """A running process and what it announced."""

    popen: subprocess.Popen[bytes] | forked.Child
    urls: Mapping[str, str]
    log: Path

    @property
    def url(self) -> str:
        return self.urls["url"]

    def terminate(self, timeout_s: float = START_S) -> int:
        """SIGTERM, and the exit code."""
        if self.popen.poll() is None:
            self.popen.terminate()
        return self.popen.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL: gone without a word."""
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def logged(self) -> list[dict[str, Any]]:
        """The log lines so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@dataclass
class Plane:
    """The processes, and the state that a control plane would keep.

    `is_fresh`: each process has an interpreter of its own, whose imports see the environment as it is then; else one
    parent forks all.
    """

    folder: Path
    cpus: Mapping[str, int] = field(default_factory=dict)
    is_fresh: bool = False
    processes: list[Process] = field(default_factory=list)
    listed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def spawn(self, module: str, *options: str, cpu: int | None = None) -> Process:
        """A process of `module`, once it listens."""
        log, output = (self.folder / f"{len(self.processes)}.{suffix}" for suffix in ("log", "output"))
        popen = self._started(module, options, output, log)
        if cpu is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(popen.pid, {cpu})
        until(lambda: popen.poll() is not None or _text(output).endswith("\n"), f"{module} listens")
        if not _text(output):
            raise RuntimeError(f"{module} {' '.join(options)} ended: {log.read_text()}")
        process = Process(popen, json.loads(_text(output)), log)
        if "control_url" in process.urls:
            TOKEN_FILES[process.urls["control_url"]] = process.urls["control_token_file"]
        self.processes.append(process)
        return process

    def _started(
        self, module: str, options: Sequence[str], output: Path, log: Path
    ) -> subprocess.Popen[bytes] | forked.Child:
        if not self.is_fresh:
            return forked.parent().start(module, options, output, log)
        with output.open("w") as stdout, log.open("w") as stderr:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            command = [sys.executable, "-m", module, *options]
            return subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment)

    def gateway(self, *options: str) -> Process:
        """The gateway."""
        return self.spawn("ipa.live.serving.gateway", "--log-level", "warning", *options, cpu=self.cpus.get("gateway"))

    def server(self, *options: str) -> Process:
        """A model server."""
        return self.spawn("ipa.live.serving.server", "--log-level", "warning", *options, cpu=self.cpus.get("server"))

    def emulated(self, pipeline: str, stage: str, variant: str, *options: str) -> Process:
        """A model server that emulates a variant, ready at once."""
        chosen = ("--pipeline", pipeline, "--stage", stage, "--variant", variant, "--start-up", "0")
        return self.server(*chosen, *options)

    def close(self) -> None:
        """End what still runs."""
        for process in self.processes:
            if process.popen.poll() is None:
                process.popen.kill()
        for process in self.processes:
            process.popen.wait()


@contextmanager
def plane(folder: Path, cpus: Mapping[str, int] | None = None, *, is_fresh: bool = False) -> Iterator[Plane]:
    """A plane whose processes end with the block."""
    opened = Plane(folder, cpus or {}, is_fresh)
    try:
        yield opened
    finally:
        opened.close()


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


class HeldModel:
    """A model in a file that echoes its inputs, each batch only once it may."""

    def __init__(self, folder: Path) -> None:
        self._begun, self._let_go = folder / "begun", folder / "let-go"
        path = folder / "held.py"
        path.write_text(
            "import time\nfrom pathlib import Path\n\nclass Model:\n    def predict(self, inputs):\n"
            f"        Path({str(self._begun)!r}).touch()\n        while not Path({str(self._let_go)!r}).exists():\n"
            "            time.sleep(0.01)\n        return inputs\n"
        )
        self.options = ("--backend", f"{path}:Model")

    @property
    def has_begun(self) -> bool:
        """Whether a batch is with it, or was."""
        return self._begun.exists()

    def let_go(self) -> None:
        """From now on no batch is held."""
        self._let_go.touch()


def entry(number: int, url: str, variant: str, cores: int = 1, state: str = "ready") -> dict[str, Any]:
    """A replica as the control API takes it."""
    return {"number": number, "url": url, "variant": variant, "cores": cores, "state": state}


def wanted(variant: str, batch: int = 1, timeout_s: float = 0.0, replicas: int = 1, cores: int = 1) -> dict[str, Any]:
    """A stage's configuration as the control API takes it."""
    return {
        "variant": variant,
        "batch": batch,
        "replicas": replicas,
        "batch_timeout_s": timeout_s,
        "cores": cores,
    }


def call(method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """Status and answer (JSON where it is some, else text) of one HTTP call; those of control ports have a token."""
    if headers is None and (path := next((path for of, path in TOKEN_FILES.items() if url.startswith(of)), None)):
        headers = {"Authorization": f"Bearer {Path(path).read_text().strip()}"}
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=START_S) as response:
            status, text = response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode(errors="replace")


def put(url: str, body: object) -> Any:
    """The answer of a PUT that must succeed."""
    status, answer = call("PUT", url, body)
    assert status == 200, answer
    return answer


def get(url: str) -> Any:
    """The answer of a GET that must succeed."""
    status, answer = call("GET", url)
    assert status == 200, answer
    return answer


def until_ready(url: str) -> None:
    """Wait until a server is ready."""
    until(lambda: call("GET", f"{url}/v2/health/ready")[0] == 200, f"{url} is ready")


def until(condition: Callable[[], Any], what: str, timeout_s: float = START_S) -> Any:
    """Wait until the condition holds, and its value; AssertionError naming `what` otherwise."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.01)
    return value


def ask(
    name: str = "x", datatype: str = "INT64", shape: Sequence[int] = (1,), data: Sequence[Any] = (7,), **more: Any
) -> dict[str, Any]:
    """A request of one input as JSON has it."""
    return {"inputs": [{"name": name, "datatype": datatype, "shape": list(shape), "data": list(data)}], **more}
