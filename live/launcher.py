"""Starts and ends the processes of a live run through their common parent (`live.parent`)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ipa.live.errors import RunError

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Keeps numerical libraries from starting threads, which a fork would not inherit."""


class Launcher:
    """Starts processes by name, and reports when each has ended; `pids` are of the running ones.

    `on_death` is called, in the event loop, when their parent itself has died.
    """

    def __init__(self, on_death: Callable[[], object]) -> None:
        self._on_death = on_death
        self._on_exit: dict[str, Callable[[int], object]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._is_closing = False
        self.pids: dict[str, int] = {}

    async def open(self, modules: Sequence[str], log: Path, pipeline: str = "") -> None:
        """Start the parent, which imports the modules and reads the pipeline, if any; `log` is in the run's folder.
        Raises RunError if it does not start.
        """
        environment = {**os.environ, **ONE_THREAD}
        with log.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ipa.live.parent", str(log.parent), pipeline, *modules),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the controller alone, which then ends the run cleanly
            )
        assert self._process.stdout is not None
        first = await self._process.stdout.readline()
        if first.strip() != b"{}":
            await self._process.wait()
            raise RunError(f"the launcher of the processes did not start:\n{log_end(log)}")
        self._reader = asyncio.create_task(self._read(self._process.stdout))

    @property
    def pid(self) -> int:
        """The parent's process id; 0 before it is open."""
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
        """Send a signal to the process of that name, if it runs."""
        self._send({"signal": name, "number": int(number)})

    async def close(self) -> None:
        """Kill what still runs."""
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
        """End everything at once, without waiting: the kernel kills the children of a dead parent."""
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


def log_end(log: Path) -> str:
    """The last five lines of a log, indented, for an error message."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "  (nothing was logged)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-5:]) or "  (nothing was logged)"


def in_words(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"
