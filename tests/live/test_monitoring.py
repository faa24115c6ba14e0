"""What live mode sees: exact counts from the gateway, and what a Prometheus server's samples do and do not say."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from math import inf, isnan, nan
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np
import pytest

from ipa.live.monitoring import counters
from ipa.live.monitoring.counters import added, clean, increase_since, per_second
from ipa.live.monitoring.gateway import GatewaySource
from ipa.live.monitoring.reading import Reading, SourceError, StageReading, window
from ipa.policies import NO_LATENCY, LatencyQuantiles
from tests.command import refusal

needs_prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")

# ---- counters ----


def test_what_comes_between_two_samples_is_spread_over_the_time_between() -> None:
    samples = [(0.0, 0.0), (1.0, 4.0), (2.0, 6.0), (3.5, 12.0), (4.5, 12.0)]
    # 4 and 2 in the first two seconds; 4 a second from 2 to 3.5; then none.
    np.testing.assert_allclose(per_second(samples, 4.0, 4), [4.0, 2.0, 4.0, 2.0])


def test_a_second_that_no_samples_cover_is_no_sample_and_not_zero() -> None:
    samples = [(1.0, 0.0), (2.0, 3.0), (3.0, 6.0)]
    assert [isnan(count) for count in per_second(samples, 5.0, 5)] == [True, False, False, True, True]
    assert all(map(isnan, per_second([(1.0, 7.0)], 3.0, 3)))
    assert all(map(isnan, per_second([], 3.0, 3)))


def test_no_requests_in_covered_seconds_are_zero() -> None:
    assert per_second([(0.0, 5.0), (1.0, 5.0), (2.0, 5.0)], 2.0, 2) == [0.0, 0.0]


def test_a_silence_of_some_scrapes_is_a_gap() -> None:
    samples = [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (5.0, 50.0), (6.0, 51.0), (7.0, 52.0)]
    counts = per_second(samples, 7.0, 7)
    assert [count for count in counts if not isnan(count)] == [1.0, 1.0, 1.0, 1.0]
    assert [isnan(count) for count in counts] == [False, False, True, True, True, False, False]


def test_a_counter_that_was_reset_counts_from_zero() -> None:
    samples = [(0.0, 100.0), (1.0, 104.0), (2.0, 3.0), (3.0, 5.0)]
    assert per_second(samples, 3.0, 3) == [4.0, 3.0, 2.0]
    assert increase_since(samples, 0.0) == 9.0
    assert increase_since(samples, 1.0) == 5.0


def test_nothing_is_counted_twice_and_nothing_before_the_first_sample() -> None:
    assert increase_since([(1.0, 40.0), (2.0, 42.0)], 0.0) == 2.0
    assert increase_since([(1.0, 40.0), (2.0, 42.0)], 2.0) == 0.0


def test_samples_that_are_no_numbers_are_passed_over() -> None:
    assert clean([(0.0, nan), (1.0, 2.0), (2.0, inf)]) == [(1.0, 2.0)]


def test_several_gateways_add_up_where_each_has_a_sample() -> None:
    counts = added([[1.0, nan, nan], [2.0, 3.0, nan]], 3)
    assert counts[:2] == (3.0, 3.0)
    assert isnan(counts[2])
    assert all(map(isnan, added([], 2)))


def test_quantiles_lie_within_their_bucket() -> None:
    # 100 requests: 50 up to 1 s, 45 between 1 and 2, 5 above 4.
    buckets = {1.0: 50.0, 2.0: 95.0, 4.0: 95.0, inf: 100.0}
    assert counters.quantiles(buckets) == LatencyQuantiles(1.0, 2.0, 4.0)
    assert counters.quantiles({1.0: 0.0, inf: 0.0}) is NO_LATENCY
    assert counters.quantiles({}) is NO_LATENCY


def test_the_window_reaches_back_into_the_history() -> None:
    assert window((5.0, 6.0), (1.0, 2.0, 3.0), 4) == (2.0, 3.0, 5.0, 6.0)
    padded = window((), (1.0,), 3)
    assert isnan(padded[0])
    assert padded[2] == 1.0


# ---- straight from the gateway ----


class Says:
    """A gateway's control API that says what it is given, call by call."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[float, int]] = []

    async def observation(self, since_s: float, seconds: int) -> dict[str, Any]:
        self.asked.append((since_s, seconds))
        return self.answers.pop(0)


