"""Our model server in a process of its own, on some cores of this machine."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ipa.live.errors import RunError
from ipa.live.launcher import ONE_THREAD, in_words, log_end
from ipa.live.plane import SERVER
from ipa.live.profiling.machine import peak_memory_mb
from ipa.live.serving import Probe

READY_WITHIN_S = 300.0
ASKED_EVERY_S = 0.005
STOPS_WITHIN_S = 30.0


class ModelServer:
    """A replica's process: pinned to `placed` (numbers of cores), with as many threads as it has cores."""

    def __init__(
        self, backend: Sequence[str], model: str, cores: int, placed: Sequence[int], log: Path, timeout_s: float
    ) -> None:
        self._arguments = [*("--backend", *backend), "--model", model, "--cores", str(cores), "--log-level", "warning"]
        self._cores, self._placed, self._log = cores, list(placed), log
        self._model, self._timeout_s = model, timeout_s
        self._process: asyncio.subprocess.Process | None = None
        self.probe: Probe
        self.start_up_s = 0.0

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def memory_mb(self) -> float | None:
        """The most memory that it has held so far."""
        return peak_memory_mb(self.pid)

    async def __aenter__(self) -> ModelServer:
        """Start it and wait until it is ready. Raises RunError, with the end of its log, if it does not get there."""
        began_s = time.monotonic()
        threads = dict.fromkeys(ONE_THREAD, str(self._cores))
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", SERVER, *self._arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **threads},
                preexec_fn=self._pin if hasattr(os, "sched_setaffinity") else None,
            )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                line = await self._process.stdout.readline()
                if not line:
                    status = await self._process.wait()
                    raise RunError(f"{self._model}: its server ended ({in_words(status)}):\n{log_end(self._log)}")
                self.probe = Probe(json.loads(line)["url"], self._model, self._timeout_s)
                while not await self.probe.is_ready():
                    await asyncio.sleep(ASKED_EVERY_S)
        except TimeoutError:
            await self._end()
            raise RunError(f"{self._model}: not ready within {READY_WITHIN_S:g} s:\n{log_end(self._log)}") from None
        except BaseException:
            await self._end()
            raise
        self.start_up_s = time.monotonic() - began_s
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.probe.close()
        await self._end()

    def _pin(self) -> None:
        os.sched_setaffinity(0, self._placed)

    async def _end(self) -> None:
        assert self._process is not None
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOPS_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
