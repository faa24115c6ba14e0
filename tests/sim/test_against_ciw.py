"""The engines equal Ciw, a queueing simulator by other hands, on the networks that both can express.

These are tandems of c servers with FIFO queues: batches of one, no decisions. Both are given the same arrivals and the
same service times, in the order of start. With drops they agree on who is served, and when, not on when a request is
dropped: in Ciw one leaves at the very moment its patience ends, here when a replica next looks at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from math import inf
from typing import Any

import numpy as np
import pytest

from ipa.policies import StageConfiguration
from ipa.sim import streams
from ipa.sim.events import SimPyEngine
from ipa.sim.model import FloatArray, RunInput, ServiceTime, StageModel, World
from ipa.sim.records import COMPLETED, DROPPED, Records, collect_records
from tests.sim.blocks import blocks

ciw = pytest.importorskip("ciw", reason="Ciw is not installed")

pytestmark = pytest.mark.filterwarnings("ignore:Pickle, copy, and deepcopy support:DeprecationWarning")  # of Ciw's own

REQUESTS = 1500
SEEDS = blocks(4)
LONG_S = 1e9


def compiled_engine() -> type[Any]:
    """The compiled engine's class, where it can run."""
    pytest.importorskip("numba", reason="numba is not installed")
    return pytest.importorskip("ipa.sim.compiled.engine").CompiledEngine


@pytest.fixture(params=["simpy", "compiled"])
def engine(request: pytest.FixtureRequest) -> type[Any]:
    return SimPyEngine if request.param == "simpy" else compiled_engine()


def in_ours(
    engine: type[Any],
    monkeypatch: pytest.MonkeyPatch,
    arrivals_s: FloatArray,
    services_s: FloatArray,
    servers: list[int],
    limits_s: list[float],
) -> Records:
    """A run whose k-th batch started at a stage takes services_s[stage, k] seconds; services_s has shape (S, N)."""
    stages = count()

    def blocks(*_: object) -> Iterator[FloatArray]:
        # The factor exp(z - 1/2) of mean 1 becomes the service time, as the latency is 1 and sigma 1.
        normals = np.log(services_s[next(stages)]) + 0.5
        padded = np.append(normals, np.zeros(-len(normals) % streams.BLOCK))
        return iter(padded.reshape(-1, streams.BLOCK))

    monkeypatch.setattr(streams, "normal_blocks", blocks)
    models = [
        StageModel(str(stage), {("v", 1): ServiceTime((0.0, 1.0), (0.0, 1.0))}, {"v": 0.0}, limit_s)
        for stage, limit_s in enumerate(limits_s)
    ]
    initial = {str(stage): StageConfiguration("v", 1, replicas, 0.0, 1) for stage, replicas in enumerate(servers)}
    run = engine(RunInput(models, World(float(arrivals_s[-1]), LONG_S), arrivals_s, 0), initial)
    list(run.steps(iter(())))
    return collect_records(run)


class Patience(ciw.dists.Distribution):  # type: ignore[misc,name-defined]
    """How much longer a request waits that comes to a stage: until its age since its arrival is the drop limit."""

    def __init__(self, arrivals_s: FloatArray, limit_s: float) -> None:
        self.arrivals_s = arrivals_s
        self.limit_s = limit_s

    def sample(self, t: float | None = None, ind: Any = None) -> float:
        return float(self.arrivals_s[ind.id_number - 1]) + self.limit_s - float(t or 0.0)


def in_ciw(
    arrivals_s: FloatArray, services_s: FloatArray, servers: list[int], limits_s: list[float]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """When each request came to each stage, was started, and left: shape (S, N), NaN where it was not."""
    stages = len(servers)
    gaps_s = np.diff(arrivals_s, prepend=0.0).tolist()
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([*gaps_s, inf]), *[None] * (stages - 1)],
        service_distributions=[ciw.dists.Sequential(each.tolist()) for each in services_s],
        number_of_servers=servers,
        routing=[[float(to == stage + 1) for to in range(stages)] for stage in range(stages)],
        reneging_time_distributions=[
            None if limit_s == LONG_S else Patience(arrivals_s, limit_s) for limit_s in limits_s
        ],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(float(arrivals_s[-1]) + float(services_s.sum()))
    enqueue_s, start_s, finish_s = (np.full((stages, len(arrivals_s)), np.nan) for _ in range(3))
    for visit in simulation.get_all_records():
        where = visit.node - 1, visit.id_number - 1
        enqueue_s[where] = visit.arrival_date
        if visit.record_type == "service":
            start_s[where], finish_s[where] = visit.service_start_date, visit.service_end_date
    return enqueue_s, start_s, finish_s


