"""A scenario on a cluster: the pipeline to deploy, the one deployed already, and the backend of a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ipa import profiles
from ipa.live import LiveError, LiveSettings
from ipa.policies import Configuration, Entry, Journal, lightest_configuration
from ipa.studies.runs.live_runs.checks import plane_of
from ipa.studies.runs.live_runs.options import Live, LiveCluster
from ipa.studies.runs.run import Prepared

if TYPE_CHECKING:
    from pathlib import Path

    from ipa.live import BackendMaker, OnRollback
    from ipa.live.kubernetes import Api, Deployed, KubernetesBackend, Lease
    from ipa.live.monitoring import SourceMaker

LABEL = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""The names of namespaces that Kubernetes accepts."""


def connect(cluster: LiveCluster, read_only: bool = False, on_warning: Callable[[str], object] | None = None) -> Api:
    """The cluster's API; `on_warning` None: the server's warnings are logged. Raises LiveError if there is none."""
    from ipa.live.kubernetes import connect

    return connect(cluster.context, read_only, on_warning)


def deployed(prepared: Prepared, cluster: LiveCluster, settings: LiveSettings | None = None) -> Deployed:
    """The deployment of a scenario. Raises LiveError for an invalid name, or settings that it cannot have."""
    from ipa.live.kubernetes import Deployed, current_namespace, model_sources, names, pod_templates

    if cluster.name is not None and names.name(cluster.name) != cluster.name:
        raise LiveError(
            f"--name {cluster.name}: should be lower-case letters, digits and hyphens, of at most 53 characters"
        )
    if cluster.namespace is not None and not LABEL.fullmatch(cluster.namespace):
        allowed = "lower-case letters, digits and hyphens, of at most 63 characters"
        raise LiveError(f"--namespace {cluster.namespace}: should be {allowed}")
    if settings is not None:
        model_sources.check(settings)
        pod_templates.check(settings.cluster.pods, prepared.pipeline)
    return Deployed(
        plane=plane_of(prepared),
        pipeline_file=profiles.text(prepared.scenario.pipeline),
        namespace=cluster.namespace or current_namespace(cluster.context),
        name=cluster.name or "",
        settings=settings or LiveSettings(),
    )


def as_laid_out(api: Api, described: Deployed, is_adopted: bool = False) -> Deployed:
    """The deployment with the settings that the cluster has. Raises LiveError if nothing is deployed, or with other
    settings than those described.

    `is_adopted`: its pipeline file must be the same too.
    """
    from ipa.live.kubernetes import ApiError, manifests

    try:
        root = api.get("ConfigMap", described.namespace, described.instance)
    except ApiError as error:
        raise LiveError(str(error)) from None
    if root is None:
        raise LiveError(f"{described.instance} is not deployed in namespace {described.namespace}; run ipa live up")
    if is_adopted and root["data"].get(manifests.PIPELINE) != described.pipeline_file:
        raise LiveError(f"{described.instance} was deployed with a different pipeline file; run ipa live up")
    settings = LiveSettings.from_text(root["data"].get(manifests.SETTINGS, "{}"))
    described.settings.check_deployed(settings)
    laid_out = replace(described, settings=settings)
    laid_out.check_removal()
    return laid_out


def check_reachable(prepared: Prepared, cluster: LiveCluster) -> None:
    """Raise LiveError if the pipeline is not on the cluster, or clients could not reach it from here."""
    from ipa.live.kubernetes import client_url

    api = connect(cluster, read_only=True)
    deployment = as_laid_out(api, deployed(prepared, cluster))
    if cluster.url is None:
        client_url(api, deployment)


def first_configuration(prepared: Prepared) -> Configuration:
    """The configuration that `ipa live up` deploys if nothing is deployed yet."""
    return prepared.initial or lightest_configuration(prepared.pipeline)


@dataclass
class LeaseHolder:
    """Whether a controller holds its Lease, for writers besides its backend; before it runs there is no Lease.

    `finish` waits for their last write.
    """

    lease: Lease | None = None
    finish: Callable[[], object] = lambda: None

    def __call__(self) -> bool:
        return self.lease is not None and self.lease.is_held


@contextmanager
def remembered(
    prepared: Prepared, live: Live, held: LeaseHolder, *, read_only: bool
) -> Iterator[tuple[Callable[[Journal], object], Callable[[Entry], object]]]:
    """Two functions: one lets a journal resume from the state kept on the cluster, one keeps a new entry there.

    With `read_only` they do nothing.
    """
    from ipa.live.kubernetes import ControllerMemory

    if read_only:
        yield (lambda _: None), (lambda _: None)
        return
    assert live.cluster is not None
    deployment = deployed(prepared, live.cluster)
    with closing(ControllerMemory(connect(live.cluster), deployment, prepared.scenario.as_dict(), held)) as memory:
        held.finish = memory.close
        yield memory.resume, memory.keep


def backend_maker(
    prepared: Prepared,
    live: Live,
    history_rps: tuple[float, ...],
    *,
    read_only: bool = False,
    sends_load: bool = True,
    budget_cores: int | None = None,
    held: LeaseHolder | None = None,
) -> BackendMaker:
    """A factory for the backend of a run on a cluster. Raises LiveError if the pipeline is not deployed.

    Without `sends_load`, the backend adopts the deployment as it is. `budget_cores`: those that it shares with others.
    `held` gets the backend's Lease.
    """
    from ipa.live.kubernetes import ChangeLimit, KubernetesBackend, Lease, Options, client_url

    assert live.cluster is not None
    cluster, controller = live.cluster, live.settings.controller
    api = connect(cluster, read_only)
    described = replace(deployed(prepared, cluster), settings=live.settings)
    deployment = as_laid_out(api, described, is_adopted=not sends_load)
    if budget_cores is not None and deployment.plane.most_cores is None:
        deployment = replace(deployment, plane=replace(deployment.plane, most_cores=budget_cores))
    url = cluster.url or (client_url(api, deployment) if sends_load else "")
    beside = held or LeaseHolder()

    def make(*, folder: Path, source: SourceMaker, on_rollback: OnRollback) -> KubernetesBackend:
        lease = beside.lease = None if read_only else Lease(api, deployment)
        return KubernetesBackend(
            deployment,
            api,
            folder,
            history_rps,
            Options(
                url=url,
                pace=ChangeLimit(controller.changes_per_minute),
                lease=lease,
                finish=beside.finish,
                adopts=not sends_load,
                shares=budget_cores is not None,
                control_token_file=live.settings.access.control_token_file,
            ),
            source=source,
            on_rollback=on_rollback,
        )

    return make
