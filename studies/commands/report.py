"""`ipa report`: stored results as one page."""

from __future__ import annotations

from pathlib import Path

import click

from ipa import studies
from ipa.studies.commands import reports
from ipa.studies.commands.options import NEW_FILE


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--to", type=NEW_FILE, help="HTML file to write. Default: FOLDER/report.html.")
def report(folder: Path, to: Path | None) -> None:
    """Draw the results in FOLDER as one HTML file.

    FOLDER holds a run, a comparison or a validation.
    """
    path = to or folder / "report.html"
    if studies.validation.read_manifest(folder) is not None:
        reports.check_report(path, option="--to")
        studies.validation.page.write(studies.read_validation(folder), path)
    else:
        comparison = studies.read_comparison(folder)
        # Older results without this key hold all records.
        kept = (run.summary.get("records", "all") for run in comparison.runs)
        kept_first = next((records for records in kept if records != "all"), "all")
        reports.check_report(path, records=kept_first, option="--to")
        comparison.write_report(path)
    click.echo(str(path))
