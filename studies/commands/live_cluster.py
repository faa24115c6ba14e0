"""`ipa live up`, `status`, `down` and `manifests`: a pipeline on a Kubernetes cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipa.live import LiveError, kubernetes
from ipa.studies import live_runs, results
from ipa.studies.commands import cluster, printing
from ipa.studies.commands.options import (
    FOLDER,
    build_live_scenario,
    json_option,
    output_options,
    pipeline_argument,
    quiet_option,
    set_option,
)

if TYPE_CHECKING:
    from ipa.live.kubernetes import Deployed, Look
    from ipa.policies import Configuration
    from ipa.studies import Scenario


# ---- up ----


@click.command()
@pipeline_argument
@cluster.deployed_policy_option
@set_option
@cluster.cluster_options
@cluster.settings_option
@cluster.image_option
@cluster.yes_option
@output_options
def up(
    what: str,
    policy: str | None,
    yes: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Deploy a pipeline on a cluster, or bring a deployed one up to date.

    A dry run on the server finds what will be created and changed; this is printed, and you are asked to confirm.
    """
    where, settings = cluster.taken_cluster(options), cluster.taken_settings(options)
    scenario = build_live_scenario(what, policy=policy, **options)
    prepared, deployed = cluster.prepared(scenario, where, settings)
    api = live_runs.connect(where, on_warning=cluster.warn)
    first = live_runs.first_configuration(prepared)
    steps = kubernetes.deploy.plan(api, deployed, first)
    tell = printing.note if yes else printing.log  # a confirmation must show the plan, even if quiet
    tell(f"{deployed.instance} in namespace {deployed.namespace}:")
    for step in steps:
        fields = f" ({', '.join(step.fields[:3])}{', ...' if len(step.fields) > 3 else ''})" if step.fields else ""
        tell(f"  {step.action:<6} {step.kind} {step.name}{fields}")
    if not yes and not click.confirm("Continue?", err=True):
        raise click.Abort
    kubernetes.deploy.up(api, deployed, first, _Progress())
    if as_json:
        changes = [{"action": step.action, "kind": step.kind, "name": step.name} for step in steps]
        printing.print_json({"name": deployed.instance, "namespace": deployed.namespace, "changes": changes})
    else:
        click.echo(f"{deployed.instance} is ready.")


class _Progress:
    """Prints on stderr what was done or is awaited, each message once."""

    def __init__(self) -> None:
        self._printed = ""

    def __call__(self, look: Look) -> None:
        text = "; ".join([*look.done, *filter(None, [look.waits_for])])
        if text and text != self._printed:
            printing.note(f"  {text}")
            self._printed = text


# ---- status ----


@click.command()
@pipeline_argument
@cluster.cluster_options
@json_option
def status(what: str, as_json: bool, **options: Any) -> None:
    """Show the state of a deployed pipeline: stages, replicas and what delays them."""
    where = cluster.taken_cluster(options)
    deployed = cluster.named(what, where)
    report = kubernetes.overview.status(live_runs.connect(where, read_only=True, on_warning=cluster.warn), deployed)
    if as_json:
        printing.print_json(report)
    else:
        print_status(report)


def print_status(report: dict[str, Any]) -> None:
    """Print a line about the deployment, its problems, and a row for each stage."""
    gateway = "ready" if report["gateway_ready"] else "not ready"
    name, namespace, controller = report["name"], report["namespace"], report["controller"]
    click.echo(f"{name} in namespace {namespace}: gateway {gateway}, controller {controller}")
    if report["gateway_problem"]:
        click.echo(f"gateway: {report['gateway_problem']}")
    for kind, why in report["troubles"].items():
        click.echo(f"{kind}: {why}")
    table = printing.new_listing("stage", "variant", "batch", "wanted", "ready", "pods", "problem")
    for stage, stage_report in report["stages"].items():
        decided = stage_report["wanted"] or {}
        parts = [decided, *decided.get("beside", ())] if decided else [{"replicas": stage_report["replicas"]}]
        states = [pod["state"] for pod in stage_report["pods"]]
        counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        left_out = f"left out: {', '.join(stage_report['failed_variants'])}" if stage_report["failed_variants"] else ""
        table.add_row(
            stage,
            *(" + ".join(str(part.get(key, "?")) for part in parts) for key in ("variant", "batch", "replicas")),
            str(stage_report["ready"]),
            counted,
            "; ".join(part for part in (stage_report["problem"], left_out) if part),
        )
    printing.print_table(table, piped_width=160)


