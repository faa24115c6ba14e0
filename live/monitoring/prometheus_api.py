"""Queries to a Prometheus server: raw samples of the series of one pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ipa.live.errors import LiveError
from ipa.live.monitoring import counters
from ipa.live.monitoring.counters import Samples
from ipa.live.monitoring.reading import SourceError

if TYPE_CHECKING:
    import aiohttp

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
        raise LiveError(f'--prometheus-match {text}: should be LABEL="VALUE" or LABEL!="VALUE", in double quotes')
    if match[1] in _OWN_LABELS:
        raise LiveError(f"--prometheus-match {text}: {match[1]} is already set; allowed: labels that the scrape adds")


def by_gateway(series: Iterable[Series]) -> dict[Gateway, list[Series]]:
    """The series of each gateway."""
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
        """The time of the server's clock."""
        return float((await self._ask("time()"))[1])

    async def series(self, names: Sequence[str], seconds: int) -> list[Series]:
        """The labels and the samples of the last seconds, for every series with one of these names."""
        matchers = ",".join([f'__name__=~"{"|".join(names)}"', *self._matchers])
        result = await self._ask(f"{{{matchers}}}[{seconds}s]")
        series = [
            (each["metric"], counters.clean((float(time_s), float(value)) for time_s, value in each["values"]))
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
