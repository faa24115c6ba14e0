"""The folder of a validation: each run in it is an ordinary results folder, written as soon as the run has finished."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipa.studies import results
from ipa.studies.runs.results import StoredRun
from ipa.studies.scenario import Scenario, ScenarioError
from ipa.studies.validation.conditions import Machine
from ipa.studies.validation.experiment import Experiment

KIND = "validation"
CALIBRATION, SIMULATED = "calibration", "simulated"
CONDITIONS = "conditions.json"
RESULT = "validation.json"

RunLive = Callable[[Scenario, Path], None]
"""Runs a scenario live and writes its results to the folder, which is empty."""


@dataclass(frozen=True)
class KeptRun:
    """A live run that is kept: its results, and how busy the machine was meanwhile."""

    stored: StoredRun
    machine: dict[str, Any]


def live_name(repeat: int) -> str:
    """The name of the folder of a repeat, counted from 1."""
    return f"live-{repeat}"


def open_folder(folder: Path, experiment: Experiment) -> None:
    """Make the folder of a validation, or resume one of the same experiment.

    Raises ScenarioError for a folder that holds anything else.
    """
    wanted = {
        "schema_version": results.SCHEMA_VERSION,
        "kind": KIND,
        "backend": experiment.backend,
        "source": experiment.source,
        "compared": experiment.compared.as_dict(),
        "calibration": experiment.calibration.as_dict(),
    }
    found = read_manifest(folder)
    if found is None:
        results.claim(folder)
        folder.mkdir(parents=True, exist_ok=True)
        results.write_json(wanted, folder / results.MANIFEST)
    elif found != wanted:
        key = next(key for key in wanted if found.get(key) != wanted[key])
        difference = results.difference(key, found.get(key), wanted[key])
        raise ScenarioError(f"--out {folder}: holds a validation of {difference}; give a new folder")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a validation's folder; None where the folder holds no validation."""
    try:
        manifest = json.loads((folder / results.MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("kind") == KIND else None


def read_experiment(folder: Path) -> Experiment:
    """The experiment of a validation's folder. Raises ScenarioError where it holds none."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise ScenarioError(f"{folder}: holds no validation")
    try:
        compared, calibration = (Scenario.model_validate(manifest[key]) for key in ("compared", "calibration"))
        return Experiment(compared, calibration, str(manifest["backend"]), str(manifest["source"]))
    except (KeyError, ValueError) as error:
        raise ScenarioError(f"{folder / results.MANIFEST}: not that of a validation: {error}") from None


def kept_run(folder: Path, name: str, scenario: Scenario, run_live: RunLive) -> KeptRun:
    """The live run of that name: the finished one in the folder, of the same scenario; else it is run now and kept.

    An interrupted run leaves nothing behind. Raises as `read_kept`.
    """
    place = folder / name
    if not place.exists():
        with results.whole_folder(place) as fresh:
            machine = Machine()
            with machine.watched():
                run_live(scenario, fresh)
            results.write_json(machine.as_dict(), fresh / CONDITIONS)
    return read_kept(place, scenario)


def read_kept(place: Path, scenario: Scenario) -> KeptRun:
    """The live run in a folder. Raises ScenarioError for one that is missing, damaged or of another scenario."""
    stored = results.finished(place, scenario)
    try:
        conditions = json.loads((place / CONDITIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{place / CONDITIONS}: cannot be read: {error}") from None
    return KeptRun(stored, conditions)
