"""`ipa study`: the runs of a study file, as tables and one report."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import ipa
from ipa import studies
from ipa.studies.commands import complete, printing, progress
from ipa.studies.commands.options import (
    FOLDER,
    declared,
    jobs_option,
    late_option,
    on_option,
    output_options,
    taken,
)
from ipa.studies.many.study import Options

if TYPE_CHECKING:
    from ipa.studies.many import Running
    from ipa.studies.many.study import Sheet

LOADS = "loads"


@click.command()
@click.argument("what", metavar="paper|loads|FILE", shell_complete=complete.studies)
@click.option(
    "--out",
    type=FOLDER,
    required=True,
    help="Write the tables and the report to this folder; repeat the command to resume an interrupted study.",
)
@declared(Options, "pipelines", "seeds", "draw_seed", "azure")
@late_option
@jobs_option
@on_option
@output_options
def study(
    what: str,
    out: Path,
    late_at_most: float | None,
    jobs: int | None,
    on: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a study: several systems on several loads, over seeds and parameter sweeps.

    `paper` repeats the published evaluation, with further systems; `loads` draws loads of many families and says which
    policy is best for which; FILE is a study file of your own. The results are tables and one HTML report. Each run is
    saved as soon as it finishes. Repeat the command after an interrupt, with more seeds or pipelines, or with a changed
    file: only the missing runs are made.
    """
    asked = taken(Options, options)
    running = progress.running(out, jobs, on)
    if what == LOADS:
        if late_at_most is not None:
            raise click.UsageError(f"--late-at-most is not of the study {LOADS}")
        _study_loads(running, asked, as_json)
        return
    for flag, value in (("--draw-seed", asked.draw_seed), ("--azure", asked.azure)):
        if value is not None:
            raise click.UsageError(f"{flag} is of the study {LOADS} alone")
    studies.displayed.check_plotly("a study's report")
    wanted = studies.many.study.prepare(what, asked.pipelines, asked.seeds)
    for pipeline in dict.fromkeys(trial.scenario.pipeline for trial in wanted.trials):
        printing.say_rules(pipeline)
    for load in dict.fromkeys(replace(studies.load_of(trial.scenario), seed=1) for trial in wanted.trials):
        printing.say_load(load.trace())
    progress.compile_engine(*(trial.scenario for trial in wanted.trials))
    with progress.ended_cleanly(out), redirect_stdout(sys.stderr):  # a user's policy may print
        found = studies.many.study.conduct(wanted, running, late_at_most)
    if as_json:
        printing.print_json(studies.many.study.as_dict(found, out))
    else:
        for part in studies.many.study.brief(found, out):
            if isinstance(part, str):
                printing.print_line(part)
            else:
                print_sheet(part)
    if found.failures:
        raise click.ClickException(
            f"{len(found.failures)} of {len(wanted.trials)} runs failed; the others are kept in {out}: repeat the "
            "command to try the failed ones again"
        )


def _study_loads(running: Running, asked: Options, as_json: bool) -> None:
    """Run the study of which policy suits which load."""
    out, pipelines = running.folder, asked.pipelines or studies.load_study.PIPELINES
    tweets, seed = ipa.traces.default_path(os.environ), 1 if asked.draw_seed is None else asked.draw_seed
    loads = studies.load_study.Loads(draws=asked.seeds or 1, seed=seed, tweets=tweets, azure=asked.azure)
    progress.compile_engine(studies.Scenario(pipeline=pipelines[0]))
    with progress.ended_cleanly(out), redirect_stdout(sys.stderr):
        found = studies.load_study.conduct(loads, running, pipelines)
    if as_json:
        printing.print_json(studies.load_study.as_dict(found))
    else:
        table = printing.new_table("Which policy for which load", *studies.load_study.COLUMNS, names=3)
        for row in studies.load_study.text_rows(found.lines):
            table.add_row(*row)
        printing.print_table(table)
        printing.console().print(studies.load_study.READING, style="dim")
        printing.print_line(f"Table and report: {out}")
    if found.failures:
        raise click.ClickException(f"{len(found.failures)} runs failed, the first: {found.failures[0]}")


def print_sheet(sheet: Sheet) -> None:
    """Print a table of text under its title, then how to read it."""
    table = printing.new_table(sheet.title, *sheet.columns, names=sheet.names, folds_names=True)
    for row in sheet.rows:
        table.add_row(*row)
    printing.print_table(table)
    printing.console().print(sheet.reading, style="dim")
