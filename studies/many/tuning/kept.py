"""The folder of a tuning: what was asked, Optuna's file, and in the end the runs as a table and the scenarios."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipa.studies.many.tuning.cases import Cases
from ipa.studies.many.tuning.space import Space
from ipa.studies.many.tuning.tuned import Tuned, as_file
from ipa.studies.many.tuning.wishes import Wishes
from ipa.studies.runs.results import (
    MANIFEST,
    SCHEMA_VERSION,
    check_writable,
    versions,
    write_json,
    write_table,
    write_text,
)
from ipa.studies.scenario import Scenario, ScenarioError

KIND = "tuning"
RUNS = "runs.parquet"
BEST = "best.yaml"
FOUND = "found.json"


def asked(scenario: Scenario, wishes: Wishes, space: Space, cases: Cases) -> dict[str, Any]:
    """What a tuning depends on, but for the number of settings to try; JSON-able."""
    return {
        "scenario": scenario.as_dict(),
        "aims": [str(aim) for aim in wishes.aims],
        "limits": [str(limit) for limit in wishes.limits],
        "space": {key: repr(each) for key, each in space.items()},
        "loads": cases.words,
        "train": [[case.window, case.seed] for case in cases.train],
        "test": [[case.window, case.seed] for case in cases.test],
        "seeds": cases.seeds,
    }


def open_folder(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Make the folder, or find that it holds the same tuning, which then goes on.

    Raises ScenarioError for a folder that holds anything else, or that cannot be written.
    """
    check_writable(folder, f"--out {folder}")
    manifest = folder / MANIFEST
    wanted = json.loads(json.dumps(wanted))
    if folder.is_dir() and any(folder.iterdir()):
        then = _read(manifest, folder)
        for key, value in wanted.items():
            if then.get(key) != value:
                raise ScenarioError(
                    f"--out {folder}: holds a tuning with {_differ(key, then.get(key), value)}; repeat its command, or "
                    "give a new folder"
                )
        if then.get("versions") != versions()["versions"]:
            raise ScenarioError(f"--out {folder}: was begun with other versions of packages; give a new folder")
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json({"schema_version": SCHEMA_VERSION, "kind": KIND, **wanted, **versions()}, manifest)


def close_folder(folder: Path, tuned: Tuned) -> None:
    """Write what was found: the runs, a JSON document, and a scenario file for each of the best settings."""
    write_table(tuned.table, folder / RUNS)
    write_json(tuned.as_dict(), folder / FOUND)
    for place, best in enumerate(tuned.best):
        name = BEST if place == 0 else f"best-{place + 1}.yaml"
        write_text(as_file(tuned, best), folder / name)


def _read(manifest: Path, folder: Path) -> dict[str, Any]:
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ScenarioError(f"--out {folder}: contains other files; give a new or empty folder") from None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise ScenarioError(f"--out {folder}: already holds results; give a new or empty folder")
    return found


def _differ(key: str, then: Any, now: Any) -> str:
    """Where two values differ, in words: the first key of two mappings, else the values themselves."""
    if isinstance(then, dict) and isinstance(now, dict):
        for name in {**then, **now}:
            if then.get(name) != now.get(name):
                return _differ(f"{key}.{name}" if key != "scenario" else name, then.get(name), now.get(name))
    if isinstance(now, list) and isinstance(then, list) and len(str(now)) > 200:
        return f"other windows or seeds ({key})"
    return f"{key} {then!r}, not {now!r}"
