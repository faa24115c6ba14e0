"""A gateway's own counts of whole seconds, from the samples of a Prometheus server.

At every scrape the gateway tells how many whole seconds have passed on the run's clock, how many requests came in each
of the last ones, and how its stages stood when the newest one ended. The requests are told by slots: slot `k/n` is that
of the newest second whose number is k modulo n. All samples of a scrape have the same time, so they can be put together
again, and nothing of it depends on when the scrapes took place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import nan

from ipa.live.monitoring.counters import increase
from ipa.live.monitoring.parts import COUNTED, GAUGES, STALE_AFTER_S, Part
from ipa.live.monitoring.prometheus_api import Series

PASSED, REQUESTS, SINCE = "ipa_whole_seconds", "ipa_whole_second_requests", "ipa_counted_since_timestamp_seconds"
STATE = {name.replace("ipa_", "ipa_whole_second_", 1): field for field, name in (COUNTED | GAUGES).items()}
"""The field that each metric of a stage's state gives."""

CLOCKS_AGREE_WITHIN_S = 5.0
"""How far behind the run's clock a gateway on that clock may be; the clock of another run differs by any time."""
AWAITED_INTERVAL_S = 2.0
"""The longest interval between scrapes with which a reading waits for the next one."""
SCRAPES_AWAITED = 2.5
"""A gateway that has been silent for longer, in intervals, is not waited for."""


@dataclass(frozen=True)
class Scrape:
    """How the stages stood when `second` whole seconds had passed: (stage, field) -> value, counted from `since` on."""

    second: int
    since: float
    state: Mapping[tuple[str, str], float]


def seconds_of(series: Iterable[Series], origin_s: float) -> dict[float, int]:
    """The scrapes of a gateway on the run's clock, which was 0 at `origin_s` of the server's: time -> whole seconds.

    Scrapes from before the run, or on another clock, are left out.
    """
    return {
        time_s: int(passed)
        for labels, samples in series
        if labels["__name__"] == PASSED
        for time_s, passed in samples
        if 0.0 <= passed <= time_s - origin_s + 1.0 and time_s - origin_s - passed <= CLOCKS_AGREE_WITHIN_S
    }


def awaited_s(scrapes: Mapping[float, int], wanted: int, servers_s: float) -> float:
    """How long to wait until a gateway will have told of `wanted` whole seconds; 0 if that is not to be waited for.

    Waited for is a gateway that is scraped often, and was scraped of late; `servers_s` is the server's time.
    """
    times_s = sorted(scrapes)
    if len(times_s) < 2 or scrapes[times_s[-1]] >= wanted:
        return 0.0
    interval_s = min(later - earlier for earlier, later in pairwise(times_s))
    silent_s = servers_s - times_s[-1]
    if interval_s > AWAITED_INTERVAL_S or silent_s > SCRAPES_AWAITED * interval_s:
        return 0.0
    return max(interval_s - silent_s, 0.05)


class WholeSeconds:
    """What one gateway has told of its whole seconds."""

    def __init__(self) -> None:
        self._load: dict[int, float] = {}
        self._last: Scrape | None = None  # the last one counted

    @property
    def known(self) -> int:
        """The whole seconds that had passed at the newest scrape."""
        return max(self._load, default=-1) + 1

    def learn(self, series: Sequence[Series], scrapes: Mapping[float, int], history_s: int) -> None:
        """Take the load from the samples of scrapes; older than `history_s` it is forgotten."""
        for labels, samples in series:
            if labels["__name__"] == REQUESTS:
                slot, slots = map(int, labels["slot"].split("/"))
                for time_s, count in samples:
                    if time_s in scrapes:
                        newest = scrapes[time_s] - 1
                        self._load[newest - (newest - slot) % slots] = count
        oldest = self.known - history_s
        self._load = {second: count for second, count in self._load.items() if second >= oldest}

    def read(self, series: Sequence[Series], scrapes: Mapping[float, int], now_s: float, seconds: int) -> Part:
        """What has been told since the last call, and the load of the last whole seconds."""
        before = self._last
        grown: dict[tuple[str, str], float] = {}
        for scrape in _states(series, scrapes):
            if self._last is None or scrape.second > self._last.second:
                _add(grown, self._last, scrape)
                self._last = scrape
        until = 0 if self._last is None else self._last.second
        gauges = {}
        if self._last is not None and now_s - until <= STALE_AFTER_S:
            gauges = {key: value for key, value in self._last.state.items() if key[1] in GAUGES}
        end = int(now_s)
        load_rps = [self._load.get(second, nan) for second in range(end - seconds, end)]
        covered_s = 0.0 if before is None else float(until - before.second)
        return Part(load_rps, grown | gauges, float(max(self.known, until)), float(until), covered_s)


def _add(grown: dict[tuple[str, str], float], before: Scrape | None, scrape: Scrape) -> None:
    """By how much the counters have grown since a scrape; those of a gateway that has begun anew, since zero."""
    since = before.state if before is not None and before.since == scrape.since else {}
    for key, value in scrape.state.items():
        if key[1] in COUNTED:
            grown[key] = grown.get(key, 0.0) + increase(since.get(key, 0.0), value)


def _states(series: Iterable[Series], scrapes: Mapping[float, int]) -> list[Scrape]:
    """The scrapes of a gateway, oldest first."""
    states: dict[float, dict[tuple[str, str], float]] = {time_s: {} for time_s in sorted(scrapes)}
    since: dict[float, float] = {}
    for labels, samples in series:
        name = labels["__name__"]
        if name == SINCE:
            since = dict(samples)
        elif name in STATE:
            for time_s, value in samples:
                if time_s in states:
                    states[time_s][labels["stage"], STATE[name]] = value
    return [Scrape(scrapes[time_s], since.get(time_s, nan), state) for time_s, state in states.items() if state]
