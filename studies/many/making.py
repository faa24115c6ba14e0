"""How a planned run is made, and what is kept of it: functions of this form, which other processes find by name."""

from __future__ import annotations

from collections.abc import Callable

from ipa.policies import OptimisingPolicy
from ipa.studies.many.outcome import FinishedRun, course_of, with_latencies
from ipa.studies.many.plan import OBJECTIVES, PlannedRun
from ipa.studies.runs import Run, prepare, simulate
from ipa.studies.runs.results import run_files
from ipa.studies.scenario import Scenario, Shared

Making = Callable[[PlannedRun, Shared], FinishedRun]
"""Makes a run with what runs share. Raises `Error` for one that fails."""


def made_run(planned: PlannedRun, shared: Shared, on_step: Callable[[float], object] = lambda _: None) -> Run:
    """The planned run of a scenario, with its judge's objectives. Raises as `simulate`."""
    run = simulate(Scenario.model_validate(planned.data), on_step, shared=shared)
    if planned.judge is not None:
        judge = prepare(Scenario.model_validate(planned.judge), shared).policy
        assert isinstance(judge, OptimisingPolicy), "a judge uses the optimiser"
        run.summary.update({key: run.objective(judge.programme, cost) for key, cost in OBJECTIVES.items()})
    return run


def summary_of(planned: PlannedRun, shared: Shared) -> FinishedRun:
    """A run's summary."""
    return FinishedRun(made_run(planned, shared).summary)


def latencies_of(planned: PlannedRun, shared: Shared) -> FinishedRun:
    """A run's summary, its manifest and its latencies."""
    return with_latencies(made_run(planned, shared))


def packed_course_of(planned: PlannedRun, shared: Shared) -> FinishedRun:
    """A run's course, for a study's tables and pages."""
    return course_of(made_run(planned, shared)).packed


def whole_run_of(planned: PlannedRun, shared: Shared) -> FinishedRun:
    """All of a run's own results folder."""
    run = made_run(planned, shared)
    return FinishedRun(run.summary, run_files(run))
