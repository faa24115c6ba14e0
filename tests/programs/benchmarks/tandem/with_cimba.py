"""The tandem in cimba, the fastest way found: a process per server, and stores that hold the times of arrival.

Its models are compiled, so the rates are constants here; a process per customer (`spawn`) is some 4 times slower.
"""

# No `from __future__ import annotations`: cimba reads the annotations as they are.

import cimba
from cimba import inputs

from tests.programs.benchmarks.tandem import ARRIVAL_RATE, SERVERS, SERVICE_RATE, Contestant


class Tandem(cimba.Model):
    customers: cimba.Param[int] = 1
    gap: cimba.Input[float] = inputs.dist.exponential(mean=1.0 / ARRIVAL_RATE)
    first_service: cimba.Input[float] = inputs.dist.exponential(mean=1.0 / SERVICE_RATE)
    second_service: cimba.Input[float] = inputs.dist.exponential(mean=1.0 / SERVICE_RATE)
    first: cimba.Store[float]
    second: cimba.Store[float]
    served: int = 0
    total: float = 0.0
    mean_sojourn: cimba.Output[float]

    @cimba.process
    def source(self):
        for _ in range(self.customers):
            cimba.hold(self.gap.next())
            self.first.put(cimba.now())

    @cimba.process(copies=SERVERS)
    def first_server(self):
        while True:
            arrival = self.first.get()
            cimba.hold(self.first_service.next())
            self.second.put(arrival)

    @cimba.process(copies=SERVERS)
    def second_server(self):
        while True:
            arrival = self.second.get()
            cimba.hold(self.second_service.next())
            self.total += cimba.now() - arrival
            self.served += 1
            if self.served == self.customers:
                cimba.end_trial()

    @cimba.on_end
    def measure(self):
        self.mean_sojourn = self.total / self.served


def simulate(customers: int, seed: int) -> float:
    model = Tandem()
    model.customers = customers
    experiment = cimba.Experiment(model, seed=seed, window=cimba.Window.until_idle())
    results = experiment.run(workers=1, on_failure="raise")
    return float(results[model].mean_sojourn.values[0, 0])


CONTESTANT = Contestant("cimba", ("cimba", "numba"), 5_000_000, simulate)
