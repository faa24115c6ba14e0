"""`ipa explain`: what runs lost against the oracle, and to what."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipa import studies
from ipa.studies.commands import printing, progress, reports, unwritten
from ipa.studies.commands.options import assigned, jobs_option, on_option, output_options, report_option, set_option
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from rich.table import Table

    from ipa.studies.many import NamedRun
    from ipa.studies.many.losses import Losses, OfPolicy

LONG_S = 600.0
"""The longest estimated time without explicit options [s]."""

OVERVIEW_WIDTH = 140
"""Columns where stdout is not a terminal."""

SURELY_SHORT = 10
"""Up to so many runs are explained without an estimate of the time."""


@click.command()
@click.argument("results", metavar="RUN|DIR", type=click.Path(path_type=Path))
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help="Explain only runs that meet this condition on the columns of the folder's tables or the keys of scenarios: "
    "'system==ipa and workload==bursty', 'policy==ipa' or 'seed<=2'. Repeatable.",
)
@set_option
@jobs_option
@on_option
@report_option
@output_options
def explain(
    results: Path,
    where: Sequence[str],
    assignments: Sequence[str],
    jobs: int | None,
    on: str,
    report: Path | None,
    as_json: bool,
) -> None:
    """Explain what runs lost against the oracle.

    RUN is the folder of a run, DIR that of a comparison, a study or a sweep; --set changes their scenarios. Each run is
    simulated again without each set of causes. Runs that differ only in their seed are explained together.
    """
    printing.say_copies(results)
    runs = studies.many.named_runs.chosen(studies.many.named_runs.runs_in(results), where)
    values = assigned(assignments)
    runs = [studies.many.named_runs.with_values(run, values) for run in runs]
    if report is not None:
        reports.check_report(report)
    at_once = progress.at_once(jobs)
    with progress.ended_cleanly(None), redirect_stdout(sys.stderr):  # a user's policy may print
        if not where:
            _check_short(results, runs, at_once)
        losses = studies.many.losses.explain_losses(runs, jobs=at_once, on=on, progress=progress.of_runs)
    if report is not None:
        with unwritten.told_last():
            reports.write_page(studies.pages.losses.page(losses), report)
    if as_json:
        printing.print_json(studies.many.losses.sentences.as_dict(losses))
        return
    print_losses(losses)
    printing.print_places(None, report)


def _check_short(results: Path, runs: Sequence[NamedRun], jobs: int) -> None:
    """Raise ScenarioError, which lists the possible selections, if explaining the runs takes too long."""
    if len(runs) <= SURELY_SHORT:
        return
    needed_s = studies.many.losses.estimated_s(runs, jobs)
    if needed_s > LONG_S:
        raise ScenarioError(
            f"{results}: to explain all {len(runs):,} runs takes up to {progress.span(needed_s)} ({jobs} at a time); "
            f"choose some with --where, such as --where {_example(runs[0])}; there are "
            f"{studies.many.named_runs.in_words(runs)}"
        )


def _example(run: NamedRun) -> str:
    name = next((name for name in ("system", "policy") if name in run.names), next(iter(run.names)))
    return f"'{name}=={run.names[name]}'"


def print_losses(losses: Losses) -> None:
    """Print an overview with a row for each policy, if there are several; then for each, unless there are many, its
    causes as a table and in sentences."""
    wording = studies.many.losses.sentences
    in_full = studies.pages.losses.in_full(losses)
    if len(losses.policies) > 1:
        printing.print_table(_overview(losses), piped_width=OVERVIEW_WIDTH)
        if any(policy.kept for policy in losses.policies):
            printing.print_line(wording.NOT_ALONE)
        if bought := [policy.policy for policy in losses.policies if wording.is_bought(policy)]:
            printing.print_line(f"{', '.join(bought)}: {wording.BOUGHT[0].lower()}{wording.BOUGHT[1:]}")
        if not in_full:
            printing.print_line("To see one in full, name it with --where.")
    if intervals := wording.intervals(losses.policies):
        printing.print_line(intervals)
    for policy in in_full:
        if len(losses.policies) > 1:
            printing.print_line("")
        printing.print_table(_table(policy))
        details = (*wording.of_causes(policy), wording.order(policy), wording.recorded(policy))
        for sentence in (wording.headline(policy), *details):
            if sentence:
                printing.print_line(sentence)


def _overview(losses: Losses) -> Table:
    wording = studies.many.losses.sentences
    is_single = all(len(policy.losses) == 1 for policy in losses.policies)
    title = f"What was lost against the oracle, {losses.where}{'' if is_single else ', 95 % intervals over seeds'}"
    table = printing.new_table(title, "policy", *wording.OVERVIEW_COLUMNS, folds_names=True)
    for policy in losses.policies:
        table.add_row(policy.policy, *wording.overview_row(policy))
    return table


def _table(policy: OfPolicy) -> Table:
    wording, scenario = studies.many.losses.sentences, policy.scenario
    span = f"seed {policy.seeds[0]}" if len(policy.seeds) == 1 else f"{len(policy.seeds)} seeds, 95 % intervals"
    table = printing.new_table(
        f"{policy.policy} less the oracle, {scenario.pipeline} on {scenario.trace}, {span}",
        *("cause", "objective", "cores", "PAS", "violations, points", "in order", "in any order"),
    )
    for cause in studies.many.losses.CAUSES:
        if cause not in policy.kept:
            table.add_row(wording.TITLES[cause].lower(), *wording.table_row(policy, cause))
    table.add_row("together", *wording.difference_row(policy), style="bold")
    return table
