"""The summary of a run: one flat dictionary of stable names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import fsum

import numpy as np

from policies import Configuration, Entry
from profiles import Pipeline
from sim.laws import replica_core_s
from sim.records import COMPLETED, DROPPED, FAILED, UNFINISHED, Records
from sim.tables import configured_accuracy, configured_cores, served_accuracy


def summarise(
    pipeline: Pipeline,
    records: Records,
    initial: Configuration,
    entries: Sequence[Entry],
    sla_s: float,
    price_per_core: float,
) -> dict[str, int | float | None]:
    """The figures of one run; seconds, requests per second, cores times price; PAS in points (x 100).

    The SLA violation rate is of all requests: late, dropped, failed and unfinished ones. Rates and cost cover the
    trace's duration. Planned figures are time-means of the decided configuration. None where nothing completed.
    """
    duration_s = records.duration_s
    outcome = records.outcome
    completed = outcome == COMPLETED
    latency_s = (records.end_s - records.arrival_s)[completed]
    in_time = int(np.count_nonzero(latency_s <= sla_s))
    total = len(outcome)
    core_s = price_per_core * sum(replica_core_s(replicas, records) for replicas in records.replicas)
    p50_s, p95_s, p99_s = np.quantile(latency_s, (0.5, 0.95, 0.99)) if len(latency_s) else (None,) * 3
    within = completed & (records.end_s <= duration_s)
    good = latency_s[(records.end_s <= duration_s)[completed]] <= sla_s
    planned = _planned(initial, entries, duration_s)
    decided = [configuration for _, configuration in planned]
    return {
        "duration_s": duration_s,
        "requests": total,
        "completed": int(np.count_nonzero(completed)),
        "dropped": int(np.count_nonzero(outcome == DROPPED)),
        "failed": int(np.count_nonzero(outcome == FAILED)),
        "unfinished": int(np.count_nonzero(outcome == UNFINISHED)),
        "sla_s": sla_s,
        "sla_violation_rate": (total - in_time) / total if total else 0.0,
        "goodput_rps": int(np.count_nonzero(good)) / duration_s,
        "throughput_rps": int(np.count_nonzero(within)) / duration_s,
        "latency_mean_s": fsum(latency_s) / len(latency_s) if len(latency_s) else None,
        "latency_p50_s": None if p50_s is None else float(p50_s),
        "latency_p95_s": None if p95_s is None else float(p95_s),
        "latency_p99_s": None if p99_s is None else float(p99_s),
        "cost_mean_cores": core_s / duration_s,
        "cost_core_s": core_s,
        "pas_mean": 100.0 * fsum(served_accuracy(pipeline, records)[completed]) / len(latency_s)
        if len(latency_s)
        else None,
        "planned_cost_mean_cores": _time_mean(
            planned, [float(configured_cores(wanted)) for wanted in decided], duration_s
        )
        * price_per_core,
        "planned_pas_mean": 100.0
        * _time_mean(planned, [configured_accuracy(pipeline, wanted) for wanted in decided], duration_s),
        "decisions": len(entries),
        "infeasible_decisions": sum(not entry.decision.feasible for entry in entries),
        "changes": sum(one != other for one, other in pairwise(decided)),
    }


def _planned(initial: Configuration, entries: Sequence[Entry], duration_s: float) -> list[tuple[float, Configuration]]:
    """When which configuration was decided, the initial one first."""
    later = [
        (entry.observation.time_s, entry.decision.configuration) for entry in entries if entry.observation.step > 0
    ]
    return [(0.0, initial), *later]


def _time_mean(planned: Sequence[tuple[float, Configuration]], values: Sequence[float], duration_s: float) -> float:
    since_s = [time_s for time_s, _ in planned]
    lasting_s = np.diff([*since_s, duration_s])
    return fsum(lasting * value for lasting, value in zip(lasting_s, values, strict=True)) / duration_s
