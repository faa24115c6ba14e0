"""`ipa explain`: what a run lost against the oracle, and to what."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipa import studies
from ipa.studies.commands import jobs as crews
from ipa.studies.commands import printing, progress, reports
from ipa.studies.commands.options import jobs_option, output_options, report_option
from ipa.studies.errors import ScenarioError

if TYPE_CHECKING:
    from rich.table import Table

    from ipa.studies.losses import Losses, OfPolicy


@click.command()
@click.argument("results", metavar="RUN|DIR", type=click.Path(path_type=Path))
@jobs_option
@report_option
@output_options
def explain(results: Path, jobs: int | None, report: Path | None, as_json: bool) -> None:
    """Explain what a run lost against the oracle: forecast error, planning, caution, change, start-up.

    RUN is the folder of a run, DIR that of a comparison. Each run is simulated again without each set of causes.
    """
    kind = studies.results.read_manifest(results)["kind"]
    if kind not in ("run", "runs"):
        raise ScenarioError(f"{results}: holds a {kind}; ipa explain takes the folder of a run or of a comparison")
    runs = studies.results.read_runs(results)
    if report is not None:
        reports.check_report(report)
    with (
        crews.ended_cleanly(None),
        progress.counted("runs", studies.losses.runs_needed(runs)) as advance,
        redirect_stdout(sys.stderr),  # a user's policy may print
    ):
        found = studies.losses.explain_losses(runs, jobs=crews.at_once(jobs), on_finished=advance)
    if report is not None:
        studies.losses.pages.write(found, report)
    if as_json:
        printing.print_json(studies.losses.wording.as_dict(found))
        return
    print_losses(found)
    printing.print_places(None, report)


def print_losses(found: Losses) -> None:
    """Print for each policy the table of its causes, and a sentence for each."""
    for of in found.policies:
        printing.print_table(_table(found, of))
        wording = studies.losses.wording
        for sentence in (wording.headline(of), *wording.sentences(of), wording.order(of), wording.recorded(of)):
            if sentence:
                printing.print_line(sentence)
        if of is not found.policies[-1]:
            printing.print_line("")


def _table(found: Losses, of: OfPolicy) -> Table:
    wording, scenario = studies.losses.wording, found.scenario
    seeds = [loss.scenario.seed for loss in of.losses]
    span = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds, 95 % intervals"
    table = printing.new_table(
        f"{of.policy} less the oracle, {scenario.pipeline} on {scenario.trace}, {span}",
        *("cause", "objective", "cores", "PAS", "violations, points", "in order", "in any order"),
    )
    for cause in studies.losses.CAUSES:
        if cause not in of.kept:
            table.add_row(wording.TITLES[cause].lower(), *wording.table_row(of, cause))
    table.add_row("together", *wording.difference_row(of), style="bold")
    return table
