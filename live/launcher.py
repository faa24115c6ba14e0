"""Starts, watches and ends the processes of a live run: `python -m ipa.live.launcher FOLDER PIPELINE MODULE...`.

A small parent that has imported the modules and read the pipeline forks a process that is ready in some 10 ms, where a
fresh interpreter would take half a second of a core each. It reads commands from stdin and answers on stdout, both in
JSON lines:

    {"start": name, "module": "ipa.live.serving.server", "arguments": [...], "log": path} -> {"started": name, "pid": n}
    {"signal": name, "number": 15}                                                        (nothing for one that is gone)
    {"end": true}                                                                     (the controller ends by itself)
                                                                                        -> {"exited": name, "status": n}

No process outlives the run, however it ends: when stdin ends, which is when the controller is gone, even by SIGKILL,
the launcher kills all of them, and removes the folder of the run's logs that a killed controller has left; should the
launcher itself be killed, the kernel ends them (Linux: PR_SET_PDEATHSIG).
It has one thread and no event loop, so that a fork inherits neither locks that are held nor a loop that runs.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ipa import profiles
from ipa.live.errors import RunError

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""What keeps numerical libraries from threads of their own, which no fork would inherit."""


class Launcher:
    """The controller's side: starts processes by name and says when each has ended.

    `on_death` is called, in the event loop, when the launcher itself has died.
    """

    def __init__(self, on_death: Callable[[], object]) -> None:
        self._on_death = on_death
        self._on_exit: dict[str, Callable[[int], object]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._is_closing = False
        self.pids: dict[str, int] = {}

    async def open(self, modules: Sequence[str], log: Path, pipeline: str = "") -> None:
        """Start the launcher, which imports the modules and reads the pipeline, if any; `log` is in the run's folder.

        Raises RunError where it cannot.
        """
        environment = {**os.environ, **ONE_THREAD}
        with log.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ipa.live.launcher", str(log.parent), pipeline, *modules),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the controller alone, which then ends the run in order
            )
        assert self._process.stdout is not None
        first = await self._process.stdout.readline()
        if first.strip() != b"{}":
            await self._process.wait()
            raise RunError(f"the launcher of the processes did not start:\n{log_end(log)}")
        self._reader = asyncio.create_task(self._read(self._process.stdout))

    @property
    def pid(self) -> int:
        """Its process id; 0 before it is open."""
        return self._process.pid if self._process else 0

    def start(
        self, name: str, module: str, arguments: Sequence[str], log: Path, on_exit: Callable[[int], object]
    ) -> None:
        """Start `module.main(arguments)` in a process of that name; its output is appended to `log`.

        `on_exit` is called in the event loop with its exit status (negative: by that signal).
        """
        self._on_exit[name] = on_exit
        self._send({"start": name, "module": module, "arguments": list(arguments), "log": str(log)})

    def signal(self, name: str, number: int) -> None:
        """Send a signal to the process of that name, if it is there."""
        self._send({"signal": name, "number": int(number)})

    async def close(self) -> None:
        """Kill what is still there."""
        self._send({"end": True})
        self._is_closing = True
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(5.0):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        if self._reader is not None:
            await self._reader

    def kill(self) -> None:
        """End everything at once, without waiting: the kernel kills the children of a dead launcher."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def _send(self, command: dict[str, Any]) -> None:
        if self._process is not None and self._process.stdin is not None and not self._is_closing:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            said = json.loads(line)
            if "started" in said:
                self.pids[said["started"]] = said["pid"]
            else:
                self.pids.pop(said["exited"], None)
                self._on_exit.pop(said["exited"])(said["status"])
        if not self._is_closing:
            self._on_death()


def log_end(log: Path, lines: int = 5) -> str:
    """The last lines of a log, indented, to be shown with an error."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "  (nothing was logged)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (nothing was logged)"


def in_words(status: int) -> str:
    """An exit status in words."""
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


# ---- the launcher's own process ----


class _Family:
    """The launcher's children by name."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.is_dismissed = False

    def obey(self, command: dict[str, Any]) -> None:
        if "end" in command:
            self.is_dismissed = True
            return
        if "start" in command:
            pid = os.fork()
            if pid == 0:
                _become(command)
            self.names[pid] = command["start"]
            _say({"started": command["start"], "pid": pid})
            return
        for pid, name in self.names.items():
            if name == command["signal"]:
                os.kill(pid, command["number"])

    def bury(self) -> None:
        """Say which children have ended."""
        while self.names:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _say({"exited": self.names.pop(pid), "status": os.waitstatus_to_exitcode(status)})

    def kill(self) -> None:
        for pid in self.names:
            os.kill(pid, signal.SIGKILL)


def _say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def _become(command: dict[str, Any]) -> None:
    """In a child: end with the parent, output to the log, then what the command names. Does not return."""
    status = 1
    try:
        die_with_parent()
        _prctl(PR_SET_NAME, command["start"].encode()[-15:])  # what ps and top show
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.closerange(3, 64)  # the launcher's selector and pipes
        sys.argv = [command["module"], *command["arguments"]]
        importlib.import_module(command["module"]).main(command["arguments"])
        status = 0
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends; at once where that has ended already."""
    parent = os.getppid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _prctl(option: int, value: int | bytes) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def main(arguments: Sequence[str]) -> None:
    """Read the pipeline (empty: none) and import the modules, then obey commands until stdin ends."""
    folder, pipeline, *modules = arguments
    if pipeline:
        profiles.load(pipeline)
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what the children share with this process stays shared
    family = _Family()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        _say({})
        pending = b""
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if woken in ready:
                os.read(woken, 4096)
                family.bury()
            if 0 in ready:
                read = os.read(0, 65536)
                if not read:
                    family.kill()
                    if not family.is_dismissed:
                        shutil.rmtree(folder, ignore_errors=True)
                    return
                *lines, pending = (pending + read).split(b"\n")
                for line in lines:
                    family.obey(json.loads(line))


if __name__ == "__main__":
    main(sys.argv[1:])
