"""The option --report: what is checked before anything runs, and the report that is written afterwards."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ipa import studies
from ipa.studies.errors import ScenarioError

if TYPE_CHECKING:
    from ipa.studies import RunData


def check_report(path: Path, out: Path | None = None, records: str = "all", option: str = "--report") -> None:
    """Raise ScenarioError, before anything is simulated, for a report that could not be written or drawn.

    Its folder has to exist, or be made by the run, as `out` is. A report needs the records of all requests. `option`:
    the one that names the file.
    """
    studies.report.check_records(records)
    folder = path.absolute().parent
    made = () if out is None else (out.absolute(), *out.absolute().parents)
    if not (folder.is_dir() or folder in made):
        raise ScenarioError(f"{option} {path}: the folder {folder} does not exist")
    studies.results.check_writable(folder, f"{option} {path}")
    check_plotly(option)


def check_plotly(what: str) -> None:
    """Raise ScenarioError, before anything is simulated, if plotly, which draws reports, is not installed."""
    if find_spec("plotly") is None:
        raise ScenarioError(f"{what} needs plotly, which is not installed: pip install 'ipa-pipelines[report]'")


def write_report(run: RunData, path: Path) -> None:
    """Write the report of one run."""
    studies.Comparison((run,)).write_report(path)
