"""Readings from a Prometheus server, a real one where it is installed."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from math import inf, isnan
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np
import pytest

from ipa.live.monitoring.sources import Reading, SourceError, StageReading
from tests.command import refusal

needs_prometheus = pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")

METRICS = """\
# TYPE ipa_requests_received_total counter
ipa_requests_received_total{{pipeline="{pipeline}"}} {count}
# TYPE ipa_stage_arrivals_total counter
ipa_stage_arrivals_total{{pipeline="{pipeline}",stage="a"}} {count}
# TYPE ipa_busy_seconds_total counter
ipa_busy_seconds_total{{pipeline="{pipeline}",stage="a"}} {busy_s}
# TYPE ipa_queue_length gauge
ipa_queue_length{{pipeline="{pipeline}",stage="a"}} {queue}
# TYPE ipa_request_duration_seconds histogram
ipa_request_duration_seconds_bucket{{pipeline="{pipeline}",le="0.5"}} {count}
ipa_request_duration_seconds_bucket{{pipeline="{pipeline}",le="+Inf"}} {count}
"""


class Gateway:
    """What a Prometheus server scrapes here: 10 requests a scrape while it answers."""

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
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
        text = METRICS.format(pipeline=self.pipeline, count=self.count, busy_s=self.count / 10, queue=self.queue)
        return web.Response(text=text, content_type="text/plain")


@contextmanager
def prometheus(folder: Path, *targets: str) -> Iterator[str]:
    """A Prometheus server on loopback that scrapes the targets every second; its URL."""
    from ipa.live.monitoring.prometheus_server import command
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


def source_of(session: Any, url: str, pipeline: str, clock: Callable[[], float], matchers: Sequence[str] = ()) -> Any:
    """What reads of stage a."""
    from ipa.live.monitoring.prometheus_api import PrometheusApi
    from ipa.live.monitoring.prometheus_source import PrometheusSource

    return PrometheusSource(PrometheusApi(session, url, pipeline, matchers), ["a"], 60, clock)


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


@pytest.mark.long
@needs_prometheus
def test_a_real_server_s_samples_are_read_with_their_gaps_and_resets_and_as_matchers_choose(tmp_path: Path) -> None:
    """It scrapes a gateway that fails for a while and two of another pipeline."""
    aiohttp = pytest.importorskip("aiohttp")

    async def story() -> None:
        failing, pair = Gateway("failing"), (Gateway("pair"), Gateway("pair"))
        async with AsyncExitStack() as stack:
            ports = [await stack.enter_async_context(serving(gateway)) for gateway in (failing, *pair)]
            session = await stack.enter_async_context(aiohttp.ClientSession())
            url = stack.enter_context(prometheus(tmp_path, *(f"http://127.0.0.1:{port}" for port in ports)))
            async with asyncio.TaskGroup() as both:
                both.create_task(gaps_and_resets_are_read(failing, session, url))
                both.create_task(matchers_choose(pair, ports[1], session, url))

    asyncio.run(story())


async def gaps_and_resets_are_read(gateway: Gateway, session: Any, url: str) -> None:
    start_s = time.monotonic()

    def clock() -> float:
        return time.monotonic() - start_s

    source = source_of(session, url, gateway.pipeline, clock)

    async def read() -> Reading:
        reading: Reading = await source.read(clock())
        return reading

    # Ten a scrape, one scrape a second; spread evenly, a second's count is off by the scrapes' unevenness.
    steady = await when(
        lambda reading: len(known(reading)) >= 3 and 5.0 < float(np.median(known(reading))) < 20.0, read
    )
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


async def matchers_choose(pair: Sequence[Gateway], port: int, session: Any, url: str) -> None:
    """`port` is that of the first."""
    pair[0].queue, pair[1].queue = 3, 4

    async def queue(length: int, *matchers: str) -> None:
        source = source_of(session, url, "pair", time.monotonic, matchers)
        await when(
            lambda reading: reading.stages.get("a", StageReading()).queue_length == length,
            lambda: source.read(time.monotonic()),
        )

    await queue(7)
    await queue(3, f'instance="127.0.0.1:{port}"')
    await queue(4, f'instance!="127.0.0.1:{port}"', 'job="ipa"')
    await queue(7, r'namespace!="a \" \\ b"')  # a text that the server can read


def test_a_matcher_is_in_every_query(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    from ipa.live.monitoring.prometheus_api import PrometheusApi
    from ipa.live.monitoring.prometheus_source import PrometheusSource

    asked: list[str] = []

    async def ask(_: PrometheusApi, query: str) -> list[Any]:
        asked.append(query)
        return ["", "1000"] if query == "time()" else []

    monkeypatch.setattr(PrometheusApi, "_ask", ask)
    matchers = ('namespace="a"', 'service!="b"')
    source = PrometheusSource(PrometheusApi(None, "http://x", "tiny", matchers), ["a"], 60, lambda: 1.0)  # type: ignore[arg-type]
    asyncio.run(source.read(1.0))
    clock, *selectors = asked
    assert clock == "time()"
    assert selectors
    assert all(',pipeline="tiny",namespace="a",service!="b"}[' in selector for selector in selectors)


def samples_of(name: str, *samples: tuple[float, float]) -> dict[str, Any]:
    """A series of stage a, as the server gives it; its clock is 1000 s ahead of the run's."""
    values = [[1000.0 + time_s, str(value)] for time_s, value in samples]
    return {"metric": {"__name__": name, "stage": "a", "pipeline": "tiny"}, "values": values}


