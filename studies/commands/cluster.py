"""Shared by the commands about a pipeline on a Kubernetes cluster: their options, and the objects built from them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.live import kubernetes, limit_options
from ipa.studies import live_runs
from ipa.studies.commands.options import (
    Number,
    Whole,
    Words,
    taken,
    together,
)
from ipa.studies.scenario import choices

if TYPE_CHECKING:
    from ipa.live.kubernetes import Deployed, Layout
    from ipa.studies import Scenario
    from ipa.studies.runs import Prepared
    from ipa.studies.runs.live_runs import LiveCluster


_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""The names that Kubernetes allows for most objects."""


def _memory(_: click.Context, __: click.Parameter, text: str) -> str:
    try:
        kubernetes.memory_bytes(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return text


def _cpu(_: click.Context, __: click.Parameter, text: str) -> str:
    try:
        kubernetes.cpu_cores(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return text


def _cpu_or_profile(context: click.Context, parameter: click.Parameter, text: str) -> str:
    return text if text in ("", "profile") else _cpu(context, parameter, text)


def _image(_: click.Context, __: click.Parameter, image: str) -> str:
    if not image or any(letter.isspace() for letter in image):
        raise click.BadParameter(f"{image!r}; allowed: the name of an image, such as registry/name:tag")
    return image


def name_of(kind: str) -> Callable[[click.Context, click.Parameter, str], str]:
    """A callback that checks the name of an object of this kind; an empty name means none."""

    def checked(_: click.Context, __: click.Parameter, name: str) -> str:
        if name and not (len(name) <= 253 and _SUBDOMAIN.fullmatch(name)):
            raise click.BadParameter(f"{name!r}; allowed: the name of a {kind}: a-z, 0-9, and - and . in between")
        return name

    return checked


def _networks(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(text)) for text in texts)
    except ValueError as error:
        raise click.BadParameter(f"{error}; allowed: networks such as 10.0.0.0/16") from None


def _peers(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if "/" in text:
            _networks(_, __, (text,))
        elif kubernetes.names.name(text) != text:
            raise click.BadParameter(f"{text!r}; allowed: a namespace, or a network such as 10.0.0.0/16")
    return texts


backend_option = click.option(
    "--backend",
    type=Words(("kubernetes",)),
    default="kubernetes",
    help="Where the pipeline is deployed. Default: kubernetes.",
)

deployed_policy_option = click.option(
    "--policy",
    help="Policy of the scenario: checked now, and run by a controller in the cluster. "
    f"Default: {choices.LIVE_POLICY}.",
)

emulation_seed_option = click.option(
    "--seed", type=Whole(min=0), help="Seed of the service times that emulated models draw. Default: 1."
)

yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")

layout_options = together(
    click.option(
        "--image",
        default=lambda: kubernetes.Layout().image,
        callback=_image,
        help="Image of all containers. Default: ipa-pipelines:VERSION, this program's version.",
    ),
    click.option(
        "--pull",
        "pull_policy",
        type=Words(("Always", "IfNotPresent", "Never")),
        default="IfNotPresent",
        help="When to pull the image. Default: IfNotPresent.",
    ),
    click.option(
        "--service",
        "service_type",
        type=Words(("ClusterIP", "NodePort", "LoadBalancer")),
        default="ClusterIP",
        help="Type of the Service through which clients reach the gateway. Default: ClusterIP.",
    ),
    click.option(
        "--models",
        default="emulated",
        help="Models: emulated, or where real ones are stored: s3://BUCKET[/FOLDER], pvc:CLAIM[/FOLDER] or "
        "image:/FOLDER. Default: emulated.",
    ),
    click.option("--s3-endpoint", default="", metavar="URL", help="URL of the object store. Default: Amazon S3."),
    click.option(
        "--s3-secret",
        default="",
        callback=name_of("Secret"),
        help="Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the like. Default: no credentials.",
    ),
    click.option(
        "--cpu",
        "replica_cpu",
        default="",
        callback=_cpu_or_profile,
        help="CPU request of a replica; profile means the cores in its profile. Default: 20m for emulated models, "
        "profile for real ones.",
    ),
    click.option(
        "--memory",
        "replica_memory",
        default="256Mi",
        callback=_memory,
        help="Memory request and limit of a replica. Default: 256Mi.",
    ),
    click.option(
        "--gateways",
        type=Whole(min=1, max=2),
        default=1,
        help="Gateways: 1, or 2, of which one serves and the other takes over. Default: 1.",
    ),
    click.option("--gateway-cpu", default="250m", callback=_cpu, help="CPU request of the gateway. Default: 250m."),
    click.option(
        "--gateway-memory",
        default="512Mi",
        callback=_memory,
        help="Memory request and limit of the gateway. Default: 512Mi.",
    ),
    limit_options,
    click.option(
        "--client-token-secret",
        default="",
        metavar="NAME",
        callback=name_of("Secret"),
        help="Secret with the tokens of clients under the key token, one a line. Default: clients need none.",
    ),
    click.option(
        "--client-origin",
        "client_origins",
        multiple=True,
        metavar="ORIGIN",
        help="Web pages that may send requests, such as https://video.example. May be repeated. Default: none.",
    ),
    click.option(
        "--network-policy",
        is_flag=True,
        help="Restrict the connections of gateway and controller by NetworkPolicies; model servers always have one.",
    ),
    click.option(
        "--control-from",
        multiple=True,
        metavar="NAMESPACE|CIDR",
        callback=_peers,
        help="--network-policy: who reaches the control port and the controller's metrics, besides the controller in "
        "the cluster. May be repeated.",
    ),
    click.option(
        "--api-server",
        "api_networks",
        multiple=True,
        metavar="CIDR",
        callback=_networks,
        help="--network-policy: where the API server is. May be repeated. Default: its ports, anywhere.",
    ),
    click.option(
        "--pod-network",
        "pod_networks",
        multiple=True,
        metavar="CIDR",
        callback=_networks,
        help="Where the gateway accepts replicas. May be repeated. Default: at any address that is not local.",
    ),
    click.option(
        "--ready-within",
        "ready_within_s",
        type=Number(min=1),
        default=120.0,
        help="Seconds that a replica may take to become ready, beyond its start-up time, before its variant counts as "
        "failed; waiting for a node and for the image does not count. Default: 120.",
    ),
    click.option(
        "--nodes-within",
        "nodes_within_s",
        type=Number(min=0),
        default=180.0,
        help="Seconds that replicas for which no node has room wait for another node, before policies get a lower "
        "limit on cores; 0 where none can come. Default: 180.",
    ),
)
"""The options that say how a pipeline is laid out on a cluster."""


def warn(text: str) -> None:
    """Print a warning of the API server."""
    click.echo(f"Warning: {text}", err=True)


def taken_cluster(options: dict[str, Any]) -> LiveCluster:
    """The cluster that the options describe; they are removed from `options`."""
    return taken(live_runs.LiveCluster, options)


def taken_layout(options: dict[str, Any]) -> Layout:
    """The layout that the options describe; they are removed from `options`. Raises LiveError if it is impossible."""
    names = [field.name for field in fields(kubernetes.Layout)]
    layout = kubernetes.Layout(**{name: options.pop(name) for name in names if name in options})
    kubernetes.model_sources.check(layout)
    for option, peers in (("--control-from", layout.control_from), ("--api-server", layout.api_networks)):
        if peers and not layout.network_policy:
            raise click.UsageError(f"{option} {peers[0]}: needs --network-policy")
    return layout


NAMED = {"trace": "constant:1", "window": "0:10", "policy": "rate"}
"""In place of what a command does not need that only asks for a deployment by its name."""


def named(what: str, where: LiveCluster) -> Deployed:
    """The deployment of a pipeline or scenario, whose load and policy may be missing here."""
    return prepared(studies.find(what, NAMED), where)[1]


def prepared(scenario: Scenario, cluster: LiveCluster, layout: Layout | None = None) -> tuple[Prepared, Deployed]:
    """The prepared scenario and its deployment; the layout is extended by the scenario's pods.

    Raises LiveError if the layout cannot have these pods.
    """
    planned = studies.prepare(scenario)
    if layout is not None:
        layout = replace(layout, pods=scenario.kubernetes.as_plain())
        kubernetes.pod_settings.check(layout.pods, layout.has_profile_cpu)
    deployment = live_runs.deployed(planned, cluster, layout)
    if layout is not None:
        deployment.check_removal()
    return planned, deployment
