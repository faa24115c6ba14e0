"""The tandem in this project's SimPy engine."""

from __future__ import annotations

from tests.programs.benchmarks.tandem import Contestant
from tests.programs.benchmarks.tandem.ours import ENGINES, SIMPY, simulator

CONTESTANT = Contestant("our SimPy engine", ("simpy", "numpy"), 500_000, simulator(ENGINES[SIMPY]))
