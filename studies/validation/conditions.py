"""Whether a live run was fair: how late its requests were sent, and how busy the machine was."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LATENESS_P99_S = 0.010
"""The load is that of the trace as long as 99 % of the requests are sent within this time of when they are due."""

BUSY_SHARE = 0.80
"""The share of the processor time above which processes often wait for a processor."""

OVERHEAD_P99_S = 0.050
"""The dispatch overhead that one batch in a hundred may exceed; with more, something else held the replicas up."""

_CPU_TIMES = Path("/proc/stat")


@dataclass(frozen=True)
class Conditions:
    """What a live run met; None where it is not known.

    `lateness_p99_s`: sending a request against its time. `overhead_p99_s`: the dispatch overhead of batches.
    `busy_share`: of the machine's processor time during the run, by whomever. `load_average`: of the last minute at its
    end. `processors`: how many there are. `faults`: what else went wrong, in words.
    """

    lateness_p99_s: float | None
    overhead_p99_s: float | None
    busy_share: float | None
    load_average: float | None
    processors: int
    faults: tuple[str, ...] = ()

    def flags(self) -> tuple[str, ...]:
        """What makes the run doubtful, in words."""
        found = []
        for value, most, words in (
            (self.lateness_p99_s, LATENESS_P99_S, "requests were sent late: p99 {:.0f} ms, above {:.0f}"),
            (self.overhead_p99_s, OVERHEAD_P99_S, "batches were held up: overhead p99 {:.0f} ms, above {:.0f}"),
        ):
            if value is not None and value > most:
                found.append(words.format(1e3 * value, 1e3 * most))
        if self.busy_share is not None and self.busy_share > BUSY_SHARE:
            found.append(f"the machine was {100 * self.busy_share:.0f} % busy, above {100 * BUSY_SHARE:.0f}")
        return (*found, *self.faults)

    def words(self) -> str:
        """What was met, in one line."""
        figures = {
            "requests sent late by p99 {:.1f} ms": (self.lateness_p99_s, 1e3),
            "batches held up by p99 {:.1f} ms": (self.overhead_p99_s, 1e3),
            f"{{:.0f}} % of {self.processors} processors busy": (self.busy_share, 100.0),
        }
        return ", ".join(
            words.format(factor * value) for words, (value, factor) in figures.items() if value is not None
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "faults": list(self.faults), "flags": list(self.flags())}


class Machine:
    """How busy the machine is while a block runs."""

    def __init__(self) -> None:
        self.busy_share: float | None = None
        self.load_average: float | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Measure from here to the block's end."""
        before = _cpu_times()
        yield
        after = _cpu_times()
        if before is not None and after is not None and after[1] > before[1]:
            self.busy_share = (after[0] - before[0]) / (after[1] - before[1])
        self.load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None

    def as_dict(self) -> Mapping[str, Any]:
        """JSON-able."""
        return {"busy_share": self.busy_share, "load_average": self.load_average, "processors": os.cpu_count() or 1}


def _cpu_times() -> tuple[float, float] | None:
    """Busy and total processor time since the machine's start, in ticks; None on a system that does not say."""
    try:
        words = _CPU_TIMES.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    times = [float(word) for word in words]
    idle = times[3] + times[4]  # idle, and waiting for a disk
    return sum(times) - idle, sum(times)
