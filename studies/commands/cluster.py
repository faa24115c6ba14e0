"""Shared by the live commands: the options of a deployment, and the objects built from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.live import LiveError
from ipa.studies import live_runs
from ipa.studies.commands.options import NEW_FILE, assigned, taken, together
from ipa.studies.scenario import choices

if TYPE_CHECKING:
    from ipa.live import LiveSettings
    from ipa.live.kubernetes import Deployed
    from ipa.studies import Scenario
    from ipa.studies.runs import Prepared
    from ipa.studies.runs.live_runs import Live, LiveCluster

SECTIONS = ("image", "models", "gateway", "access", "cluster", "controller")
"""The sections of a deployment's settings: keys of --set that begin with one of them are not the scenario's."""

cluster_options = together(
    click.option("--context", help="Context in the kubeconfig."),
    click.option("--namespace", help="Namespace. Default: the context's."),
    click.option("--name", help="Name of the deployment. Default: ipa-PIPELINE."),
)
"""The options that select a cluster and the deployment on it."""

url_option = click.option("--url", help="Where to send the load. Default: the gateway's Service.")

settings_option = click.option(
    "--settings",
    "settings_file",
    type=NEW_FILE,
    help="File of the kind deployment; --set changes its keys too.",
)

image_option = click.option("--image", help="Image of all containers. Default: ipa-pipelines:VERSION.")

deployed_policy_option = click.option(
    "--policy",
    help="Policy of the scenario: checked now, and run by a controller in the cluster. "
    f"Default: {choices.LIVE_POLICY}.",
)

yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def warn(text: str) -> None:
    """Print a warning of the API server."""
    click.echo(f"Warning: {text}", err=True)


def taken_cluster(options: dict[str, Any]) -> LiveCluster:
    """The cluster that the options describe; they are removed from `options`."""
    return taken(live_runs.LiveCluster, options)


def taken_settings(options: dict[str, Any]) -> LiveSettings:
    """The settings that --settings, --image and --set describe; `options` keep what is the scenario's. Raises LiveError
    or ScenarioError."""
    ours, others = split(options.pop("assignments", ()))
    options["assignments"] = others
    values = assigned(ours)
    if (image := options.pop("image", None)) is not None:
        values["image.name"] = image
    return live_runs.read_live_settings(options.pop("settings_file", None), values)


def split(assignments: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The assignments of --set to a deployment's keys, and those to a scenario's."""
    is_ours = [each.partition("=")[0].partition(".")[0] in SECTIONS for each in assignments]
    return (
        tuple(each for each, ours in zip(assignments, is_ours, strict=True) if ours),
        tuple(each for each, ours in zip(assignments, is_ours, strict=True) if not ours),
    )


def taken_live(backend: str, options: dict[str, Any]) -> Live:
    """How a scenario runs live, from options that `options` then lacks. Raises UsageError for one of a cluster without
    the backend kubernetes."""
    for name in ("context", "namespace", "name", "url"):
        if backend != "kubernetes" and options.get(name) is not None:
            raise click.UsageError(f"--{name} needs --backend kubernetes")
    where, settings = taken_cluster(options), taken_settings(options)
    how = {"cluster": where if backend == "kubernetes" else None, "settings": settings}
    return taken(live_runs.Live, options, **how)


NAMED = {"trace": "constant:1", "window": "0:10", "policy": "rate"}
"""In place of what a command does not need that only asks for a deployment by its name."""


def named(what: str, where: LiveCluster) -> Deployed:
    """The deployment of a pipeline or scenario, whose load and policy may be missing here."""
    return prepared(studies.find(what, NAMED), where)[1]


def prepared(
    scenario: Scenario, cluster: LiveCluster, settings: LiveSettings | None = None
) -> tuple[Prepared, Deployed]:
    """The prepared scenario and its deployment. Raises LiveError if it cannot have these settings."""
    planned = studies.prepare(scenario)
    deployment = live_runs.deployed(planned, cluster, settings)
    if settings is not None:
        access = settings.access
        for key, peers in (("control_from", access.control_from), ("api_networks", access.api_networks)):
            if peers and not access.network_policy:
                raise LiveError(f"access.{key}: {peers[0]}: needs access.network_policy: true")
        deployment.check_removal()
    return planned, deployment
