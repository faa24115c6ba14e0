"""Running settings on cases, on all cores: a task is a few runs of one setting in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from math import nan
from typing import NamedTuple

import numpy as np

from ipa.errors import Error
from ipa.studies.many.many_runs import summaries
from ipa.studies.many.tuning.cases import Case, of_case
from ipa.studies.many.tuning.racing import Columns
from ipa.studies.many.tuning.space import Values
from ipa.studies.many.tuning.wishes import OUTCOMES
from ipa.studies.many.workers import run_all
from ipa.studies.scenario import Scenario, Shared

CHUNK = 4
"""Runs in a task: an interrupt waits for those that have begun."""

Rows = list[list[float | None]]
"""Of each run the `OUTCOMES`; None where it has none."""


class Task(NamedTuple):
    """Runs of setting number `place`: the cases from number `begin` on."""

    place: int
    values: Values
    begin: int
    cases: tuple[Case, ...]


def tasks_of(place: int, values: Values, cases: Sequence[Case], begin: int, end: int) -> Iterator[Task]:
    """Tasks for the cases from number `begin` up to, without, `end`."""
    for first in range(begin, end, CHUNK):
        yield Task(place, values, first, tuple(cases[first : min(first + CHUNK, end)]))


def run_tasks(base: Scenario, tasks: Sequence[Task], jobs: int, keep: Callable[[Task, Rows | str], object]) -> None:
    """Run all tasks and `keep` what comes of each as it finishes: rows, or the text of the error that ended it.

    Raises as `workers.run_all`.
    """
    run_all(partial(_rows, base), tasks, jobs, lambda place, found: keep(tasks[place], found))


def columns_of(rows: Rows) -> Columns:
    """The outcomes of runs, by name."""
    table = np.array([[nan if value is None else value for value in row] for row in rows], dtype=np.float64)
    return dict(zip(OUTCOMES, table.reshape(len(rows), len(OUTCOMES)).T, strict=True))


def means_of(found: Columns) -> dict[str, float]:
    """The mean of each outcome over the runs that have it; NaN where one has not, as it is then unknown."""
    return {name: float(values.mean()) for name, values in found.items()}


def _rows(base: Scenario, task: Task) -> Rows | str:
    try:
        scenario = base.with_values(task.values)
    except Error as error:
        return str(error)
    rows: Rows = []
    for summary in summaries((of_case(scenario, case) for case in task.cases), _shared()):
        if isinstance(summary, str):
            return summary
        rows.append([summary[name] for name in OUTCOMES])
    return rows


@cache
def _shared() -> Shared:
    """What the runs of this process have in common; workers begin with what their parent has found."""
    return Shared()
