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
    from ipa.studies import RunData


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
    with (
        crews.ended_cleanly(out),
        progress.counted("runs", len(chosen) * seeds, quiet) as advance,
        redirect_stdout(sys.stderr),  # a user's policy may print
    ):
        runs = studies.compare(base, chosen, seeds, jobs=crews.at_once(jobs), folder=out, on_finished=advance)
    if report is not None:
        reports.write_report(runs, report)
    if as_json:
        printing.print_json([dict(run.summary) for run in runs])
    else:
        print_comparison(runs, out, report)
    printing.warn([run.summary for run in runs])
    if seeds > 1 and studies.load_of(base).has_fixed_times:
        printing.log(
            f"Warning: {base.trace} says when each request comes, so all seeds have the same arrivals: intervals show "
            "only what else is drawn"
        )


COLUMNS = (
    ("PAS", "pas_mean", 1.0, 2),
    ("cores", "cost_mean_cores", 1.0, 2),
    ("violations %", "sla_violation_rate", 100.0, 2),
    ("p50 s", "latency_p50_s", 1.0, 2),
    ("p99 s", "latency_p99_s", 1.0, 2),
    ("dropped", "dropped", 1.0, 0),
    ("changes", "changes", 1.0, 0),
)
"""The columns of the table: title, key of the summary, factor, digits."""


def print_comparison(runs: Sequence[RunData], folder: Path | None, report: Path | None) -> None:
    """Print a row for each policy, means over seeds with 95 % intervals, and where results and report are."""
    grouped = by_policy(runs)
    first = next(iter(grouped.values()))
    seeds = [run.summary["seed"] for run in first]
    span = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}, 95 % intervals"
    title = printing.title_of_run(first[0].summary, span)
    table = printing.new_table(title, "policy", *(name for name, *_ in COLUMNS))
    for policy, group in grouped.items():
        table.add_row(policy, *(_cell(group, key, factor, digits) for _, key, factor, digits in COLUMNS))
    printing.print_table(table)
    printing.print_places(folder, report)


def by_policy(runs: Sequence[RunData]) -> dict[str, list[RunData]]:
    """The runs of each policy, in the order in which the policies come."""
    grouped: dict[str, list[RunData]] = {}
    for run in runs:
        grouped.setdefault(run.summary["policy"], []).append(run)
    return grouped


def _cell(group: Sequence[RunData], key: str, factor: float, digits: int) -> str:
    values = (run.summary[key] for run in group)
    found = studies.estimate((None if value is None else factor * value for value in values), at_least=0.0)
    return "-" if found is None else found.text(digits)
