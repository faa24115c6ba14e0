"""Results folders in the explorer: the first question, and a question for each point of a sweep or a study."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ipa.studies import results
from ipa.studies.explore.coarse import beginning
from ipa.studies.explore.fleets import fleet_of
from ipa.studies.explore.questions import MOST_POLICIES, MOST_SEEDS, ExplorerQuestion, spec
from ipa.studies.fleets import is_kept_fleet
from ipa.studies.many import NamedRun, named_runs, systems
from ipa.studies.runs import FIGURES, LIVE
from ipa.studies.scenario import Scenario, ScenarioError, Shared, find, is_fleet

MOST_POINTS = 1000
"""The most points that a page shows."""


def about(what: str) -> ExplorerQuestion:
    """The first question for a pipeline, a file or a results folder; for a sweep or study, that of its first point.

    Where no policy is named, it has those that a comparison starts with.
    Raises as a command does for its argument.
    """
    kind = _kind(what)
    if kind in ("sweep", "study"):
        first = _points(what)[0]
        question = ExplorerQuestion.of_scenario(first[0].scenario, len(first))
        find(question.what)  # a file may have moved by now
        return replace(question, among=what)
    stored = results.asked(what)
    if stored is None:
        if is_fleet(what):
            fleet_of(ExplorerQuestion(what))
            return ExplorerQuestion(what)
        if is_kept_fleet(Path(what)):
            raise ScenarioError(
                f"{what}: holds runs of a fleet; allowed: the fleet's file, or the folder of a pipeline in it"
            )
        scenario = find(what)
        is_usual = scenario.policy == Scenario.model_fields["policy"].default
        return ExplorerQuestion(what, systems.BASELINES if is_usual else ())
    if kind == "run" and (run := results.read_run(what)).summary["engine"] == LIVE:
        return ExplorerQuestion(what, tuple(map(spec, stored.policies)), values=_window(run), measured=what)
    return ExplorerQuestion(what, tuple(map(spec, stored.policies[:MOST_POLICIES])), min(stored.seeds, MOST_SEEDS))


def _kind(what: str) -> str:
    """The kind of a results folder; empty if it is none."""
    path = Path(what)
    folder = path.parent if path.name == results.MANIFEST else path
    return str(results.read_manifest(folder)["kind"]) if (folder / results.MANIFEST).is_file() else ""


def _window(run: results.StoredRun) -> dict[str, str]:
    """The window of the load that a live run covered; empty if it covered all."""
    ran_s = int(run.summary["duration_s"])
    if not 0 < ran_s < Shared().trace(run.scenario).duration_s:
        return {}
    return {"window": ExplorerQuestion.of_scenario(beginning(run.scenario, ran_s), 1).values["window"]}


def points_of(folder: str) -> dict[str, Any]:
    """The points of a sweep or a study: their distinguishing values, the means of their figures, and their questions.

    JSON-able. Raises ScenarioError if the folder holds neither, or an unfinished one.
    """
    all_points = _points(folder)
    firsts = [runs[0] for runs in all_points]
    keys = named_runs.varied(firsts) or list(firsts[0].values)
    points: list[dict[str, Any]] = [
        {
            "values": [runs[0].values.get(key) for key in keys],
            "means": [_mean((run.summary[key] for run in runs), factor) for _, key, factor, _ in FIGURES],
            "question": ExplorerQuestion.of_scenario(runs[0].scenario, len(runs)).plain,
        }
        for runs in all_points[:MOST_POINTS]
    ]
    return {
        "keys": keys,
        "figures": [{"name": name, "digits": digits} for name, _, _, digits in FIGURES],
        "points": points,
        "all": len(all_points),
    }


def _points(folder: str) -> list[list[NamedRun]]:
    """The runs of every point, by seed. Raises as `points_of`."""
    points: dict[str, list[NamedRun]] = {}
    for run in named_runs.runs_in(folder):
        points.setdefault(repr(run.values), []).append(run)
    if not points:
        raise ScenarioError(f"{folder}: holds no run that has not failed")
    return list(points.values())


def _mean(values: Iterable[float | None], factor: float) -> float | None:
    known = [value for value in values if value is not None]
    return factor * sum(known) / len(known) if known else None
