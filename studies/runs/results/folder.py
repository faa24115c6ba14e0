"""Writing a results folder: claimed, locked, and that of one run with its tables, journal and manifest."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from ipa.studies.runs.results.atomic import as_json, check_writable, put_table, table_bytes, whole_folder
from ipa.studies.runs.results.kept import keep
from ipa.studies.runs.results.manifest import MANIFEST, manifest_of, read_manifest
from ipa.studies.runs.results.stored import journal_bytes, journal_name
from ipa.studies.runs.run import Run
from ipa.studies.runs.run_data import RunData
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    import pandas as pd

LOCK = ".lock"


def claim(folder: Path, *, resumable: bool = False, kind: str = "runs") -> None:
    """Check that results may be written to `folder`: it is new or empty, and writable.

    `resumable`: it may also hold results of that kind (`runs`: a comparison), which are then resumed. Raises
    ScenarioError, before anything is simulated or written, if the folder holds anything else: finished results are
    never overwritten.
    """
    if folder.exists() and not folder.is_dir():
        raise ScenarioError(f"--out {folder}: is a file; give a new folder")
    check_writable(folder if resumable else folder.parent, f"--out {folder}")
    if not folder.is_dir():
        return
    if not resumable and (folder.is_mount() or folder.samefile(Path())):
        raise ScenarioError(f"--out {folder}: cannot be replaced as a whole; give a new folder")
    if all(entry.name == LOCK for entry in folder.iterdir()):
        return
    if not (folder / MANIFEST).is_file():
        raise ScenarioError(f"--out {folder}: contains other files; give a new or empty folder")
    if not (resumable and read_manifest(folder, may_be_of_fleet=True)["kind"] == kind):
        raise ScenarioError(f"--out {folder}: already holds results; give a new or empty folder")


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make the folder, and remove it again if what is done with it fails before there is a manifest in it."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if is_new and not (folder / MANIFEST).exists():
            rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Lock an existing folder, so that no other command makes runs for it. Raises ScenarioError if one does.

    The lock is SQLite's, which is released however the process ends.
    """
    with closing(sqlite3.connect(folder / LOCK, timeout=0, isolation_level=None)) as lock:
        try:
            lock.execute("PRAGMA journal_mode = OFF")  # writes nothing, so it works on a full disk
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise ScenarioError(f"--out {folder}: cannot be locked: {error}") from None
            raise ScenarioError(
                f"--out {folder}: another command is making its runs; wait until it ends, or give a new folder"
            ) from None
        yield


def write_run(run: Run, folder: Path) -> None:
    """Write a run's tables, journal, inputs and manifest to `folder`, which appears complete or not at all.

    Raises ScenarioError if it cannot be written.
    """
    with whole_folder(folder) as fresh:
        put_table(runs_table([run]), fresh / "runs.parquet")
        for name, content in run_files(run, keep(run.inputs, fresh)).items():
            (fresh / name).write_bytes(content)


def run_files(run: Run, inputs: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """The files of a run by name: its tables, its journal, and its manifest, with where its `inputs` are kept."""
    tables = {f"{name}.parquet": table_bytes(table) for name, table in run.tables.items()}
    journal = journal_bytes(run.entries, is_compressed=run.scenario.records == "sample")
    manifest = as_json(manifest_of(run, inputs or {})).encode()
    return {**tables, journal_name(run.scenario.records): journal, MANIFEST: manifest}


def runs_table(runs: Sequence[RunData]) -> pd.DataFrame:
    """One row per run: its summary without the wall time, which is not a property of the run."""
    import pandas as pd

    return pd.DataFrame([as_row(run.summary) for run in runs])


def as_row(summary: Mapping[str, Any], without: Collection[str] = ("wall_s",)) -> dict[str, Any]:
    """A summary as a row of a table, so that a column has one type in all tables.

    A missing figure (no request completed) is NaN, and figures by stage are JSON.
    """
    row = {key: value for key, value in summary.items() if key not in without}
    row |= {key: json.dumps(value) for key, value in row.items() if isinstance(value, Mapping)}
    return {key: float("nan") if value is None else value for key, value in row.items()}
