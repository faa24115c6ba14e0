"""The finished runs of a study, by cell: a system (or a point of a sweep) on a workload in a setting, over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np

from ipa.studies.formatting import signed
from ipa.studies.intervals import Estimate, difference_of, estimate_of, paired_change_percent
from ipa.studies.many import Course, Store
from ipa.studies.many.study.plan import Trial
from ipa.studies.many.study.schema import Headline, Study
from ipa.studies.runs import marked
from ipa.studies.scenario import Scenario, whole_trace

Values = Mapping[int, float | None]
"""A figure by seed."""

INFEASIBLE_SHARE = "infeasible_share"
"""The figure: the share of a cell's decisions that are infeasible."""

LOST = "lost"
"""The figure: the requests of a cell that were dropped or failed."""


@dataclass(frozen=True)
class StudyCell:
    """The runs of one cell, by seed; `point` is empty for a system. `scenario`: with the first seed."""

    pipeline: str
    setting: str
    workload: str
    system: str
    point: str
    scenario: Scenario
    outcomes: Mapping[int, Course]

    def values(self, key: str, factor: float = 1.0) -> Values:
        """A figure of the summary or of `DERIVED`, times a factor, by seed."""
        by_seed = {seed: run[key] for seed, run in self.summaries(key).items()}
        return {seed: None if value is None else factor * value for seed, value in by_seed.items()}

    def summaries(self, key: str) -> Mapping[int, Mapping[str, Any]]:
        """The runs' summaries by seed, including the figure even if it is one of `DERIVED`."""
        figure_of = DERIVED.get(key, itemgetter(key))
        return {seed: {**outcome.summary, key: figure_of(outcome.summary)} for seed, outcome in self.outcomes.items()}

    def estimate(self, key: str, factor: float = 1.0) -> Estimate | None:
        """A figure's mean over the seeds with its interval; None if no run has it."""
        return estimate_of(key, self.summaries(key).values(), factor)

    def mean(self, key: str, factor: float = 1.0) -> float:
        """A figure's mean over the seeds; NaN if no run has it."""
        estimate = self.estimate(key, factor)
        return float("nan") if estimate is None else estimate.mean

    @property
    def point_title(self) -> str:
        """The point's name for people; one that knows the load to come is marked as a bound."""
        return marked(self.point, next(iter(self.outcomes.values())).summary)

    @property
    def name(self) -> tuple[str, str, str, str, str]:
        """The values of the columns that name the cell in a table."""
        return self.pipeline, self.setting, self.workload, self.system, self.point


@dataclass(frozen=True)
class Findings:
    """All finished runs of a study on one pipeline."""

    study: Study
    pipeline: str
    cells: Sequence[StudyCell]
    _by_name: dict[tuple[str, str, str, str], StudyCell] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._by_name.update({cell.name[1:]: cell for cell in self.cells})

    @property
    def systems(self) -> tuple[str, ...]:
        """The systems' names, in the order of the study."""
        return tuple(self.study.systems)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds."""
        return tuple(self.cells[0].outcomes)

    @cached_property
    def traces(self) -> frozenset[str]:
        """The names of the loads."""
        return frozenset(cell.scenario.trace for cell in self.cells)

    def cell(self, setting: str, workload: str, system: str, point: str = "") -> StudyCell | None:
        """The cell of that name, if the study has it."""
        return self._by_name.get((setting, workload, system, point))

    def of(self, setting: str, workload: str, name: str) -> list[StudyCell]:
        """The cells of a system (one) or a sweep (its points) on a workload in a setting."""
        return [cell for cell in self.cells if (cell.setting, cell.workload, cell.system) == (setting, workload, name)]

    def places(self) -> Iterator[tuple[str, str]]:
        """Every setting with every workload."""
        for setting in self.study.settings:
            for workload in self.study.workloads:
                yield setting, workload

    def title(self, name: str, point: str = "") -> str:
        """A system's or a sweep's name for people, with the point's; what knows the load to come is marked a bound."""
        title = self.plain_title(name)
        return marked(f"{title} ({point})" if point else title, {"knows_future": (name, point) in self.bounds})

    def plain_title(self, name: str) -> str:
        """A system's or a sweep's name for people, without a mark."""
        part: Any = self.study.systems.get(name) or self.study.sweeps[name]
        return str(part.title or name)

    @cached_property
    def bounds(self) -> frozenset[tuple[str, str]]:
        """The systems, and points of sweeps, that know the load to come."""
        return frozenset(
            (cell.system, cell.point)
            for cell in self.cells
            if any(outcome.summary.get("knows_future") for outcome in cell.outcomes.values())
        )


def _infeasible_share(summary: Mapping[str, Any]) -> float:
    return float(summary["infeasible_decisions"] / max(summary["decisions"], 1))


def _lost(summary: Mapping[str, Any]) -> float:
    return float(summary["dropped"] + summary["failed"])


DERIVED: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {INFEASIBLE_SHARE: _infeasible_share, LOST: _lost}
"""The figures of a cell that are not in a summary."""


def gather(study: Study, trials: Sequence[Trial], store: Store) -> Findings:
    """The findings of a study whose trials, at least one, are all in the store."""
    cells: dict[tuple[str, str, str, str], tuple[Trial, dict[int, Course]]] = {}
    for trial in trials:
        name = trial.setting, trial.workload, trial.system, trial.point
        cells.setdefault(name, (trial, {}))[1][trial.seed] = Course.of(store.outcome(trial.key))
    return Findings(
        study=study,
        pipeline=trials[0].pipeline,
        cells=[
            StudyCell(first.pipeline, *name, scenario=first.scenario, outcomes=outcomes)
            for name, (first, outcomes) in cells.items()
        ],
    )


