"""The summary of a run: one flat dictionary of stable names, from its totals and from what was decided during it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum
from operator import mul, sub
from typing import Self

from ipa.policies import Applied, Configuration, Entry, Journal
from ipa.profiles import Pipeline
from ipa.sim.records import Records
from ipa.sim.tables import configured_accuracy, configured_cores
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


class Planned:
    """The configurations in force during a run, in order: since when, with what cores and accuracy in all.

    A refused decision leaves the one before it in force.
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
        """From a journal. `initial` was in force before its first entry, unless that entry is of time 0."""
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
        wanted = [configuration[name] for name in self._names]
        if any(each.beside for each in wanted):
            return configured_accuracy(self._pipeline, configuration)
        chosen = tuple([each.variant for each in wanted])
        if chosen not in self._known:
            self._known[chosen] = configured_accuracy(self._pipeline, configuration)
        return self._known[chosen]

    def mean_cores(self, duration_s: float) -> float:
        """The mean over time of the cores decided on."""
        return self._time_mean(self._cores, duration_s)

    def mean_accuracy(self, duration_s: float) -> float:
        """The mean over time of the accuracy decided on."""
        return self._time_mean(self._accuracy, duration_s)

    def _time_mean(self, values: list[float], duration_s: float) -> float:
        until_s = [*self._since_s[1:], duration_s]
        return fsum(map(mul, map(sub, until_s, self._since_s), values)) / duration_s


class LatestEntry(Journal):
    """A journal that keeps only its latest entry; what the summary needs of the others goes to `planned`."""

    def __init__(self, planned: Planned) -> None:
        super().__init__()
        self._planned = planned

    def decided(self, entry: Entry) -> None:
        """Note a decision in place of the one before."""
        self.entries = [entry]

    def answered(self, outcome: Applied) -> None:
        """Add the backend's answer, which says whether the decision is in force."""
        super().answered(outcome)
        self._planned.decided(self.entries[-1])