def said(time_s: float, arrivals: int, epoch: str = "one", load: tuple[int, ...] = ()) -> dict[str, Any]:
    stage = {
        "arrivals": arrivals,
        "completions": arrivals,
        "drops": 0,
        "failures": 0,
        "busy_s": 0.5 * arrivals,
        "request_s": 2.0 * arrivals,
    }
    gauges = {"queue_length": 2, "in_service": 1, "latencies_s": [0.1, 0.3]}
    return {
        "epoch": epoch,
        "time_s": time_s,
        "load_rps": list(load),
        "stages": {"a": stage | gauges},
        "latencies_s": [],
    }


def readings(*answers: dict[str, Any], history_s: int = 3) -> tuple[Says, list[Reading]]:
    gateway = Says(*answers)

    async def story() -> list[Reading]:
        source = GatewaySource(gateway, history_s)  # type: ignore[arg-type]
        return [await source.read(0.0) for _ in answers]

    return gateway, asyncio.run(story())


def test_counts_are_those_since_the_last_reading() -> None:
    gateway, (first, second) = readings(said(10.0, 40), said(20.0, 65))
    assert (first.stages["a"].arrivals, second.stages["a"].arrivals) == (40, 25)
    assert second.stages["a"].busy_s == 12.5
    assert second.stages["a"].latency.p50_s == 0.2
    assert second.latency is NO_LATENCY
    assert [since_s for since_s, _ in gateway.asked] == [0.0, 10.0]


def test_a_gateway_that_has_restarted_counts_from_zero() -> None:
    _, (_, second) = readings(said(10.0, 40), said(2.0, 3, epoch="two"))
    assert second.stages["a"].arrivals == 3


def test_concurrency_is_the_mean_since_the_reading_before() -> None:
    """Every arrival adds two request-seconds. At the first reading, and in no time: those that are there, 2 + 1."""
    _, seen = readings(said(10.0, 40), said(20.0, 65), said(20.0, 65), said(25.0, 10, epoch="two"))
    assert [reading.concurrency("a") for reading in seen] == [3.0, 2.0 * 25 / 10, 3.0, 2.0 * 10 / 5]
    assert seen[0].concurrency("b") == 0.0


def test_the_load_is_that_of_the_whole_seconds_of_the_run() -> None:
    _, (early, late, short) = readings(
        said(0.4, 0), said(2.001, 9, load=(4, 5)), said(9.5, 99, load=(7, 8)), history_s=3
    )
    assert early.load_rps == ()
    assert late.load_rps == (4.0, 5.0)
    assert isnan(short.load_rps[0])  # a second that the gateway does not tell of
    assert short.load_rps[1:] == (7.0, 8.0)


# ---- a real Prometheus server ----

METRICS = """\
# TYPE ipa_requests_received_total counter
ipa_requests_received_total{{pipeline="tiny"}} {count}
# TYPE ipa_stage_arrivals_total counter
ipa_stage_arrivals_total{{pipeline="tiny",stage="a"}} {count}
# TYPE ipa_busy_seconds_total counter
ipa_busy_seconds_total{{pipeline="tiny",stage="a"}} {busy_s}
# TYPE ipa_queue_length gauge
ipa_queue_length{{pipeline="tiny",stage="a"}} {queue}
# TYPE ipa_request_duration_seconds histogram
ipa_request_duration_seconds_bucket{{pipeline="tiny",le="0.5"}} {count}
ipa_request_duration_seconds_bucket{{pipeline="tiny",le="+Inf"}} {count}
"""


class Gateway:
    """What a Prometheus server scrapes here: 10 requests a scrape while it answers."""

    def __init__(self) -> None:
        self.count = 0
        self.scrapes = 0
        self.queue = 0
        self.is_up = True

    async def metrics(self, _: Any) -> Any:
        from aiohttp import web

        if not self.is_up:
            return web.Response(status=503)
        self.scrapes += 1
        self.count += 10
        text = METRICS.format(count=self.count, busy_s=self.count / 10, queue=self.queue)
        return web.Response(text=text, content_type="text/plain")


