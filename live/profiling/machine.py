"""What machine this is, and what it does besides while something is measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

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
    """The machine that this process runs on."""
    return Machine(_processor(), len(usable_cores()), round(_memory_gb(), 1), platform.system() + " " + _kernel())


def usable_cores() -> list[int]:
    """The numbers of the cores that this process may use."""
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


# ---- what it does besides ----


@dataclass(frozen=True)
class Elsewhere:
    """Shares of the machine's processor time that did not serve: stolen by its host, and used by other processes."""

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
        """Those of now; `pids` are ours besides this process. Zeros where the system does not tell."""
        try:
            with (_PROC / "stat").open() as lines:
                ticks = [int(each) for each in lines.readline().split()[1:9]]
        except (OSError, ValueError):
            return cls(0.0, 0.0, 0.0, 0.0)
        user, nice, system, idle, waiting, irq, soft, steal = ticks
        ours_s = sum(map(process_s, {os.getpid(), *pids}))
        busy = user + nice + system + irq + soft
        return cls((busy + idle + waiting + steal) * _TICK_S, steal * _TICK_S, busy * _TICK_S, ours_s)

    def until(self, later: Clocks) -> Elsewhere:
        """What the machine did besides ours between two moments."""
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
