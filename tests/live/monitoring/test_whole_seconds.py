"""Through Prometheus a controller sees the gateway's own whole seconds, whenever the scrapes take place.

The router of real gateways plays random scenarios in virtual time (`gateway_world`). Its metrics are scraped as they
are told, and the source reads these recorded scrapes as a server would answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from math import isnan, nan
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp")

from prometheus_client.parser import text_string_to_metric_families

from ipa.live.monitoring import GatewaySource, PrometheusSource, Reading
from ipa.live.monitoring.prometheus_api import PrometheusApi
from ipa.live.monitoring.prometheus_counts import COUNTED, GAUGES, PASSED, REQUESTS, SINCE
from ipa.live.serving.control_api import observation
from ipa.live.serving.counts import ArrivalCounts, EndedRequests
from ipa.live.serving.gateway_metrics import GatewayMetrics
from tests.live.serving.gateway_world import GatewayWorld
from tests.sim.blocks import blocks
from tests.sim.random_scenarios import scenario

HISTORY_S = 30
DURATION_S = 60
STEP_S = 10
AHEAD_S = 1_700_000_000.0
"""By how much the server's clock is ahead of the run's."""


class Server:
    """A Prometheus server with recorded scrapes, in virtual time: `now_s` is that of the run."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.ended_s: list[float] = []
        """When each reading had all that it waits for."""
        self.series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}

    def add(self, time_s: float, text: str, instance: str = "one") -> None:
        """A scrape, as told at that moment."""
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = {"__name__": sample.name, "instance": instance, **sample.labels}
                self.series.setdefault(tuple(labels.items()), []).append((AHEAD_S + time_s, sample.value))

    async def ask(self, query: str) -> list[Any]:
        """What the server answers."""
        if query == "time()":
            return ["", str(AHEAD_S + self.now_s)]
        found = re.fullmatch(r'\{__name__=~"([^"]+)",pipeline="tiny"\}\[(\d+)s\]', query)
        assert found, query
        names, seconds = found[1].split("|"), int(found[2])
        until_s = AHEAD_S + self.now_s
        chosen = (
            (dict(labels), [[time_s, str(value)] for time_s, value in samples if until_s - seconds < time_s <= until_s])
            for labels, samples in self.series.items()
        )
        return [
            {"metric": labels, "values": values} for labels, values in chosen if labels["__name__"] in names and values
        ]

    async def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.now_s += seconds


@pytest.fixture
def read_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[Server, Sequence[str], Iterable[float]], list[Reading]]:
    """Reads a server's scrapes at some moments."""

    def read(server: Server, stages: Sequence[str], moments_s: Iterable[float]) -> list[Reading]:
        monkeypatch.setattr(PrometheusApi, "_ask", lambda _, query: server.ask(query))
        asked = PrometheusApi(None, "http://x", "tiny", ())  # type: ignore[arg-type]
        source = PrometheusSource(asked, stages, HISTORY_S, lambda: server.now_s, server.sleep)

        def at(now_s: float) -> Reading:
            server.now_s = now_s
            reading = asyncio.run(source.read(now_s))
            server.ended_s.append(server.now_s)
            return reading

        return [at(now_s) for now_s in moments_s]

    return read


