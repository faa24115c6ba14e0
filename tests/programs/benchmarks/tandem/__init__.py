"""The common tandem: the same two M/M/3 queues in every simulator, checked against theory.

with_*    one module per simulator, each with its `CONTESTANT`; ours: what our two engines share
__main__  one contestant in a process of its own: `python -m tests.programs.benchmarks.tandem with_ciw` prints JSON
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial

ARRIVAL_RATE = 2.5
SERVICE_RATE = 1.0
SERVERS = 3
STAGES = 2

MODULES = (
    "with_simpy",
    "with_simpy_engine",
    "with_compiled_engine",
    "with_streamed_engine",
    "with_ciw",
    "with_salabim",
    "with_cimba",
)


@dataclass(frozen=True)
class Contestant:
    """A simulator: the packages whose versions matter, how many customers take it some seconds, and how to run it.

    `simulate(customers, seed)` draws, runs from empty until all have left, and returns their mean sojourn.
    """

    name: str
    packages: tuple[str, ...]
    customers: int
    simulate: Callable[[int, int], float]


def mean_sojourn() -> float:
    """Theory's mean time from arrival to leaving: by Burke's theorem both queues are M/M/c, each as Erlang C has it."""
    load = ARRIVAL_RATE / SERVICE_RATE
    idle = sum(load**k / factorial(k) for k in range(SERVERS))
    busy = load**SERVERS / factorial(SERVERS) * SERVERS / (SERVERS - load)
    wait = busy / (idle + busy) / (SERVERS * SERVICE_RATE - ARRIVAL_RATE)
    return STAGES * (wait + 1.0 / SERVICE_RATE)
