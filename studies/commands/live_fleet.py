"""`ipa live run` for a fleet: several pipelines on real servers, under one budget of cores."""

from __future__ import annotations

import logging
import sys
from contextlib import redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.live import logs
from ipa.studies import fleets
from ipa.studies.commands import live_view, printing, reports, unwritten
from ipa.studies.commands.fleets import build_fleet, print_answers
from ipa.studies.commands.live_results import check_no_results
from ipa.studies.commands.options import Results
from ipa.studies.scenario import choices

if TYPE_CHECKING:
    from ipa.policies.sharing import Step
    from ipa.studies.fleets import Fleet, LiveFleetRun
    from ipa.studies.runs.live_runs import Live


def run(what: str, how: Live, results: Results, options: dict[str, Any], *, no_load: bool) -> None:
    """Run a fleet as its file and the options say."""
    assignments, defaults = options.pop("assignments"), {"policy": choices.LIVE_POLICY}
    if how.cluster is None:
        _run(build_fleet(what, assignments, options, defaults), how, results)
        return
    if not (no_load or how.settings.controller.advise):
        raise click.UsageError(f"{what}: on a cluster, a fleet is controlled under its own traffic: --no-load")
    check_no_results(results, "--no-load" if no_load else "controller.advise")
    fleet = build_fleet(what, assignments, options, defaults, partial(fleets.quota_of, how))
    if not printing.is_quiet():
        logs.lines_to_stderr(logging.INFO)

    def show(step: Step) -> None:
        why = f" ({step.why})" if step.why else ""
        line = f"{step.pipeline}, step {step.step}: wants {step.wanted} cores, gets {step.got}{why}"
        printing.note(line)

    fleets.control_live_fleet(fleet, how, show)


def _run(fleet: Fleet, how: Live, results: Results) -> None:
    """Run the fleet with its loads; write and print the results and warnings."""
    out, report = results.out, results.report
    if out is not None:
        studies.results.claim(out)
    if report is not None:
        reports.check_report(report, out)
    names = [member.name for member in fleet.pipelines]
    for load in dict.fromkeys(studies.load_of(member.scenario) for member in fleet.pipelines):
        printing.say_load(load.trace())
    with live_view.showing_several(names) as show, redirect_stdout(sys.stderr):  # a user's policy may print
        finished = fleets.run_live_fleet(fleet, how, show)
    answers = fleets.answers_of(finished)
    if out is not None:
        with unwritten.told_last():
            unwritten.write_or_elsewhere(partial(fleets.write_fleet, finished, answers), out)
    if report is not None:
        with unwritten.told_last():
            reports.write_report(answers, report)
    _print(finished, results)


def _print(finished: LiveFleetRun, results: Results) -> None:
    """Print the results and warnings of a run. ClickException: it has ended early, or lost too many requests."""
    runs, answers = finished.runs, fleets.answers_of(finished)
    losses = [f"{name}: {run.loss}" for name, run in runs.items() if run.loss]
    for loss in losses:
        printing.log(loss)
    if results.as_json:
        printing.print_json({**fleets.as_plain(answers), "live": {name: run.live for name, run in runs.items()}})
    else:
        print_answers(answers)
        printing.print_places(results.out, results.report)
    printing.warn([{**run.summary, "policy": name} for name, run in runs.items()])
    for name, run in runs.items():
        live_view.warn(run.live, name)
    if finished.broken_law:
        printing.log(f"Warning: {finished.broken_law}")
    if ended := next((run.ended for run in runs.values() if run.ended), ""):
        raise click.ClickException(f"the run ended early: {ended}")
    if losses:
        raise click.ClickException(losses[0])
