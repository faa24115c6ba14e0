"""The option --report: checks before anything runs, and writing afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ipa import studies
from ipa.studies.commands import progress
from ipa.studies.displayed import Displayed, page_of
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from ipa.studies import Answers, RunData
    from ipa.studies.many import Requirement
    from ipa.studies.pages import Page, Plot

SWEPT = "runs.parquet"
"""The table of a sweep's folder."""

FORMS = ("png", "svg", "pdf")
"""The image formats of --static."""


def check_report(path: Path, out: Path | None = None, records: str = "all", option: str = "--report") -> None:
    """Raise ScenarioError, before anything is simulated, if a report could not be written or drawn.

    Its folder must exist, or be `out`, which the run creates. `option`: the name for error texts.
    """
    studies.runs.check_records(records)
    if path.is_dir():
        raise ScenarioError(f"{option} {path}: is a folder; give a file")
    if out is not None and path.resolve() == out.resolve():
        raise ScenarioError(f"{option} {path}: is the folder of the results; give another file")
    new_folders = () if out is None else (out.absolute(), *out.absolute().parents)
    if path.absolute().parent in new_folders:
        studies.results.check_writable(path.parent, f"{option} {path}")
    else:
        studies.results.check_place(path, f"{option} {path}")
    studies.displayed.check_plotly(option)


def records_of(runs: Sequence[RunData]) -> str:
    """Which records runs hold: `none` if one of them holds none; older results, which lack the key, hold all."""
    kinds = [str(run.summary.get("records", "all")) for run in runs]
    return "none" if "none" in kinds else kinds[0]


def answers_of(results: Path, required: Sequence[Requirement] = ()) -> Answers:
    """The answers of a table of runs, or of that in a sweep's folder. Raises ScenarioError if it is no such table."""
    if results.is_file():
        return studies.read_answers(results)
    demand = studies.many.sweeps.demand_of_folder(results, required)
    return studies.read_answers(results / SWEPT, title=f"Sweep: {results.resolve().name}", demand=demand)


def check_images(folder: Path) -> None:
    """Raise ScenarioError, before anything is read, if images could not be drawn or written."""
    studies.pages.check_images("--static")
    if folder.is_file():
        raise ScenarioError(f"{folder}: is a file; images go into a folder")
    studies.results.check_writable(folder, str(folder))


def write_images(plots: Sequence[Plot], form: str, folder: Path) -> list[Path]:
    """Write plots as images named after them; returns their paths."""
    with progress.counted("images", len(plots)) as on_drawn:
        drawn = studies.pages.draw_images(plots, form, on_drawn)
    files = {f"{plot.name}.{form}": image for plot, image in zip(plots, drawn, strict=True)}
    return studies.results.write_files(files, folder)


def write_page(page: Page, path: Path) -> None:
    """Write a page to the file of --report or --to."""
    studies.pages.write(page, path)


def write_report(result: Displayed | RunData, path: Path) -> None:
    """Write the report of a result, or of one run, to the file of --report."""
    shown = result if isinstance(result, Displayed) else studies.Comparison((result,))
    write_page(page_of(shown).page(shown), path)
