"""Queries to a Prometheus server: raw samples of the series of one pipeline, and the increase of counters.

A series is a list of (time_s, value) with rising times. A value below the one before means that the counter was reset
and has counted from zero since. A silence of more than a few scrapes is a gap: what happened in it, and when, is
unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import floor, inf, isfinite, nan
from statistics import median
from typing import TYPE_CHECKING, Any

from ipa.live.errors import LiveError
from ipa.live.monitoring.sources import QUANTILES, SourceError
from ipa.policies import NO_LATENCY, LatencyQuantiles

if TYPE_CHECKING:
    import aiohttp


Samples = Sequence[tuple[float, float]]

SCRAPES_TO_A_GAP = 2.5
"""A silence longer than this many usual intervals between scrapes is a gap."""


def clean(samples: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(time_s, value) for time_s, value in samples if isfinite(value)]


def increase(before: float, after: float) -> float:
    """By how much a counter has grown from one sample to the next."""
    return after - before if after >= before else after


def increase_since(samples: Samples, after_s: float) -> float:
    """By how much a counter has grown since a moment, not counting anything before the first known sample."""
    return sum(increase(one, other) for (_, one), (time_s, other) in pairwise(samples) if time_s > after_s)


def per_second(samples: Samples, end_s: float, seconds: int) -> list[float]:
    """The increments of the whole seconds [end - k, end - k + 1), newest last, shape (seconds,).

    The increment between two samples is spread evenly over the time between them. A second that no pair of samples
    covers, or that a gap touches, is NaN.
    """
    counts, covered_s = [0.0] * seconds, [0.0] * seconds
    start_s = end_s - seconds
    longest_s = SCRAPES_TO_A_GAP * median(b - a for (a, _), (b, _) in pairwise(samples)) if len(samples) > 1 else 0.0
    for (from_s, before), (until_s, after) in pairwise(samples):
        lasting_s = until_s - from_s
        if not 0.0 < lasting_s <= longest_s:
            continue
        rate = increase(before, after) / lasting_s
        for second in range(max(floor(from_s - start_s), 0), min(floor(until_s - start_s) + 1, seconds)):
            opens_s = start_s + second
            overlap_s = min(until_s, opens_s + 1.0) - max(from_s, opens_s)
            if overlap_s > 0.0:
                counts[second] += rate * overlap_s
                covered_s[second] += overlap_s
    return [count if covered > 1.0 - 1e-6 else nan for count, covered in zip(counts, covered_s, strict=True)]


def added(series: Sequence[Sequence[float]], seconds: int) -> tuple[float, ...]:
    """The sum of several series of per-second counts; where only some have a sample, the others count as 0."""
    if not series:
        return (nan,) * seconds
    columns = ([value for value in column if value == value] for column in zip(*series, strict=True))
    return tuple(sum(column) if column else nan for column in columns)


def bucket_quantiles(buckets: Mapping[float, float]) -> LatencyQuantiles:
    """The quantiles of a histogram's increments (upper bound -> how many up to it), linear within a bucket.

    Values above the last finite bound count as that bound, as in Prometheus's `histogram_quantile`.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0.0:
        return NO_LATENCY
    return LatencyQuantiles(*(_quantile(buckets, bounds, share * total) for share in QUANTILES))


def _quantile(buckets: Mapping[float, float], bounds: Sequence[float], rank: float) -> float:
    lower, below = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            if bound == inf:
                return lower
            inside = buckets[bound] - below
            return bound if inside <= 0.0 else lower + (bound - lower) * (rank - below) / inside
        lower, below = bound, buckets[bound]
    return lower


ANSWERS_WITHIN_S = 5.0

Series = tuple[Mapping[str, str], Samples]
"""The labels of a series, `__name__` among them, and its samples."""
Gateway = frozenset[tuple[str, str]]
"""The labels that a scrape adds: they tell one gateway's series from another's."""

_MATCHER = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)!?="(?:[^"\\\n]|\\["\\])*"')
_OWN_LABELS = ("__name__", "pipeline", "stage", "le", "slot")


def check_matcher(text: str) -> None:
    """Raise LiveError for anything but a further label matcher, LABEL="VALUE" or LABEL!="VALUE".

    Regular expressions are not accepted: only the server knows whether they are valid.
    """
    match = _MATCHER.fullmatch(text)
    if match is None:
        raise LiveError(
            f'controller.prometheus_match: {text}: should be LABEL="VALUE" or LABEL!="VALUE", in double quotes'
        )
    if match[1] in _OWN_LABELS:
        raise LiveError(
            f"controller.prometheus_match: {text}: {match[1]} is already set; allowed: labels that the scrape adds"
        )


def by_gateway(series: Iterable[Series]) -> dict[Gateway, list[Series]]:
    found: dict[Gateway, list[Series]] = {}
    for labels, samples in series:
        key = frozenset((name, value) for name, value in labels.items() if name not in _OWN_LABELS)
        found.setdefault(key, []).append((labels, samples))
    return found


class PrometheusApi:
    """The server at `url`; `matchers` select the series of the pipeline, for `check_matcher`.

    Every call raises SourceError if the server does not answer or answers with an error.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, pipeline: str, matchers: Sequence[str]) -> None:
        self._session = session
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._matchers = [f'pipeline="{pipeline}"', *matchers]

    async def time_s(self) -> float:
        return float((await self._ask("time()"))[1])

    async def series(self, names: Sequence[str], seconds: int) -> list[Series]:
        """The labels and the samples of the last seconds, for every series with one of these names."""
        matchers = ",".join([f'__name__=~"{"|".join(names)}"', *self._matchers])
        result = await self._ask(f"{{{matchers}}}[{seconds}s]")
        series = [
            (each["metric"], clean((float(time_s), float(value)) for time_s, value in each["values"]))
            for each in result
        ]
        return [(labels, samples) for labels, samples in series if samples]

    async def _ask(self, query: str) -> list[Any]:
        import aiohttp

        limit = aiohttp.ClientTimeout(total=ANSWERS_WITHIN_S)
        try:
            async with self._session.get(
                self._url, params={"query": query}, timeout=limit, allow_redirects=False
            ) as response:
                said = await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise SourceError(f"{self._url}: {error or type(error).__name__}") from None
        if not isinstance(said, dict) or said.get("status") != "success":
            raise SourceError(f"{self._url}: {said.get('error', said) if isinstance(said, dict) else said}")
        result: list[Any] = said["data"]["result"]
        return result
