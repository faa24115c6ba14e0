"""`ipa report`: stored results as one page, or each figure as an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipa import studies
from ipa.studies import fleets
from ipa.studies.commands import reports
from ipa.studies.commands.options import (
    FOLDER,
    Words,
    quiet_option,
)
from ipa.studies.displayed import page_of

if TYPE_CHECKING:
    from ipa.studies.displayed import Displayed
    from ipa.studies.pages import Plot


@click.command()
@click.argument("results", metavar="FOLDER|TABLE", type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=FOLDER,
    help="HTML file to write, or with --static the folder. Default: FOLDER/report.html or FOLDER/figures.",
)
@click.option(
    "--static",
    "form",
    type=Words(reports.FORMS),
    help="Write each figure as an image of this form instead. Needs kaleido and Chromium.",
)
@quiet_option
def report(results: Path, to: Path | None, form: str | None) -> None:
    """Draw stored results as one HTML file.

    FOLDER holds a run, a comparison, a study, a sweep, a validation or a fleet; TABLE is a parquet file with a row for
    each run and a column for each key that varies. With --static, each figure is written as an image instead.
    """
    folder = results.parent if results.is_file() else results
    if form is None:
        path = to or folder / "report.html"
        _write_page(results, path, "the page" if to is None else "--to")
        click.echo(str(path))
    else:
        images = to or folder / "figures"
        reports.check_images(images)
        for image in reports.write_images(_plots(results), form, images):
            click.echo(str(image))


def _write_page(results: Path, path: Path, option: str) -> None:
    kind = _kind(results)
    if kind in ("run", "runs"):
        comparison = studies.read_comparison(results)
        reports.check_report(path, records=reports.records_of(comparison.runs), option=option)
        reports.write_report(comparison, path)
        return
    reports.check_report(path, option=option)
    reports.write_report(_result(results, kind), path)


def _plots(results: Path) -> list[Plot]:
    result = _result(results, _kind(results))
    plots: list[Plot] = page_of(result).page(result).plots
    return plots


def _result(results: Path, kind: str) -> Displayed:
    if kind in ("run", "runs", "tuning"):  # of a tuning, it says what there is instead
        return studies.read_comparison(results)
    if kind == "fleet":
        return fleets.read_fleet(results)
    if kind == "validation":
        return studies.read_validation(results)
    if kind == "study":
        return studies.read_study(results)
    return reports.answers_of(results)


def _kind(results: Path) -> str:
    """The kind of the results: a table, a fleet, a validation, or that in the manifest."""
    if results.is_file():
        return "table"
    if fleets.is_kept_fleet(results):
        return "fleet"
    if studies.validation.read_manifest(results) is not None:
        return "validation"
    return str(studies.results.read_manifest(results)["kind"])
