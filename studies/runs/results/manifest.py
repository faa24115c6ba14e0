"""The manifest of a results folder: its kind, versions, a digest of the source, hashes of the files read."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.sim import file_digest
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from ipa.studies.runs.run import Run


SCHEMA_VERSION = 2
"""Version 1 was that of results before version 0.3.0 of this program."""
MANIFEST = "manifest.json"

KINDS = ("run", "runs", "study", "sweep", "tuning")
"""The kinds of results folders: one run, a comparison, a study, a sweep, a tuning."""

FLEET_COMPARISON, FLEET_SWEEP = FLEET_KINDS = ("fleet comparison", "fleet sweep")
"""The kinds with runs of a fleet."""

MOST_SHOWN = 8
"""How many folders an error lists."""

IDENTITY = ("pipeline", "policy", "trace", "seed")
"""The keys of a summary that identify the run."""


def read_manifest(folder: Path, *, may_be_of_fleet: bool = False) -> dict[str, Any]:
    """The manifest of a folder, checked. Raises ScenarioError if there is none that this program can read, or one of
    `FLEET_KINDS` that is not wanted."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        why = "no such file or folder"
        if folder.exists():
            inside = sorted(
                path.parent.name for path in folder.glob(f"*/{MANIFEST}")
            )  # a fleet's: one for each pipeline
            why = f"contains no results: {MANIFEST} is missing"
            if inside:
                why += f"; it is there in {', '.join(inside[:MOST_SHOWN])}{', ...' if inside[MOST_SHOWN:] else ''}"
        raise ScenarioError(f"{folder}: {why}") from None
    except UnicodeDecodeError:
        raise ScenarioError(f"{path}: not a text file (UTF-8)") from None
    except OSError as error:
        raise ScenarioError(f"{path}: cannot be read: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise ScenarioError(f"{path}:{error.lineno}: not valid JSON: {error.msg}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(manifest, dict):
        raise ScenarioError(f"{path}: should hold a JSON object; given {json.dumps(manifest)[:40]}")
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ScenarioError(
            f"{path}: schema_version is {version!r}; this program reads {SCHEMA_VERSION}; repeat the "
            "command that made it, with a new folder"
        )
    if manifest.get("kind") in FLEET_KINDS:
        if may_be_of_fleet:
            return dict(manifest)
        raise ScenarioError(
            f"{folder}: holds a {manifest['kind']}, whose runs are in {folder / 'runs.parquet'}; allowed: runs of "
            "single pipelines"
        )
    if manifest.get("kind") not in KINDS:
        raise ScenarioError(f"{path}: kind is {manifest.get('kind')!r}; it should be one of {', '.join(KINDS)}")
    if manifest["kind"] == "run" and not isinstance(manifest.get("summary"), dict):
        raise ScenarioError(f"{path}: the key 'summary' should hold the summary of the run")
    missing = [key for key in IDENTITY if key not in manifest["summary"]] if manifest["kind"] == "run" else []
    if missing:
        raise ScenarioError(f"{path}: summary: the key {missing[0]!r} is missing")
    if manifest["kind"] == "runs" and not (isinstance(manifest.get("runs"), list) and manifest["runs"]):
        raise ScenarioError(f"{path}: the key 'runs' should list the runs")
    return dict(manifest)


def manifest_of(run: Run, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a run, with where its inputs are, as `kept.keep` has it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "run",
        "scenario": run.scenario.as_dict(),
        "scenario_sha256": run.scenario.digest,
        "files": run.inputs.digests,
        "inputs": inputs,
        "policy": run.policy,
        "accuracies": run.accuracies,
        "seed": run.scenario.seed,
        "trace": {
            "name": run.trace.name,
            "source": run.trace.source,
            "sha256": run.trace.sha256,
            "reading": run.trace.reading or None,
            "starts_at": None if run.trace.starts_at is None else run.trace.starts_at.isoformat(),
            "requests": run.trace.requests,
            "unscaled_rps": run.trace.unscaled_rps,
        },
        "summary": run.summary,
        "decisions_reused": run.decisions_reused,
        **versions(),
        **run.further,
    }


def difference(what: str, then: object, now: object) -> str:
    """The first key in which two scenarios differ, or the first file whose content differs, in words."""
    if not (isinstance(then, Mapping) and isinstance(now, Mapping)):
        return f"another {what}"
    key = next(key for key in (*now, *then) if then.get(key) != now.get(key))
    if what == "files":
        return f"another content of {key}"
    return f"another scenario: {key} {json.dumps(then.get(key))}, now {json.dumps(now.get(key))}"


PACKAGES = ("ipa-pipelines", "numba", "numpy", "pandas", "pyarrow", "scipy", "simpy")
"""The packages that affect the figures of a run."""

LAYERS = ("profiles", "traces", "policies", "sim")
OF_STUDIES = ("scenario/*.py", "runs/run.py", "runs/tables.py", "series.py", "many/outcome.py")
"""The files of `studies` that affect a run; all others only present results."""


def versions() -> dict[str, Any]:
    """The versions of Python and of `PACKAGES`, and a digest of this program's source."""
    return {"python": platform.python_version(), "versions": {**versions_of(*PACKAGES), "source": source_digest()}}


def versions_of(*packages: str) -> dict[str, str | None]:
    """The versions of packages; None for one that is not installed."""
    return {name: _version(name) for name in packages}


@cache
def source_digest() -> str:
    """sha256 of the source that determines a run's results, read once per process.

    It is the same for a checkout and a package installed from it.
    """
    folder = Path(__file__).parents[3]
    return file_digest(folder, source_files(folder))


def source_files(folder: Path) -> list[Path]:
    """The files of that source; `folder` holds the packages."""
    layers = [file for layer in LAYERS for file in (folder / layer).rglob("*.py")]
    learned = (folder / "policies" / "predictors" / "library").glob("*.npz")
    return [*layers, *learned, *(file for name in OF_STUDIES for file in (folder / "studies").glob(name))]


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
