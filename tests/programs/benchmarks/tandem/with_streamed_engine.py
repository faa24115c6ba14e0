"""The tandem in this project's compiled engine without records, as cimba has none: what has happened is let go."""

from __future__ import annotations

from functools import partial

from ipa.sim.compiled import StreamedEngine
from tests.programs.benchmarks.tandem import Contestant
from tests.programs.benchmarks.tandem.ours import simulator


def let_go(_: object) -> None:
    """Keep nothing; the engine's own sums are enough for the mean."""


CONTESTANT = Contestant(
    "our compiled engine, no records",
    ("numba", "numpy"),
    4_000_000,
    simulator(partial(StreamedEngine, receive=let_go)),
)
