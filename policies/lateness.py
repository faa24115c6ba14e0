"""The late requests of the last hour, and the quantile of the forecast that keeps their share within a limit.

A plan for the quantile q of the forecast is exceeded with probability 1 - q, and only then are requests late. So a
policy that may be late with a share of the requests plans for the quantile 1 - share. Requests that were late within
the hour reduce the share, until they are more than an hour old. A share that is smaller than what the forecast's
quantiles cover is planned for with the largest of them; such a decision is not feasible, and has a rung of its own. No
plan is for less than it would be without the goal.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from ipa.policies.interface import LatencyQuantiles, Memory, Observation
from ipa.profiles import Graph

HOUR_S = 3600.0
BIN_S = 60.0
"""Resolution of the hour's counts."""

KEY = "late_by_minute"

LARGEST_QUANTILE = "largest-quantile"
"""The rung of a decision for fewer late requests than the quantiles of its forecast cover."""


def level_and_memory(
    late_at_most: float, sla_s: float, observation: Observation, memory: Memory, graph: Graph | None = None
) -> tuple[float, Memory]:
    """The quantile to plan for, and the memory with what has ended since the last step. `graph`: that of the stages;
    None for a chain."""
    now_s = observation.time_s
    minutes: list[list[float]] = [list(minute) for minute in memory.get(KEY, ()) if 0 <= now_s - minute[0] < HOUR_S]
    ended, late = ended_and_late(sla_s, observation, graph)
    minute_s = now_s - now_s % BIN_S
    if minutes and minutes[-1][0] == minute_s:
        minutes[-1] = [minute_s, minutes[-1][1] + ended, minutes[-1][2] + late]
    elif ended:
        minutes.append([minute_s, ended, late])
    all_ended, all_late = sum(minute[1] for minute in minutes), sum(minute[2] for minute in minutes)
    late_share_left = late_at_most - (all_late / all_ended if all_ended else 0.0)
    after: dict[str, Any] = {**memory, KEY: minutes}
    return 1.0 - max(late_share_left, 0.0), after


def ended_and_late(sla_s: float, observation: Observation, graph: Graph | None) -> tuple[float, float]:
    """How many requests have ended since the last step, and how many of these were late, dropped or failed.

    Of a graph, only items are counted at its stages. There, as many requests have ended as have come to an entry, and
    a request loses as many items at a stage at once as it has there on average: all have its age.
    """
    if observation.is_silent:
        return 0.0, 0.0
    stages = observation.stages
    if graph is None:
        lost = float(sum(stage.drops + stage.failures for stage in stages.values()))
        ended = list(stages.values())[-1].completions + lost
    else:
        came = stages[graph.entries(list(stages))[0]].arrivals
        of_request = {name: max(stage.arrivals / came, 1.0) if came else 1.0 for name, stage in stages.items()}
        losing = [name for name in stages if not all(edge.partial for edge in graph.into(name)) or not graph.into(name)]
        lost = sum((stages[name].drops + stages[name].failures) / of_request[name] for name in losing)
        ended = max(float(came), lost)
    return ended, lost + (ended - lost) * late_share(sla_s, observation.latency)


def late_share(sla_s: float, latency: LatencyQuantiles | None) -> float:
    """The share of completed requests beyond the SLA, as far as their quantiles say: a straight line between these."""
    if latency is None or latency.p50_s != latency.p50_s:
        return 0.0
    points = ((latency.p99_s, 0.01), (latency.p95_s, 0.05), (latency.p50_s, 0.5))
    if sla_s >= latency.p99_s:
        return 0.0
    for (slower_s, slower_share), (faster_s, share) in pairwise(points):
        if sla_s >= faster_s:
            return share + (slower_share - share) * (sla_s - faster_s) / (slower_s - faster_s)
    return 1.0
