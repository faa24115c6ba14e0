"""`ipa live up`: deploy a pipeline on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ipa.live import kubernetes
from ipa.studies import live_runs
from ipa.studies.commands import printing
from ipa.studies.commands.live import cluster
from ipa.studies.commands.options import (
    build_live_scenario,
    cluster_options,
    output_options,
    pipeline_argument,
    set_option,
)

if TYPE_CHECKING:
    from ipa.live.kubernetes import Look


@click.command()
@pipeline_argument
@cluster.backend_option
@cluster.deployed_policy_option
@set_option
@cluster.emulation_seed_option
@cluster_options
@cluster.layout_options
@cluster.yes_option
@output_options
def up(
    what: str,
    backend: str,
    policy: str | None,
    assignments: Sequence[str],
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Deploy a pipeline on a cluster, or bring a deployed one up to date.

    A dry run on the server finds what will be created and changed; this is printed, and you are asked to confirm.
    """
    where, layout = cluster.taken_cluster(options), cluster.taken_layout(options)
    scenario = build_live_scenario(what, assignments, policy=policy, **options)
    prepared, there = cluster.prepared(scenario, where, layout)
    api = live_runs.connect(where, on_warning=cluster.warn)
    first = live_runs.first_configuration(prepared)
    steps = kubernetes.deploy.plan(api, there, first)
    tell = printing.note if yes else printing.log  # whoever is asked has to see what about
    tell(f"{there.instance} in namespace {there.namespace}:")
    for step in steps:
        fields = f" ({', '.join(step.fields[:3])}{', ...' if len(step.fields) > 3 else ''})" if step.fields else ""
        tell(f"  {step.action:<6} {step.kind} {step.name}{fields}")
    if not yes and not click.confirm("Continue?", err=True):
        raise click.Abort
    kubernetes.deploy.up(api, there, first, _Progress())
    if as_json:
        changes = [{"action": step.action, "kind": step.kind, "name": step.name} for step in steps]
        printing.print_json({"name": there.instance, "namespace": there.namespace, "changes": changes})
    else:
        click.echo(f"{there.instance} is ready.")


class _Progress:
    """Prints on stderr what was done or is awaited, once."""

    def __init__(self) -> None:
        self._printed = ""

    def __call__(self, look: Look) -> None:
        text = "; ".join([*look.done, *filter(None, [look.waits_for])])
        if text and text != self._printed:
            printing.note(f"  {text}")
            self._printed = text
