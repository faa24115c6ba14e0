"""The commands of `ipa live` about a pipeline on a Kubernetes cluster: up, status, down, manifests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ipa.studies.commands.options import build_scenario, echo_json, scenario_options

if TYPE_CHECKING:
    from ipa.live.kubernetes.reconciler import Look
    from ipa.live.kubernetes.settings import Deployed, Layout
    from ipa.studies.live_runs.choice import Cluster

F = TypeVar("F", bound=Callable[..., Any])

BACKENDS = click.Choice(["kubernetes"])


def cluster_options(command: F) -> F:
    """The options that say which cluster, and what there."""
    for option in (
        click.option("--name", help="of the deployed pipeline [ipa-PIPELINE]"),
        click.option("--namespace", help="[the context's]"),
        click.option("--context", help="of the kubeconfig [the current one]"),
    ):
        command = option(command)
    return command


def _memory(_: click.Context, __: click.Parameter, given: str) -> str:
    from ipa.live.kubernetes.settings import memory_bytes

    try:
        memory_bytes(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return given


def layout_options(command: F) -> F:
    """The options that say how a pipeline is laid out on a cluster."""
    for option in (
        click.option(
            "--ready-within",
            "ready_within_s",
            type=click.FloatRange(min=1),
            default=60.0,
            help="seconds beyond its start-up until a variant counts as failed [60]",
        ),
        click.option("--gateway-memory", default="512Mi", callback=_memory, help="of the gateway [512Mi]"),
        click.option("--gateway-cpu", default="250m", help="what the gateway requests [250m]"),
        click.option("--memory", "replica_memory", default="256Mi", callback=_memory, help="of a replica [256Mi]"),
        click.option(
            "--cpu",
            "replica_cpu",
            default="",
            help="what a replica requests; profile: its profile's cores [emulated: 20m; real: profile]",
        ),
        click.option("--s3-secret", default="", help="with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ... [none]"),
        click.option("--s3-endpoint", default="", help="URL of the object store [Amazon's]"),
        click.option(
            "--models",
            default="emulated",
            help="emulated, or where they are: s3://BUCKET[/FOLDER], pvc:CLAIM[/FOLDER], image:/FOLDER [emulated]",
        ),
        click.option(
            "--service",
            "service_type",
            type=click.Choice(["ClusterIP", "NodePort", "LoadBalancer"]),
            default="ClusterIP",
            help="how clients reach the gateway [ClusterIP]",
        ),
        click.option(
            "--pull",
            "pull_policy",
            type=click.Choice(["Always", "IfNotPresent", "Never"]),
            default="IfNotPresent",
            help="of the image [IfNotPresent]",
        ),
        click.option("--image", default="ipa-pipelines:latest", help="of all containers [ipa-pipelines:latest]"),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("what", metavar="PIPELINE|FILE")
@click.option("--backend", type=BACKENDS, default="kubernetes", help="where it is deployed [kubernetes]")
@click.option("--policy", help="of the scenario: what is checked, and what a controller in the cluster runs [ipa]")
@scenario_options
@cluster_options
@layout_options
@click.option("--yes", is_flag=True, help="do not ask")
def up(what: str, backend: str, policy: str | None, assignments: Sequence[str], yes: bool, **options: Any) -> None:
    """Deploy a pipeline on a cluster, or bring what is deployed up to date.

    Prints what will be created and changed, as the server answers to a dry run, and asks.
    """
    from ipa.live.kubernetes import deploy
    from ipa.studies.live_runs import standing

    cluster, layout = _cluster(options), _layout(options)
    scenario = build_scenario(what, assignments, policy=policy, **options)
    prepared, there = _prepared(scenario, cluster, layout)
    api = standing.connect(cluster)
    first = standing.first_configuration(prepared)
    steps = deploy.plan(api, there, first)
    click.echo(f"{there.instance} in namespace {there.namespace}:", err=True)
    for step in steps:
        fields = f" ({', '.join(step.fields[:3])}{', ...' if len(step.fields) > 3 else ''})" if step.fields else ""
        click.echo(f"  {step.action:<6} {step.kind} {step.name}{fields}", err=True)
    if not yes and not click.confirm("Go on?", err=True):
        raise click.Abort
    deploy.up(api, there, first, _Progress())
    click.echo(f"{there.instance} stands ready.")


@click.command()
@click.argument("what", metavar="PIPELINE|FILE")
@click.option("--backend", type=BACKENDS, default="kubernetes", help="where it is deployed [kubernetes]")
@cluster_options
@click.option("--json", "as_json", is_flag=True, help="print it as JSON alone")
def status(what: str, backend: str, as_json: bool, **options: Any) -> None:
    """Show how a deployed pipeline stands: stages, replicas, what keeps them from what is wanted."""
    from ipa.live.kubernetes import deploy
    from ipa.studies.live_runs import standing

    cluster = _cluster(options)
    _, there = _prepared(build_scenario(what, ()), cluster)
    said = deploy.status(standing.connect(cluster, read_only=True), there)
    if as_json:
        echo_json(said)
    else:
        _print_status(said)


@click.command()
@click.argument("what", metavar="PIPELINE|FILE")
@click.option("--backend", type=BACKENDS, default="kubernetes", help="where it is deployed [kubernetes]")
@cluster_options
@click.option("--yes", is_flag=True, help="do not ask")
def down(what: str, backend: str, yes: bool, **options: Any) -> None:
    """Take a deployed pipeline away: everything that carries its labels, and nothing else."""
    from ipa.live.kubernetes import deploy
    from ipa.studies.live_runs import standing

    cluster = _cluster(options)
    _, there = _prepared(build_scenario(what, ()), cluster)
    api = standing.connect(cluster)
    if not yes and not click.confirm(f"Delete {there.instance} in namespace {there.namespace}?", err=True):
        raise click.Abort
    click.echo(f"{deploy.down(api, there)} objects deleted.")


@click.command()
@click.argument("what", metavar="PIPELINE|FILE")
@click.option("--policy", help="of the scenario: what is checked, and what a controller in the cluster runs [ipa]")
@scenario_options
@click.option("--name", help="of the deployed pipeline [ipa-PIPELINE]")
@click.option("--namespace", default="default", help="[default]")
@layout_options
@click.option("--controller", is_flag=True, help="with a controller in the cluster, and what it may do")
@click.option("--advise", is_flag=True, help="that controller changes nothing, and may write nowhere")
@click.option("--monitor", is_flag=True, help="with a ServiceMonitor, for the Prometheus operator")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="a new folder: a kustomize base of them")
def manifests(
    what: str,
    policy: str | None,
    assignments: Sequence[str],
    controller: bool,
    advise: bool,
    monitor: bool,
    out: Path | None,
    **options: Any,
) -> None:
    """Print the objects that `up` would apply, as YAML; no cluster is asked."""
    from ipa.live.kubernetes import in_cluster, manifests
    from ipa.studies.live_runs import standing

    cluster, layout = _cluster(options), _layout(options)
    scenario = build_scenario(what, assignments, policy=policy, **options)
    prepared, there = _prepared(scenario, cluster, layout)
    apis = frozenset({"networking.k8s.io/v1", "policy/v1"})
    objects = [
        manifests.root(there),
        *manifests.everything(there, standing.first_configuration(prepared), apis=apis),
    ]
    if controller or advise:
        objects += in_cluster.controller(there, in_cluster.scenario_files(scenario.as_dict()), advise)
    if monitor:
        objects += [in_cluster.service_monitor(there)]
    if monitor and (controller or advise):
        objects += [in_cluster.pod_monitor(there)]
    if out is None:
        click.echo(in_cluster.as_yaml(objects), nl=False)
        return
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise click.UsageError(f"--out {out}: {error.strerror}; should be a new folder") from None
    for name, text in in_cluster.kustomize_base(objects).items():
        (out / name).write_text(text, encoding="utf-8")


class _Progress:
    """Says on stderr what a look did, or what it waits for, once."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, look: Look) -> None:
        waiting = [*look.out_of_room.values(), look.error]
        said = "; ".join([*look.done, *(each for each in waiting if each)])
        if said and said != self._said:
            click.echo(f"  {said}", err=True)
            self._said = said


