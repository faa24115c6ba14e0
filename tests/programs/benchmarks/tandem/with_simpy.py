"""The tandem as SimPy's own documentation would write it: a process per customer, a Resource per queue."""

from __future__ import annotations

from collections.abc import Generator
from random import Random
from typing import Any

import simpy

from tests.programs.benchmarks.tandem import ARRIVAL_RATE, SERVERS, SERVICE_RATE, STAGES, Contestant


def simulate(customers: int, seed: int) -> float:
    exponential = Random(seed).expovariate
    env = simpy.Environment()
    queues = [simpy.Resource(env, SERVERS) for _ in range(STAGES)]
    total = 0.0

    def customer() -> Generator[simpy.Event, Any, None]:
        nonlocal total
        arrival = env.now
        for queue in queues:
            with queue.request() as turn:
                yield turn
                yield env.timeout(exponential(SERVICE_RATE))
        total += env.now - arrival

    def source() -> Generator[simpy.Event, Any, None]:
        for _ in range(customers):
            yield env.timeout(exponential(ARRIVAL_RATE))
            env.process(customer())

    env.process(source())
    env.run()
    return total / customers


CONTESTANT = Contestant("naive SimPy", ("simpy",), 150_000, simulate)
