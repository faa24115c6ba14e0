"""The figures of a run: totals over its requests and replicas, and its summary, a flat dictionary of stable names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, fsum, prod
from operator import mul, sub
from typing import Self

import numpy as np

from ipa.policies import Applied, Configuration, Entry, Journal
from ipa.profiles import Pipeline
from ipa.sim import laws
from ipa.sim.aggregates import RELATIVE_ERROR, ExactSum, Histogram, exact_sum
from ipa.sim.interface import Batches, Engine, Handover
from ipa.sim.intervals import NONE_COMPLETED, Completed
from ipa.sim.model import FloatArray, IntArray, World
from ipa.sim.records import COMPLETED, DROPPED, FAILED, UNFINISHED, Records
from ipa.sim.tables import configured_accuracy, configured_cores, served_accuracy

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Totals:
    """Counts of requests and sums over them.

    Of the completed requests, `in_time` kept the SLA, `within` completed before the end of the trace, and `good` did
    both. Requests arrived in `seconds` different seconds; in `seconds_violated` of these, the requests' p99 is above
    the SLA (see `violated_seconds`). The sums are over completed requests. `quantiles_s` are the quantiles `QUANTILES`
    of their latency, each within `relative_error` of the exact one; None if no request completed. `core_s`: the
    core-seconds of all replicas.
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
    latency_sum_s: float
    quantiles_s: tuple[float, ...] | None
    relative_error: float
    accuracy_sum: float
    core_s: float


def totals_of(pipeline: Pipeline, records: Records, sla_s: float) -> Totals:
    """The totals of a run with the records of all requests."""
    outcome, duration_s = records.outcome, records.duration_s
    completed = outcome == COMPLETED
    latency_s = (records.end_s - records.arrival_s)[completed]
    in_time = latency_s <= sla_s
    within = (records.end_s <= duration_s)[completed]
    second = records.arrival_s.astype(np.int64)
    arrived = np.bincount(second)
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
        latency_sum_s=exact_sum(latency_s),
        quantiles_s=tuple(np.quantile(latency_s, QUANTILES).tolist()) if len(latency_s) else None,
        relative_error=0.0,
        accuracy_sum=_accuracy_sum(served_accuracy(pipeline, records)[completed]),
        core_s=_core_s(records),
    )


def _accuracy_sum(accuracies: FloatArray) -> float:
    """The sum of the accuracies; an unknown one (NaN: a live request without record) counts as the mean of the rest."""
    known = accuracies[np.isfinite(accuracies)]
    if not len(known):
        return 0.0
    different, counts = np.unique(known, return_counts=True)
    total = sum(int(count) * Fraction(accuracy) for accuracy, count in zip(different, counts, strict=True))
    return float(total) * (len(accuracies) / len(known))


def violated_seconds(arrived: IntArray, in_time: IntArray) -> int:
    """The number of seconds whose p99 is above the SLA; both arrays count requests by the second of their arrival.

    A request that never completed counts as infinitely late. The p99 is the least latency that at least 99 % of the
    second's requests do not exceed, so a second counts if more than 1 % of its requests violate the SLA.
    """
    return int(np.count_nonzero(100 * (arrived - in_time) > arrived))


def _counted(numbers: IntArray) -> tuple[IntArray, IntArray]:
    """The distinct values of small numbers, and how often each occurs; shape of `numbers`: (n,)."""
    if numbers.dtype.itemsize > 1:
        return np.unique(numbers, return_counts=True)
    counts = np.bincount(numbers)
    (found,) = np.nonzero(counts)
    return found, counts[found]


def _core_s(records: Records) -> float:
    return sum(laws.replica_core_s(replicas, records) for replicas in records.replicas)


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

    def take(self, given: Handover) -> Completed:
        """Add what has happened at a stage since the last call; returns the requests that have completed since."""
        position, fresh, total = given.stage, given.batches, self._stages[given.stage]
        place = prod(self._radixes[:position])
        digits = (place * (1 + given.variant)).astype(self._served.dtype)
        self._served[fresh.requests] += np.repeat(digits, fresh.size)
        total.dropped += len(given.drops.requests)
        self._failed += int(np.count_nonzero(given.drops.failed))
        total.dropped_sum_s += float(given.drops.dropped_s.sum())
        open_before = self._open[position]
        batches = fresh if open_before is None else open_before.followed_by(fresh)
        batches = batches.where(given.drops.goes_on(batches))
        is_last = position + 1 == len(self._stages)
        delivered_s = batches.finish_s if is_last else batches.finish_s + self._hop_s
        delivered = delivered_s <= given.before_s
        self._open[position] = None if delivered.all() else batches.where(~delivered)
        gone = batches.where(delivered)
        total.delivered += len(gone.requests)
        total.delivered_sum_s += float(np.sum(delivered_s[delivered] * gone.size))
        self._finish(position, gone)
        return self._complete(gone) if is_last else NONE_COMPLETED

    def _finish(self, position: int, batches: Batches) -> None:
        total = self._stages[position]
        total.finished += len(batches.requests)
        total.finished_sum_s += float(np.sum(batches.finish_s * batches.size))

    def _complete(self, batches: Batches) -> Completed:
        finish_s = np.repeat(batches.finish_s, batches.size)
        within = finish_s <= self._duration_s
        arrival_s = self._arrivals_s[batches.requests]
        latency_s = finish_s - arrival_s
        in_time = latency_s <= self._sla_s
        self._in_time += int(np.count_nonzero(in_time))
        self._within += int(np.count_nonzero(within))
        self._good += int(np.count_nonzero(in_time & within))
        self._count_seconds(arrival_s[in_time].astype(np.int64))
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
            latency_sum_s=self._latency_sum.value(),
            quantiles_s=self._histogram.quantiles(QUANTILES),
            relative_error=RELATIVE_ERROR,
            accuracy_sum=self._accuracy_sum(),
            core_s=_core_s(records),
        )

    def _accuracy_sum(self) -> float:
        """The exact sum, rounded once, as by `fsum`."""
        total = Fraction(0)
        for served, count in self._of_served.items():
            chosen, digits = [], served
            for radix, names in zip(self._radixes, self._variants, strict=True):
                digits, digit = divmod(digits, radix)
                chosen.append(names[digit - 1])
            total += count * Fraction(self._pipeline.accuracy_of(chosen))
        return float(total)


