"""`ipa live run`: a scenario on real servers."""

from __future__ import annotations

import logging
import sys
from contextlib import redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.live import logs
from ipa.studies import live_runs
from ipa.studies.commands import cluster, live_fleet, live_view, printing, reports, unwritten
from ipa.studies.commands.live_results import check_no_results
from ipa.studies.commands.options import (
    SECONDS,
    Results,
    backend_option,
    build_live_scenario,
    goal_option,
    live_policy_option,
    out_option,
    output_options,
    pipeline_argument,
    report_option,
    scenario_options,
    taken,
)

if TYPE_CHECKING:
    from ipa.studies import Scenario
    from ipa.studies.runs.live_runs import Live


# ---- run ----


@click.command()
@pipeline_argument
@backend_option("Where the replicas run")
@live_policy_option
@goal_option
@scenario_options
@cluster.settings_option
@cluster.cluster_options
@cluster.url_option
@click.option("--no-load", is_flag=True, help="kubernetes: send no load; control the pipeline under its own traffic.")
@click.option("--duration", "duration_s", type=SECONDS, help="Seconds of the load to run. Default: all of it.")
@out_option
@report_option
@output_options
def run(what: str, backend: str, no_load: bool, **options: Any) -> None:
    """Run one policy on one load, with real processes in real time; or all pipelines of a fleet file.

    The gateway, one model server per replica and the load generator run as processes of this machine until the load is
    over. Ctrl-C ends the run early and cleanly: the results so far are written, and no process is left behind.

    With --backend kubernetes the gateway and the replicas are those that `ipa live up` deployed. With --no-load, or
    --set controller.advise=true, no load is sent, and the run continues until it is stopped.
    """
    click.get_current_context().with_resource(live_view.interrupts())
    live_runs.check_installed()
    if backend == "loopback" and no_load:
        raise click.UsageError("--no-load needs --backend kubernetes")
    how, results = cluster.taken_live(backend, options), taken(Results, options)
    if studies.scenario.is_fleet(what):
        live_fleet.run(what, how, results, options, no_load=no_load)
        return
    scenario = build_live_scenario(what, **options)
    if how.cluster is not None and (no_load or how.settings.controller.advise):
        check_no_results(results, "--no-load" if no_load else "controller.advise")
        if not printing.is_quiet():
            logs.lines_to_stderr(logging.INFO)
        live_runs.control_live(scenario, how, live_view.show_step)
    else:
        _run(scenario, how, results)


def _run(scenario: Scenario, how: Live, results: Results) -> None:
    """Run the scenario with a load generator; write and print the results and warnings."""
    out, report = results.out, results.report
    if out is not None:
        studies.results.claim(out)
    if report is not None:
        reports.check_report(report, out, scenario.records)
    printing.say_load(studies.load_of(scenario).trace())
    title = f"{scenario.pipeline}, policy {scenario.policy.title}, {scenario.trace}"
    with live_view.showing(title) as show, redirect_stdout(sys.stderr):  # a user's policy may print
        finished = live_runs.run_live(scenario, how, show)
    if out is not None:
        with unwritten.told_last():
            unwritten.write_or_elsewhere(partial(studies.results.write_run, finished), out)
    if report is not None:
        with unwritten.told_last():
            reports.write_report(finished, report)
    if finished.loss:
        printing.log(finished.loss)
    if results.as_json:
        printing.print_json({**finished.summary, "live": finished.live})
    else:
        printing.print_run(finished, out, report)
    printing.warn([finished.summary])
    live_view.warn(finished.live)
    if finished.ended:
        raise click.ClickException(f"the run ended early: {finished.ended}")
    if finished.loss:
        raise click.ClickException(finished.loss)
