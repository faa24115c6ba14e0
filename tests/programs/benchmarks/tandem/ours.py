"""The tandem in this project's engines: batches of one, nothing dropped, nothing reconfigured, exponential services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from unittest.mock import patch

import numpy as np

from ipa.policies import StageConfiguration
from ipa.sim import Engine, FloatArray, RunInput, ServiceTime, StageModel, World, streams
from ipa.sim.events import SimPyEngine
from tests.programs.benchmarks.tandem import ARRIVAL_RATE, SERVERS, SERVICE_RATE, STAGES

SIMPY, COMPILED = "SimPy engine", "compiled engine"
ENGINES: dict[str, Callable[..., Engine]] = {SIMPY: SimPyEngine}
if find_spec("numba") is not None:
    from ipa.sim.compiled import CompiledEngine

    ENGINES[COMPILED] = CompiledEngine

NEVER_S = 1e12


def exponential_blocks(generator: np.random.Generator, *_: object) -> Iterator[FloatArray]:
    """Draws z in place of normal ones that make the engines' lognormal factor exponential.

    The factor is exp(sigma z - sigma^2 / 2), so that with sigma = 1 and z = log(x) + 1/2 it is x, whatever x.
    """
    while True:
        yield np.log(generator.exponential(size=streams.BLOCK)) + 0.5


def simulator(kind: Callable[..., Engine]) -> Callable[[int, int], float]:
    """The tandem in an engine of a class."""
    service = ServiceTime((0.0, 1.0 / SERVICE_RATE), (0.0, 1.0))
    models = [StageModel(str(stage), {("v", 1): service}, {"v": 0.0}, NEVER_S) for stage in range(STAGES)]
    configuration = {model.name: StageConfiguration("v", 1, SERVERS, 0.0, 1) for model in models}

    def simulate(customers: int, seed: int) -> float:
        gaps_s = streams.stream(seed, "arrivals").exponential(1.0 / ARRIVAL_RATE, customers)
        arrivals_s = np.cumsum(gaps_s, out=gaps_s)
        with patch.object(streams, "normal_blocks", exponential_blocks):
            engine = kind(RunInput(models, World(arrivals_s[-1], NEVER_S), arrivals_s, seed), configuration)
            list(engine.steps(iter(())))
        return (engine.stages[-1].left_sum_s - engine.stages[0].enqueued_sum_s) / customers

    return simulate