# ---- down ----


@click.command()
@pipeline_argument
@cluster.cluster_options
@cluster.yes_option
@output_options
def down(what: str, yes: bool, as_json: bool, **options: Any) -> None:
    """Delete a deployed pipeline: everything that carries its labels, and nothing else.

    The gateway goes first: it takes no new request, and answers those inside while the models still serve.
    """
    where = cluster.taken_cluster(options)
    deployed = cluster.named(what, where)
    api = live_runs.connect(where, on_warning=cluster.warn)
    if not yes and not click.confirm(f"Delete {deployed.instance} in namespace {deployed.namespace}?", err=True):
        raise click.Abort
    count = kubernetes.deploy.down(api, deployed, lambda text: printing.note(f"  {text}"))
    if as_json:
        printing.print_json({"name": deployed.instance, "namespace": deployed.namespace, "deleted": count})
    else:
        click.echo(f"{count} objects deleted.")


# ---- manifests ----


APIS = frozenset({"networking.k8s.io/v1", "policy/v1"})
"""The APIs beyond the core that a cluster is assumed to have."""


@click.command()
@pipeline_argument
@cluster.deployed_policy_option
@set_option
@cluster.cluster_options
@cluster.settings_option
@cluster.image_option
@click.option(
    "--out",
    type=FOLDER,
    help="Write a kustomize base of the objects to this new or empty folder.",
)
@quiet_option
def manifests(what: str, out: Path | None, **options: Any) -> None:
    """Print the objects that `ipa live up` would apply, as YAML, without asking a cluster.

    With --set controller.in_cluster=true or controller.advise=true they have a controller, and its monitors with
    controller.monitor=true. They are for the namespace of the kubeconfig's context, or `default` without a kubeconfig.
    """
    where, settings = cluster.taken_cluster(options), cluster.taken_settings(options)
    controller = settings.controller
    if controller.state_claim and not (controller.in_cluster or controller.advise):
        raise LiveError(f"controller.state_claim: {controller.state_claim}: needs controller.in_cluster: true")
    if controller.gitops and not controller.in_cluster:
        raise LiveError("controller.gitops: needs controller.in_cluster: true, which makes what is left out")
    if out is not None:
        results.claim(out)
    scenario = build_live_scenario(what, **options)
    prepared, deployed = cluster.prepared(scenario, where, settings)
    objects = _objects(scenario, deployed, live_runs.first_configuration(prepared))
    if out is None:
        click.echo(kubernetes.controller_manifests.as_yaml(objects), nl=False)
    else:
        _write(out, kubernetes.controller_manifests.kustomize_base(objects))


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files, by name, to a new or empty folder, atomically."""
    with results.whole_folder(folder) as fresh:
        for name, text in files.items():
            (fresh / name).write_text(text, encoding="utf-8")


def _objects(scenario: Scenario, deployed: Deployed, first: Configuration) -> list[dict[str, Any]]:
    of_controller, controller = kubernetes.controller_manifests, deployed.settings.controller
    has_controller = controller.in_cluster or controller.advise
    objects = [kubernetes.manifests.root(deployed), *kubernetes.manifests.everything(deployed, first, apis=APIS)]
    if controller.gitops:
        objects = [entry for entry in objects if not kubernetes.manifests.is_of_stage(entry)]
    if has_controller:
        files = of_controller.scenario_files(scenario.as_dict())
        objects += of_controller.controller(deployed, files)
    if controller.monitor:
        objects += of_controller.monitors(deployed, has_controller)
    return objects
