"""The tasks of answers, and what a worker process does for each: a run or a plan as the explorer shows it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ipa.errors import Error
from ipa.studies.explore.coarse import coarse_part
from ipa.studies.explore.figures import DrawnRun
from ipa.studies.explore.fleets import FleetTask, view_of_fleet
from ipa.studies.explore.inside import inside
from ipa.studies.explore.plan import planned
from ipa.studies.explore.take import FORMS, taken
from ipa.studies.many import look
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


def warm_up() -> None:
    """Import what a run needs, and compile the engine."""
    with suppress(Error):
        DrawnRun.of(simulate(Scenario(pipeline="video", trace="constant:1", window=((0, 20),))), True)


_shared = Shared()
"""What coarse answers and fleets share: loads, read once, and policies."""


def view_of(task: RunTask | FleetTask) -> dict[str, Any]:
    """What a task asks for. A superseded run ends at its next decision."""
    if isinstance(task, FleetTask):
        return view_of_fleet(task, _shared, look)
    scenario, view = task.scenario, task.view
    if view in FORMS:
        return taken((scenario, *task.others), view, look)
    if view == "plan":
        return planned(scenario, task.load_rps)
    if view in ("brief", "first"):
        part = coarse_part(scenario, _shared)
        if part is None and view == "brief":
            return {}
        shorter, whole_s = part or (scenario, None)
        return {"run": DrawnRun.of(simulate(shorter, look, shared=_shared), True), "whole_s": whole_s}
    run = simulate(scenario, look)
    return inside(run) if view == "inside" else {"run": DrawnRun.of(run, view == "drawn")}
