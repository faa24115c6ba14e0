"""The tandem in this project's compiled engine."""

from __future__ import annotations

import numba  # noqa: F401 - without it there is no compiled engine

from tests.benchmarks.tandem import Contestant
from tests.benchmarks.tandem.ours import COMPILED, ENGINES, simulator

CONTESTANT = Contestant("our compiled engine", ("numba", "numpy"), 8_000_000, simulator(ENGINES[COMPILED]))
