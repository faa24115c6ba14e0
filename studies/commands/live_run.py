"""`ipa live run`, `recover` and `load`: a scenario on real servers, and a load for any server."""

from __future__ import annotations

import logging
import sys
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.live import limit_options, logs
from ipa.studies import live_runs
from ipa.studies.commands import live_fleet, live_view, printing, reports, unwritten
from ipa.studies.commands.live_results import check_no_results, write_live
from ipa.studies.commands.options import (
    FOLDER,
    NEW_FILE,
    SECONDS,
    Results,
    Url,
    Words,
    backend_option,
    build_live_scenario,
    check_of_cluster,
    declared,
    described_scenario,
    goal_option,
    live_policy_option,
    load_options,
    out_option,
    output_options,
    pipeline_argument,
    report_option,
    scenario_options,
    set_option,
    taken,
    taken_live,
)
from ipa.studies.runs.live_runs import Live, LiveCluster
from ipa.studies.scenario import choices

if TYPE_CHECKING:
    from ipa.studies import Scenario


# ---- run ----


@click.command()
@pipeline_argument
@backend_option("Where the replicas run: loopback, on this machine, or kubernetes, on a cluster.")
@live_policy_option
@goal_option
@scenario_options
@declared(LiveCluster, "context", "namespace", "name", "url")
@declared(Live, "token_file", "models", "samples")
@click.option("--no-load", is_flag=True, help="kubernetes: send no load; control the pipeline under its own traffic.")
@declared(LiveCluster, "changes_per_minute", "control_token_file")
@click.option(
    "--removal",
    type=Words(choices.Removal),
    help="drain: a removed replica finishes its batch; lose: it is killed with the requests that it holds. "
    "Default: drain.",
)
@declared(Live, "duration_s", "advise", "source", "prometheus", "prometheus_match", "decision_timeout_s")
@declared(Live, "port", "control_port", "gateways", "metrics_port", "metrics_host", "state")
@limit_options
@out_option
@report_option
@output_options
def run(what: str, backend: str, no_load: bool, **options: Any) -> None:
    """Run one policy on one load, with real processes in real time; or all pipelines of a fleet file.

    The gateway, one model server per replica and the load generator run as processes of this machine until the load is
    over. Ctrl-C ends the run early and cleanly: the results so far are written, and no process is left behind.

    With --backend kubernetes the gateway and the replicas are those that `ipa live up` deployed. If --advise or
    --no-load is given too, no load is sent, and the run continues until it is stopped.
    """
    click.get_current_context().with_resource(live_view.interrupts())
    live_runs.check_installed()
    check_of_cluster(backend, options, "token_file")
    if backend == "loopback" and no_load:
        raise click.UsageError("--no-load needs --backend kubernetes")
    how, results = taken_live(backend, options), taken(Results, options)
    if studies.scenario.is_fleet(what):
        live_fleet.run(what, how, results, options, no_load=no_load)
        return
    scenario = build_live_scenario(what, **options)
    if how.cluster is not None and (no_load or how.advise):
        check_no_results(results, "--no-load" if no_load else "--advise")
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
        live_runs.check_none_kept(out)
    if report is not None:
        reports.check_report(report, out, scenario.records)
    printing.say_load(studies.load_of(scenario).trace())
    title = f"{scenario.pipeline}, policy {scenario.policy.title}, {scenario.trace}"
    with live_view.showing(title) as show, redirect_stdout(sys.stderr):  # a user's policy may print
        finished = live_runs.run_live(scenario, how, show, None if out is None else live_runs.kept_folder(out))
    if out is not None:
        with unwritten.told_last():
            write_live(partial(studies.results.write_run, finished), out)
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


# ---- recover ----


@click.command()
@click.argument("out", metavar="FOLDER", type=FOLDER)
@output_options
def recover(out: Path, as_json: bool) -> None:
    """Write the results of a run that was killed.

    FOLDER is what --out named. Everything that had ended up to a second before the kill is in the tables.
    """
    live_runs.check_installed()
    if live_fleet.is_kept(out):
        live_fleet.recover(out, as_json=as_json)
        return
    finished = live_runs.recover(out)
    if finished.loss:
        printing.log(finished.loss)
    if as_json:
        printing.print_json({**finished.summary, "live": finished.live})
    else:
        printing.print_run(finished, out, None)
    live_view.warn(finished.live)


# ---- load ----


@click.command()
@click.argument("what", metavar="URL|PIPELINE|FILE")
@click.option("--url", type=Url(), help="Gateway of PIPELINE or FILE. Default: http://127.0.0.1:8080.")
@click.option("--model", help="Model to send requests to. Default: the pipeline's name.")
@click.option(
    "--body",
    type=NEW_FILE,
    help="JSON file with a V2 inference request to send. Default: zeros, shaped as the model's metadata says.",
)
@declared(Live, "token_file")
@load_options
@set_option
@click.option("--duration", "duration_s", type=SECONDS, help="Seconds of the load to send. Default: all of it.")
@click.option(
    "--patience",
    "patience_s",
    type=SECONDS,
    default=60.0,
    help="Seconds to wait for answers after the last request. Default: 60.",
)
@click.option("--out", type=NEW_FILE, help="Write a table of the requests to this new .csv or .parquet file.")
@output_options
def load(
    what: str, url: str | None, model: str | None, patience_s: float, out: Path | None, as_json: bool, **options: Any
) -> None:
    """Send a load to any server of the Open Inference Protocol V2.

    The load is open loop: each request is sent when it is due, however slow the answers are, and latencies count from
    that moment. A URL needs --model; for PIPELINE or FILE the load goes to its gateway.
    """
    live_runs.check_installed()
    live_runs.check_address(what, url, model)
    sent_as = {name: options.pop(name) for name in ("body", "duration_s", "token_file")}
    # A load needs no pipeline; the scenario of a URL takes any.
    scenario = described_scenario("video" if live_runs.is_url(what) else what, **options)
    target = live_runs.load_target(scenario, what, url, model, **sent_as)
    printing.say_load(target.trace)
    if out is not None:
        live_runs.check_load_file(out)
    sent = live_runs.send_load(target, patience_s)
    if out is not None:
        with unwritten.told_last():
            unwritten.write_or_elsewhere(partial(live_runs.write_load_table, sent), out)
    figures = live_runs.load_figures(sent, target)
    if figures["loss"]:
        printing.log(figures["loss"])
    if as_json:
        printing.print_json(figures)
    else:
        printing.print_figures(f"{target.trace.name} to {target.url}", figures)
        if out is not None and out.exists():
            click.echo(f"Requests: {out}")
    if warning := live_runs.late_warning(sent.lateness(), len(sent.request)):
        click.echo(warning, err=True)
    if figures["loss"]:
        raise click.ClickException(figures["loss"])
