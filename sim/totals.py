"""A run's figures of requests and replicas: from its records, or added up during the run without records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, prod

import numpy as np

from ipa.profiles import Pipeline
from ipa.sim import laws
from ipa.sim.aggregates import RELATIVE_ERROR, ExactSum, Histogram, exact_sum
from ipa.sim.interface import Batches, Engine, Handover
from ipa.sim.intervals import NONE_COMPLETED, Completed
from ipa.sim.model import FloatArray, IntArray, World
from ipa.sim.records import COMPLETED, DROPPED, FAILED, UNFINISHED, Records
from ipa.sim.tables import served_accuracy

QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Totals:
    """Counts of requests and sums over them.

    Of the completed requests, `in_time` kept the SLA, `within` completed before the end of the trace, and `good` did
    both. Requests arrived in `seconds` different seconds; in `seconds_violated` of them the p99 of that second's
    requests is above the SLA (see `violated_seconds`). The sums are over completed requests. `quantiles_s` are the
    quantiles `QUANTILES` of their latency, each within `relative_error` of the exact one; None if nothing completed.
    `core_s`: the core-seconds of all replicas.
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
    """The totals of a run that has kept all records."""
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
    """Their sum; an unknown one (NaN: of a live request whose record was lost) counts as the mean of the others."""
    known = accuracies[np.isfinite(accuracies)]
    if not len(known):
        return 0.0
    different, counts = np.unique(known, return_counts=True)
    total = sum(int(count) * Fraction(accuracy) for accuracy, count in zip(different, counts, strict=True))
    return float(total) * (len(accuracies) / len(known))


def violated_seconds(arrived: IntArray, in_time: IntArray) -> int:
    """The number of seconds whose p99 is above the SLA; both arrays count requests by the second of their arrival.

    A request that never completed counts as infinitely late. The p99 is the least latency that at least 99 % of the
    second's requests keep, so a second counts if more than 1 % of its requests violate the SLA.
    """
    return int(np.count_nonzero(100 * (arrived - in_time) > arrived))


def _counted(numbers: IntArray) -> tuple[IntArray, IntArray]:
    """The different ones of some small numbers, and how often each occurs; shape of `numbers`: (n,)."""
    if numbers.dtype.itemsize > 1:
        return np.unique(numbers, return_counts=True)
    counts = np.bincount(numbers)
    (found,) = np.nonzero(counts)
    return found, counts[found]


def _core_s(records: Records) -> float:
    return sum(laws.replica_core_s(replicas, records) for replicas in records.replicas)


class Totalling:
    """Adds up a run while it is handed over.

    The result is that of the records, except for the quantiles, whose relative error is up to `RELATIVE_ERROR` (0.1 %).
    Memory: one byte a request (more only if there are too many combinations of variants for a byte), and 16 bytes for
    each second of the duration.
    """

    def __init__(self, pipeline: Pipeline, arrivals_s: FloatArray, world: World) -> None:
        self._arrivals_s = arrivals_s
        self._duration_s = world.duration_s
        self._hop_s = world.hop_s
        self._sla_s = pipeline.sla_s
        self._pipeline = pipeline
        self._variants = [[variant.name for variant in stage.variants] for stage in pipeline.stages]
        # The variants that served a request, as digits of a mixed radix, the first stage's last; 0: not served there.
        self._radixes = [1 + len(names) for names in self._variants]
        self._served = np.zeros(len(arrivals_s), np.min_scalar_type(prod(self._radixes) - 1))
        self._of_served: Counter[int] = Counter()  # completed requests, by that number
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
        """The totals of a finished run; LawError if they break a law. `records` must hold all replicas."""
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
