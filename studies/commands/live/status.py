"""`ipa live status`: how a deployed pipeline is doing."""

from __future__ import annotations

from typing import Any

import click

from ipa.live import kubernetes
from ipa.studies import live_runs
from ipa.studies.commands import printing
from ipa.studies.commands.live import cluster
from ipa.studies.commands.options import cluster_options, described_scenario, output_options, pipeline_argument


@click.command()
@pipeline_argument
@cluster.backend_option
@cluster_options
@output_options
def status(what: str, backend: str, as_json: bool, **options: Any) -> None:
    """Show the state of a deployed pipeline: stages, replicas and what delays them."""
    where = cluster.taken_cluster(options)
    _, there = cluster.prepared(described_scenario(what), where)
    found = kubernetes.overview.status(live_runs.connect(where, read_only=True, on_warning=cluster.warn), there)
    if as_json:
        printing.print_json(found)
    else:
        print_status(found)


def print_status(found: dict[str, Any]) -> None:
    """Print a line about the whole, its problems, and a row for each stage."""
    gateway = "ready" if found["gateway_ready"] else "not ready"
    name, namespace, controller = found["name"], found["namespace"], found["controller"]
    click.echo(f"{name} in namespace {namespace}: gateway {gateway}, controller {controller}")
    if found["gateway_problem"]:
        click.echo(f"gateway: {found['gateway_problem']}")
    for kind, why in found["troubles"].items():
        click.echo(f"{kind}: {why}")
    table = printing.new_listing("stage", "variant", "batch", "wanted", "ready", "pods", "problem")
    for stage, each in found["stages"].items():
        wanted = each["wanted"] or {}
        parts = [wanted, *wanted.get("beside", ())] if wanted else [{"replicas": each["replicas"]}]
        states = [pod["state"] for pod in each["pods"]]
        counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        left_out = f"left out: {', '.join(each['failed_variants'])}" if each["failed_variants"] else ""
        table.add_row(
            stage,
            *(" + ".join(str(part.get(key, "?")) for part in parts) for key in ("variant", "batch", "replicas")),
            str(each["ready"]),
            counted,
            "; ".join(part for part in (each["problem"], left_out) if part),
        )
    printing.print_table(table, piped_width=160)
