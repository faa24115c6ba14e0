"""The part of one gateway by its samples, exactly or by its counters, and the sum of several gateways.

At every scrape a gateway reports how many whole seconds have passed on the run's clock, the requests in each of the
last ones, and the state of its stages at the end of the newest. Requests are reported in slots: slot `k/n` has those of
the newest second whose number is k modulo n. All samples of a scrape have the same time, so they can be joined again,
and the result does not depend on when the scrapes took place (`WholeSeconds`).

For gateways that do not report whole seconds, or are on another clock than the run's, the increase between two scrapes
is spread evenly over the time between them (`spread_part`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import nan
from typing import Any

from ipa.live.monitoring.prometheus_api import Samples, Series, added, increase, increase_since, per_second
from ipa.live.serving import STAGE_STATE, at_whole_second

COUNTED = {field: name for field, name in STAGE_STATE.items() if name.endswith("_total")}
"""The counter of each field of a `StageReading` that is counted since the reading before."""
GAUGES = {field: name for field, name in STAGE_STATE.items() if field not in COUNTED}
"""The gauge of each field that is a present value."""

STALE_AFTER_S = 60.0
"""A gauge whose newest sample is older says nothing about the present."""


@dataclass(frozen=True)
class Part:
    """One gateway: its load in the whole seconds asked for, NaN: unknown; and (stage, field) -> value.

    Times are those of the run's clock: `newest_s` of the newest sample, `until_s` of the end of what is counted, and
    `covered_s` is the time that the integrals cover.
    """

    load_rps: Sequence[float]
    values: Mapping[tuple[str, str], float]
    newest_s: float
    until_s: float
    covered_s: float


def added_values(parts: Sequence[Part], stage: str) -> dict[str, Any]:
    """Field -> value at a stage, over all gateways; counts of requests are rounded."""
    sums = {field: sum(part.values.get((stage, field), 0.0) for part in parts) for field in (*COUNTED, *GAUGES)}
    return {field: value if field.endswith("_s") else round(value) for field, value in sums.items()}


PASSED, REQUESTS, SINCE = "ipa_whole_seconds", "ipa_whole_second_requests", "ipa_counted_since_timestamp_seconds"
STATE = {at_whole_second(name): field for field, name in STAGE_STATE.items()}
"""The field that each metric of a stage's state gives."""

CLOCKS_AGREE_WITHIN_S = 5.0
"""How far a gateway on the run's clock may lag behind it; the clock of another run differs by any time."""
AWAITED_INTERVAL_S = 2.0
"""The longest interval between scrapes with which a reading waits for the next one."""
SCRAPES_AWAITED = 2.5
"""After how many intervals of silence a gateway is no longer waited for."""


@dataclass(frozen=True)
class Scrape:
    """The state of the stages after `second` whole seconds: (stage, field) -> value, counted from `since` on."""

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
    """How long to wait until a gateway will have reported `wanted` whole seconds; 0: do not wait.

    Only a gateway that is scraped often, and was scraped lately, is waited for. `servers_s` is the server's time.
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
    """The whole seconds that one gateway has reported."""

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
        """The state since the last call, and the load of the last whole seconds."""
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
    """Add the increase of the counters since a scrape; since zero for those of a restarted gateway."""
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


LOAD = "ipa_requests_received_total"


def spread_part(
    load: Sequence[Series], series: Sequence[Series], origin_s: float, now_s: float, since_s: float | None, seconds: int
) -> Part:
    """The part of a gateway by its counters since `since_s` of the server's clock (None: since the run's start), with
    its load in the last whole seconds; `origin_s` is the run's start on the server's clock."""
    end_s = origin_s + int(now_s)
    counts = [per_second(samples, end_s, seconds) for _, samples in load]
    after_s = origin_s if since_s is None else since_s
    values = {
        (stage, field): increase_since(samples, after_s)
        for field, name in COUNTED.items()
        for stage, samples in _of(series, name)
    }
    values |= {
        (stage, field): samples[-1][1]
        for field, name in GAUGES.items()
        for stage, samples in _of(series, name)
        if origin_s + now_s - samples[-1][0] <= STALE_AFTER_S
    }
    newest_s = max((samples[-1][0] for _, samples in load), default=origin_s) - origin_s
    covered_s = 0.0 if since_s is None else _covered_s(series, since_s)
    return Part(added(counts, seconds), values, newest_s, now_s, covered_s)


def _of(series: Sequence[Series], name: str) -> list[tuple[str, Samples]]:
    return [(labels["stage"], samples) for labels, samples in series if labels["__name__"] == name]


def _covered_s(series: Sequence[Series], since_s: float) -> float:
    """The seconds that the increments of the stages' integrals cover: from the newest sample counted before, or from
    the first one known, to the newest."""
    moments_s = [
        time_s for _, samples in _of(series, COUNTED["request_s"]) for time_s in (samples[0][0], samples[-1][0])
    ]
    return max(max(moments_s) - max(min(moments_s), since_s), 0.0) if moments_s else 0.0