def drawn(seed: int, servers: list[int], loads: list[float]) -> tuple[FloatArray, FloatArray]:
    """An arrival a second, and per stage service times that make its load what it should be, if nothing is dropped."""
    rng = np.random.default_rng(seed)
    arrivals_s = np.cumsum(rng.exponential(1.0, REQUESTS))
    means_s = [each * load for each, load in zip(servers, loads, strict=True)]
    return arrivals_s, np.array([rng.gamma(2.0, 0.5 * mean_s, REQUESTS) for mean_s in means_s])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("servers", [[1], [3], [1, 1], [3, 2], [2, 5, 1]], ids=str)
def test_every_wait_is_that_of_ciw(
    engine: type[Any], monkeypatch: pytest.MonkeyPatch, servers: list[int], seed: int
) -> None:
    arrivals_s, services_s = drawn(seed, servers, [0.9] * len(servers))
    limits_s = [LONG_S] * len(servers)
    ours = in_ours(engine, monkeypatch, arrivals_s, services_s, servers, limits_s)
    enqueue_s, start_s, finish_s = in_ciw(arrivals_s, services_s, servers, limits_s)
    waits_s = start_s - enqueue_s
    assert (waits_s > 0.0).mean() > 0.3  # queues there are
    np.testing.assert_allclose(ours.start_s - ours.enqueue_s, waits_s, rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(ours.finish_s, finish_s, rtol=0.0, atol=1e-9)
    assert (ours.outcome == COMPLETED).all()


def test_a_wait_by_hand(engine: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers, then one; requests at 1, 2, 3, 4.5 take 5, 2, 4, 1 s, then 3 s each.

    First stage: starts 1, 2, 4 (when the second has left), 6 (when the first has); finishes 6, 4, 8, 7.
    Second stage: the second request at 4, the first at 7 (came at 6), the fourth at 10 (at 7), the third at 13 (at 8).
    """
    arrivals_s = np.array([1.0, 2.0, 3.0, 4.5])
    services_s = np.array([[5.0, 2.0, 4.0, 1.0], [3.0, 3.0, 3.0, 3.0]])
    expected_s = [[0.0, 0.0, 1.0, 1.5], [1.0, 0.0, 5.0, 3.0]]
    ours = in_ours(engine, monkeypatch, arrivals_s, services_s, [2, 1], [LONG_S, LONG_S])
    enqueue_s, start_s, _ = in_ciw(arrivals_s, services_s, [2, 1], [LONG_S, LONG_S])
    np.testing.assert_allclose(ours.start_s - ours.enqueue_s, expected_s, atol=1e-9)
    np.testing.assert_allclose(start_s - enqueue_s, expected_s, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("servers", "loads", "limits_s"),
    [
        ([1], [1.3], [2.0]),
        ([3], [1.3], [6.0]),
        ([2, 3], [1.3, 1.0], [4.0, LONG_S]),
        ([2, 3], [0.9, 1.3], [LONG_S, 200.0]),
        ([2, 2], [1.2, 1.6], [3.0, 30.0]),
    ],
    ids=str,
)
def test_with_drops_the_same_requests_are_served_at_the_same_moments(
    engine: type[Any],
    monkeypatch: pytest.MonkeyPatch,
    servers: list[int],
    loads: list[float],
    limits_s: list[float],
    seed: int,
) -> None:
    arrivals_s, services_s = drawn(seed, servers, loads)
    ours = in_ours(engine, monkeypatch, arrivals_s, services_s, servers, limits_s)
    _, start_s, finish_s = in_ciw(arrivals_s, services_s, servers, limits_s)
    for stage, limit_s in enumerate(limits_s):
        # A request that comes expired is dropped here, but served in Ciw where a server is free: there is none such.
        assert np.nanmax(ours.enqueue_s[stage] - arrivals_s) < limit_s
        assert limit_s == LONG_S or (ours.dropped_stage == stage).sum() > 50
    np.testing.assert_allclose(ours.start_s, start_s, rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(ours.finish_s, finish_s, rtol=0.0, atol=1e-9)
    np.testing.assert_array_equal(ours.outcome == DROPPED, np.isnan(start_s[-1]))
