"""`ipa tune`: parameters that serve a wish best, found on some windows of a load and judged on others."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from ipa import studies
from ipa.studies.commands import printing, progress
from ipa.studies.commands.options import (
    SECONDS,
    Whole,
    Words,
    build_scenario,
    goal_option,
    jobs_option,
    load_options,
    output_options,
    pipeline_argument,
    policy_option,
    resumable_out_option,
    set_option,
    together,
)
from ipa.studies.many.tuning import LENGTH_S, TRIALS, WINDOWS, Drawing

wish_options = together(
    click.option("--minimise", metavar="OUTCOME", help="What to make small: cost_mean_cores, sla_violation_rate, ..."),
    click.option("--maximise", metavar="OUTCOME", help="What to make large: pas_mean, ..."),
    click.option("--also", multiple=True, metavar="'maximise OUTCOME'", help="A further aim. Repeatable."),
    click.option(
        "--slo",
        "limits",
        multiple=True,
        metavar="'OUTCOME<=NUMBER'",
        help="Limit that has to be kept on average; NUMBER may be `defaults` or, say, 0.9*defaults. Repeatable.",
    ),
)

window_options = together(
    click.option("--train", metavar="START:END", help="Seconds of the load to choose on. Default: the first 2/3."),
    click.option("--test", metavar="START:END", help="Seconds of the load to judge on. Default: the rest."),
    click.option(
        "--windows",
        type=Whole(min=2),
        default=WINDOWS,
        help=f"Windows to choose on; twice as many to judge on. Default: {WINDOWS}.",
    ),
    click.option("--length", "length_s", type=SECONDS, help=f"Seconds of a window. Default: {LENGTH_S:g}."),
    click.option(
        "--draw",
        type=Words(("alike", "any")),
        help="With --trace twitter:NAME: windows like that one (default), or any.",
    ),
    click.option("--seeds", type=Whole(min=1), default=1, help="Runs in each window. Default: 1."),
)


@click.command()
@pipeline_argument
@policy_option
@goal_option
@wish_options
@click.option(
    "--vary",
    multiple=True,
    metavar="KEY=FROM:TO",
    help="Key of the scenario to vary: KEY=0:1, 10:60:5 (steps), 0.1:100:log, or p99,mean (a choice). Repeatable. "
    "Default: the policy's parameters that have a range of their own.",
)
@click.option("--trials", type=Whole(min=1), default=TRIALS, help=f"How many settings to try. Default: {TRIALS}.")
@window_options
@load_options
@set_option
@jobs_option
@resumable_out_option
@output_options
def tune(
    what: str,
    minimise: str | None,
    maximise: str | None,
    also: Sequence[str],
    limits: Sequence[str],
    vary: Sequence[str],
    trials: int,
    draw: str | None,
    assignments: Sequence[str],
    jobs: int | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Tune a policy: find parameters on some windows of a load, and judge them on others.

    Prints a scenario file of the best setting, ready to run, with its gain over the defaults in comments above it.
    """
    names = ("train", "test", "windows", "length_s", "seeds")
    drawing = Drawing(**{name: options.pop(name) for name in names}, alike=None if draw is None else draw == "alike")
    scenario = build_scenario(what, assignments, **options)
    progress.compile_engine(scenario)
    with (
        progress.ended_cleanly(out),
        progress.counted("settings", trials) as advance,
        redirect_stdout(sys.stderr),  # a user's policy may print
    ):
        tuned = studies.tune(
            scenario,
            minimise=minimise,
            maximise=maximise,
            also=also,
            limits=limits,
            vary=vary,
            trials=trials,
            drawing=drawing,
            jobs=progress.at_once(jobs),
            folder=out,
            on_finished=advance,
            log=printing.note,
        )
    if as_json:
        printing.print_json(tuned.as_dict())
    else:
        click.echo(studies.many.tuning.as_file(tuned, tuned.best[0]), nl=False)
    if not tuned.best[0].keeps_limits[0]:
        printing.log(f"Warning: no setting keeps {', '.join(map(str, tuned.wishes.limits))}; this one breaks it least")
    if out is not None:
        printing.note(f"Results: {out}")
