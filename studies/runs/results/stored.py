"""Runs and their journals read back from results folders."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.policies import Entry, read_journal, to_line
from ipa.studies.runs.inputs import digests_of
from ipa.studies.runs.results.kept import KeptInputs
from ipa.studies.runs.results.manifest import MANIFEST, difference, read_manifest
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


def journal_bytes(entries: Iterable[Entry], *, is_compressed: bool) -> bytes:
    """The content of a journal's file."""
    lines = (to_line(entry).encode() + b"\n" for entry in entries)
    if not is_compressed:
        return b"".join(lines)
    content = BytesIO()
    # No name and no time, so that the same journal gives the same bytes.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=content, mtime=0) as compressed:
        compressed.writelines(lines)
    return content.getvalue()


def read_lines(path: Path, content: bytes | None = None) -> list[str]:
    """The lines of a journal, compressed or not; `content`: that of the file, if it has been read already.

    Raises ScenarioError if it cannot be read.
    """
    try:
        data = path.read_bytes() if content is None else content
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except UnicodeDecodeError:
        raise ScenarioError(f"{path}: not a text file (UTF-8)") from None
    except (OSError, EOFError, ValueError) as error:
        raise ScenarioError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return text.splitlines()


NEEDED = {
    "requests": ("request", "arrival_s", "outcome", "latency_s"),
    "stages": ("request", "stage", "enqueue_s", "start_s", "finish_s"),
    "decisions": ("step", "time_s", "stage", "variant", "replicas", "cost_cores"),
    "replicas": ("stage", "replica", "variant", "cores", "created_s"),
}
"""Table -> columns without which it shows nothing."""


@dataclass(frozen=True, repr=False)
class StoredRun(DisplayedRun):
    """A run read back from its folder; the tables are read when first asked for."""

    folder: Path
    manifest: Mapping[str, Any]

    @cached_property
    def scenario(self) -> Scenario:
        """The scenario, with the files that the run has read: their copies, if they have changed since."""
        return KeptInputs.of(self.manifest, self.folder).scenario(Scenario.model_validate(self.manifest["scenario"]))

    @property
    def starts_at(self) -> datetime | None:
        """The wall-clock start of the load, as in `RunData`."""
        text = self.manifest.get("trace", {}).get("starts_at")
        return None if text is None else datetime.fromisoformat(text)

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
        accuracies: Mapping[str, Mapping[str, float]] = self.manifest.get("accuracies", {})
        return accuracies

    @property
    def records(self) -> str:
        """Which requests have records, as in the scenario; "all" in older results, which do not say."""
        return str(self.summary.get("records", "all"))

    @cached_property
    def tables(self) -> Tables:
        """The run's tables, as `Run.tables`. Raises ScenarioError for one that cannot be read."""
        names = tables_of(self.records, is_graph=self._has(f"{ITEMS}.parquet"))
        tables = Tables((name, self._table(self.folder / f"{name}.parquet")) for name in names)
        if "accepted" not in tables["decisions"]:  # older results lack this column; their journal has the answers
            refused = {entry.observation.step for entry in self.entries if entry.is_refused}
            tables["decisions"] = tables["decisions"].assign(accepted=~tables["decisions"]["step"].isin(refused))
        return tables

    @property
    def entries(self) -> list[Entry]:
        """The journal. Raises ScenarioError if it cannot be read, PolicyError if it is damaged."""
        return list(read_journal(self._lines(), str(self.journal)))

    @property
    def journal(self) -> Path:
        """The file of the journal."""
        return self.folder / journal_name(self.records)

    def _has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def _table(self, path: Path) -> pd.DataFrame:
        return read_table(path)

    def _lines(self) -> list[str]:
        return read_lines(self.journal)


def read_run(folder: str | Path) -> StoredRun:
    """The run in a results folder. Raises ScenarioError if it holds anything else."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    match manifest["kind"]:
        case "run":
            return StoredRun(folder, manifest)
        case "study":
            why = f"holds a study, whose report is {folder / 'report.html'}; ipa study writes it"
        case "sweep":
            why = f"holds a sweep, whose table is {folder / 'runs.parquet'}"
        case "tuning":
            best = folder / "best.yaml"
            why = f"holds a tuning, whose best setting is {best}; run that: ipa simulate {best} --report report.html"
        case _:
            why = (
                f"holds a comparison of {len(manifest['runs'])} runs; this makes the folder of one of them: "
                f"ipa simulate {folder} --policy NAME --seed SEED --out RUN"
            )
    raise ScenarioError(f"{folder}: {why}")


def finished(folder: Path, scenario: Scenario) -> StoredRun:
    """The run in a folder, which must be of this scenario.

    Raises ScenarioError if it is of another one, or of files that have changed since.
    """
    manifest = read_manifest(folder)
    if manifest["kind"] != "run":
        raise ScenarioError(f"{folder / MANIFEST}: should be of one run")
    stored = StoredRun(folder, manifest)
    with suppress(ValueError, KeyError):
        if stored.scenario == scenario:
            return stored  # as the folder itself gives it, with the run's own files
    kept = {**stored.manifest, "scenario": _without_digests(stored.manifest.get("scenario"))}
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


def why_no_table(error: Exception) -> str:
    """Why a file cannot be read as a table, without the file's name, which pyarrow includes."""
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    reason = re.sub(r"^Could not open Parquet input source '.*?': ", "", str(error))
    return f"not readable as parquet: {reason}"


def read_table(path: Path, content: BytesIO | None = None) -> pd.DataFrame:
    """A table of a run; `content`: that of the file, if it has been read already.

    Raises ScenarioError if it cannot be read, or lacks a column of `NEEDED`.
    """
    import pandas as pd

    try:
        table = pd.read_parquet(content or path)
    except FileNotFoundError:
        raise ScenarioError(f"{path}: no such file; the results are not complete") from None
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path}: {why_no_table(error)}") from None
    for column in NEEDED.get(path.stem, ()):
        if column not in table:
            raise ScenarioError(f"{path}: the column {column!r} is missing")
    return table
