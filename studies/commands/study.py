"""`ipa study`: the runs of a study file, as tables and one report."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.studies.commands import printing, progress
from ipa.studies.commands.options import (
    FOLDER,
    declared,
    jobs_option,
    on_option,
    output_options,
    taken,
)
from ipa.studies.many.study import StudyOptions

if TYPE_CHECKING:
    from ipa.studies.many.study import Sheet


@click.command()
@click.argument("what", metavar="paper|loads|FILE")
@click.option(
    "--out",
    type=FOLDER,
    required=True,
    help="Write the tables and the report to this folder; repeat the command to resume an interrupted study.",
)
@declared(StudyOptions, "pipelines", "seeds")
@jobs_option
@on_option
@output_options
def study(
    what: str,
    out: Path,
    jobs: int | None,
    on: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Run several systems on several loads, over seeds.

    `paper` repeats the published evaluation, with further systems; `loads` runs every policy on loads of many
    families, in several worlds; FILE is a study file of your own. The results are tables and one HTML report. Each
    run is saved as soon as it finishes. Repeat the command after an interrupt, with more seeds or pipelines, or with a
    changed file: only the missing runs are made.
    """
    study_options = taken(StudyOptions, options)
    running = progress.running(out, jobs, on)
    studies.displayed.check_plotly("a study's report")
    plan = studies.many.study.prepare(what, study_options.pipelines, study_options.seeds)
    for pipeline in dict.fromkeys(trial.scenario.pipeline for trial in plan.trials):
        printing.say_rules(pipeline)
    printing.say_doubts(trial.scenario for trial in plan.trials)
    for load in dict.fromkeys(replace(studies.load_of(trial.scenario), seed=1) for trial in plan.trials):
        printing.say_load(load.trace())
    progress.compile_engine(*(trial.scenario.engine for trial in plan.trials))
    with progress.ended_cleanly(out), redirect_stdout(sys.stderr):  # a user's policy may print
        outcome = studies.many.study.conduct(plan, running)
    if as_json:
        printing.print_json(studies.many.study.as_dict(outcome, out))
    else:
        for part in studies.many.study.brief(outcome, out):
            if isinstance(part, str):
                printing.print_line(part)
            else:
                print_sheet(part)
    if outcome.failures:
        raise click.ClickException(
            f"{len(outcome.failures)} of {len(plan.trials)} runs failed; the others are kept in {out}: repeat the "
            "command to try the failed ones again"
        )


def print_sheet(sheet: Sheet) -> None:
    """Print a table of text under its title, then how to read it."""
    table = printing.new_table(sheet.title, *sheet.columns, names=sheet.names, folds_names=True)
    for row in sheet.rows:
        table.add_row(*row)
    printing.print_table(table)
    printing.console().print(sheet.reading, style="dim")
