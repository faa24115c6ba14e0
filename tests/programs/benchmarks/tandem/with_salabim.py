"""The tandem in salabim, the fastest way found: with yields (the default without them is slower), monitors off."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import salabim

from tests.programs.benchmarks.tandem import ARRIVAL_RATE, SERVERS, SERVICE_RATE, STAGES, Contestant


def simulate(customers: int, seed: int) -> float:
    exponential = Random(seed).expovariate
    env = salabim.Environment(trace=False, yieldless=False)
    queues = [salabim.Resource(capacity=SERVERS, monitor=False) for _ in range(STAGES)]
    for queue in queues:
        queue.requesters().monitor(False)
        queue.claimers().monitor(False)
    total = 0.0

    class Customer(salabim.Component):
        def setup(self) -> None:
            self.mode.monitor(False)
            self.status.monitor(False)

        def process(self) -> Iterator[Any]:
            nonlocal total
            arrival = env.now()
            for queue in queues:
                yield self.request(queue)
                yield self.hold(exponential(SERVICE_RATE))
                self.release(queue)
            total += env.now() - arrival

    class Source(salabim.Component):
        def process(self) -> Iterator[Any]:
            for _ in range(customers):
                yield self.hold(exponential(ARRIVAL_RATE))
                Customer()

    Source()
    env.run()
    return total / customers


CONTESTANT = Contestant("salabim", ("salabim",), 10_000, simulate)
