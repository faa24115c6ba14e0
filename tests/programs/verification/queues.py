"""Queues in a row as stages of either engine, with Poisson arrivals and any law of service times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from math import exp, log, sqrt
from unittest.mock import patch

import numpy as np

from ipa.policies import StageConfiguration
from ipa.profiles import Graph
from ipa.sim import (
    FloatArray,
    Records,
    RunInput,
    ServiceTime,
    StageModel,
    World,
    collect_records,
    create_engine,
    streams,
)

NEVER_S = 1e12


@dataclass(frozen=True)
class Law:
    """A law of service times of mean 1, as the engines draw them: exp(sigma z - sigma^2 / 2), z from `blocks`.

    `sigma` None: always exactly 1. `blocks` stands in place of `ipa.sim.streams.normal_blocks`.
    """

    sigma: float | None
    blocks: Callable[[np.random.Generator], Iterator[FloatArray]] = streams.normal_blocks

    def factors(self, seed: int, stage: int, count: int) -> FloatArray:
        """The first draws at a stage in a run with this seed; shape (count,)."""
        if self.sigma is None:
            return np.ones(count)
        normals = chain.from_iterable(map(np.ndarray.tolist, self.blocks(streams.stream(seed, "service", stage))))
        half_square = 0.5 * self.sigma * self.sigma
        return np.array([exp(self.sigma * normal - half_square) for normal in islice(normals, count)])


def injected(draw: Callable[[np.random.Generator, int], FloatArray]) -> Law:
    """Any positive law: with sigma = 1 and z = log(x) + 1/2 an engine's factor is x. `draw(generator, n)` gives n x."""

    def blocks(generator: np.random.Generator) -> Iterator[FloatArray]:
        while True:
            yield np.log(draw(generator, streams.BLOCK)) + 0.5

    return Law(1.0, blocks)


def lognormal(variation: float) -> Law:
    """The engines' own law, by its coefficient of variation: nothing is replaced."""
    return Law(sqrt(log(1.0 + variation**2)))


def gamma(variation: float) -> Law:
    """A gamma law, by its coefficient of variation."""
    shape = variation**-2
    return injected(lambda generator, count: generator.gamma(shape, 1.0 / shape, count))


CONSTANT = Law(None)
EXPONENTIAL = injected(lambda generator, count: generator.exponential(size=count))


@dataclass(frozen=True)
class Queue:
    """One stage; `latency_s` is the mean service time, by batch size where it is a tuple (index 0 unused)."""

    replicas: int = 1
    latency_s: float | tuple[float, ...] = 1.0
    batch: int = 1
    batch_timeout_s: float = 0.0
    drop_limit_s: float = NEVER_S

    @property
    def latencies_s(self) -> tuple[float, ...]:
        """The mean service time by batch size."""
        return self.latency_s if isinstance(self.latency_s, tuple) else (0.0, *[self.latency_s] * self.batch)

    def service(self, law: Law) -> ServiceTime:
        """Its service times under a law."""
        latencies_s = self.latencies_s
        return ServiceTime(latencies_s, None if law.sigma is None else (law.sigma,) * len(latencies_s))


def poisson_arrivals(rate_rps: float, count: int, seed: int) -> FloatArray:
    """The arrival times of a Poisson process in order; shape (count,)."""
    return np.cumsum(streams.stream(seed, "arrivals").exponential(1.0 / rate_rps, count))


def run(
    engine: str,
    arrivals_s: FloatArray,
    queues: tuple[Queue, ...],
    law: Law,
    seed: int,
    graph: Graph | None = None,
) -> Records:
    """The records of an engine ("simpy" or "compiled") on these queues, from empty until every request has ended.

    `graph`: how they hang together if not in a row, by their numbers.
    """
    models = [
        StageModel(str(number), {("v", 1): queue.service(law)}, {"v": 0.0}, queue.drop_limit_s)
        for number, queue in enumerate(queues)
    ]
    initial = {
        str(number): StageConfiguration("v", queue.batch, queue.replicas, queue.batch_timeout_s, 1)
        for number, queue in enumerate(queues)
    }
    world = World(duration_s=float(arrivals_s[-1]), bound_s=NEVER_S)
    with patch.object(streams, "normal_blocks", lambda generator, *_: law.blocks(generator)):
        made = create_engine(engine, RunInput(models, world, arrivals_s, seed, graph), initial)
        list(made.steps(iter(())))
    return collect_records(made)