@contextmanager
def prometheus(folder: Path, *targets: str) -> Iterator[str]:
    """A Prometheus server on loopback that scrapes the targets every second; its URL."""
    from ipa.live.monitoring.server import command
    from ipa.live.plane import free_port

    port = free_port()
    with (folder / "prometheus.log").open("wb") as log, Popen(command(folder, targets, port), stderr=log) as server:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


@asynccontextmanager
async def serving(gateway: Gateway) -> AsyncIterator[int]:
    """A gateway that can be scraped at this port of loopback."""
    from aiohttp import web

    app = web.Application()
    app.router.add_get("/metrics", gateway.metrics)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@asynccontextmanager
async def scraped(folder: Path) -> AsyncIterator[tuple[Gateway, Any]]:
    """A gateway, scraped, and the source that reads of it."""
    import aiohttp

    from ipa.live.monitoring.prometheus import PrometheusSource

    gateway = Gateway()
    start_s = time.monotonic()

    def clock() -> float:
        return time.monotonic() - start_s

    async with serving(gateway) as port:
        with prometheus(folder, f"http://127.0.0.1:{port}") as url:
            async with aiohttp.ClientSession() as session:
                source = PrometheusSource(session, url, "tiny", ["a"], 60, clock)
                yield gateway, lambda: source.read(clock())


async def when(holds: Any, read: Any) -> Reading:
    """The first reading of which something holds."""
    until_s = time.monotonic() + 45.0
    while True:
        try:
            reading: Reading = await read()
        except SourceError:
            reading = Reading(0.0, (), inf, {})  # it has not started yet
        if holds(reading):
            return reading
        assert time.monotonic() < until_s, f"waited in vain; the latest: {reading}"
        await asyncio.sleep(0.2)


def known(reading: Reading) -> list[float]:
    return [count for count in reading.load_rps if not isnan(count)]


