"""`ipa simulate`: one policy on one load."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipa import studies
from ipa.studies.commands import fleets, printing, progress, reports, unwritten
from ipa.studies.commands.options import (
    build_scenario,
    check_required,
    goal_option,
    out_option,
    output_options,
    pipeline_argument,
    policy_option,
    report_option,
    require_option,
    scenario_options,
)

if TYPE_CHECKING:
    from ipa.studies.many import Requirement


@click.command()
@pipeline_argument
@policy_option
@goal_option
@scenario_options
@out_option
@report_option
@require_option
@output_options
def simulate(
    what: str,
    policy: str | None,
    assignments: Sequence[str],
    out: Path | None,
    report: Path | None,
    required: Sequence[Requirement],
    as_json: bool,
    **options: object,
) -> None:
    """Simulate one policy on one load.

    PIPELINE is the name of a shipped pipeline, such as video; FILE is a pipeline, scenario or fleet file. A fleet runs
    as such, and each of its pipelines alone; options hold for all its pipelines.
    """
    if studies.scenario.is_fleet(what):
        changes = {"policy": policy, **options}
        fleets.simulate(what, assignments, changes, out=out, report=report, required=required, as_json=as_json)
        return
    scenario = build_scenario(what, assignments, policy=policy, **options)
    if out is not None:
        studies.results.claim(out)
    if report is not None:
        reports.check_report(report, out, scenario.records)
    printing.say_load(studies.load_of(scenario).trace())
    engine = studies.runs.soonest_engine(scenario)
    progress.compile_engine(engine)
    with progress.shared("simulated") as on_step, redirect_stdout(sys.stderr):  # a user's policy may print
        run = studies.simulate(scenario, on_step, engine=engine)
    if out is not None:
        with unwritten.told_last():
            studies.results.write_run(run, out)
    if report is not None:
        with unwritten.told_last():
            reports.write_report(run, report)
    if as_json:
        printing.print_json(run.summary)
    else:
        printing.print_run(run, out, report)
    printing.warn([run.summary])
    check_required(required, [(run.summary["policy"], [run.summary])])
