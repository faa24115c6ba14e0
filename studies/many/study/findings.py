"""The finished runs of a study, by cell: a system (or a point of a sweep) on a workload in a setting, over seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import Any

from ipa.studies.intervals import Estimate, estimate_of
from ipa.studies.many import Outcome, Store
from ipa.studies.many.study.plan import Trial
from ipa.studies.many.study.schema import Study
from ipa.studies.scenario import Scenario

Values = Mapping[int, float | None]
"""A figure by seed."""

INFEASIBLE_SHARE = "infeasible_share"
"""Of a cell's decisions."""

LOST = "lost"
"""A cell's requests that were dropped or failed."""


@dataclass(frozen=True)
class Cell:
    """The runs of one cell, by seed; `point` is empty for a system. `scenario`: with the first seed."""

    pipeline: str
    setting: str
    workload: str
    system: str
    point: str
    scenario: Scenario
    outcomes: Mapping[int, Outcome]

    def values(self, key: str, factor: float = 1.0) -> Values:
        """A figure of the summary by seed, or one of `DERIVED`, times a factor."""
        found = {seed: run[key] for seed, run in self.summaries(key).items()}
        return {seed: None if value is None else factor * value for seed, value in found.items()}

    def summaries(self, key: str) -> Mapping[int, Mapping[str, Any]]:
        """The runs' summaries by seed, which have the figure even if it is one of `DERIVED`."""
        of = DERIVED.get(key, itemgetter(key))
        return {seed: {**outcome.summary, key: of(outcome.summary)} for seed, outcome in self.outcomes.items()}

    def estimate(self, key: str, factor: float = 1.0) -> Estimate | None:
        """A figure's mean over the seeds with its interval; None where no run has it."""
        return estimate_of(key, self.summaries(key).values(), factor)

    def mean(self, key: str, factor: float = 1.0) -> float:
        """A figure's mean over the seeds, NaN where no run has it."""
        found = self.estimate(key, factor)
        return float("nan") if found is None else found.mean

    @property
    def name(self) -> tuple[str, str, str, str, str]:
        """The columns that name the cell in a table."""
        return self.pipeline, self.setting, self.workload, self.system, self.point


@dataclass(frozen=True)
class Findings:
    """All finished runs of a study."""

    study: Study
    pipeline: str
    cells: Sequence[Cell]
    _by_name: dict[tuple[str, str, str, str], Cell] = field(default_factory=dict, compare=False, repr=False)

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

    def cell(self, setting: str, workload: str, system: str, point: str = "") -> Cell | None:
        """The cell of that name, if the study has it."""
        return self._by_name.get((setting, workload, system, point))

    def of(self, setting: str, workload: str, name: str) -> list[Cell]:
        """The cells of a system (one) or a sweep (its points) on a workload in a setting."""
        return [cell for cell in self.cells if (cell.setting, cell.workload, cell.system) == (setting, workload, name)]

    def places(self) -> Iterator[tuple[str, str]]:
        """Every setting with every workload."""
        for setting in self.study.settings:
            for workload in self.study.workloads:
                yield setting, workload

    def title(self, name: str, point: str = "") -> str:
        """A system's or a sweep's name for people, with the point's."""
        part: Any = self.study.systems.get(name) or self.study.sweeps[name]
        title = part.title or name
        return f"{title} ({point})" if point else title


def _infeasible_share(summary: Mapping[str, Any]) -> float:
    return float(summary["infeasible_decisions"] / max(summary["decisions"], 1))


def _lost(summary: Mapping[str, Any]) -> float:
    return float(summary["dropped"] + summary["failed"])


DERIVED: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {INFEASIBLE_SHARE: _infeasible_share, LOST: _lost}
"""The figures of a cell that are not in a summary."""


def gather(study: Study, trials: Sequence[Trial], store: Store) -> Findings:
    """The findings of a study all of whose trials, at least one, are in the store."""
    cells: dict[tuple[str, str, str, str], tuple[Trial, dict[int, Outcome]]] = {}
    for trial in trials:
        name = trial.setting, trial.workload, trial.system, trial.point
        cells.setdefault(name, (trial, {}))[1][trial.seed] = store.outcome(trial.key)
    return Findings(
        study=study,
        pipeline=trials[0].pipeline,
        cells=[
            Cell(first.pipeline, *name, scenario=first.scenario, outcomes=outcomes)
            for name, (first, outcomes) in cells.items()
        ],
    )
