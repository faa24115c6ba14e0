"""Worker processes that make the runs of answers; they are warm and replaceable.

A policy that raises, prints, hangs or ends its process affects one run only, and is reported. A superseded run is
cancelled at its next decision; if that does not come soon, its process is killed.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from ipa.errors import Error
from ipa.studies.explore.coarse import coarse_part
from ipa.studies.explore.figures import DrawnRun
from ipa.studies.explore.fleets import FleetTask, view_of_fleet
from ipa.studies.explore.inside import inside
from ipa.studies.explore.plan import planned
from ipa.studies.explore.take import FORMS, taken
from ipa.studies.many import Child, ProcessEndedError, StoppedError, SupersededError, look
from ipa.studies.runs import simulate
from ipa.studies.scenario import Scenario, Shared


@dataclass(frozen=True)
class RunTask:
    """A task: a scenario, and which `view` of its run is requested: "summary"; "drawn", with tables; "inside", for
    moments and decisions. "brief" and "first" are "drawn" for the beginning of a long load; if the load is not long,
    "brief" is empty and "first" covers all of it. "plan" is the plan for a load instead of a run; one of `FORMS` is a
    file of the runs of the scenario and `others`."""

    scenario: Scenario
    view: str = "summary"
    load_rps: float = 0.0
    others: tuple[Scenario, ...] = ()

    @property
    def title(self) -> str:
        """What it is called where there are several."""
        return f"{self.scenario.policy.title}, seed {self.scenario.seed}"


class TaskError(Error):
    """A run that ended without a result; the text says why."""


class Crew:
    """A pool of workers for the runs of all questions, first in, first out."""

    def __init__(self, size: int) -> None:
        self._children = [Child() for _ in range(size)]
        self._idle: SimpleQueue[Child] = SimpleQueue()
        self._threads = ThreadPoolExecutor(size, "runs")
        for child in self._children:
            self._threads.submit(self._begin, child)  # a process takes a second to start

    def _begin(self, child: Child) -> None:
        try:
            child.call(warm_up)
        finally:
            self._idle.put(child)

    def run_all(
        self, tasks: Sequence[Sequence[RunTask | FleetTask]], is_stale: Callable[[], bool]
    ) -> list[list[dict[str, Any]]]:
        """Execute the tasks of each policy, by seed. The first failure cancels the others.

        Raises RunError if a run fails, SupersededError once `is_stale`.
        """
        failed: list[Error] = []
        several = sum(map(len, tasks)) > 1

        def given_up() -> bool:
            return bool(failed) or is_stale()

        def result_of(task: RunTask | FleetTask) -> dict[str, Any]:
            child = self._idle.get()
            try:
                if given_up():
                    raise SupersededError
                kind, view = child.call(view_of, task, is_stale=given_up)
                if kind == "error":
                    raise TaskError(view)
                return dict(view)
            except (TaskError, ProcessEndedError) as error:
                whose = f"{task.title}: " if several else ""
                failed.append(TaskError(f"{whose}{error}"))
            except SupersededError as error:
                failed.append(error)
            finally:
                self._idle.put(child)
            return {}

        futures = [[self._threads.submit(result_of, task) for task in of_policy] for of_policy in tasks]
        results = [[future.result() for future in of_policy] for of_policy in futures]
        if failed:
            raise failed[0]
        return results

    def close(self) -> None:
        """End all processes."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            child.close()


# ---- in the process ----


def warm_up() -> None:
    """Import what a run needs, and compile the engine."""
    with suppress(Error):
        DrawnRun.of(simulate(Scenario(pipeline="video", trace="constant:1", window=((0, 20),))), True)


_shared = Shared()
"""What coarse answers and fleets share: loads, read once, and policies."""


def _coarse(scenario: Scenario, view: str) -> dict[str, Any]:
    part = coarse_part(scenario, _shared)
    if part is None and view == "brief":
        return {}
    shorter, whole_s = part or (scenario, None)
    return {"run": DrawnRun.of(simulate(shorter, look, shared=_shared), True), "whole_s": whole_s}


def view_of(task: RunTask | FleetTask) -> tuple[str, Any]:
    """What a task asks for: "found" and the view, or "error" and its text."""
    try:
        if isinstance(task, FleetTask):
            return "found", view_of_fleet(task, _shared, look)
        scenario, view = task.scenario, task.view
        if view in FORMS:
            return "found", taken((scenario, *task.others), view, look)
        if view == "plan":
            return "found", planned(scenario, task.load_rps)
        if view in ("brief", "first"):
            return "found", _coarse(scenario, view)
        run = simulate(scenario, look)
        return "found", inside(run) if view == "inside" else {"run": DrawnRun.of(run, view == "drawn")}
    except Error as error:
        return "error", str(error)
    except StoppedError:
        raise
    except Exception as error:  # from a policy, or from us
        last = traceback.extract_tb(error.__traceback__)[-1]
        return "error", f"{Path(last.filename).name}:{last.lineno}: {type(error).__name__}: {error}"