def test_concurrency_from_samples_is_the_mean_since_the_newest_one_read_before(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    from ipa.live.monitoring.prometheus_api import PrometheusApi
    from ipa.live.monitoring.prometheus_source import PrometheusSource

    scraped = [(2.0, 4.0), (7.0, 14.0), (12.0, 34.0), (17.0, 44.0), (22.0, 6.0)]  # the last after a restart
    now_s = 0.0

    async def ask(_: PrometheusApi, query: str) -> list[Any]:
        if query == "time()":
            return ["", str(1000.0 + now_s)]
        known = [(time_s, value) for time_s, value in scraped if time_s <= now_s]
        return [
            samples_of("ipa_stage_request_seconds_total", *known),
            samples_of("ipa_queue_length", *((time_s, 3.0) for time_s, _ in known)),
        ]

    monkeypatch.setattr(PrometheusApi, "_ask", ask)
    source = PrometheusSource(PrometheusApi(None, "http://x", "tiny", ()), ["a"], 60, lambda: now_s)  # type: ignore[arg-type]

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
        ('pipeline="nlp"', "pipeline is already set; allowed: labels that the scrape adds"),
        ('stage!="a"', "stage is already set"),
    ],
)
def test_a_wrong_matcher_is_answered_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (("live", "run"), ("validate",)):
        options = (
            "--set",
            "controller.source=prometheus",
            "--set",
            "controller.prometheus=http://127.0.0.1:9",
            "--set",
            f"controller.prometheus_match={text}",
        )
        answer = refusal(*command, "video", *options)
        assert answer.startswith(f"controller.prometheus_match: {text}: ")
        assert said in answer


def test_a_server_that_is_not_there_gives_no_reading() -> None:
    aiohttp = pytest.importorskip("aiohttp")

    from ipa.live.monitoring.prometheus_api import PrometheusApi
    from ipa.live.monitoring.prometheus_source import PrometheusSource
    from ipa.live.plane import free_port

    async def story() -> None:
        async with aiohttp.ClientSession() as session:
            server = PrometheusApi(session, f"http://127.0.0.1:{free_port()}", "tiny", ())
            source = PrometheusSource(server, ["a"], 60, lambda: 1.0)
            with pytest.raises(SourceError, match="api/v1/query: Cannot connect"):
                await source.read(1.0)

    asyncio.run(story())
