"""Runs and their journals read back from results folders."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.policies import Entry, read_journal, to_line
from ipa.studies.runs.inputs import digests_of
from ipa.studies.runs.results.kept import Kept
from ipa.studies.runs.results.manifest import MANIFEST, completed, difference, read_manifest
from ipa.studies.runs.run_data import DisplayedRun
from ipa.studies.runs.tables import ITEMS, Tables, tables_of
from ipa.studies.scenario import Scenario, ScenarioError

if TYPE_CHECKING:
    import pandas as pd


JOURNAL = "journal.jsonl"
COMPRESSED = "journal.jsonl.gz"


def journal_name(records: str) -> str:
    """The name of the journal's file for this value of `records`."""
    return COMPRESSED if records == "sample" else JOURNAL


def write_journal(entries: Iterable[Entry], path: Path) -> None:
    """Write a journal to a path inside `whole_folder`, compressed if its name ends with `.gz`."""
    lines = (to_line(entry).encode() + b"\n" for entry in entries)
    with path.open("wb") as file:
        if path.suffix != ".gz":
            file.writelines(lines)
            return
        # No name and no time, so that the same journal gives the same bytes.
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as compressed:
            compressed.writelines(lines)


def read_lines(path: Path) -> list[str]:
    """The lines of a journal, compressed or not. Raises ScenarioError if it cannot be read."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except UnicodeDecodeError:
        raise ScenarioError(f"{path}: not a text file (UTF-8)") from None
    except (OSError, EOFError, ValueError) as error:
        raise ScenarioError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return text.splitlines()


_PLAIN = re.compile(r"[\w.:/,-]{1,100}")
"""Usual policy names: `ipa`, `scale-only:low`, `my.py:MyPolicy`."""

OF_OLD = {
    "requests": ("request", "arrival_s", "outcome", "latency_s"),
    "stages": ("request", "stage", "enqueue_s", "start_s", "finish_s"),
    "decisions": ("step", "time_s", "stage", "variant", "replicas", "cost_cores"),
    "replicas": ("stage", "replica", "variant", "cores", "created_s"),
}
"""Table -> columns that it has had in all versions."""


@dataclass(frozen=True, repr=False)
class StoredRun(DisplayedRun):
    """A run read back from its folder; the tables are read when first asked for."""

    folder: Path
    manifest: Mapping[str, Any]

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario, with the files that the run has read: their copies, if they have changed since."""
        return Kept.of(self.manifest, self.folder).scenario(Scenario.model_validate(self.manifest["scenario"]))

    @property
    def starts_at(self) -> datetime | None:
        """The wall-clock start of the load, as in `RunData`."""
        found = self.manifest.get("trace", {}).get("starts_at")
        return None if found is None else datetime.fromisoformat(found)

    @property
    def loss(self) -> str:
        """The warning for a live run that lost too many requests; empty for any other."""
        return str(self.manifest.get("live", {}).get("loss", ""))

    @property
    def summary(self) -> Mapping[str, Any]:
        """The summary of the run."""
        summary: Mapping[str, Any] = self.manifest["summary"]
        return summary

    @property
    def accuracies(self) -> Mapping[str, Mapping[str, float]]:
        """Stage -> variant -> accuracy, as in `RunData`."""
        found: Mapping[str, Mapping[str, float]] = self.manifest.get("accuracies", {})
        return found

    @property
    def records(self) -> str:
        """Which requests have records, as in the scenario; "all" in older results, which do not say."""
        return str(self.summary.get("records", "all"))

    @cached_property
    def tables(self) -> Tables:
        """The run's tables, as `Run.tables`. Raises ScenarioError for one that cannot be read."""
        is_graph = (self.folder / f"{ITEMS}.parquet").exists()
        names = tables_of(self.records, is_graph=is_graph)
        found = Tables((name, _read_table(self.folder / f"{name}.parquet")) for name in names)
        if "accepted" not in found["decisions"]:  # older results lack this column; their journal has the answers
            refused = {entry.observation.step for entry in self.entries if entry.is_refused}
            found["decisions"] = found["decisions"].assign(accepted=~found["decisions"]["step"].isin(refused))
        return found

    @property
    def entries(self) -> list[Entry]:
        """The journal. Raises ScenarioError if it cannot be read, PolicyError if it is damaged."""
        return list(read_journal(read_lines(self.journal), str(self.journal)))

    @property
    def journal(self) -> Path:
        """The file of the journal."""
        return self.folder / journal_name(self.records)