@needs_prometheus
def test_a_real_server_s_samples_are_read_with_their_gaps_and_resets(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")

    async def story() -> None:
        async with scraped(tmp_path) as (gateway, read):
            steady = await when(lambda reading: len(known(reading)) >= 3, read)
            # Ten a scrape, one scrape a second; spread evenly, a second's count is off by the scrapes' unevenness.
            assert 5.0 < float(np.median(known(steady))) < 20.0
            assert steady.sample_age_s < 10.0
            assert any(map(isnan, steady.load_rps))  # before the first scrape nothing is known

            gateway.is_up, gateway.queue = False, 7
            silent = await when(lambda reading: all(map(isnan, reading.load_rps[-3:])), read)
            assert silent.sample_age_s > 2.0
            assert silent.stages["a"] == StageReading()  # nothing new is counted, and no queue that was never seen

            gateway.is_up, gateway.count = True, 0  # it has restarted: its counters begin again
            back = await when(lambda reading: reading.stages.get("a", StageReading()).arrivals > 0, read)
            assert back.stages["a"].arrivals <= gateway.count
            assert back.stages["a"].queue_length == 7
            assert 0.0 < back.latency.p50_s <= 0.5
            after = await when(lambda reading: not any(map(isnan, reading.load_rps[-3:-1])), read)
            assert any(map(isnan, after.load_rps[-60:-3]))  # the gap stays a gap
            assert max(known(after)) < 40.0  # and neither it nor the reset has become load

    asyncio.run(story())


@needs_prometheus
def test_of_two_gateways_of_one_pipeline_a_matcher_chooses_one(tmp_path: Path) -> None:
    aiohttp = pytest.importorskip("aiohttp")

    from ipa.live.monitoring.prometheus import PrometheusSource

    async def story() -> None:
        one, two = Gateway(), Gateway()
        one.queue, two.queue = 3, 4
        async with serving(one) as first, serving(two) as second, aiohttp.ClientSession() as session:
            with prometheus(tmp_path, f"http://127.0.0.1:{first}", f"http://127.0.0.1:{second}") as url:

                async def queue(wanted: int, *matchers: str) -> None:
                    source = PrometheusSource(session, url, "tiny", ["a"], 60, time.monotonic, matchers)
                    await when(
                        lambda seen: seen.stages.get("a", StageReading()).queue_length == wanted,
                        lambda: source.read(time.monotonic()),
                    )

                await queue(7)
                await queue(3, f'instance="127.0.0.1:{first}"')
                await queue(4, f'instance!="127.0.0.1:{first}"', 'job="ipa"')
                await queue(7, r'namespace!="a \" \\ b"')  # a text that the server can read

    asyncio.run(story())


def test_a_matcher_is_in_every_query(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    from ipa.live.monitoring.prometheus import PrometheusSource

    asked: list[str] = []

    async def ask(_: PrometheusSource, query: str) -> list[Any]:
        asked.append(query)
        return ["", "1000"] if query == "time()" else []

    monkeypatch.setattr(PrometheusSource, "_ask", ask)
    matchers = ('namespace="a"', 'service!="b"')
    source = PrometheusSource(None, "http://x", "tiny", ["a"], 60, lambda: 1.0, matchers)  # type: ignore[arg-type]
    asyncio.run(source.read(1.0))
    clock, *selectors = asked
    assert (clock, len(selectors)) == ("time()", 2)
    assert all(',pipeline="tiny",namespace="a",service!="b"}[' in selector for selector in selectors)


def samples_of(name: str, *samples: tuple[float, float]) -> dict[str, Any]:
    """A series of stage a, as the server gives it; its clock is 1000 s ahead of the run's."""
    values = [[1000.0 + time_s, str(value)] for time_s, value in samples]
    return {"metric": {"__name__": name, "stage": "a", "pipeline": "tiny"}, "values": values}


def test_concurrency_from_samples_is_the_mean_since_the_newest_one_read_before(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    from ipa.live.monitoring.prometheus import PrometheusSource

    scraped = [(2.0, 4.0), (7.0, 14.0), (12.0, 34.0), (17.0, 44.0), (22.0, 6.0)]  # the last after a restart
    now_s = 0.0

    async def ask(_: PrometheusSource, query: str) -> list[Any]:
        if query == "time()":
            return ["", str(1000.0 + now_s)]
        known = [(time_s, value) for time_s, value in scraped if time_s <= now_s]
        return [
            samples_of("ipa_stage_request_seconds_total", *known),
            samples_of("ipa_queue_length", *((time_s, 3.0) for time_s, _ in known)),
        ]

    monkeypatch.setattr(PrometheusSource, "_ask", ask)
    source = PrometheusSource(None, "http://x", "tiny", ["a"], 60, lambda: now_s)  # type: ignore[arg-type]

    def concurrency(at_s: float) -> float:
        nonlocal now_s
        now_s = at_s
        return asyncio.run(source.read(at_s)).concurrency("a")

    # The first, and the last, in which no sample is new: the queue. Between: 30 in 10 s, and 10 + 6 in 10 s.
    assert [concurrency(at_s) for at_s in (5.0, 15.0, 25.0, 26.0)] == [3.0, 3.0, 1.6, 3.0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("namespace", 'should be LABEL="VALUE" or LABEL!="VALUE"'),
        ("namespace=a", "in double quotes"),
        ('namespace=~"a|b"', "should be"),
        ('name-space="a"', "should be"),
        ('namespace="a"} or vector(1) or {a="b"', "should be"),
        ('namespace="a",b="c"', "should be"),
        (r'namespace="\d"', "should be"),
        ('namespace="a', "should be"),
        ('pipeline="nlp"', "pipeline is chosen already; allowed: labels of the scrape"),
        ('stage!="a"', "stage is chosen already"),
    ],
)
def test_a_wrong_matcher_is_answered_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (("live", "run"), ("validate",)):
        options = ("--source", "prometheus", "--prometheus", "http://127.0.0.1:9", "--prometheus-match", text)
        answer = refusal(*command, "video", *options)
        assert answer.startswith(f"--prometheus-match {text}: ")
        assert said in answer


def test_a_server_that_is_not_there_gives_no_reading() -> None:
    aiohttp = pytest.importorskip("aiohttp")

    from ipa.live.monitoring.prometheus import PrometheusSource
    from ipa.live.plane import free_port

    async def story() -> None:
        async with aiohttp.ClientSession() as session:
            source = PrometheusSource(session, f"http://127.0.0.1:{free_port()}", "tiny", ["a"], 60, lambda: 1.0)
            with pytest.raises(SourceError, match="api/v1/query: Cannot connect"):
                await source.read(1.0)

    asyncio.run(story())
