"""Writing a results folder: of one run (tables, journal, manifest), or of a comparison (a folder for each run)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.studies.runs.results.atomic import as_json, check_writable, put_table, whole_folder, write_json, write_table
from ipa.studies.runs.results.kept import keep
from ipa.studies.runs.results.manifest import MANIFEST, SCHEMA_VERSION, manifest_of, read_manifest
from ipa.studies.runs.results.stored import find_finished, journal_name, run_name, write_journal
from ipa.studies.runs.run import Run
from ipa.studies.runs.run_data import RunData
from ipa.studies.scenario import Scenario, ScenarioError

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
    if not any(folder.iterdir()):
        return
    if not (folder / MANIFEST).is_file():
        raise ScenarioError(f"--out {folder}: contains other files; give a new or empty folder")
    if not (resumable and read_manifest(folder)["kind"] == kind):
        raise ScenarioError(f"--out {folder}: already holds results; give a new or empty folder")


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


def write_run(run: Run, folder: Path, copies: Path | None = None) -> None:
    """Write a run's tables, journal, inputs and manifest to `folder`, which appears complete or not at all.

    `copies` is the folder for the copies of its inputs, by default `inputs` inside. Raises ScenarioError if it cannot
    be written.
    """
    with whole_folder(folder) as fresh:
        for name, table in {**run.tables, "runs": runs_table([run])}.items():
            put_table(table, fresh / f"{name}.parquet")
        write_journal(run.entries, fresh / journal_name(run.scenario.records))
        manifest = manifest_of(run, keep(run.inputs, fresh, copies))
        (fresh / MANIFEST).write_text(as_json(manifest), encoding="utf-8")


def open_comparison(chosen: Sequence[Scenario], folder: Path) -> None:
    """Create the folder of a comparison before its runs; its manifest names all of them.

    A comparison in the folder can be resumed by the same one, or by one with more policies or seeds. Raises
    ScenarioError if a run in the folder would be left out or is of another scenario.
    """
    claim(folder, resumable=True)
    names = [run_name(scenario) for scenario in chosen]
    folded = [name.casefold() for name in names]  # some file systems ignore case
    if twins := {name for name in names if folded.count(name.casefold()) > 1}:
        raise ScenarioError(f"--out {folder}: two policies would be kept as {min(twins)}; compare them apart")
    if (folder / MANIFEST).is_file():
        for name in read_manifest(folder)["runs"]:
            if name not in names and (folder / name).exists():
                raise ScenarioError(
                    f"--out {folder}: holds the run {name}, which is not among those asked for; name its policy and "
                    "seed too, or give a new folder"
                )
    for scenario in chosen:
        find_finished(scenario, folder)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_json({"schema_version": SCHEMA_VERSION, "kind": "runs", "runs": names}, folder / MANIFEST)
    except ScenarioError:
        if is_new:
            folder.rmdir()
        raise


def close_comparison(runs: Sequence[RunData], folder: Path) -> None:
    """Add the table `runs`, one row per run, to the folder of a comparison."""
    write_table(runs_table(runs), folder / "runs.parquet")


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
