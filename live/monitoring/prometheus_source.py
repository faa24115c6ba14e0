"""Readings from a Prometheus server that scrapes the gateway.

It asks for raw samples (a range selector in an instant query) and not for rates: Prometheus extrapolates and looks back
up to five minutes, which would turn a gap into load. What the scrapes do not tell stays NaN.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from ipa.live.errors import LiveError
from ipa.live.monitoring import counters
from ipa.live.monitoring.counters import Samples
from ipa.live.monitoring.reading import Reading, SourceError, StageReading

if TYPE_CHECKING:
    import aiohttp

ANSWERS_WITHIN_S = 5.0

LOAD = "ipa_requests_received_total"

COUNTED = {
    "arrivals": "ipa_stage_arrivals_total",
    "completions": "ipa_stage_completions_total",
    "drops": "ipa_stage_drops_total",
    "failures": "ipa_stage_failures_total",
    "busy_s": "ipa_busy_seconds_total",
    "request_s": "ipa_stage_request_seconds_total",
}
GAUGES = {"queue_length": "ipa_queue_length", "in_service": "ipa_in_service"}
DURATION, STAGE_DURATION = "ipa_request_duration_seconds_bucket", "ipa_stage_duration_seconds_bucket"

MARGIN_S = 60
"""How far samples are fetched beyond the period asked for, so that one lies before it."""
STALE_AFTER_S = 60.0
"""A gauge whose newest sample is older says nothing about the present."""

Series = tuple[Mapping[str, str], Samples]

_MATCHER = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)!?="(?:[^"\\\n]|\\["\\])*"')
_OWN_LABELS = ("__name__", "pipeline", "stage", "le")


def check_matcher(text: str) -> None:
    """Raise LiveError for anything but a further label matcher, LABEL="VALUE" or LABEL!="VALUE".

    Regular expressions are not accepted: only the server knows whether they are valid.
    """
    match = _MATCHER.fullmatch(text)
    if match is None:
        raise LiveError(f'--prometheus-match {text}: should be LABEL="VALUE" or LABEL!="VALUE", in double quotes')
    if match[1] in _OWN_LABELS:
        raise LiveError(f"--prometheus-match {text}: {match[1]} is already set; allowed: labels that the scrape adds")


class PrometheusSource:
    """Reads the metrics of one pipeline from the server at `url`; `clock` is the run's.

    `matchers` are further ones (`check_matcher`), for a server that scrapes several gateways of the pipeline, which
    would otherwise be added up. `read` raises SourceError if the server does not answer or answers with an error.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        pipeline: str,
        stages: Sequence[str],
        history_s: int,
        clock: Callable[[], float],
        matchers: Sequence[str] = (),
    ) -> None:
        self._session = session
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._matchers = [f'pipeline="{pipeline}"', *matchers]
        self._stages = stages
        self._history_s = history_s
        self._clock = clock
        self._since_s: float | None = None  # the time of the newest sample counted, on the server's clock

    async def read(self, now_s: float) -> Reading:
        """What the samples since the last call say."""
        # The server's clock dates the samples; this machine's may differ from it, and may be set at any moment.
        asked_s = self._clock()
        servers_s = float((await self._ask("time()"))[1])
        wall_s = servers_s + now_s - (asked_s + self._clock()) / 2
        origin_s = wall_s - now_s
        load = await self._series([LOAD], self._history_s + MARGIN_S)
        since_s = origin_s if self._since_s is None else self._since_s
        names = [*COUNTED.values(), *GAUGES.values(), DURATION, STAGE_DURATION]
        series = await self._series(names, ceil(wall_s - since_s) + MARGIN_S)
        newest_s = max((samples[-1][0] for _, samples in load), default=None)
        reading = Reading(
            time_s=now_s,
            load_rps=self._load(load, origin_s, now_s),
            sample_age_s=max(now_s, 0.0) if newest_s is None else max(wall_s - newest_s, 0.0),
            stages={name: self._stage(series, name, since_s, wall_s) for name in self._stages},
            latency=_latency(series, DURATION, None, since_s),
            covered_s=0.0 if self._since_s is None else _covered_s(series, since_s),
        )
        self._since_s = max((samples[-1][0] for _, samples in series), default=since_s)
        return reading

    def _load(self, series: Sequence[Series], origin_s: float, now_s: float) -> tuple[float, ...]:
        seconds = min(max(floor(now_s), 0), self._history_s)
        end_s = origin_s + floor(now_s)
        counts = [counters.per_second(samples, end_s, seconds) for _, samples in series]
        return counters.added(counts, seconds)

    @staticmethod
    def _stage(series: Sequence[Series], stage: str, since_s: float, wall_s: float) -> StageReading:
        counted = {
            field: sum(counters.increase_since(samples, since_s) for samples in _of(series, name, stage))
            for field, name in COUNTED.items()
        }
        gauges = {
            field: sum(
                samples[-1][1] for samples in _of(series, name, stage) if wall_s - samples[-1][0] <= STALE_AFTER_S
            )
            for field, name in GAUGES.items()
        }
        busy_s, request_s = counted.pop("busy_s"), counted.pop("request_s")
        return StageReading(
            **{field: round(count) for field, count in (counted | gauges).items()},
            busy_s=busy_s,
            request_s=request_s,
            latency=_latency(series, STAGE_DURATION, stage, since_s),
        )

    async def _series(self, names: Sequence[str], seconds: int) -> list[Series]:
        """The labels and the samples of the last seconds, for every series with one of these names."""
        matchers = ",".join([f'__name__=~"{"|".join(names)}"', *self._matchers])
        selector = f"{{{matchers}}}[{seconds}s]"
        result = await self._ask(selector)
        series = [
            (each["metric"], counters.clean((float(time_s), float(value)) for time_s, value in each["values"]))
            for each in result
        ]
        return [(labels, samples) for labels, samples in series if samples]

    async def _ask(self, query: str) -> list[Any]:
        import aiohttp

        limit = aiohttp.ClientTimeout(total=ANSWERS_WITHIN_S)
        try:
            async with self._session.get(self._url, params={"query": query}, timeout=limit) as response:
                said = await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise SourceError(f"{self._url}: {error or type(error).__name__}") from None
        if not isinstance(said, dict) or said.get("status") != "success":
            raise SourceError(f"{self._url}: {said.get('error', said) if isinstance(said, dict) else said}")
        result: list[Any] = said["data"]["result"]
        return result


def _of(series: Sequence[Series], name: str, stage: str | None) -> list[Samples]:
    """The samples of all series of a name, at a stage."""
    return [
        samples for labels, samples in series if labels["__name__"] == name and stage in (None, labels.get("stage"))
    ]


def _covered_s(series: Sequence[Series], since_s: float) -> float:
    """The seconds that the increments of the stages' integrals cover: from the newest sample counted before, or from
    the first one known, to the newest."""
    moments_s = [
        time_s for samples in _of(series, COUNTED["request_s"], None) for time_s in (samples[0][0], samples[-1][0])
    ]
    return max(max(moments_s) - max(min(moments_s), since_s), 0.0) if moments_s else 0.0


def _latency(series: Sequence[Series], name: str, stage: str | None, since_s: float) -> Any:
    buckets: dict[float, float] = {}
    for labels, samples in series:
        if labels["__name__"] == name and stage in (None, labels.get("stage")):
            bound = float(labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + counters.increase_since(samples, since_s)
    return counters.quantiles(buckets)