def _cluster(options: dict[str, Any]) -> Cluster:
    from ipa.studies.live_runs.choice import Cluster

    return Cluster(**{key: options.pop(key) for key in ("context", "namespace", "name") if key in options})


def _layout(options: dict[str, Any]) -> Layout:
    from dataclasses import fields

    from ipa.live.kubernetes import Layout, model_sources

    given = {field.name: options.pop(field.name) for field in fields(Layout) if field.name in options}
    layout = Layout(**given)
    model_sources.check(layout)
    return layout


def _prepared(scenario: Any, cluster: Cluster, layout: Layout | None = None) -> tuple[Any, Deployed]:
    from ipa.studies.live_runs.standing import deployed
    from ipa.studies.run import prepare

    prepared = prepare(scenario)
    return prepared, deployed(scenario, prepared, cluster, layout)


def _print_status(said: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    gateway = "ready" if said["gateway_ready"] else "not ready"
    click.echo(f"{said['name']} in namespace {said['namespace']}: gateway {gateway}, controller {said['controller']}")
    for kind, why in said["troubles"].items():
        click.echo(f"{kind}: {why}")
    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "variant", "batch", "wanted", "ready", "pods", "problem"):
        table.add_column(heading)
    for stage, each in said["stages"].items():
        wanted = each["wanted"] or {}
        states = [pod["state"] for pod in each["pods"]]
        counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        left_out = f"left out: {', '.join(each['failed_variants'])}" if each["failed_variants"] else ""
        table.add_row(
            stage,
            str(wanted.get("variant", "?")),
            str(wanted.get("batch", "?")),
            str(wanted.get("replicas", each["replicas"])),
            str(each["ready"]),
            counted,
            "; ".join(part for part in (each["problem"], left_out) if part),
        )
    Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 160).print(table)
