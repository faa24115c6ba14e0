"""The summary of a run: one flat dictionary of stable names."""

from __future__ import annotations

from collections.abc import Sequence

from ipa.policies import Configuration, Entry
from ipa.profiles import Pipeline
from ipa.sim.planned import Planned
from ipa.sim.records import Records
from ipa.sim.totals import Totals, totals_of


def summarise(
    pipeline: Pipeline,
    records: Records,
    initial: Configuration,
    entries: Sequence[Entry],
    sla_s: float,
    price_per_core: float,
) -> dict[str, int | float | None]:
    """The figures of a run that has kept all records and entries; see `summary_of`."""
    return summary_of(
        totals_of(pipeline, records, sla_s), Planned.of(pipeline, initial, entries), sla_s, price_per_core
    )


def summary_of(totals: Totals, planned: Planned, sla_s: float, price_per_core: float) -> dict[str, int | float | None]:
    """The figures of one run, in seconds, requests per second, and cores times price; PAS in points (x 100).

    The SLA violation rate is the share of late, dropped, failed and unfinished requests among all. The rate of violated
    seconds is the share, among the seconds in which a request arrived, of those whose p99 is above the SLA (see
    `violated_seconds`). Rates and cost cover the trace's duration. Planned figures are means over time of the decided
    configuration in force. A figure of completed requests is None if nothing completed.
    """
    duration_s, completed = totals.duration_s, totals.completed
    core_s = price_per_core * totals.core_s
    p50_s, p95_s, p99_s = totals.quantiles_s or (None,) * 3
    return {
        "duration_s": duration_s,
        "requests": totals.requests,
        "completed": completed,
        "dropped": totals.dropped,
        "failed": totals.failed,
        "unfinished": totals.unfinished,
        "sla_s": sla_s,
        "sla_violation_rate": (totals.requests - totals.in_time) / totals.requests if totals.requests else 0.0,
        "sla_violation_seconds_rate": totals.seconds_violated / totals.seconds if totals.seconds else 0.0,
        "goodput_rps": totals.good / duration_s,
        "throughput_rps": totals.within / duration_s,
        "latency_mean_s": totals.latency_sum_s / completed if completed else None,
        "latency_p50_s": p50_s,
        "latency_p95_s": p95_s,
        "latency_p99_s": p99_s,
        "latency_quantiles_relative_error": totals.relative_error,
        "cost_mean_cores": core_s / duration_s,
        "cost_core_s": core_s,
        "pas_mean": 100.0 * totals.accuracy_sum / completed if completed else None,
        "planned_cost_mean_cores": planned.mean_cores(duration_s) * price_per_core,
        "planned_pas_mean": 100.0 * planned.mean_accuracy(duration_s),
        "decisions": planned.decisions,
        "infeasible_decisions": planned.infeasible,
        "changes": planned.changes,
    }
