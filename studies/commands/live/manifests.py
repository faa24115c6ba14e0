"""`ipa live manifests`: the objects of a deployed pipeline, as YAML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ipa.live import kubernetes
from ipa.studies import live_runs, results
from ipa.studies.commands import printing
from ipa.studies.commands.live import cluster
from ipa.studies.commands.options import (
    FOLDER,
    build_live_scenario,
    cluster_options,
    output_options,
    pipeline_argument,
    set_option,
)

APIS = frozenset({"networking.k8s.io/v1", "policy/v1"})
"""The APIs beyond the core that a cluster is taken to have."""


@click.command()
@pipeline_argument
@cluster.deployed_policy_option
@set_option
@cluster.emulation_seed_option
@cluster_options
@cluster.layout_options
@click.option("--controller", is_flag=True, help="Add a controller that runs in the cluster, with its permissions.")
@click.option("--advise", is_flag=True, help="Add a controller that changes nothing and has no permission to write.")
@click.option(
    "--gitops",
    is_flag=True,
    help="With --controller: leave out the stages' Deployments, which it makes itself, for Argo CD and Flux.",
)
@click.option(
    "--state-claim",
    default="",
    metavar="NAME",
    callback=cluster.name_of("PersistentVolumeClaim"),
    help="Keep the controller's whole journal on this PersistentVolumeClaim. Default: in its pod, as long as that "
    "lives, and the latest entry, with what the policy has learnt, in a ConfigMap.",
)
@click.option(
    "--control-secret",
    is_flag=True,
    help="Print, alone, the Secret of the gateway's control port with a new token, for kubectl create -f -.",
)
@click.option("--monitor", is_flag=True, help="Add monitors and alert rules for the Prometheus operator.")
@click.option(
    "--out",
    type=FOLDER,
    help="Write a kustomize base of the objects to this new or empty folder.",
)
@output_options
def manifests(
    what: str,
    policy: str | None,
    assignments: Sequence[str],
    controller: bool,
    advise: bool,
    gitops: bool,
    state_claim: str,
    monitor: bool,
    control_secret: bool,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Print the objects that `ipa live up` would apply, as YAML, without asking a cluster.

    They are for the namespace of the kubeconfig's context, or `default` without a kubeconfig.
    """
    of_controller = kubernetes.controller_manifests
    if state_claim and not (controller or advise):
        raise click.UsageError(f"--state-claim {state_claim}: needs --controller or --advise")
    if gitops and not controller:
        raise click.UsageError("--gitops: needs --controller, which makes what is left out")
    where, layout = cluster.taken_cluster(options), cluster.taken_layout(options)
    if out is not None:
        results.claim(out)
    scenario = build_live_scenario(what, assignments, policy=policy, **options)
    prepared, there = cluster.prepared(scenario, where, layout)
    if control_secret:
        _print([kubernetes.control_secret(there)], as_json)
        return
    first = live_runs.first_configuration(prepared)
    objects = [kubernetes.manifests.root(there), *kubernetes.manifests.everything(there, first, apis=APIS)]
    if gitops:
        objects = [each for each in objects if not kubernetes.manifests.is_of_stage(each)]
    if controller or advise:
        objects += of_controller.controller(
            there, of_controller.scenario_files(scenario.as_dict()), advise, state_claim
        )
    if monitor:
        objects += [of_controller.service_monitor(there)]
    if monitor and (controller or advise):
        objects += [of_controller.pod_monitor(there), of_controller.alert_rules(there)]
    if out is None:
        _print(objects, as_json)
        return
    files = of_controller.kustomize_base(objects)
    with results.whole_folder(out) as fresh:
        for name, text in files.items():
            (fresh / name).write_text(text, encoding="utf-8")
    if as_json:
        printing.print_json({"folder": str(out), "files": list(files)})


def _print(objects: Sequence[dict[str, Any]], as_json: bool) -> None:
    """Print objects as a YAML stream, or as the one JSON document that kubectl takes as well."""
    if as_json:
        printing.print_json({"apiVersion": "v1", "kind": "List", "items": objects})
    else:
        click.echo(kubernetes.controller_manifests.as_yaml(objects), nl=False)
