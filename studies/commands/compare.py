"""`ipa compare`: several policies on the same requests."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipa import studies
from ipa.studies.commands import jobs as crews
from ipa.studies.commands import printing, progress, reports
from ipa.studies.commands.options import (
    build_scenario,
    jobs_option,
    json_option,
    pipeline_argument,
    quiet_option,
    report_option,
    resumable_out_option,
    scenario_options,
)

if TYPE_CHECKING:
    from ipa.studies import Comparison


@click.command()
@pipeline_argument
@click.option(
    "--policy",
    "policies",
    multiple=True,
    help="Policy to compare. Repeatable. Default: ipa, scale-only:low, scale-only:high and switch-only.",
)
@scenario_options
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, help="Runs per policy, with seeds from --seed on. Default: 1."
)
@jobs_option
@resumable_out_option
@report_option
@quiet_option
@json_option
def compare(
    what: str,
    policies: Sequence[str],
    assignments: Sequence[str],
    seeds: int,
    jobs: int | None,
    out: Path | None,
    report: Path | None,
    quiet: bool,
    as_json: bool,
    **options: object,
) -> None:
    """Run several policies on the same requests and compare cost, accuracy and latency.

    With --out each run is saved as soon as it finishes. Repeat the command to resume an interrupted comparison, or add
    policies or seeds to extend one. A command that would drop or change a saved run is refused.
    """
    base = build_scenario(what, assignments, **options)
    chosen = policies or studies.BASELINES
    if report is not None:
        reports.check_report(report, out, base.records)
    if not quiet:
        printing.say_load(studies.load_of(base).trace())
    with (
        crews.ended_cleanly(out),
        progress.counted("runs", len(chosen) * seeds, quiet) as advance,
        redirect_stdout(sys.stderr),  # a user's policy may print
    ):
        comparison = studies.compare(base, chosen, seeds, jobs=crews.at_once(jobs), folder=out, on_finished=advance)
    if report is not None:
        comparison.write_report(report)
    if as_json:
        printing.print_json([dict(run.summary) for run in comparison.runs])
    else:
        print_comparison(comparison, out, report)
    printing.warn([run.summary for run in comparison.runs])
    if seeds > 1 and studies.load_of(base).has_fixed_times:
        printing.log(
            f"Warning: {base.trace} says when each request comes, so all seeds have the same arrivals: intervals show "
            "only what else is drawn"
        )


def print_comparison(comparison: Comparison, folder: Path | None, report: Path | None) -> None:
    """Print a row for each policy, means over seeds with 95 % intervals, and where results and report are."""
    groups = studies.report.by_policy(comparison.runs)
    first = groups[0]
    span = f"seed {first.seeds[0]}"
    if len(first.seeds) > 1:
        span = f"seeds {first.seeds[0]} to {first.seeds[-1]}, 95 % intervals"
    columns = studies.report.FIGURES
    table = printing.new_table(
        printing.title_of_run(first.runs[0].summary, span), "policy", *(name for name, *_ in columns)
    )
    for group in groups:
        table.add_row(group.policy, *(studies.report.cell(group, figure) for figure in columns))
    printing.print_table(table)
    printing.print_places(folder, report)
