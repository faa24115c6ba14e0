"""The results of a fleet on disk: a table, its steps, and a folder for the run of each pipeline."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.policies.sharing import Step
from ipa.studies.fleets.answers import FleetAnswers, sentences
from ipa.studies.runs import results

if TYPE_CHECKING:
    import pandas as pd

FLEET, STEPS = "fleet.json", "steps.parquet"


def is_kept_fleet(folder: Path) -> bool:
    """Whether a folder is what a run of a fleet has kept."""
    return (folder / FLEET).is_file()


def steps_table(answers: FleetAnswers) -> pd.DataFrame:
    """All steps in the order of time, with the fields of a `Step`."""
    import pandas as pd

    return pd.DataFrame(list(answers.run.steps), columns=list(Step._fields))


def write_fleet(answers: FleetAnswers, folder: Path) -> None:
    """Write `fleet.json`, `steps.parquet`, and for each pipeline a folder as `ipa simulate` writes it.

    The folder appears complete or not at all. Raises ScenarioError if it cannot be written.
    """
    with results.whole_folder(folder) as fresh:
        for name, run in answers.run.runs.items():
            results.write_run(run, fresh / name)
        results.write_table(steps_table(answers), fresh / STEPS)
        results.write_json(as_plain(answers), fresh / FLEET)


def as_plain(answers: FleetAnswers) -> dict[str, Any]:
    """The fleet, the rows of its table and its sentences, JSON-able."""
    return {
        "fleet": answers.run.fleet.model_dump(mode="json"),
        "short": answers.short,
        "pipelines": [asdict(row) for row in answers.rows],
        "sentences": list(sentences(answers)),
    }
