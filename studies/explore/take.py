"""Downloads of a question: a report as one HTML page, and a table of its runs, as `ipa compare` writes them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ipa.studies import fleets, results
from ipa.studies.fleets import Fleet
from ipa.studies.many import Running, conduct, look
from ipa.studies.scenario import Scenario

FORMS = {"report": "explore.html", "table": "explore.parquet"}
"""Form -> the name of its file."""


def taken(chosen: Sequence[Scenario], seeds: int, form: str) -> dict[str, str]:
    """A file of the runs of the scenarios, each with `seeds` seeds: its name, and its content in base64.

    Raises as `conduct`, and ScenarioError if a report is requested of runs without records.
    """
    comparison = conduct(chosen, seeds, Running(None, jobs=1))

    def write(path: Path) -> None:
        if form == "report":
            comparison.write_report(path)
        else:
            results.write_table(comparison.table, path)

    return _file(form, write)


def taken_of_fleet(fleet: Fleet, seeds: int, form: str) -> dict[str, str]:
    """The same of a fleet, whose report is of its first seeds alone. Raises as `simulate_fleet`."""

    def write(path: Path) -> None:
        if form == "report":
            _, answers = fleets.answered(fleet, on_step=look)
            answers.write_report(path)
        else:
            results.write_table(fleets.sweep_fleet(fleet, [{}], seeds, Running(None, jobs=1)), path)

    return _file(form, write)


def _file(form: str, write: Callable[[Path], object]) -> dict[str, str]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / FORMS[form]
        write(path)
        return {"name": path.name, "base64": b64encode(path.read_bytes()).decode()}