class World:
    """A gateway in virtual time, scraped at some moments, and what it says of itself at every whole second."""

    def __init__(self, seed: int, scrapes_s: Iterable[float], instance: str = "one", server: Server | None = None):
        rng = np.random.default_rng(seed)
        drawn: dict[str, Any] = scenario(seed, dispatch="central", drop="request")
        drawn |= {"arrivals": sorted(rng.uniform(0.0, DURATION_S, 400).tolist()), "duration_s": float(DURATION_S)}
        world = GatewayWorld(drawn)
        self.stages = world.router.names
        arrivals = ArrivalCounts(0.0)
        for time_s in drawn["arrivals"]:
            arrivals.add(time_s)
        self._gateway = SimpleNamespace(
            epoch="one",
            router=world.router,
            arrivals=arrivals,
            ended_requests=EndedRequests(1, self.stages, 2**20),
        )
        pipeline = SimpleNamespace(
            name="tiny",
            sla_s=1.0,
            stages=[
                SimpleNamespace(name=name, variants=[SimpleNamespace(name=each) for each in stage["variants"]])
                for name, stage in zip(self.stages, drawn["stages"], strict=True)
            ],
        )
        self.server = server or Server()
        self._now_s = 0.0
        clock = SimpleNamespace(now_s=lambda: self._now_s)
        metrics = GatewayMetrics(pipeline, world.router, arrivals, clock)  # type: ignore[arg-type]
        self.said: list[dict[str, Any]] = []

        def say(second: float) -> None:
            found = observation(self._gateway, second, 0.0, HISTORY_S)  # type: ignore[arg-type]
            self.said.append(found)

        def scrape(time_s: float) -> None:
            self._now_s = time_s
            self.server.add(time_s, metrics.text().decode(), instance)

        for second in range(DURATION_S):
            world._at(float(second), -1, 0, say, float(second))  # before anything that happens at that moment
        for time_s in scrapes_s:
            world._at(time_s, -1, 0, scrape, time_s)
        world.run()

    async def observation(self, since_s: float, seconds: int) -> dict[str, Any]:
        """In place of the control API's client: what the gateway said at the second of the reading."""
        return self.said[self.second]

    def read_directly(self, seconds: Iterable[int]) -> list[Reading]:
        """What the gateway itself, asked at these seconds, would have said."""
        source = GatewaySource(self, HISTORY_S)  # type: ignore[arg-type]
        found = []
        for self.second in seconds:
            found.append(asyncio.run(source.read(float(self.second))))
        return found


def scrapes_s(seed: int, interval_s: float, jitter_s: float = 0.0) -> list[float]:
    """At any phase, with any jitter; millisecond by millisecond, as the server has it."""
    rng = np.random.default_rng(seed)
    regular = np.arange(rng.uniform(0.0, interval_s), DURATION_S - 0.5, interval_s)
    return sorted(np.round(np.maximum(regular + rng.uniform(-jitter_s, jitter_s, len(regular)), 0.0), 3).tolist())


def values(reading: Reading, stage: str) -> dict[str, float]:
    """The fields of a stage that are counted or present."""
    return {field: getattr(reading.stages[stage], field) for field in (*COUNTED, *GAUGES)}


STEPS = range(STEP_S, DURATION_S - STEP_S, STEP_S)


@pytest.mark.parametrize("seed", blocks(6))
def test_with_a_scrape_a_second_a_reading_is_the_gateway_s_own_and_late_by_one_scrape_at_most(
    read_by: Any, seed: int
) -> None:
    world = World(seed, scrapes_s(seed, 1.0))
    direct = world.read_directly(STEPS)
    through = read_by(world.server, world.stages, [step + 0.003 for step in STEPS])
    assert [0.0 <= ended_s - step < 1.1 for ended_s, step in zip(world.server.ended_s, STEPS, strict=True)] == [
        True
    ] * 4
    busy = 0.0
    for ours, theirs in zip(through, direct, strict=True):
        assert ours.load_rps == theirs.load_rps
        assert ours.counted_until_s == theirs.time_s
        assert ours.sample_age_s == pytest.approx(0.003)
        assert ours.covered_s == theirs.covered_s
        for stage in world.stages:
            assert values(ours, stage) == pytest.approx(values(theirs, stage), abs=1e-6)
            assert ours.concurrency(stage) == pytest.approx(theirs.concurrency(stage), abs=1e-6)
            busy += ours.stages[stage].arrivals
    assert busy > 100.0


@pytest.mark.parametrize("interval_s", [0.7, pytest.param(2.0, marks=pytest.mark.long), 5.0, 15.0])
@pytest.mark.parametrize("seed", blocks(2))
def test_scrapes_however_rare_and_irregular_give_exact_seconds_or_none(
    read_by: Any, seed: int, interval_s: float
) -> None:
    world = World(seed, scrapes_s(seed, interval_s, jitter_s=0.3 * interval_s))
    counts = np.array(
        [stage["arrivals"] for said in world.said for name, stage in said["stages"].items() if name == "0"]
    )
    before = 0
    for reading, step in zip(read_by(world.server, world.stages, map(float, STEPS)), STEPS, strict=True):
        until = int(reading.counted_until_s or 0)
        known = [count for count in reading.load_rps if not isnan(count)]
        assert len(reading.load_rps) == min(step, HISTORY_S)
        assert len(known) >= min(until, step) - max(step - HISTORY_S, 0)  # all of them up to the last scrape
        for second, count in zip(range(step - len(reading.load_rps), step), reading.load_rps, strict=True):
            assert isnan(count) or count == counts[second + 1] - counts[second]
        for name in world.stages:
            now, since = world.said[until]["stages"][name], world.said[before]["stages"][name]
            expected = {field: now[field] - (since[field] if before else 0) for field in COUNTED}
            expected |= {field: now[field] for field in GAUGES}
            assert values(reading, name) == pytest.approx(expected if until else dict.fromkeys(expected, 0), abs=1e-6)
        before = until


