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
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Protocol

from ipa.policies import Entry, read_journal, to_line
from ipa.studies.errors import ScenarioError
from ipa.studies.run import TABLES, Run
from ipa.studies.scenario import Scenario
from ipa.studies.source import source_digest

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
JOURNAL = "journal.jsonl"

KINDS = ("run", "runs", "study")
"""What a results folder may be of: one run, a comparison, a study."""

_PACKAGES = ("ipa-pipelines", "numba", "numpy", "pandas", "pyarrow", "scipy", "simpy")


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
        found = {name: _read_table(self.folder / f"{name}.parquet") for name in TABLES}
        if "accepted" not in found["decisions"]:  # it came later than other columns, and the journal has it
            refused = {entry.observation.step for entry in self.entries if entry.is_refused}
            found["decisions"] = found["decisions"].assign(accepted=~found["decisions"]["step"].isin(refused))
        return found

    @property
    def entries(self) -> list[Entry]:
        """The journal. Raises ScenarioError where it cannot be read, PolicyError for a broken one."""
        path = self.folder / JOURNAL
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise ScenarioError(f"{path}: cannot be read: {error.strerror}") from None
        return list(read_journal(text.splitlines(), str(path)))


# ---- reading ----


def read_runs(folder: Path) -> list[StoredRun]:
    """The runs of a results folder: of one run, or of a comparison. Raises ScenarioError where one is not there."""
    manifest = _read_manifest(folder)
    if manifest["kind"] == "study":
        raise ScenarioError(f"{folder}: holds a study, whose report is {folder / 'report.html'}; ipa study writes it")
    if manifest["kind"] == "run":
        return [StoredRun(folder, manifest)]
    missing = [name for name in manifest["runs"] if not (folder / name / MANIFEST).is_file()]
    if missing:
        raise ScenarioError(
            f"{folder}: the comparison is not finished, {len(missing)} of {len(manifest['runs'])} runs are missing "
            f"({missing[0]} first); the command that began it goes on with it"
        )
    return [_read_run(folder / name) for name in manifest["runs"]]


def find_finished(scenario: Scenario, folder: Path) -> StoredRun | None:
    """The run of this scenario in a comparison's folder, if it was finished.

    Raises ScenarioError where the run that stands there is of another scenario, or of files that have changed since.
    """
    inner = folder / run_name(scenario)
    return finished(inner, scenario) if inner.exists() else None


def finished(folder: Path, scenario: Scenario) -> StoredRun:
    """The run in a folder inside another, which has to be of this scenario; raises as `find_finished`."""
    stored = _read_run(folder)
    given = {"scenario": scenario.as_dict(), "files": files_of(scenario)}
    for what, now in given.items():
        then = stored.manifest.get(what)
        if then != now:
            raise ScenarioError(
                f"--out {folder.parent}: {folder.name} is of {difference(what, then, now)}; give a new folder"
            )
    return stored


def difference(what: str, then: object, now: object) -> str:
    """In which key two scenarios, or in which file their files differ."""
    if not (isinstance(then, Mapping) and isinstance(now, Mapping)):
        return f"another {what}"
    key = next(key for key in (*now, *then) if then.get(key) != now.get(key))
    if what == "files":
        return f"another content of {key}"
    return f"another scenario: {key} {json.dumps(then.get(key))}, now {json.dumps(now.get(key))}"


