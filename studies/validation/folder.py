"""The folder of a validation: every run in it is an ordinary results folder, written as soon as the run is finished."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from ipa.studies import results
from ipa.studies.errors import ScenarioError
from ipa.studies.results import StoredRun
from ipa.studies.scenario import Scenario
from ipa.studies.validation.conditions import Machine
from ipa.studies.validation.plan import Plan

KIND = "validation"
CALIBRATION, SIMULATED = "calibration", "simulated"
CONDITIONS = "conditions.json"
RESULT = "validation.json"

RunLive = Callable[[Scenario, Path], None]
"""Runs a scenario live and writes its results folder to the path, which is not there yet."""


@dataclass(frozen=True)
class LiveRun:
    """A finished live run: what it left in its folder, and how busy the machine was meanwhile."""

    stored: StoredRun
    machine: dict[str, Any]


def live_name(repeat: int) -> str:
    """The folder's name of a repeat, from 1."""
    return f"live-{repeat}"


def open_folder(folder: Path, plan: Plan) -> None:
    """Make the folder of a validation, or go on with the one that is there, of the same plan.

    Raises ScenarioError for a folder that holds anything else.
    """
    wanted = {
        "schema_version": results.SCHEMA_VERSION,
        "kind": KIND,
        "backend": plan.backend,
        "source": plan.source,
        "compared": plan.compared.as_dict(),
        "calibration": plan.calibration.as_dict(),
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


def read_plan(folder: Path) -> Plan:
    """The plan of a validation's folder. Raises ScenarioError where it holds none."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise ScenarioError(f"{folder}: holds no validation")
    try:
        compared, calibration = (Scenario.model_validate(manifest[key]) for key in ("compared", "calibration"))
        return Plan(compared, calibration, str(manifest["backend"]), str(manifest["source"]))
    except (KeyError, ValueError) as error:
        raise ScenarioError(f"{folder / results.MANIFEST}: not that of a validation: {error}") from None


def live_run(folder: Path, name: str, scenario: Scenario, run_live: RunLive) -> LiveRun:
    """The live run of a name: the finished one that is there, of the same scenario, else run now and kept.

    What an interrupt stops leaves nothing behind. Raises ScenarioError for a run of another scenario.
    """
    place = folder / name
    if not place.exists():
        with _appearing(place) as fresh:
            machine = Machine()
            with machine.watched():
                run_live(scenario, fresh)
            results.write_json(machine.as_dict(), fresh / CONDITIONS)
    stored = results.finished(place, scenario)
    try:
        conditions = json.loads((place / CONDITIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{place / CONDITIONS}: cannot be read: {error}") from None
    return LiveRun(stored, conditions)


@contextmanager
def _appearing(place: Path) -> Iterator[Path]:
    """A folder to be made that takes its place when the block ends well; whatever else there is vanishes."""
    workshop = Path(mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        yield workshop / place.name
        (workshop / place.name).rename(place)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
