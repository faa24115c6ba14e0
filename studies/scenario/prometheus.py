"""A load from a Prometheus server: a range query, split into requests; `traces` reads the answers.

Prometheus returns at most 11,000 points of a series per request, so a week by the second takes 55 requests. Credentials
go only to the host that they are for: a redirect is an error.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from ipa import traces
from ipa.errors import Error
from ipa.numbers import number_of
from ipa.studies.scenario.errors import ScenarioError
from ipa.traces import LONGEST_S, Filling, Trace

MOST_POINTS = 11_000
"""The most points of a series in one answer of Prometheus."""

MOST_BYTES = 256 << 20
"""The longest answer accepted."""

LATEST_S = 4_102_444_800
"""2100-01-01T00:00:00Z."""

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_DURATION = re.compile(r"(?:[0-9]+[smhdwy])+")
_WINDOW = re.compile(r"\[\s*([^\]:\s]+)\s*\]")
_STRING = re.compile(r"""(["'])(?:\\.|(?!\1).)*\1|`[^`]*`""")
_COUNTER = re.compile(r"\w_(total|count)\b")
_RATE = re.compile(r"\bi?rate\s*\(")


class ServerError(Error):
    """A Prometheus server does not answer, or answers with an error."""


@dataclass(frozen=True)
class QueryRange:
    """A query for the requests of every step from `start_s` to `end_s`, whole seconds since 1970.

    Raises ScenarioError for an impossible range or step, and if the query does not count the requests of a step.
    """

    query: str
    start_s: int
    end_s: int
    step_s: int

    def __post_init__(self) -> None:
        if self.step_s < 1:
            raise ScenarioError(f"--step {self.step_s}: a step is a whole number of seconds, at least 1")
        lasts_s = self.end_s - self.start_s
        if self.start_s < 0 or not self.step_s <= lasts_s <= LONGEST_S:
            raise ScenarioError(
                f"--start and --end: {lasts_s} s from start to end; allowed: from one step, {self.step_s} s, to "
                f"{LONGEST_S:,.0f} s"
            )
        _check_query(self.query, self.step_s)

    @property
    def steps(self) -> int:
        """The number of whole steps."""
        return (self.end_s - self.start_s) // self.step_s

    def parts(self) -> Iterator[tuple[int, int]]:
        """The first and last time of each request. Together they cover the start and the end of every step."""
        points = self.steps + 1
        for first in range(0, points, MOST_POINTS):
            last = min(first + MOST_POINTS, points) - 1
            yield self.start_s + first * self.step_s, self.start_s + last * self.step_s


def _check_query(query: str, step_s: int) -> None:
    """Raise ScenarioError if a query's values can be neither the requests of a step nor counters."""
    plain, windows = _plain(query), windows_s(query)
    use = f"use increase, such as sum(increase(requests_total[{step_s}s]))"
    if _RATE.search(plain):
        raise ScenarioError(f"--query {query}: rate is requests per second, not the requests of a step; {use}")
    if "(" in plain and not windows and _COUNTER.search(plain):
        raise ScenarioError(
            f"--query {query}: adds up counters, which only rise; {use}, or ask for the counters themselves"
        )
    for window in windows - {step_s}:
        raise ScenarioError(
            f"--query {query}: counts the requests of {window} s, but the step is {step_s} s, so that requests would "
            "be counted several times or not at all; make them the same"
        )


def _plain(query: str) -> str:
    """A query with its quoted strings emptied."""
    return _STRING.sub('""', query)


def windows_s(query: str) -> set[int]:
    """The lengths [s] of the windows in a query, such as `[1m]`, that are written in whole seconds or longer units."""
    return {duration_s(window) for window in _WINDOW.findall(_plain(query)) if _DURATION.fullmatch(window)}


def duration_s(text: str) -> int:
    """The seconds of a Prometheus duration: `90s`, `5m`, `1h30m`, `7d`. Raises ValueError for any other text."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration such as 30s, 5m, 1h30m or 7d")
    return sum(int(number) * _UNITS_S[unit] for number, unit in re.findall(r"([0-9]+)([smhdwy])", text))


def moment_s(text: str, now_s: float) -> float:
    """Seconds since 1970 of `now`, a duration before now (`7d`), a number, or an ISO 8601 time with a time zone.

    Raises ValueError for anything else.
    """
    if text == "now":
        return now_s
    if _DURATION.fullmatch(text):
        ago_s = duration_s(text)
        if ago_s > now_s:
            raise ValueError(f"{text!r} ago was before 1970")
        return now_s - ago_s
    number = number_of(text)
    if number is not None:
        if not 0 <= number < LATEST_S:
            raise ValueError(f"{text!r} is not a number of seconds since 1970, before 2100")
        return number
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is neither a time, such as 2026-01-05T10:00:00+01:00, nor now, nor a duration before now, such "
            "as 7d"
        ) from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no zone; write Z for UTC or a distance from it, such as +01:00, at its end")
    return moment.timestamp()


class RemotePrometheus:
    """The server at a URL, which may contain a user and a password for basic authentication.

    `token` is a bearer token; `timeout_s` is for each request. Raises ScenarioError for an invalid URL, or if both a
    user and a token are given.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 30.0) -> None:
        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port is not None else ""
        except ValueError as error:
            raise ScenarioError(f"the URL of the server: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ScenarioError("the URL of the server should be http:// or https://, a host and, if need be, a path")
        if token is not None and parts.username is not None:
            raise ScenarioError("give a user in the URL or a token, one of the two")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.url = urlunsplit((parts.scheme, host + port, parts.path.rstrip("/"), "", ""))
        self._headers = {"Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        elif parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._timeout_s = timeout_s
        self._opener: OpenerDirector = build_opener(_NoRedirects)

    def load(
        self,
        query_range: QueryRange,
        *,
        seed: int,
        filling: Filling = "refuse",
        on_answer: Callable[[], object] = lambda: None,
    ) -> Trace:
        """The load of a query; `on_answer` is called after each request.

        Raises ServerError if the server does not answer or answers with an error; TraceError if the answer is not a
        load, and for gaps unless `filling` fills them.
        """
        series = []
        for first_s, last_s in query_range.parts():
            series += traces.answered_series(self._answer(query_range, first_s, last_s), self.url)
            on_answer()
        return traces.trace_of_series(
            series,
            traces.Steps(query_range.start_s, query_range.step_s, query_range.steps),
            place=self.url,
            seed=seed,
            name="prometheus",
            filling=filling,
        )

    def _answer(self, query_range: QueryRange, first_s: int, last_s: int) -> Any:
        query = urlencode({"query": query_range.query, "start": first_s, "end": last_s, "step": query_range.step_s})
        request = Request(f"{self.url}/api/v1/query_range?{query}", headers=self._headers)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                content = response.read(MOST_BYTES + 1)
        except HTTPError as error:
            with error:
                raise ServerError(f"{self.url}: {_refusal_reason(error)}") from None
        except TimeoutError:
            raise ServerError(f"{self.url}: no answer within {self._timeout_s:g} s") from None
        except (URLError, OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise ServerError(f"{self.url}: no answer within {self._timeout_s:g} s") from None
            detail = getattr(reason, "strerror", None) or reason
            raise ServerError(f"{self.url}: {detail or type(error).__name__}") from None
        if len(content) > MOST_BYTES:
            raise ServerError(f"{self.url}: an answer of more than {MOST_BYTES >> 20} MB; sum the series in the query")
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise ServerError(
                f"{self.url}: no answer of Prometheus: {content[:80].decode(errors='replace')!r}"
            ) from None


def _refusal_reason(error: HTTPError) -> str:
    """A server's reason for refusing a request; Prometheus' own error text if there is one."""
    where = error.headers.get("Location")
    if where is not None and 300 <= error.code < 400:
        target = urlsplit(where)
        return f"sends elsewhere, to {urlunsplit((target.scheme, target.netloc, target.path, '', ''))}; give that URL"
    hint = "; give a token with --token-file, or user:password@ in the URL" if error.code == 401 else ""
    try:
        reason = json.loads(error.read(10_000))["error"]
    except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
        reason = error.reason
    return f"HTTP status {error.code}: {reason}{hint}"


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirects: urllib would send the credentials on to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None
