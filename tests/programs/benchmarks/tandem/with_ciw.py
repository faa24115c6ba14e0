"""The tandem in Ciw."""

from __future__ import annotations

from statistics import fmean

import ciw

from tests.programs.benchmarks.tandem import ARRIVAL_RATE, SERVERS, SERVICE_RATE, STAGES, Contestant


def simulate(customers: int, seed: int) -> float:
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(ARRIVAL_RATE), None],
        service_distributions=[ciw.dists.Exponential(SERVICE_RATE)] * STAGES,
        number_of_servers=[SERVERS] * STAGES,
        routing=[[0.0, 1.0], [0.0, 0.0]],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(customers, method="Finish")
    visits = simulation.get_all_records()
    return sum(
        fmean(visit.exit_date - visit.arrival_date for visit in visits if visit.node == node + 1)
        for node in range(STAGES)
    )


CONTESTANT = Contestant("Ciw", ("ciw",), 60_000, simulate)