def _read_run(folder: Path) -> StoredRun:
    manifest = _read_manifest(folder)
    if manifest["kind"] != "run":
        raise ScenarioError(f"{folder / MANIFEST}: should be of one run")
    return StoredRun(folder, manifest)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ScenarioError(f"{folder}: holds no results: {MANIFEST} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from None
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise ScenarioError(f"{path}: schema_version is {version!r}; this program reads {SCHEMA_VERSION}")
    if manifest.get("kind") not in KINDS:
        raise ScenarioError(f"{path}: kind is {manifest.get('kind')!r}; it should be {' or '.join(KINDS)}")
    if manifest["kind"] == "run" and not isinstance(manifest.get("summary"), dict):
        raise ScenarioError(f"{path}: the key 'summary' should hold the summary of the run")
    names = manifest.get("runs")
    if manifest["kind"] == "runs" and not (
        isinstance(names, list) and names and all(isinstance(name, str) for name in names)
    ):
        raise ScenarioError(f"{path}: the key 'runs' should list the folders of the runs")
    return dict(manifest)


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise ScenarioError(f"{path}: no such file; the results are not whole") from None
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from None


# ---- writing ----


def claim(folder: Path, *, resumable: bool = False, kind: str = "runs") -> None:
    """Make sure that results may go to `folder`: it does not exist or is empty, and can be written.

    `resumable`: it may also hold results of that kind (`runs`: a comparison), which are gone on with. Raises
    ScenarioError, before anything is simulated or written, for a folder that holds anything else: nothing finished is
    overwritten.
    """
    if folder.exists() and not folder.is_dir():
        raise ScenarioError(f"--out {folder}: is a file; give a new folder")
    check_writable(folder if resumable else folder.absolute().parent, f"--out {folder}")
    if not folder.is_dir():
        return
    if not resumable and (folder.is_mount() or folder.samefile(Path())):
        raise ScenarioError(f"--out {folder}: cannot be replaced as a whole; give a new folder")
    if not any(folder.iterdir()):
        return
    if not (folder / MANIFEST).is_file():
        raise ScenarioError(f"--out {folder}: holds other files; give a new or an empty folder")
    if not (resumable and _read_manifest(folder)["kind"] == kind):
        raise ScenarioError(f"--out {folder}: holds results already; give a new or an empty folder")


def check_writable(folder: Path, what: str) -> None:
    """Raise ScenarioError, beginning with `what`, where nothing could be written to a folder that is there or to be."""
    place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    try:
        os.rmdir(mkdtemp(prefix=".ipa-", dir=place))
    except OSError as error:
        raise ScenarioError(f"{what}: cannot be written: {place}: {error.strerror}") from None


def write_run(run: Run, folder: Path) -> None:
    """Write a run's tables, journal and manifest to `folder`, which appears complete or not at all.

    Raises ScenarioError where that cannot be.
    """
    with _appearing(folder) as fresh:
        for name, table in run.tables.items():
            write_table(table, fresh / f"{name}.parquet")
        write_table(runs_table([run]), fresh / "runs.parquet")
        lines = [to_line(entry) + "\n" for entry in run.entries]
        (fresh / JOURNAL).write_text("".join(lines), encoding="utf-8")
        write_json(_manifest(run), fresh / MANIFEST)


def open_comparison(chosen: Sequence[Scenario], folder: Path) -> None:
    """Make the folder of a comparison before its runs: its manifest names all of them.

    A folder that holds a comparison is gone on with by the same one, or by one of more policies or seeds. Raises
    ScenarioError where a run that is there would be left out, or is of another scenario: it would be lost.
    """
    claim(folder, resumable=True)
    names = [run_name(scenario) for scenario in chosen]
    if (folder / MANIFEST).is_file():
        for name in _read_manifest(folder)["runs"]:
            if name not in names and (folder / name).exists():
                raise ScenarioError(
                    f"--out {folder}: holds the run {name}, which is not among those asked for; name its policy and "
                    "seed too, or give a new folder"
                )
    for scenario in chosen:
        find_finished(scenario, folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json({"schema_version": SCHEMA_VERSION, "kind": "runs", "runs": names}, folder / MANIFEST)


def close_comparison(runs: Sequence[RunData], folder: Path) -> None:
    """Add the table `runs`, a row a run, to the folder of a comparison."""
    write_table(runs_table(runs), folder / "runs.parquet")


def run_name(scenario: Scenario) -> str:
    """The folder's name of one run among several."""
    policy = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in scenario.policy.name)
    return f"{policy}-{scenario.seed}"


def runs_table(runs: Sequence[RunData]) -> pd.DataFrame:
    """One row a run: its summary without the wall time, which is no property of the run."""
    import pandas as pd

    rows = [{key: value for key, value in run.summary.items() if key != "wall_s"} for run in runs]
    # A figure that is not there (no request completed) is NaN, so that a column has one type in every table.
    return pd.DataFrame([{key: float("nan") if value is None else value for key, value in row.items()} for row in rows])


def _manifest(run: Run) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "run",
        "scenario": run.scenario.as_dict(),
        "scenario_sha256": run.scenario.digest,
        "files": files_of(run.scenario),
        "policy": run.policy,
        "seed": run.scenario.seed,
        "trace": {
            "name": run.trace.name,
            "source": run.trace.source,
            "sha256": run.trace.sha256,
            "requests": run.trace.requests,
        },
        "summary": run.summary,
        "decisions_reused": run.decisions_reused,
        **versions(),
        **run.further,
    }


def files_of(scenario: Scenario) -> dict[str, str]:
    """The sha256 of every file that a scenario names, by the name it gives: pipeline, trace, policy, predictor."""
    found: dict[str, str] = {}

    def look_at(value: object) -> None:
        if isinstance(value, str):
            for name in (value, value.rpartition(":")[0]):
                if name and Path(name).is_file():
                    found[name] = sha256(Path(name).read_bytes()).hexdigest()
        elif isinstance(value, dict | list):
            for item in value.values() if isinstance(value, dict) else value:
                look_at(item)

    look_at(scenario.as_dict())
    return found


def versions() -> dict[str, Any]:
    """Python's version and those of the packages that figures depend on; of this one's own source a digest too."""
    named = {name: _version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), "versions": {**named, "source": source_digest()}}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table to a file, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    table.to_parquet(part, compression="zstd", index=False)
    os.replace(part, path)


def write_json(value: object, path: Path) -> None:
    """Write a value to a file, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    os.replace(part, path)


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A fresh folder beside `folder` that takes its name when the block ends well, and vanishes otherwise."""
    folder = folder.absolute()
    fresh = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        yield fresh
        fresh.chmod(0o755)
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
        os.replace(fresh, folder)
    except OSError as error:
        raise ScenarioError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        if fresh is not None:
            shutil.rmtree(fresh, ignore_errors=True)
