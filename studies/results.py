"""Results on disk: a folder of parquet tables, the journal and a manifest, written whole or not at all."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Protocol

from policies import to_line
from studies.errors import ScenarioError
from studies.run import TABLES, Run
from studies.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
JOURNAL = "journal.jsonl"

_PACKAGES = ("ipa-pipelines", "numpy", "pandas", "pyarrow", "scipy", "simpy")


class RunData(Protocol):
    """A finished run, just made or read back: its summary and its tables."""

    @property
    def summary(self) -> Mapping[str, Any]: ...

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]: ...


@dataclass(frozen=True)
class StoredRun:
    """A run read back from its folder; the tables are read when first asked for."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def summary(self) -> Mapping[str, Any]:
        """The summary of the run."""
        summary: Mapping[str, Any] = self.manifest["summary"]
        return summary

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The run's tables, as `Run.tables`. Raises ScenarioError for one that cannot be read."""
        return {name: _read_table(self.folder / f"{name}.parquet") for name in TABLES}


# ---- reading ----


def read_runs(folder: Path) -> list[StoredRun]:
    """The runs of a results folder: of one run, or of a comparison. Raises ScenarioError where there are none."""
    manifest = _read_manifest(folder)
    if manifest["kind"] == "run":
        return [StoredRun(folder, manifest)]
    return [StoredRun(folder / name, _read_manifest(folder / name)) for name in manifest["runs"]]


def find_finished(scenario: Scenario, folder: Path) -> StoredRun | None:
    """The run of just this scenario in a comparison's folder, if it was finished."""
    inner = folder / run_name(scenario)
    if not (inner / MANIFEST).is_file():
        return None
    manifest = _read_manifest(inner)
    return StoredRun(inner, manifest) if manifest["scenario_sha256"] == scenario.digest else None


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ScenarioError(f"{folder}: holds no results: {MANIFEST} is missing") from None
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from None
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise ScenarioError(f"{path}: schema_version is {version!r}; this program reads {SCHEMA_VERSION}")
    if manifest.get("kind") not in ("run", "runs"):
        raise ScenarioError(f"{path}: kind is {manifest.get('kind')!r}; it should be run or runs")
    return dict(manifest)


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from None


# ---- writing ----


def claim(folder: Path, *, resumable: bool = False) -> None:
    """Make sure that results may go to `folder`: it does not exist or is empty.

    `resumable`: it may also hold a comparison, which is gone on with. Raises ScenarioError, before anything is
    simulated or written, for a folder that holds anything else: nothing finished is overwritten.
    """
    if folder.exists() and not folder.is_dir():
        raise ScenarioError(f"--out {folder}: is a file; give a new folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / MANIFEST).is_file():
        raise ScenarioError(f"--out {folder}: holds other files; give a new or an empty folder")
    if not (resumable and _read_manifest(folder)["kind"] == "runs"):
        raise ScenarioError(f"--out {folder}: holds results already; give a new or an empty folder")


def write_run(run: Run, folder: Path) -> None:
    """Write a run's tables, journal and manifest to `folder`, which appears complete or not at all."""
    with _appearing(folder) as fresh:
        for name, table in run.tables.items():
            _write_table(table, fresh / f"{name}.parquet")
        _write_table(runs_table([run]), fresh / "runs.parquet")
        lines = [to_line(entry) + "\n" for entry in run.entries]
        (fresh / JOURNAL).write_text("".join(lines), encoding="utf-8")
        _write_json(_manifest(run), fresh / MANIFEST)


def open_comparison(chosen: Sequence[Scenario], folder: Path) -> None:
    """Make the folder of a comparison before its runs: its manifest names all of them."""
    claim(folder, resumable=True)
    folder.mkdir(parents=True, exist_ok=True)
    names = [run_name(scenario) for scenario in chosen]
    _write_json({"schema_version": SCHEMA_VERSION, "kind": "runs", "runs": names}, folder / MANIFEST)


def close_comparison(runs: Sequence[RunData], folder: Path) -> None:
    """Add the table `runs`, a row a run, to the folder of a comparison."""
    _write_table(runs_table(runs), folder / "runs.parquet")


def run_name(scenario: Scenario) -> str:
    """The folder's name of one run among several."""
    policy = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in scenario.policy.name)
    return f"{policy}-{scenario.seed}"


def runs_table(runs: Sequence[RunData]) -> pd.DataFrame:
    """One row a run: its summary without the wall time, which is no property of the run."""
    import pandas as pd

    return pd.DataFrame([{key: value for key, value in run.summary.items() if key != "wall_s"} for run in runs])


def _manifest(run: Run) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "run",
        "scenario": run.scenario.as_dict(),
        "scenario_sha256": run.scenario.digest,
        "policy": run.policy,
        "seed": run.scenario.seed,
        "trace": {
            "name": run.trace.name,
            "source": run.trace.source,
            "sha256": run.trace.sha256,
            "requests": run.trace.requests,
        },
        "summary": run.summary,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _write_table(table: pd.DataFrame, path: Path) -> None:
    part = path.with_name(f".{path.name}.part")
    table.to_parquet(part, compression="zstd", index=False)
    os.replace(part, path)


def _write_json(value: object, path: Path) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    os.replace(part, path)


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A fresh folder beside `folder` that takes its name when the block ends well, and vanishes otherwise."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield fresh
        fresh.chmod(0o755)
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
        os.replace(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
