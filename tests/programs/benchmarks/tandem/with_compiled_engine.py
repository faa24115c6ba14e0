"""The tandem in this project's compiled engine, which keeps the records of all customers until the run is read."""

from __future__ import annotations

import numba  # noqa: F401 - without it there is no compiled engine

from tests.programs.benchmarks.tandem import Contestant
from tests.programs.benchmarks.tandem.ours import COMPILED, ENGINES, simulator

# So many as the memory holds that a process keeps from run to run.
CONTESTANT = Contestant("our compiled engine", ("numba", "numpy"), 900_000, simulator(ENGINES[COMPILED]))
