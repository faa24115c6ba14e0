"""The published rules for a stage's SLA and a variant's base cores: functions of numbers.

As the published system computes them (its code; the paper's text has 5 times the mean at base cores
for the SLA, which is circular: base cores depend on the SLA). So the SLA comes first, from the
largest allocation, and base cores second.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

SLA_FACTOR = 25.0
"""Stage SLA over the mean p99 of a single request at the largest profiled allocation."""

START_UP_S = 8.0
"""From creating a replica to its being ready, where a file does not say it [s]."""


def stage_sla_s(p99_s: Iterable[float]) -> float:
    """The stage's SLA in seconds: 25 x the mean over the variants of `p99_s`.

    `p99_s` holds one value a variant: its p99 latency at batch size 1 and its largest profiled
    allocation.
    """
    return SLA_FACTOR * fmean(p99_s)


def base_cores(
    allocations: Iterable[tuple[int, float, float]], threshold_rps: float | None, sla_s: float
) -> int | None:
    """The fewest cores that carry the threshold within the stage's SLA; None: no allocation does.

    `allocations` holds (cores, throughput_rps, p99_s) at batch size 1. An allocation will do when
    its throughput is at least `threshold_rps` (None: whatever it is) and its p99 latency at most `sla_s`, the SLA in
    force for the stage (pinned, if it is pinned).
    """
    least_rps = threshold_rps or 0.0
    fitting = (cores for cores, throughput_rps, p99_s in allocations if throughput_rps >= least_rps and p99_s <= sla_s)
    return min(fitting, default=None)