# Runs that failed, and the study without them: the systems whose runs have all finished.
#
# A system that lacks a run is left out of all tables, since its mean over some loads would be compared with means over
# all of them. Of a sweep, only the point is left out.


@dataclass(frozen=True)
class Failure:
    """A run that failed, and why."""

    trial: Trial
    error: str

    def as_dict(self) -> dict[str, Any]:
        """The names of the run and the error, JSON-able."""
        names = ("pipeline", "setting", "workload", "system", "point", "seed")
        return {**{name: getattr(self.trial, name) for name in names}, "error": self.error}


def failures(trials: Sequence[Trial], store: Store) -> tuple[Failure, ...]:
    """The runs that have failed and never finished."""
    errors = store.errors()
    return tuple(Failure(trial, errors[trial.key]) for trial in trials if trial.key in errors)


def finished(study: Study, trials: Sequence[Trial], failed: Sequence[Failure]) -> tuple[Study, tuple[Trial, ...]]:
    """The study without its failed systems and points, and its remaining runs; no runs if no system is left."""
    names = {failure.trial.system for failure in failed if not failure.trial.point}
    points = {(failure.trial.system, failure.trial.point) for failure in failed}
    systems = {name: system for name, system in study.systems.items() if name not in names}
    sweeps = {name: sweep for name, sweep in study.sweeps.items() if sweep.of in systems}
    running = {*systems, *sweeps}
    rest = replace(
        study,
        systems=systems,
        sweeps=sweeps,
        headline=_headline(study.headline, running),
        bound=study.bound if study.bound in systems else None,
    )
    remaining = (trial for trial in trials if trial.system in running and (trial.system, trial.point) not in points)
    return rest, tuple(remaining) if systems else ()


def _headline(headline: Headline | None, names: set[str]) -> Headline | None:
    if headline is None or headline.curve not in names:
        return None
    compared = {key: [name for name in getattr(headline, key) if name in names] for key in ("gain_over", "saving_over")}
    return headline.model_copy(update=compared)


# The first system of a study compared with each of the others, paired by seed, in figures and as a sentence.


@dataclass(frozen=True)
class SystemsComparison:
    """One cell compared with another on the same arrivals and draws: differences of PAS (points), of cost (percent of
    the other's), of SLA violations (percentage points), and the first two for planned figures."""

    one: StudyCell
    other: StudyCell
    pas_points: Estimate | None
    cost_percent: Estimate | None
    violations_points: Estimate | None
    planned_pas_points: Estimate | None
    planned_cost_percent: Estimate | None

    @classmethod
    def of(cls, cell: StudyCell, reference: StudyCell) -> SystemsComparison:
        """The comparison of two cells on the same workload."""

        def difference(key: str, factor: float = 1.0) -> Estimate | None:
            return difference_of(key, cell.summaries(key), reference.summaries(key), factor)

        def change(key: str) -> Estimate | None:
            return paired_change_percent(cell.values(key), reference.values(key))

        return cls(
            cell,
            reference,
            pas_points=difference("pas_mean"),
            cost_percent=change("cost_mean_cores"),
            violations_points=difference("sla_violation_rate", 100.0),
            planned_pas_points=difference("planned_pas_mean"),
            planned_cost_percent=change("planned_cost_mean_cores"),
        )

    @property
    def shown(self) -> str:
        """The differences in words: `+2.1 [1.9, 2.3] PAS at -0.4 [-1.1, 0.3] % cost and ...`."""
        return (
            f"{signed(self.pas_points, 1, ' PAS')}{' at' if self.pas_points else ','} "
            f"{signed(self.cost_percent, 1, ' % cost')} and "
            f"{signed(self.violations_points, 1, ' percentage points of SLA violations')}"
        )


def sentence(findings: Findings, comparison: SystemsComparison) -> str:
    """The comparison as one sentence."""
    cell, reference = comparison.one, comparison.other
    return (
        f"{findings.title(cell.system, cell.point)} against {findings.title(reference.system, reference.point)} on "
        f"{cell.pipeline} {cell.workload}: {comparison.shown}"
    )


def comparisons(findings: Findings) -> Iterator[SystemsComparison]:
    """The first system compared with each of the others, in every setting and on every workload that both have."""
    first, *others = findings.systems
    for setting, workload in findings.places():
        cell = findings.cell(setting, workload, first)
        for name in others:
            reference = findings.cell(setting, workload, name)
            if cell is not None and reference is not None:
                yield SystemsComparison.of(cell, reference)


# The error of a system's forecasts against the busiest second that followed.


HORIZON_S = 20
"""The horizon of the published predictor, which forecasts the busiest second of it."""


def smape_percent(cell: StudyCell) -> float | None:
    """The symmetric mean absolute percentage error of the forecasts in force at the start of each bin of a timeline.

    It is 100 x the mean of |forecast - busiest| / ((forecast + busiest) / 2), for the first seed; None without any
    forecast.
    """
    seed, outcome = next(iter(cell.outcomes.items()))
    counts = whole_trace(cell.scenario, seed).per_second()
    time_s, _, forecast_rps = outcome.timeline[:3]
    errors = []
    for start_s, forecast in zip(time_s.astype(np.int64), forecast_rps, strict=True):
        busiest = counts[start_s : start_s + HORIZON_S].max(initial=0)
        if np.isfinite(forecast) and forecast + busiest > 0:
            errors.append(abs(forecast - busiest) / ((forecast + busiest) / 2.0))
    return float(100.0 * np.mean(errors)) if errors else None
