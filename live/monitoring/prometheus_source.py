"""Readings from a Prometheus server that scrapes the gateway.

It asks for raw samples (a range selector in an instant query) and not for rates: Prometheus extrapolates and looks back
up to five minutes, which would turn a gap into load. What the scrapes do not cover stays NaN.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import ceil, floor

from ipa.live.monitoring.prometheus_api import (
    Gateway,
    PrometheusApi,
    Series,
    added,
    bucket_quantiles,
    by_gateway,
    increase_since,
)
from ipa.live.monitoring.prometheus_counts import (
    COUNTED,
    GAUGES,
    LOAD,
    PASSED,
    REQUESTS,
    SINCE,
    STATE,
    Part,
    WholeSeconds,
    added_values,
    awaited_s,
    seconds_of,
    spread_part,
)
from ipa.live.monitoring.sources import Access, Reading, Source, SourceMaker, StageReading
from ipa.policies import LatencyQuantiles

DURATION, STAGE_DURATION = "ipa_request_duration_seconds_bucket", "ipa_stage_duration_seconds_bucket"

MARGIN_S = 60
"""How far samples are fetched beyond the period asked for, so that one lies before it."""
RECENT_S = 7
"""How far back the scrapes of the last seconds are looked for."""


class PrometheusSource:
    """Reads the metrics of one pipeline from a server; `clock` is the run's.

    Where scrapes are frequent, a reading waits for those of the last whole second. `read` raises SourceError if the
    server does not answer or answers with an error.
    """

    def __init__(
        self,
        server: PrometheusApi,
        stages: Sequence[str],
        history_s: int,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._server = server
        self._stages = stages
        self._history_s = history_s
        self._clock = clock
        self._sleep = sleep
        self._since_s: float | None = None  # the time of the newest sample counted, on the server's clock
        self._whole_seconds: dict[Gateway, WholeSeconds] = {}

    async def read(self, now_s: float) -> Reading:
        # The server's clock dates the samples; this machine's may differ from it, and may be set at any moment.
        asked_s = self._clock()
        servers_s = await self._server.time_s()
        origin_s = servers_s - (asked_s + self._clock()) / 2
        await self._await_second(floor(now_s), origin_s)
        since_s = origin_s if self._since_s is None else self._since_s
        known = max((of_one.known for of_one in self._whole_seconds.values()), default=None)
        untold_s = self._history_s if known is None else min(max(ceil(now_s) - known, 0), self._history_s)
        load = await self._server.series([LOAD], self._history_s + MARGIN_S)
        told = await self._server.series([PASSED, REQUESTS], untold_s + RECENT_S)
        names = [*COUNTED.values(), *GAUGES.values(), DURATION, STAGE_DURATION, PASSED, SINCE, *STATE]
        series = await self._server.series(names, ceil(origin_s + now_s - since_s) + MARGIN_S)
        parts = self._parts(load, told, series, origin_s, now_s)
        reading = Reading(
            time_s=now_s,
            load_rps=added([part.load_rps for part in parts], self._seconds(now_s)),
            sample_age_s=max(now_s - max((part.newest_s for part in parts), default=0.0), 0.0),
            stages={
                name: StageReading(**added_values(parts, name), latency=_latency(series, STAGE_DURATION, name, since_s))
                for name in self._stages
            },
            latency=_latency(series, DURATION, None, since_s),
            covered_s=max((part.covered_s for part in parts), default=0.0),
            counted_until_s=max((part.until_s for part in parts), default=None),
        )
        self._since_s = max((samples[-1][0] for _, samples in series), default=since_s)
        return reading

    async def _await_second(self, wanted: int, origin_s: float) -> None:
        """Wait until the gateways have reported `wanted` whole seconds, as far as that is soon."""
        while True:
            scrapes = by_gateway(await self._server.series([PASSED], RECENT_S))
            servers_s = origin_s + self._clock()
            waits_s = [awaited_s(seconds_of(of_one, origin_s), wanted, servers_s) for of_one in scrapes.values()]
            if not any(waits_s):
                return
            await self._sleep(max(waits_s))

    def _seconds(self, now_s: float) -> int:
        return min(max(floor(now_s), 0), self._history_s)

    def _parts(
        self,
        load: Sequence[Series],
        told: Sequence[Series],
        series: Sequence[Series],
        origin_s: float,
        now_s: float,
    ) -> list[Part]:
        """The part of each gateway: by whole seconds if it reports them, else by its counters."""
        seconds = self._seconds(now_s)
        by_spread, by_second = by_gateway(load), by_gateway(series)
        for gateway, of_one in by_gateway(told).items():
            if scrapes := seconds_of(of_one, origin_s):
                known = self._whole_seconds.setdefault(gateway, WholeSeconds())
                known.learn(of_one, scrapes, self._history_s + MARGIN_S)
        exact = [
            known.read(of_one := by_second.get(gateway, []), seconds_of(of_one, origin_s), now_s, seconds)
            for gateway, known in self._whole_seconds.items()
        ]
        others: Mapping[Gateway, None] = dict.fromkeys([*by_spread, *by_second])
        return exact + [
            spread_part(by_spread.get(key, []), by_second.get(key, []), origin_s, now_s, self._since_s, seconds)
            for key in others
            if key not in self._whole_seconds
        ]


def _latency(series: Sequence[Series], name: str, stage: str | None, since_s: float) -> LatencyQuantiles:
    buckets: dict[float, float] = {}
    for labels, samples in series:
        if labels["__name__"] == name and stage in (None, labels.get("stage")):
            bound = float(labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + increase_since(samples, since_s)
    return bucket_quantiles(buckets)


def from_prometheus(url: str, matchers: Sequence[str] = ()) -> SourceMaker:
    """The maker of the source that asks the Prometheus server at `url`.

    `matchers` are further ones (`check_matcher`), for a server that scrapes several gateways of the pipeline, which
    would otherwise be added up.
    """

    def make(access: Access) -> Source:
        stages = tuple(stage.name for stage in access.pipeline.stages)
        server = PrometheusApi(access.session, url, access.pipeline.name, matchers)
        return PrometheusSource(server, stages, access.history_s, access.clock)

    return make
