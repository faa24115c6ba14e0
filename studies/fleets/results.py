"""The results of a fleet on disk: a table, its steps, and a folder for the run of each pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.policies.sharing import Step
from ipa.studies.fleets.answers import (
    FleetAnswers,
    MemberOutcome,
    MemberRow,
    UnitsOverTime,
    sentences,
    units_of_steps,
)
from ipa.studies.fleets.fleet import Fleet, units_taken
from ipa.studies.fleets.run import FleetRun
from ipa.studies.runs import results
from ipa.studies.scenario import Scenario, ScenarioError, Shared, ready_at_start

if TYPE_CHECKING:
    import pandas as pd

FLEET, STEPS = "fleet.json", "steps.parquet"


def is_kept_fleet(folder: Path) -> bool:
    """Whether a folder is what a run of a fleet has kept."""
    return (folder / FLEET).is_file()


def steps_table(run: FleetRun) -> pd.DataFrame:
    """All steps in the order of time, with the fields of a `Step`."""
    import pandas as pd

    return pd.DataFrame(list(run.steps), columns=list(Step._fields))


def write_fleet(run: FleetRun, answers: FleetAnswers, folder: Path) -> None:
    """Write `fleet.json`, `steps.parquet`, and for each pipeline a folder as `ipa simulate` writes it.

    The folder appears complete or not at all. Raises ScenarioError if it cannot be written.
    """
    with results.whole_folder(folder) as fresh:
        for name, member_run in run.runs.items():
            results.write_run(member_run, fresh / name)
        results.write_table(steps_table(run), fresh / STEPS)
        results.write_json(as_plain(answers), fresh / FLEET)


def as_plain(answers: FleetAnswers) -> dict[str, Any]:
    """The fleet, the rows of its table and its sentences, JSON-able."""
    return {
        "fleet": answers.fleet.model_dump(mode="json"),
        "short": answers.short,
        "pipelines": [asdict(row) for row in answers.rows],
        "sentences": list(sentences(answers)),
    }


def read_fleet(folder: Path) -> FleetAnswers:
    """What a run of a fleet told, from its results folder. Raises ScenarioError if it cannot be read."""
    path = folder / FLEET
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        fleet = Fleet.model_validate(plain["fleet"])
        rows = [_row(row) for row in plain["pipelines"]]
        short = float(plain["short"])
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise ScenarioError(f"{path}: does not hold the table of a finished run of a fleet") from None
    table = results.read_table(folder / STEPS)
    try:
        steps = [Step(*step) for step in table[list(Step._fields)].itertuples(index=False, name=None)]
    except KeyError:
        raise ScenarioError(f"{folder / STEPS}: should have the columns {', '.join(Step._fields)}") from None
    return FleetAnswers(fleet, rows, {row.name: _over_time(folder, fleet, row.name, steps) for row in rows}, short)


def _row(row: Mapping[str, Any]) -> MemberRow:
    outcomes = {key: None if row[key] is None else MemberOutcome(**row[key]) for key in ("alone", "fleet", "more")}
    return MemberRow(**{**row, **outcomes})


def _over_time(folder: Path, fleet: Fleet, name: str, steps: list[Step]) -> UnitsOverTime:
    run = results.read_run(folder / name)
    own = [step for step in steps if step.pipeline == name]
    ready = 0 if own and own[0].time_s == 0 else _ready(fleet.resource, run.scenario)
    return units_of_steps(own, ready, run.summary["duration_s"])


def _ready(resource: str, scenario: Scenario) -> int:
    """What is ready at the start of a run, before its first step."""
    pipeline = Shared().pipeline(scenario)
    return units_taken(resource, pipeline, ready_at_start(pipeline, scenario.initial or {}))
