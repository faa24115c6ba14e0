"""A gateway's counts by its counters: what came between two scrapes is spread evenly over the time between them.

For gateways that do not tell their counts of whole seconds, or that are on another clock than the run's.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipa.live.monitoring import counters
from ipa.live.monitoring.counters import Samples
from ipa.live.monitoring.parts import COUNTED, GAUGES, STALE_AFTER_S, Part
from ipa.live.monitoring.prometheus_api import Series

LOAD = "ipa_requests_received_total"


def read(
    load: Sequence[Series], series: Sequence[Series], origin_s: float, now_s: float, since_s: float | None, seconds: int
) -> Part:
    """What its samples since `since_s` of the server's clock say, None: since the run's start, and its load in the last
    whole seconds; `origin_s` is the run's start on the server's clock."""
    end_s = origin_s + int(now_s)
    counts = [counters.per_second(samples, end_s, seconds) for _, samples in load]
    after_s = origin_s if since_s is None else since_s
    values = {
        (stage, field): counters.increase_since(samples, after_s)
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
    return Part(counters.added(counts, seconds), values, newest_s, now_s, covered_s)


def _of(series: Sequence[Series], name: str) -> list[tuple[str, Samples]]:
    """The stage and the samples of all series of a name."""
    return [(labels["stage"], samples) for labels, samples in series if labels["__name__"] == name]


def _covered_s(series: Sequence[Series], since_s: float) -> float:
    """The seconds that the increments of the stages' integrals cover: from the newest sample counted before, or from
    the first one known, to the newest."""
    moments_s = [
        time_s for _, samples in _of(series, COUNTED["request_s"]) for time_s in (samples[0][0], samples[-1][0])
    ]
    return max(max(moments_s) - max(min(moments_s), since_s), 0.0) if moments_s else 0.0
