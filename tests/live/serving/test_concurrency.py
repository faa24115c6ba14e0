"""Concurrency and latency mean the same live as in simulation: the mean number of requests at a stage since the step
before, and the latencies of those in the batches that have finished there since.

The router of real gateways plays random scenarios in virtual time (`gateway_world`). At each control step its
observation is made as the control API makes it and read as a controller reads it; the simulator plays the same scenario
and says what a policy sees there.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import closing
from dataclasses import astuple
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp")

from ipa.live.monitoring import GatewaySource, Reading
from ipa.live.serving.control_api import observation
from ipa.live.serving.counts import ArrivalCounts
from ipa.policies import LatencyQuantiles
from ipa.sim.measuring import Measuring, Presence
from tests.live.serving.gateway_world import GatewayWorld
from tests.sim import engine_runs
from tests.sim.blocks import blocks
from tests.sim.random_scenarios import scenario

Latencies = list[tuple[float, ...]]

HISTORY_S = 60
BLOCK = 30
BLOCKS = 10


class World:
    """A gateway in virtual time that is read at the control steps of its scenario."""

    def __init__(self, drawn: dict[str, Any]) -> None:
        self._world = GatewayWorld(drawn)
        router = self._world.router
        self._gateway = SimpleNamespace(
            epoch="one",
            router=router,
            arrivals=ArrivalCounts(0.0),
        )
        self._source = GatewaySource(self, HISTORY_S)  # type: ignore[arg-type]
        self.now_s = 0.0
        self.readings: list[Reading] = []
        for time_s in step_times_s(drawn):
            self._world.at_control_step(time_s, self._step)
        self._world.run()

    async def observation(self, since_s: float, seconds: int) -> dict[str, Any]:
        """In place of the control API's client."""
        return observation(self._gateway, self.now_s, since_s, seconds)  # type: ignore[arg-type]

    def _step(self, now_s: float) -> None:
        self.now_s = now_s
        self.readings.append(at_once(self._source.read(now_s)))


def at_once(reading: Coroutine[Any, Any, Reading]) -> Reading:
    """What a coroutine that waits for nothing comes to; an event loop for each would cost more than the scenarios."""
    with closing(reading), pytest.raises(StopIteration) as ended:
        reading.send(None)
    found: Reading = ended.value.value
    return found


def latencies_of(reading: Reading) -> list[LatencyQuantiles]:
    """Of the whole pipeline, and of every stage."""
    return [reading.latency, *(stage.latency for stage in reading.stages.values())]


def step_times_s(drawn: dict[str, Any]) -> list[float]:
    """The start, and the steps at which the scenario decides."""
    return [0.0, *(time_s for time_s, _ in drawn["decisions"])]


def simulated(drawn: dict[str, Any], seed: int, engine: str) -> tuple[list[list[float]], list[Latencies]]:
    """What a policy sees in simulation, step by step: the concurrency of every stage, and the latencies."""
    run = engine_runs.build(drawn, seed, engine)
    presence, measuring, decisions = Presence(run), Measuring(run), iter(drawn["decisions"])
    means: list[list[float]] = []
    latencies: list[Latencies] = []

    def step() -> None:
        means.append(presence.step(run.now_s))
        figures = measuring.step(run.now_s)
        latencies.append([astuple(each) for each in (figures.latency, *figures.stage_latency)])
        if len(means) > 1:
            run.apply(engine_runs.configuration(next(decisions)[1]))

    for _ in run.steps(iter(step_times_s(drawn))):
        step()
    return means, latencies


@pytest.mark.parametrize("block", blocks(BLOCKS))
@pytest.mark.parametrize("drop", ["request", "batch", "deadline"])
def test_the_gateway_says_what_the_simulator_says(drop: str, block: int) -> None:
    most, busy = 0.0, 0
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = engine_runs.with_engine_draws(scenario(seed, dispatch="central", drop=drop), seed)
        readings = World(drawn).readings
        found = [[reading.concurrency(name) for name in reading.stages] for reading in readings]
        told = [[astuple(each) for each in latencies_of(reading)] for reading in readings]
        for engine in ("simpy", "compiled"):
            expected, latencies = simulated(drawn, seed, engine)
            assert len(found) == len(expected)
            np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-9, err_msg=f"seed {seed}, {engine}")
            np.testing.assert_allclose(told, latencies, rtol=0.0, atol=1e-9, err_msg=f"seed {seed}, {engine}")
        most = max(most, np.max(found))
        busy += int(np.count_nonzero(found))
    assert most > 5.0
    assert busy > 2 * BLOCK


def test_a_mean_that_can_be_worked_out_by_hand() -> None:
    """One replica takes 2 s a request. Two come at 0 s, one at 3 s; steps at 4 and 8 s.

    Until 4 s: two for 2 s, one for 1 s, two for 1 s, so 7 / 4. Then two more: the second one ends at 4 s, the third at
    6 s, so 2 / 4.
    """
    wanted = {"variant": "a", "cores": 1, "batch": 1, "replicas": 1, "batch_timeout_s": 0.0}
    variant = {"latency_s": {1: {1: 2.0}}, "start_up_s": 0.0}
    drawn = scenario(1, dispatch="central", drop="request") | {
        "arrivals": [0.0, 0.0, 3.0],
        "duration_s": 12.0,
        "stages": [{"variants": {"a": variant}, "drop_limit_s": 60.0}],
        "initial": [wanted],
        "decisions": [[4.0, [wanted]], [8.0, [wanted]]],
        "hop_s": 0.0,
        "factors": None,
        "bound_s": 60.0,
    }
    means = [reading.concurrency("0") for reading in World(drawn).readings]
    assert means == [2.0, 7 / 4, 2 / 4]
    assert simulated(drawn, 1, "simpy")[0] == [[mean] for mean in means]