def test_two_gateways_are_added_second_by_second(read_by: Any) -> None:
    server = Server()
    one, two = (
        World(1, [time_s for time_s in scrapes_s(seed, 1.0) if time_s < 21.0], instance, server)
        for seed, instance in ((1, "one"), (2, "two"))
    )
    (alone,) = one.read_directly([20])
    (both,) = read_by(server, two.stages, [20.0])
    assert both.load_rps == tuple(2 * count for count in alone.load_rps)
    assert both.stages["0"].arrivals == 2 * alone.stages["0"].arrivals


# ---- by hand ----


def told(passed: int, load: dict[int, float], since: float = 1.0, arrivals: float = 0.0, slots: int = 8) -> str:
    """The metrics of a gateway where so many whole seconds have passed; the load by seconds, else unknown."""
    rows = [f'{PASSED}{{pipeline="tiny"}} {passed}', f'{SINCE}{{pipeline="tiny"}} {since}']
    rows += [
        f'{REQUESTS}{{pipeline="tiny",slot="{second % slots}/{slots}"}} {load.get(second, nan)}'
        for second in range(passed - slots, passed)
    ]
    rows.append(f'ipa_whole_second_stage_arrivals_total{{pipeline="tiny",stage="a"}} {arrivals}')
    rows.append(f'ipa_requests_received_total{{pipeline="tiny"}} {arrivals}')
    rows.append(f'ipa_stage_arrivals_total{{pipeline="tiny",stage="a"}} {arrivals}')
    return "\n".join(rows) + "\n"


def test_a_silence_shorter_than_the_slots_leaves_no_gap_and_a_longer_one_does(read_by: Any) -> None:
    server = Server()
    load = {second: float(second) for second in range(30)}
    for passed in (1, 2, 9, 20):  # silent for 7 s, and for 11 s, of which 8 are told
        server.add(passed + 0.5, told(passed, {k: v for k, v in load.items() if k < passed}))
    (reading,) = read_by(server, ["a"], [20.6])
    gap = [second for second, count in enumerate(reading.load_rps) if isnan(count)]
    assert gap == [9, 10, 11]
    assert all(count == second for second, count in enumerate(reading.load_rps) if second not in gap)


def test_a_gateway_that_has_begun_anew_counts_from_zero_even_if_it_has_counted_further(read_by: Any) -> None:
    server = Server()
    for passed, since, arrivals in ((10, 1.0, 5), (11, 1.0, 7), (13, 2.0, 9)):
        server.add(passed + 0.5, told(passed, {passed - 1: 1.0}, since, arrivals))
    first, second = read_by(server, ["a"], [10.6, 13.6])
    assert [first.stages["a"].arrivals, second.stages["a"].arrivals] == [5, 2 + 9]
    assert isnan(second.load_rps[11])  # nobody told of the second in which it was gone
    assert [second.load_rps[k] for k in (9, 10, 12)] == [1.0, 1.0, 1.0]


def test_seconds_on_another_clock_are_not_taken_for_the_run_s(read_by: Any) -> None:
    """A gateway from before the run tells of its own seconds; then its counters are all there is."""
    server = Server()
    for passed in range(8, 12):
        server.add(passed - 6.5, told(passed, {passed - 1: 99.0}, arrivals=10.0 * passed))
    (other,) = read_by(server, ["a"], [5.0])
    assert 99.0 not in other.load_rps
    assert other.load_rps[2:4] == pytest.approx((10.0, 10.0))  # spread
    assert other.stages["a"].arrivals == 30


def test_without_a_new_scrape_nothing_is_counted_twice_and_the_age_grows(read_by: Any) -> None:
    server = Server()
    for passed in (9, 10):
        server.add(passed + 0.5, told(passed, {9: 3.0}, arrivals=4.0))
    first, second = read_by(server, ["a"], [10.6, 20.6])
    assert (first.stages["a"].arrivals, second.stages["a"].arrivals) == (4, 0)
    assert (first.covered_s, second.covered_s) == (0.0, 0.0)
    assert (first.sample_age_s, second.sample_age_s) == pytest.approx((0.6, 10.6))
    assert all(map(isnan, second.load_rps[10:]))
