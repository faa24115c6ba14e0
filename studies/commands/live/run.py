"""`ipa live run`: a scenario on real servers."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipa import studies
from ipa.live import logs
from ipa.studies import live_runs
from ipa.studies.commands import live_view, printing, reports
from ipa.studies.commands.amounts import SECONDS, Whole
from ipa.studies.commands.options import (
    NEW_FILE,
    Words,
    build_live_scenario,
    cluster_options,
    live_policy_option,
    out_option,
    output_options,
    pipeline_argument,
    prometheus_options,
    real_options,
    report_option,
    scenario_options,
    source_option,
    token_file_option,
    url_option,
)
from ipa.studies.scenario import choices

if TYPE_CHECKING:
    from ipa.studies import Scenario
    from ipa.studies.runs.live_runs import Live

PORTS = Whole(0, 65535)


@click.command()
@pipeline_argument
@click.option(
    "--backend",
    type=Words(("loopback", "kubernetes")),
    default="loopback",
    help="Where the replicas run: loopback, on this machine, or kubernetes, on a cluster. Default: loopback.",
)
@live_policy_option
@scenario_options
@cluster_options
@url_option
@token_file_option
@real_options
@click.option("--no-load", is_flag=True, help="kubernetes: send no load; control the pipeline under its own traffic.")
@click.option(
    "--changes-per-minute",
    type=Whole(min=1),
    default=30,
    help="kubernetes: change the pods of a stage at most this often. Default: 30.",
)
@click.option(
    "--control-token-file",
    type=NEW_FILE,
    help="kubernetes: call the gateway's control Service with the token in this file, as from inside the cluster. "
    "Default: through the API server's proxy, with the token of its Secret.",
)
@click.option(
    "--removal",
    type=Words(choices.Removal),
    help="drain, or lose: a fault, in which a removed replica is killed with what it holds. Default: drain.",
)
@click.option("--duration", "duration_s", type=SECONDS, help="Seconds of the load to run. Default: all of it.")
@click.option("--advise", is_flag=True, help="Decide and write the journal, but change nothing after the start.")
@source_option
@prometheus_options
@click.option(
    "--decision-timeout",
    "decision_timeout_s",
    type=SECONDS,
    help="Seconds that a decision may take. Default: the control interval, at most 5.",
)
@click.option("--port", type=PORTS, default=0, help="Port of the gateway, for clients. Default: any free.")
@click.option(
    "--control-port",
    type=PORTS,
    default=0,
    help="Port of the gateway's control API and metrics. Default: any free.",
)
@click.option("--metrics-port", type=PORTS, help="Serve the controller's own metrics on this port.")
@click.option("--metrics-host", default="127.0.0.1", help="Address for --metrics-port. Default: 127.0.0.1.")
@click.option("--state", type=NEW_FILE, help="Keep the journal in this file, and resume from it if it exists.")
@out_option
@report_option
@output_options
def run(
    what: str,
    backend: str,
    policy: str | None,
    assignments: Sequence[str],
    context: str | None,
    namespace: str | None,
    name: str | None,
    url: str | None,
    token_file: Path | None,
    models: str,
    samples: str,
    no_load: bool,
    changes_per_minute: int,
    control_token_file: Path | None,
    duration_s: float | None,
    advise: bool,
    source: str,
    prometheus: str | None,
    prometheus_match: tuple[str, ...],
    decision_timeout_s: float | None,
    port: int,
    control_port: int,
    metrics_port: int | None,
    metrics_host: str,
    state: Path | None,
    out: Path | None,
    report: Path | None,
    as_json: bool,
    **options: object,
) -> None:
    """Run one policy on one load, with real processes in real time.

    The gateway, one model server per replica and the load generator run as processes of this machine until the load is
    over. Ctrl-C ends the run early and cleanly: the results so far are written, and no process is left behind.

    With --backend kubernetes the gateway and the replicas are those that `ipa live up` deployed. If --advise or
    --no-load is given too, no load is sent, and the run continues until it is stopped.
    """
    click.get_current_context().with_resource(live_view.interrupts())
    live_runs.check_installed()
    scenario = build_live_scenario(what, assignments, policy=policy, **options)
    cluster = None
    if backend == "kubernetes":
        cluster = live_runs.Cluster(context, namespace, name, url, changes_per_minute, control_token_file)
    if cluster is None and no_load:
        raise click.UsageError("--no-load needs --backend kubernetes")
    of_cluster = {
        "--context": context,
        "--namespace": namespace,
        "--name": name,
        "--url": url,
        "--control-token-file": control_token_file,
        "--token-file": token_file,
    }
    given = [option for option, value in of_cluster.items() if value is not None]
    if cluster is None and given:
        raise click.UsageError(f"{given[0]} needs --backend kubernetes")
    sends_load = cluster is None or not (no_load or advise)
    if not sends_load:
        _check_no_results({"--out": out, "--report": report, "--json": as_json}, "--no-load" if no_load else "--advise")
    how = live_runs.Live(
        duration_s=duration_s,
        source=source,
        prometheus=prometheus,
        advise=advise,
        decision_timeout_s=decision_timeout_s,
        port=port,
        control_port=control_port,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        state=state,
        cluster=cluster,
        prometheus_match=prometheus_match,
        token_file=token_file,
        models=models,
        samples=samples,
    )
    if cluster is not None and not sends_load:
        if not printing.is_quiet():
            logs.lines_to_stderr(logging.INFO)
        live_runs.control_live(scenario, how, live_view.show_step)
    else:
        _run(scenario, how, out, report, as_json)


def _check_no_results(options: Mapping[str, object], why: str) -> None:
    """Raise UsageError for an option about a run's results, where there is only a controller."""
    given = [name for name, value in options.items() if value]
    if given:
        raise click.UsageError(
            f"{', '.join(given)}: with {why} on a cluster no load is sent, so there are no results to write; "
            "use --state FILE to keep the journal, or --metrics-port"
        )


def _run(scenario: Scenario, how: Live, out: Path | None, report: Path | None, as_json: bool) -> None:
    """Run the scenario with a load of its own; write, print and warn."""
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
        studies.results.write_run(finished, out)
        shutil.rmtree(live_runs.kept_folder(out), ignore_errors=True)
    if report is not None:
        reports.write_report(finished, report)
    if finished.loss:
        printing.log(finished.loss)
    if as_json:
        printing.print_json({**finished.summary, "live": finished.live})
    else:
        printing.print_run(finished, out, report)
    printing.warn([finished.summary])
    live_view.warn(finished.live)
    if finished.ended:
        raise click.ClickException(f"the run ended early: {finished.ended}")
    if finished.loss:
        raise click.ClickException(finished.loss)
