"""`ipa tune`: the best parameters for an aim, searched on some windows of a load and tested on others."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from ipa import studies
from ipa.studies.commands import printing, progress
from ipa.studies.commands.options import (
    Results,
    build_scenario,
    declared,
    goal_option,
    jobs_option,
    load_options,
    output_options,
    pipeline_argument,
    policy_option,
    resumable_out_option,
    set_option,
    taken,
)
from ipa.studies.many.tuning import TuningOptions


@click.command()
@pipeline_argument
@policy_option
@goal_option
@declared(TuningOptions, "minimise", "maximise", "limits", "vary", "trials", "windows", "seeds")
@load_options
@set_option
@jobs_option
@resumable_out_option
@click.option(
    "--write",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the best setting of hpa, kpa or ray to this file as a manifest of its autoscaler, for each stage.",
)
@output_options
def tune(what: str, jobs: int | None, write: Path | None, **options: Any) -> None:
    """Choose parameters on some windows of a load, test on others.

    Prints a scenario file of the best setting, ready to run, with its gain over the defaults in comments above it.
    """
    results, tuning = taken(Results, options), taken(TuningOptions, options)
    scenario = build_scenario(what, **options)
    if write is not None:
        studies.results.check_place(write, f"--write {write}")
        studies.many.settings_of(scenario, is_measured=False)  # before anything runs
    printing.say_load(studies.load_of(scenario).trace())
    progress.compile_engine(scenario.engine)
    with (
        progress.ended_cleanly(results.out),
        progress.counted("settings", tuning.trials) as advance,
        redirect_stdout(sys.stderr),  # a user's policy may print
    ):
        tuned = studies.tune(
            scenario,
            jobs=progress.at_once(jobs),
            folder=results.out,
            on_finished=advance,
            log=printing.note,
            **vars(tuning),
        )
    if results.as_json:
        printing.print_json(tuned.as_dict())
    else:
        click.echo(studies.many.tuning.as_file(tuned), nl=False)
    if write is not None:
        reasons = studies.many.tuning.lines(tuned)
        studies.results.write_text(studies.many.settings_of(tuned.scenario, is_measured=False, reasons=reasons), write)
        printing.note(f"Settings: {write}")
    if not tuned.best.keeps_limits[0]:
        printing.log(f"Warning: no setting keeps {', '.join(map(str, tuned.wishes.limits))}; this one breaks it least")
    if results.out is not None:
        printing.note(f"Results: {results.out}")