def read_runs(folder: str | Path) -> list[StoredRun]:
    """The runs in a results folder: one, or those of a comparison.

    Raises ScenarioError if the folder holds neither, or not all runs of the comparison.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest["kind"] == "study":
        raise ScenarioError(f"{folder}: holds a study, whose report is {folder / 'report.html'}; ipa study writes it")
    if manifest["kind"] == "sweep":
        raise ScenarioError(f"{folder}: holds a sweep, whose table is {folder / 'runs.parquet'}")
    if manifest["kind"] == "run":
        return [StoredRun(folder, manifest)]
    missing = [name for name in manifest["runs"] if not (folder / name / MANIFEST).is_file()]
    if missing:
        raise ScenarioError(
            f"{folder}: the comparison is not finished: {len(missing)} of {len(manifest['runs'])} runs are missing, "
            f"{missing[0]} first; run the same command again to resume it"
        )
    return [_read_run(folder / name) for name in manifest["runs"]]


def read_run(folder: str | Path) -> StoredRun:
    """The run in a results folder. Raises ScenarioError if it holds none or several."""
    runs = read_runs(folder)
    if runs[0].folder != Path(folder):
        raise ScenarioError(f"{folder}: holds a comparison of {len(runs)} runs; give the folder of one of them")
    return runs[0]


def find_finished(scenario: Scenario, folder: Path) -> StoredRun | None:
    """The run of this scenario in a comparison's folder; None if it has not finished.

    Raises ScenarioError if the run there is of another scenario, or of files that have changed since.
    """
    inner = folder / run_name(scenario)
    return finished(inner, scenario) if inner.exists() else None


def finished(folder: Path, scenario: Scenario) -> StoredRun:
    """The run in a folder of a comparison, which must be of this scenario. Raises as `find_finished`."""
    stored = _read_run(folder)
    with suppress(ValueError, KeyError):
        if stored.scenario == scenario:
            return stored  # as the folder itself gives it, with the run's own files
    kept = {**stored.manifest, "scenario": _without_digests(completed(stored.manifest.get("scenario")))}
    given = {"scenario": _without_digests(scenario.as_dict()), "files": digests_of(scenario)}
    for what, now in given.items():
        then = kept.get(what)
        if then != now:
            raise ScenarioError(
                f"--out {folder.parent}: {folder.name} is of {difference(what, then, now)}; give a new folder"
            )
    return stored


def _without_digests(scenario: object) -> object:
    """A scenario as plain data, without the digests of loads, which are compared as files."""
    return {**scenario, "trace_sha256": {}} if isinstance(scenario, Mapping) else scenario


def run_name(scenario: Scenario) -> str:
    """The name of a run's folder in that of its comparison.

    If the title is not a usual policy name, the start of its sha256 follows, so that titles shortened to the same text
    have different folders.
    """
    title = scenario.policy.title
    plain = re.sub(r"[^\w.-]", "_", title)
    if not _PLAIN.fullmatch(title):
        plain = f"{plain[:40].strip('_.-')}-{sha256(title.encode()).hexdigest()[:8]}"
    return f"{plain}-{scenario.seed}"


def _read_run(folder: Path) -> StoredRun:
    manifest = read_manifest(folder)
    if manifest["kind"] != "run":
        raise ScenarioError(f"{folder / MANIFEST}: should be of one run")
    return StoredRun(folder, manifest)


def why_no_table(error: Exception) -> str:
    """Why a file cannot be read as a table, without the file's name, which pyarrow includes."""
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    said = re.sub(r"^Could not open Parquet input source '.*?': ", "", str(error))
    return f"not readable as parquet: {said}"


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        raise ScenarioError(f"{path}: no such file; the results are not complete") from None
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path}: {why_no_table(error)}") from None
    for column in OF_OLD.get(path.stem, ()):
        if column not in table:
            raise ScenarioError(f"{path}: the column {column!r} is missing")
    return table
