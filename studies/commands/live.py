"""The commands `ipa live ...`: run a scenario on real servers, send a load to one."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import click

from ipa.studies.commands.cluster import cluster_options, down, manifests, status, up
from ipa.studies.commands.options import build_scenario, echo_json, prometheus_options, scenario_options

PORTS = click.IntRange(0, 65535)
SECONDS = click.FloatRange(min=0.0, min_open=True)


@click.group()
def live() -> None:
    """Real servers, here or on a cluster, driven by the policies and the controller of the simulator."""


for command in (up, status, down, manifests):
    live.add_command(command)


@live.command()
@click.argument("what", metavar="PIPELINE|FILE")
@click.option(
    "--backend",
    type=click.Choice(["loopback", "kubernetes"]),
    default="loopback",
    help="where replicas run: on this machine, or deployed on a cluster [loopback]",
)
@click.option("--policy", help="ipa, scale-only:low, switch-only, static, or my.py:MyPolicy [ipa]")
@scenario_options
@cluster_options
@click.option("--url", help="kubernetes: where the load goes [the Service's, from outside]")
@click.option("--no-load", is_flag=True, help="kubernetes: control what is deployed; the load comes from elsewhere")
@click.option(
    "--changes-per-minute",
    type=click.IntRange(min=1),
    default=30,
    help="kubernetes: at most so many changes of a stage's pods [30]",
)
@click.option("--duration", "duration_s", type=SECONDS, help="seconds of the load to run [all]")
@click.option("--advise", is_flag=True, help="decide and journal, and change nothing after the start")
@click.option("--source", help="of what policies observe: gateway, in exact seconds, or prometheus [gateway]")
@prometheus_options
@click.option("--decision-timeout", "decision_timeout_s", type=SECONDS, help="seconds [the interval, at most 5]")
@click.option("--port", type=PORTS, default=0, help="of the gateway, for clients [any that is free]")
@click.option("--control-port", type=PORTS, default=0, help="of its control API and its metrics [any that is free]")
@click.option("--metrics-port", type=PORTS, help="serve the controller's own metrics there")
@click.option("--metrics-host", default="127.0.0.1", help="the address to serve them on [127.0.0.1]")
@click.option("--state", type=click.Path(path_type=Path, dir_okay=False), help="a journal to keep, or go on from")
@click.option("--out", type=click.Path(path_type=Path), help="a new folder for tables, journal and manifest")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="an HTML file to write")
@click.option("--json", "as_json", is_flag=True, help="print the summary as JSON alone")
def run(
    what: str,
    backend: str,
    policy: str | None,
    assignments: Sequence[str],
    context: str | None,
    namespace: str | None,
    name: str | None,
    url: str | None,
    no_load: bool,
    changes_per_minute: int,
    duration_s: float | None,
    advise: bool,
    source: str | None,
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

    Gateway, a model server a replica, and the load run as processes of this machine until the load is over. Ctrl-C ends
    it earlier: what ran is written. No process is left behind. With --backend kubernetes gateway and replicas are those
    that `ipa live up` has deployed; --advise and --no-load then send no load, and go on until told to stop.
    """
    from ipa.studies import live_runs, results
    from ipa.studies.commands import cli, live_view
    from ipa.studies.commands import printing as terminal

    live_runs.check_installed()
    scenario = build_scenario(what, assignments, policy=policy, **options)
    cluster = None
    if backend == "kubernetes":
        cluster = live_runs.Cluster(context, namespace, name, url, changes_per_minute)
    if cluster is None and no_load:
        raise click.UsageError("--no-load goes with --backend kubernetes")
    sends_load = cluster is None or not (no_load or advise)
    if not sends_load:
        _check_no_results({"--out": out, "--report": report, "--json": as_json}, "--no-load" if no_load else "--advise")
    how = live_runs.Live(
        duration_s=duration_s,
        source=source or "gateway",
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
    )
    if cluster is not None and not sends_load:
        live_runs.control_live(scenario, how, live_view.tell)
        return
    if out is not None:
        results.claim(out)
    if report is not None:
        cli.check_report(report, out, scenario.records)
    title = f"{scenario.pipeline}, policy {scenario.policy.name}, {scenario.trace}"
    with live_view.showing(title) as show, redirect_stdout(sys.stderr):  # a policy of one's own may print
        finished = live_runs.run_live(scenario, how, show)
    if out is not None:
        results.write_run(finished, out)
    if report is not None:
        cli.write_report([finished], report)
    if as_json:
        echo_json({**finished.summary, "live": finished.live})
    else:
        terminal.print_run(finished, out, report)
    terminal.warn([finished.summary])
    live_view.warn(finished.live)
    if finished.ended:
        raise click.ClickException(f"the run ended early: {finished.ended}")


def _check_no_results(options: Mapping[str, object], why: str) -> None:
    """Raise UsageError for an option of a run's results, where there is a controller alone."""
    given = [name for name, value in options.items() if value]
    if given:
        raise click.UsageError(
            f"{', '.join(given)}: with {why} on a cluster no load is sent, and so there are no tables and no summary; "
            "allowed: --state FILE, which keeps the journal, and --metrics-port"
        )


@live.command()
@click.argument("what", metavar="URL|PIPELINE|FILE")
@click.option("--url", help="the gateway of PIPELINE or FILE [http://127.0.0.1:8080]")
@click.option("--model", help="the model to ask [the pipeline's name]")
@click.option(
    "--body",
    type=click.Path(path_type=Path, dir_okay=False),
    help="a V2 inference request, JSON [zeros, as the model's metadata says]",
)
@scenario_options
@click.option("--duration", "duration_s", type=SECONDS, help="seconds of the load to send [all]")
@click.option(
    "--patience", "patience_s", type=SECONDS, default=60.0, help="seconds to wait for answers at the end [60]"
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="a new .csv or .parquet file of requests")
@click.option("--json", "as_json", is_flag=True, help="print the figures as JSON alone")
def load(
    what: str,
    url: str | None,
    model: str | None,
    body: Path | None,
    assignments: Sequence[str],
    duration_s: float | None,
    patience_s: float,
    out: Path | None,
    as_json: bool,
    **options: object,
) -> None:
    """Send a load to any server of the Open Inference Protocol V2, open loop.

    URL needs --model; of PIPELINE or FILE it is the gateway. Requests go out when they are due, however slow the
    answers; latencies count from then.
    """
    from ipa.studies import live_runs
    from ipa.studies.commands import printing as terminal

    live_runs.check_installed()
    live_runs.check_address(what, url, model)
    is_url = live_runs.is_url(what)
    # A load needs no pipeline; any one fills the scenario's key.
    scenario = build_scenario("video" if is_url else what, assignments, **options)
    target = live_runs.load_target(scenario, what if is_url else url or live_runs.GATEWAY, model, body, duration_s)
    if out is not None:
        live_runs.check_load_file(out)
    sent = live_runs.send_load(target, patience_s)
    if out is not None:
        live_runs.write_load_table(sent, out)
    figures = live_runs.load_figures(sent, target)
    if as_json:
        echo_json(figures)
    else:
        terminal.print_figures(f"{target.trace.name} to {target.url}", figures)
        if out is not None:
            click.echo(f"Requests: {out}")
    warning = live_runs.late_warning(sent.lateness(), len(sent.request))
    if warning:
        click.echo(warning, err=True)
