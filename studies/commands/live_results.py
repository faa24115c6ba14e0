"""The results of live runs on the command line: whether there can be some, and where they are written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import click

from ipa.studies import live_runs
from ipa.studies.commands import unwritten
from ipa.studies.commands.options import Results
from ipa.studies.scenario import ScenarioError


def check_no_results(results: Results, why: str) -> None:
    """Raise UsageError for an option about a run's results if only a controller runs."""
    options = {"--out": results.out, "--report": results.report, "--json": results.as_json}
    wanted_results = [name for name, value in options.items() if value]
    if wanted_results:
        raise click.UsageError(
            f"{', '.join(wanted_results)}: with {why} on a cluster no load is sent, so there are no results to write; "
            "use --state FILE to keep the journal, or --metrics-port"
        )


def write_live(write: Callable[[Path], object], out: Path) -> None:
    """Write results, elsewhere if need be, and remove what was kept during the run. Raises ScenarioError."""
    folder = live_runs.kept_folder(out)
    try:
        unwritten.write_or_elsewhere(write, out)
    except unwritten.ElsewhereError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except ScenarioError as problem:
        if not folder.exists():
            raise
        raise ScenarioError(f"{problem}; what was kept during the run is in {folder}") from None
    shutil.rmtree(folder, ignore_errors=True)
