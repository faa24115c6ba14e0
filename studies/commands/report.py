"""`ipa report`: stored results as one page, or each figure as an image."""

from __future__ import annotations

from pathlib import Path

import click

from ipa import studies
from ipa.studies.commands import printing, reports
from ipa.studies.commands.options import FOLDER, output_options


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--to",
    type=FOLDER,
    help="HTML file to write, or with --static the folder. Default: FOLDER/report.html or FOLDER/figures.",
)
@click.option(
    "--static",
    "form",
    type=click.Choice(reports.FORMS),
    help="Write each figure as an image of this form instead. Needs kaleido and Chromium.",
)
@output_options
def report(folder: Path, to: Path | None, form: str | None, as_json: bool) -> None:
    """Draw the results in FOLDER as one HTML file.

    FOLDER holds a run, a comparison or a validation. With --static, each figure is written as an image instead.
    """
    if form is None:
        path = to or folder / "report.html"
        _write_page(folder, path, "the page" if to is None else "--to")
        printing.print_made(path, as_json)
    else:
        printing.print_files(_write_images(folder, form, to or folder / "figures"), as_json)


def _write_page(folder: Path, path: Path, what: str) -> None:
    if studies.validation.read_manifest(folder) is not None:
        reports.check_report(path, option=what)
        studies.validation.page.write(studies.read_validation(folder), path)
    else:
        comparison = studies.read_comparison(folder)
        reports.check_report(path, records=reports.records_of(comparison.runs), option=what)
        comparison.write_report(path)


def _write_images(folder: Path, form: str, to: Path) -> list[Path]:
    reports.check_images(to)
    if studies.validation.read_manifest(folder) is not None:
        plots = studies.validation.curves.plots(studies.read_validation(folder))
    else:
        runs = studies.results.read_runs(folder)
        studies.report.check_records(reports.records_of(runs))
        plots = studies.report.plots_of(runs)
    return reports.write_images(plots, form, to)
