"""Processes that one parent forks, as it does those of a live run: a fresh interpreter costs half a second of a core.

The parent is `ipa.live.parent`; a child writes its output to a file and its log to another.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from ipa.live.launcher import ONE_THREAD
from ipa.live.plane import PRELOADED


class Child:
    """A process of the parent, with what is used here of a Popen."""

    def __init__(self) -> None:
        self.pid = 0
        self.returncode: int | None = None
        self.has_started, self._has_ended = threading.Event(), threading.Event()

    def started(self, pid: int) -> None:
        self.pid = pid
        self.has_started.set()

    def ended(self, returncode: int) -> None:
        self.returncode = returncode
        self._has_ended.set()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises TimeoutExpired."""
        if not self._has_ended.wait(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Parent:
    """The parent of all processes that this one has forked; they end with it."""

    def __init__(self) -> None:
        folder = tempfile.mkdtemp()  # the parent removes it at its end
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "ipa.live.parent", folder, "", *PRELOADED, __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._lock, self._children = threading.Lock(), dict[str, Child]()
        assert self._popen.stdout is not None
        assert self._popen.stdout.readline() == b"{}\n"
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def start(self, module: str, options: Sequence[str], output: Path, log: Path) -> Child:
        """A process of `module.main(options)`, in the folder and with the environment of this one."""
        assert self._popen.stdin is not None
        child = Child()
        with self._lock:
            name = f"{module.rpartition('.')[2]} {len(self._children)}"
            self._children[name] = child
            arguments = [os.getcwd(), json.dumps(dict(os.environ)), str(output), module, *options]
            command = {"start": name, "module": __name__, "arguments": arguments, "log": str(log), "descriptors": []}
            self._popen.stdin.write(json.dumps(command).encode() + b"\n")
            self._popen.stdin.flush()
        child.has_started.wait()
        return child

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            message: Mapping[str, str | int] = json.loads(line)
            if "started" in message:
                self._children[str(message["started"])].started(int(message["pid"]))
            else:
                self._children[str(message["exited"])].ended(int(message["status"]))

    def close(self) -> None:
        """End it, and with it what still runs."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.close()
        self._popen.wait()
        self._reading.join()
        self._popen.stdout.close()


@cache
def parent() -> Parent:
    """The one of this process, started where it is first needed."""
    made = Parent()
    atexit.register(made.close)
    return made


def main(arguments: Sequence[str]) -> None:
    """In a child: have the folder and the environment of who starts it, write the output to a file, and become what
    `python -m MODULE` is."""
    folder, environment, output, name, *options = arguments
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(json.loads(environment))
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT, 0o600), 1)
    module = importlib.import_module(name)
    sys.argv = [str(module.__file__), *options]
    sys.modules["__main__"].__package__ = module.__package__
    module.main(options)