def summarise(
    pipeline: Pipeline,
    records: Records,
    initial: Configuration,
    entries: Sequence[Entry],
    sla_s: float,
    price_per_core: float,
) -> dict[str, int | float | None]:
    """The figures of a run with all records and journal entries; see `summary_of`."""
    return summary_of(
        totals_of(pipeline, records, sla_s), Planned.of(pipeline, initial, entries), sla_s, price_per_core
    )


def summary_of(totals: Totals, planned: Planned, sla_s: float, price_per_core: float) -> dict[str, int | float | None]:
    """The figures of one run, in seconds, requests per second, and cores times price; PAS in points (x 100).

    The SLA violation rate is the share of late, dropped, failed and unfinished requests among all. The rate of violated
    seconds is the share of seconds whose p99 is above the SLA among those with arrivals (see `violated_seconds`). Rates
    and cost cover the trace's duration. Planned figures are means over time of the decided configuration in force. A
    figure of completed requests is None if no request completed.
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


class Planned:
    """The configurations in force during a run, in order: since when, their total cores and their accuracy.

    A refused decision leaves the previous one in force.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._names = tuple(stage.name for stage in pipeline.stages)
        self._latest: Configuration | None = None
        self._since_s: list[float] = []
        self._cores: list[float] = []
        self._accuracy: list[float] = []
        self._known: dict[tuple[str, ...], float] = {}  # accuracies, by the stages' variants
        self.decisions = 0
        self.infeasible = 0
        self.changes = 0

    @classmethod
    def of(cls, pipeline: Pipeline, initial: Configuration, entries: Iterable[Entry]) -> Self:
        """Read them from a journal. `initial` was in force before its first entry, unless that is of time 0."""
        planned = cls(pipeline)
        for entry in entries:
            if not planned.decisions and entry.observation.step > 0:
                planned.stands(initial, 0.0)
            planned.decided(entry)
        if not planned.decisions:
            planned.stands(initial, 0.0)
        return planned

    def decided(self, entry: Entry) -> None:
        """Add a decision."""
        self.decisions += 1
        self.infeasible += not entry.decision.feasible
        if not entry.is_refused:
            self.stands(entry.decision.configuration, entry.observation.time_s)

    def stands(self, configuration: Configuration, since_s: float) -> None:
        """Add a configuration that is in force from `since_s` on."""
        self._since_s.append(since_s)
        if configuration == self._latest:
            self._cores.append(self._cores[-1])
            self._accuracy.append(self._accuracy[-1])
            return
        self.changes += self._latest is not None
        self._latest = configuration
        self._cores.append(float(configured_cores(configuration)))
        self._accuracy.append(self._accuracy_of(configuration))

    def _accuracy_of(self, configuration: Configuration) -> float:
        chosen = tuple([configuration[name].variant for name in self._names])
        if chosen not in self._known:
            self._known[chosen] = configured_accuracy(self._pipeline, configuration)
        return self._known[chosen]

    def mean_cores(self, duration_s: float) -> float:
        """The mean over time of the decided cores."""
        return self._time_mean(self._cores, duration_s)

    def mean_accuracy(self, duration_s: float) -> float:
        """The mean over time of the decided accuracy."""
        return self._time_mean(self._accuracy, duration_s)

    def _time_mean(self, values: list[float], duration_s: float) -> float:
        until_s = [*self._since_s[1:], duration_s]
        return fsum(map(mul, map(sub, until_s, self._since_s), values)) / duration_s


class LatestEntry(Journal):
    """A journal that keeps only its latest entry; each entry's figures for the summary go to `planned`."""

    def __init__(self, planned: Planned) -> None:
        super().__init__()
        self._planned = planned

    def decided(self, entry: Entry) -> None:
        """Record a decision in place of the previous one."""
        self.entries = [entry]

    def answered(self, outcome: Applied) -> None:
        """Add the backend's answer, which says whether the decision is in force."""
        super().answered(outcome)
        self._planned.decided(self.entries[-1])
