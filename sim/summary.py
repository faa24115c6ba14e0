"""The figures of a run: totals over its requests and replicas, and its summary, a flat dictionary of stable names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import reduce
from math import ceil, fsum, prod
from typing import Any

import numpy as np

from ipa.policies import NO_GOAL, Configuration, Entry, Goal
from ipa.profiles import Pipeline, Stage
from ipa.sim import laws
from ipa.sim.aggregates import RELATIVE_ERROR, ExactSum, Histogram, exact_sum
from ipa.sim.interface import Batches, Engine, Handover, RoomLack
from ipa.sim.intervals import Completed
from ipa.sim.model import FloatArray, IntArray, World
from ipa.sim.planned import Planned
from ipa.sim.records import COMPLETED, DROPPED, FAILED, UNFINISHED, Records
from ipa.sim.tables import served_accuracy, served_variants
from ipa.sim.token_times import token_times

QUANTILES = (0.5, 0.95, 0.99)

HOUR_S = 3600


@dataclass(frozen=True)
class Totals:
    """Counts of requests and sums over them.

    Of the completed requests, `in_time` kept the SLA, `within` completed before the end of the trace, and `good` did
    both. Requests arrived in `seconds` different seconds; in `seconds_violated` of these, the requests' p99 is above
    the SLA (see `violated_seconds`). `worst_hour`: the highest share of SLA violations of any hour (see `worst_hour`).
    The sums are over completed requests. `quantiles_s` are the quantiles `QUANTILES` of their latency, each within
    `relative_error` of the exact one; None if no request completed. `served`: for each stage, how many completed
    requests (in a graph, items of these) each variant served. `core_s`: the core-seconds of all replicas.
    `room_lack`: how often and how long stages lacked room within the limits. `token_times`: see `token_times`.
    `gpu_s`: the GPU-seconds of all replicas; None where no variant has GPUs.
    """

    duration_s: float
    requests: int
    completed: int
    dropped: int
    failed: int
    unfinished: int
    in_time: int
    within: int
    good: int
    seconds: int
    seconds_violated: int
    worst_hour: float
    latency_sum_s: float
    quantiles_s: tuple[float, ...] | None
    relative_error: float
    accuracy_sum: float
    served: tuple[Mapping[str, int], ...]
    core_s: float
    room_lack: RoomLack
    token_times: Mapping[str, float | None] = field(default_factory=dict)
    gpu_s: float | None = None


def totals_of(pipeline: Pipeline, records: Records, sla_s: float) -> Totals:
    """The totals of a run with the records of all requests."""
    outcome, duration_s = records.outcome, records.duration_s
    completed = outcome == COMPLETED
    latency_s = (records.end_s - records.arrival_s)[completed]
    in_time = latency_s <= sla_s
    within = (records.end_s <= duration_s)[completed]
    second = records.arrival_s.astype(np.int64)
    arrived = np.bincount(second, minlength=ceil(duration_s))
    served = np.bincount(second[completed][in_time], minlength=len(arrived))
    return Totals(
        duration_s=duration_s,
        requests=len(outcome),
        completed=len(latency_s),
        dropped=int(np.count_nonzero(outcome == DROPPED)),
        failed=int(np.count_nonzero(outcome == FAILED)),
        unfinished=int(np.count_nonzero(outcome == UNFINISHED)),
        in_time=int(np.count_nonzero(in_time)),
        within=int(np.count_nonzero(within)),
        good=int(np.count_nonzero(in_time & within)),
        seconds=int(np.count_nonzero(arrived)),
        seconds_violated=violated_seconds(arrived, served),
        worst_hour=worst_hour(arrived, served),
        latency_sum_s=exact_sum(latency_s),
        quantiles_s=tuple(np.quantile(latency_s, QUANTILES).tolist()) if len(latency_s) else None,
        relative_error=0.0,
        accuracy_sum=_accuracy_sum(served_accuracy(pipeline, records)[completed]),
        served=served_variants(records),
        core_s=_core_s(records),
        room_lack=_room_lack(records),
        token_times=token_times(pipeline, records),
        gpu_s=_gpu_s(pipeline, records) if pipeline.has_gpus else None,
    )


def _room_lack(records: Records) -> RoomLack:
    """How often and how long stages lacked room, summed over the stages."""
    return RoomLack(sum(lack.times for lack in records.room_lack), fsum(lack.lasted_s for lack in records.room_lack))


def _accuracy_sum(accuracies: FloatArray) -> float:
    """The sum of the accuracies; an unknown one (NaN: a live request without record) counts as the mean of the rest."""
    known_accuracies = accuracies[np.isfinite(accuracies)]
    if not len(known_accuracies):
        return 0.0
    different, counts = np.unique(known_accuracies, return_counts=True)
    total = sum(int(count) * Fraction(accuracy) for accuracy, count in zip(different, counts, strict=True))
    return float(total) * (len(accuracies) / len(known_accuracies))


def violated_seconds(arrived: IntArray, in_time: IntArray) -> int:
    """The number of seconds whose p99 is above the SLA; both arrays count requests by the second of their arrival.

    A request that never completed counts as infinitely late. The p99 is the least latency that at least 99 % of the
    second's requests do not exceed, so a second counts if more than 1 % of its requests violate the SLA.
    """
    return int(np.count_nonzero(100 * (arrived - in_time) > arrived))


def worst_hour(arrived: IntArray, in_time: IntArray) -> float:
    """The highest share of requests that violate the SLA in any hour; both arrays count requests by their second.

    Hours begin with the first second, and the last one ends with the last second; less than an hour is one hour. An
    hour without requests does not count; 0 if there are none at all.
    """
    first = np.unique(np.minimum(np.arange(0, len(arrived), HOUR_S), max(len(arrived) - HOUR_S, 0)))
    until = np.minimum(first + HOUR_S, len(arrived))
    arrived_before, in_time_before = (np.concatenate([[0], np.cumsum(counts)]) for counts in (arrived, in_time))
    of_hour = arrived_before[until] - arrived_before[first]
    late = of_hour - (in_time_before[until] - in_time_before[first])
    return float(np.max(late[of_hour > 0] / of_hour[of_hour > 0], initial=0.0))


def _counted(numbers: IntArray) -> tuple[IntArray, IntArray]:
    """The distinct values of small numbers, and how often each occurs; shape of `numbers`: (n,)."""
    if numbers.dtype.itemsize > 1:
        return np.unique(numbers, return_counts=True)
    counts = np.bincount(numbers)
    (distinct,) = np.nonzero(counts)
    return distinct, counts[distinct]


def _core_s(records: Records) -> float:
    return sum(laws.replica_core_s(replicas, records) for replicas in records.replicas)


def _gpu_s(pipeline: Pipeline, records: Records) -> float:
    gpus_by_stage = [{variant.name: variant.gpus for variant in stage.variants} for stage in pipeline.stages]
    with_gpus = (
        replace(replicas, cores=np.array([gpus[name] for name in replicas.variant], dtype=np.int64))
        for replicas, gpus in zip(records.replicas, gpus_by_stage, strict=True)
    )
    return sum(laws.replica_core_s(replicas, records) for replicas in with_gpus)


class Totalling:
    """Adds up the totals of a run while it is handed over.

    They equal those of the records, except that the quantiles have a relative error of up to `RELATIVE_ERROR` (0.1 %).
    Memory: one byte for each request (more only if the combinations of variants do not fit into a byte), and 16 bytes
    for each second of the duration.
    """

    def __init__(self, pipeline: Pipeline, arrivals_s: FloatArray, world: World) -> None:
        self._arrivals_s = arrivals_s
        self._duration_s = world.duration_s
        self._hop_s = world.hop_s
        self._sla_s = pipeline.sla_s
        self._pipeline = pipeline
        self._variants = [[variant.name for variant in stage.variants] for stage in pipeline.stages]
        # The variants that served a request, as the digits of a mixed-radix number, first stage last; 0: not served.
        self._radixes = [1 + len(names) for names in self._variants]
        self._served = np.zeros(len(arrivals_s), np.min_scalar_type(prod(self._radixes) - 1))
        self._of_served: Counter[int] = Counter()  # completed requests by this number
        self._stages = [laws.StageTotals() for _ in pipeline.stages]
        self._open: list[Batches | None] = [None for _ in pipeline.stages]  # not yet at the next stage
        self._histogram = Histogram()
        self._latency_sum = ExactSum()
        self._in_time = self._within = self._good = self._failed = 0
        self._in_time_by_second = np.zeros(ceil(world.duration_s), dtype=np.int64)

    def take(self, handover: Handover) -> list[Completed]:
        """Add what has happened at a stage since the last call; returns the requests that have completed since, in
        parts."""
        position, fresh, total = handover.stage, handover.batches, self._stages[handover.stage]
        place = prod(self._radixes[:position])
        digits = (place * (1 + handover.variant)).astype(self._served.dtype)
        self._served[fresh.requests] += np.repeat(digits, fresh.size)
        total.dropped += len(handover.drops.requests)
        self._failed += int(np.count_nonzero(handover.drops.failed))
        total.dropped_sum_s += float(handover.drops.dropped_s.sum())
        is_last = position + 1 == len(self._stages)
        hop_s = 0.0 if is_last else self._hop_s
        open_before, still_open = self._open[position], []
        completed = []
        for batches in (fresh,) if open_before is None else (open_before, fresh):
            going_on = batches.where(handover.drops.goes_on(batches))
            delivered, rest = going_on.apart(going_on.finish_s + hop_s <= handover.before_s)
            still_open.append(rest)
            for part in delivered:
                total.delivered += len(part.requests)
                total.delivered_sum_s += float(np.sum((part.finish_s + hop_s) * part.size))
                self._finish(position, part)
                if is_last:
                    completed.append(self._complete(part))
        self._open[position] = reduce(Batches.followed_by, still_open)
        return completed

    def _finish(self, position: int, batches: Batches) -> None:
        total = self._stages[position]
        total.finished += len(batches.requests)
        total.finished_sum_s += float(np.sum(batches.finish_s * batches.size))

    def _complete(self, batches: Batches) -> Completed:
        finish_s = np.repeat(batches.finish_s, batches.size)
        within = batches.finish_s <= self._duration_s
        arrival_s = self._arrivals_s[batches.requests]
        latency_s = finish_s - arrival_s
        in_time = latency_s <= self._sla_s
        self._in_time += int(np.count_nonzero(in_time))
        self._within += int(batches.size[within].sum())
        self._good += int(np.count_nonzero(in_time if within.all() else in_time & np.repeat(within, batches.size)))
        self._count_seconds((arrival_s if in_time.all() else arrival_s[in_time]).astype(np.int64))
        self._latency_sum.add(latency_s)
        self._histogram.add(latency_s)
        numbers, counts = _counted(self._served[batches.requests])
        self._of_served.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
        return Completed(batches.requests, finish_s, latency_s)

    def _count_seconds(self, second: IntArray) -> None:
        """Count requests in time by the second of their arrival."""
        if len(second):
            first = int(second.min())
            counts = np.bincount(second - first)
            self._in_time_by_second[first : first + len(counts)] += counts

    def totals(self, engine: Engine, records: Records) -> Totals:
        """The totals of a finished run; `records` must hold all replicas. Raises LawError if they break a law."""
        for position, batches in enumerate(self._open):
            if batches is not None:
                self._finish(position, batches.where(batches.finish_s <= engine.end_s))
        laws.check_totals(self._stages, records, engine)
        completed = self._stages[-1].finished
        dropped = sum(total.dropped for total in self._stages)
        come = self._arrivals_s.searchsorted(np.arange(len(self._in_time_by_second) + 1))
        arrived = come[1:] - come[:-1]
        return Totals(
            duration_s=self._duration_s,
            requests=len(self._arrivals_s),
            completed=completed,
            dropped=dropped - self._failed,
            failed=self._failed,
            unfinished=len(self._arrivals_s) - completed - dropped,
            in_time=self._in_time,
            within=self._within,
            good=self._good,
            seconds=int(np.count_nonzero(arrived)),
            seconds_violated=violated_seconds(arrived, self._in_time_by_second),
            worst_hour=worst_hour(arrived, self._in_time_by_second),
            latency_sum_s=self._latency_sum.value(),
            quantiles_s=self._histogram.quantiles(QUANTILES),
            relative_error=RELATIVE_ERROR,
            accuracy_sum=self._accuracy_sum(),
            served=self._served_variants(),
            core_s=_core_s(records),
            room_lack=_room_lack(records),
        )

    def _accuracy_sum(self) -> float:
        """The exact sum, rounded once, as by `fsum`."""
        total = Fraction(0)
        for served, count in self._of_served.items():
            total += count * Fraction(self._pipeline.accuracy_of(self._names(served)))
        return float(total)

    def _served_variants(self) -> tuple[Mapping[str, int], ...]:
        counts_by_stage: tuple[Counter[str], ...] = tuple(Counter() for _ in self._variants)
        for served, count in self._of_served.items():
            for of_stage, name in zip(counts_by_stage, self._names(served), strict=True):
                of_stage[name] += count
        return counts_by_stage

    def _names(self, served: int) -> list[str]:
        """The variants of a mixed-radix number, one for each stage."""
        names = []
        for radix, variants in zip(self._radixes, self._variants, strict=True):
            served, digit = divmod(served, radix)
            names.append(variants[digit - 1])
        return names


def summarise(
    pipeline: Pipeline,
    records: Records,
    initial: Configuration,
    entries: Sequence[Entry],
    sla_s: float,
    price_per_core: float,
    goal: Goal = NO_GOAL,
) -> dict[str, Any]:
    """The figures of a run with all records and journal entries; see `summary_of`."""
    planned = Planned.of(pipeline, initial, entries, goal)
    return summary_of(pipeline, totals_of(pipeline, records, sla_s), planned, sla_s, price_per_core)


def summary_of(
    pipeline: Pipeline, totals: Totals, planned: Planned, sla_s: float, price_per_core: float
) -> dict[str, Any]:
    """The figures of one run, in seconds, requests per second, and cores times price; accuracies in points (x 100).

    The SLA violation rate is the share of late, dropped, failed and unfinished requests among all; for that of the
    worst hour see `worst_hour`. The rate of violated seconds is the share of seconds whose p99 is above the SLA among
    those with arrivals (see `violated_seconds`). Rates and cost cover the trace's duration. Planned figures are means
    over time of the decided configuration in force. A figure of completed requests is None if no request completed.
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
        "sla_violation_worst_hour_rate": totals.worst_hour,
        "sla_violation_seconds_rate": totals.seconds_violated / totals.seconds if totals.seconds else 0.0,
        "goodput_rps": totals.good / duration_s,
        "throughput_rps": totals.within / duration_s,
        "latency_mean_s": totals.latency_sum_s / completed if completed else None,
        "latency_p50_s": p50_s,
        "latency_p95_s": p95_s,
        "latency_p99_s": p99_s,
        "latency_quantiles_relative_error": totals.relative_error,
        **totals.token_times,
        "cost_mean_cores": core_s / duration_s,
        "cost_core_s": core_s,
        **({} if totals.gpu_s is None else {"gpus_mean": totals.gpu_s / duration_s}),
        "pas_mean": 100.0 * totals.accuracy_sum / completed if completed else None,
        "stage_accuracy_mean": {
            stage.name: mean_accuracy(stage, served)
            for stage, served in zip(pipeline.stages, totals.served, strict=True)
        },
        "planned_cost_mean_cores": planned.mean_cores(duration_s) * price_per_core,
        "planned_pas_mean": 100.0 * planned.mean_accuracy(duration_s),
        "decisions": planned.decisions,
        "infeasible_decisions": planned.infeasible,
        "below_accuracy_decisions": planned.below_accuracy,
        "above_cores_decisions": planned.above_cores,
        "uncovered_decisions": planned.uncovered,
        "overloaded_decisions": planned.overloaded,
        "changes": planned.changes,
        "room_lacked": totals.room_lack.times,
        "room_lacked_s": totals.room_lack.lasted_s,
    }


def mean_accuracy(stage: Stage, served: Mapping[str, int]) -> float | None:
    """The mean accuracy (x 100) of a stage's variants over the requests that they served; None if there are none."""
    count = sum(served.values())
    total = sum(times * Fraction(stage.variant(name).accuracy) for name, times in served.items())
    return float(100 * total / count) if count else None
