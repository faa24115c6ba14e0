"""Views of runs: what an answer needs of one. Each is planned here by a key, made in a worker, and kept in a store."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

from ipa.errors import Error
from ipa.studies.explore.figures import DrawnRun
from ipa.studies.explore.fleets import view_of_fleet
from ipa.studies.explore.inside import inside
from ipa.studies.fleets import Fleet, planned_run
from ipa.studies.many import (
    FINISHED,
    FailedError,
    FinishedRun,
    Keys,
    PlannedRun,
    Standing,
    end_by_failure,
    failure_named,
    key_of,
    look,
    opened,
    run_missing,
)
from ipa.studies.runs import simulate
from ipa.studies.scenario import Scenario, Shared

MOST_BYTES = 2**28
"""How much the store holds between questions."""

VIEW = "view"
"""The file of a view in the store."""

Plan = Sequence[tuple[str, PlannedRun]]
"""Views to make, each with the name of its run, which is empty for a single one."""


def planned_view(keys: Keys, scenario: Scenario, view: str) -> PlannedRun:
    """A view of a scenario's run: "summary"; "drawn", with tables; "inside", for moments and decisions.

    Raises as `Keys.shared`.
    """
    key = key_of(keys.shared(scenario), scenario.seed)
    return PlannedRun(f"{view} {key}", {"view": view, "scenario": scenario.as_dict()})


def planned_view_of_fleet(keys: Keys, fleet: Fleet, view: str, pipeline: str = "") -> PlannedRun:
    """A view of a fleet's run, as of `view_of_fleet`. Raises as `Keys.shared`."""
    run = planned_run(keys, fleet)
    return PlannedRun(f"{view} {pipeline} {run.key}", {"view": view, "fleet": run.data, "pipeline": pipeline})


# ---- in a worker ----


def warm_up() -> None:
    """Import what a run needs, and compile the engine."""
    with suppress(Error):
        DrawnRun.of(simulate(Scenario(pipeline="video", trace="constant:1", window=((0, 20),))), True)


def made_view(planned: PlannedRun, shared: Shared) -> FinishedRun:
    """Make a view. A superseded run ends at its next decision. Raises as `simulate`."""
    return FinishedRun({}, {VIEW: pickle.dumps(_view(planned.data["view"], planned.data, shared))})


def _view(view: str, data: Any, shared: Shared) -> Any:
    if "fleet" in data:
        return view_of_fleet(Fleet.model_validate(data["fleet"]), view, data["pipeline"], shared, look)
    run = simulate(Scenario.model_validate(data["scenario"]), look, shared=shared)
    return inside(run) if view == "inside" else DrawnRun.of(run, view == "drawn")


# ---- the store ----


class Views:
    """The views of all answers, in a store on disk that ends with the server. Several threads may use it."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="ipa-explore-", ignore_cleanup_errors=True)  # a question may write
        self._path = Path(self._folder.name) / FINISHED
        self._lock = Lock()
        self._questions = 0  # under way

    def of(self, plan: Callable[[], Plan], executor: Standing, kept: Plan | None = None) -> tuple[list[Any], Plan]:
        """The views of a plan, and the plan; those that the store lacks are made.

        `kept`: an earlier plan, which is taken as long as the store has all its views, whatever the files hold now.

        Raises as `plan` and `Standing.make`, and ScenarioError for a run that fails, which ends the others.
        """
        with self._lock:
            self._questions += 1
        try:
            with opened(self._path) as store:
                planned = kept or plan()
                keys = [run.key for _, run in planned]
                if kept is not None and store.count(keys) < len(set(keys)):
                    return self.of(plan, executor)
                with failure_named(planned, store):
                    run_missing((run for _, run in planned), store, executor, made_view, end_by_failure)
                    if not store.errors().keys().isdisjoint(keys):  # it failed for another question meanwhile
                        raise FailedError
                views = [pickle.loads(store.outcome(key).files[VIEW]) for key in keys]
                if kept is None and [run.key for _, run in plan()] != keys:
                    store.forget(keys)  # a file has changed since: nobody knows which of the two was read
                return views, planned
        finally:
            self._leave()

    def _leave(self) -> None:
        """Bound the store once no question may need what is in it."""
        with self._lock:
            self._questions -= 1
            if not self._questions:
                with opened(self._path) as store:
                    store.forget_oldest(MOST_BYTES)

    def close(self) -> None:
        """Delete the store."""
        self._folder.cleanup()
