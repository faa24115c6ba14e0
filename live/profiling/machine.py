"""The machine, its other work during a measurement, and our model server on some of its cores."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ipa.live.errors import RunError
from ipa.live.launcher import ONE_THREAD, in_words, log_end
from ipa.live.plane import SERVER
from ipa.live.serving import Probe

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
_PROC = Path("/proc")


@dataclass(frozen=True)
class Machine:
    """A machine as a profile names it; `cores` are those that this process may use."""

    processor: str
    cores: int
    memory_gb: float
    system: str

    def __str__(self) -> str:
        return f"{self.processor}, {self.cores} cores, {self.memory_gb:.0f} GB, {self.system}"


def this_machine() -> Machine:
    return Machine(_processor(), len(usable_cores()), round(_memory_gb(), 1), platform.system() + " " + _kernel())


def usable_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _processor() -> str:
    with suppress(OSError):
        for line in (_PROC / "cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine() or "unknown processor"


def _kernel() -> str:
    return platform.release()


def _memory_gb() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return 0.0


# ---- other work ----


@dataclass(frozen=True)
class Elsewhere:
    """Shares of the machine's processor time that were lost: stolen by its host, and used by other processes."""

    steal: float
    others: float


@dataclass(frozen=True)
class Clocks:
    """Processor seconds since the machine's start: of all cores, stolen, busy; and of some processes."""

    all_s: float
    steal_s: float
    busy_s: float
    ours_s: float

    @classmethod
    def read(cls, pids: Iterable[int]) -> Clocks:
        """The present values; `pids` are ours besides this process. Zeros if the system does not tell."""
        try:
            with (_PROC / "stat").open() as lines:
                ticks = [int(count) for count in lines.readline().split()[1:9]]
        except (OSError, ValueError):
            return cls(0.0, 0.0, 0.0, 0.0)
        user, nice, system, idle, waiting, irq, soft, steal = ticks
        ours_s = sum(map(process_s, {os.getpid(), *pids}))
        busy = user + nice + system + irq + soft
        return cls((busy + idle + waiting + steal) * _TICK_S, steal * _TICK_S, busy * _TICK_S, ours_s)

    def until(self, later: Clocks) -> Elsewhere:
        """The shares lost from this moment to a later one."""
        all_s = later.all_s - self.all_s
        if all_s <= 0.0:
            return Elsewhere(0.0, 0.0)
        others_s = (later.busy_s - self.busy_s) - (later.ours_s - self.ours_s)
        return Elsewhere((later.steal_s - self.steal_s) / all_s, max(0.0, others_s) / all_s)


def process_s(pid: int) -> float:
    """The processor time that a process has used; 0 if it is gone."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S
    except (OSError, IndexError, ValueError):
        return 0.0


def peak_memory_mb(pid: int) -> float | None:
    """The most memory that a process has held [MiB]; None if the system does not tell."""
    with suppress(OSError, ValueError):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return None


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
        assert self._process is not None
        return self._process.pid

    @property
    def memory_mb(self) -> float | None:
        """The most memory that it has held so far [MiB]; None if the system does not tell."""
        return peak_memory_mb(self.pid)

    async def __aenter__(self) -> ModelServer:
        """Start it and wait until it is ready. Raises RunError, with the end of its log, if it does not become
        ready."""
        began_s = time.monotonic()
        threads = dict.fromkeys(ONE_THREAD, str(self._cores))
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", SERVER, *self._arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **threads},
                preexec_fn=partial(os.sched_setaffinity, 0, self._placed) if hasattr(os, "sched_setaffinity") else None,
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


class Nothing:
    """Answers each row with a zero."""

    def predict(self, inputs: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        return {"nothing": np.zeros(len(next(iter(inputs.values()))), dtype=np.uint8)}
