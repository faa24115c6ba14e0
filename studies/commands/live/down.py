"""`ipa live down`: delete a deployed pipeline."""

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
@cluster.yes_option
@output_options
def down(what: str, backend: str, yes: bool, as_json: bool, **options: Any) -> None:
    """Delete a deployed pipeline: everything that carries its labels, and nothing else.

    The gateway goes first: it takes no new request, and answers those inside while the models still serve.
    """
    where = cluster.taken_cluster(options)
    _, there = cluster.prepared(described_scenario(what), where)
    api = live_runs.connect(where, on_warning=cluster.warn)
    if not yes and not click.confirm(f"Delete {there.instance} in namespace {there.namespace}?", err=True):
        raise click.Abort
    count = kubernetes.deploy.down(api, there, lambda text: printing.note(f"  {text}"))
    if as_json:
        printing.print_json({"name": there.instance, "namespace": there.namespace, "deleted": count})
    else:
        click.echo(f"{count} objects deleted.")
