"""The objects of a deployed pipeline, as pure functions: settings and configuration in, plain data out.

    ConfigMap            the pipeline's file; it owns all the rest, so that deleting it deletes everything; another
                         with what a controller's policy has learnt, and one with the digests of real models
    ServiceAccount, Role, RoleBinding   of the gateway's watch, which may see pods and nothing else
    gateway              one Deployment (the router, and beside it the watch of its replicas), a Service for clients and
                         one for the control plane, whose token is in a Secret that `deploy.up` creates once
    per stage            one Deployment of model servers
    PodDisruptionBudget  one per stage and one for the gateway, which keep an only pod from being evicted
    NetworkPolicy        model servers are called by the gateway only, and call only the object store of their models;
                         another one, if asked for, says who reaches the gateway's control port, and what it calls

A stage's `replicas` is not among the fields of these manifests: only the reconciler sets it, so that applying a
manifest never reverts it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

from ipa.live.kubernetes import manifest_parts, model_sources, names
from ipa.live.kubernetes.deployments import digest_of_template
from ipa.live.kubernetes.fixed_models import models_map
from ipa.live.kubernetes.gateway_manifests import gateway_access, gateway_deployment, gateway_lease, services
from ipa.live.kubernetes.manifest_parts import BUDGET_APIS, GRACE_S, MODEL_PORT, PIPELINE_PATH, Manifest
from ipa.live.kubernetes.memory import memory_map
from ipa.live.kubernetes.names import GATEWAY, MODEL_SERVER
from ipa.live.kubernetes.network_policies import network_policies
from ipa.live.kubernetes.pod_model import DIGEST_FILE
from ipa.live.kubernetes.settings import Deployed
from ipa.live.plane import EVERYWHERE, SERVER, Serves, server_settings
from ipa.live.settings import EMULATED
from ipa.policies import Configuration, StageConfiguration, to_plain
from ipa.policies import from_plain as stage_from_plain
from ipa.sim import rules

PIPELINE, SETTINGS = "pipeline.yaml", "settings.json"
"""The keys of the ConfigMap."""

DRAIN_S = 1
"""How long a terminating pod serves as before, until the gateway knows of its end."""


def root(deployed: Deployed) -> Manifest:
    """The ConfigMap with the pipeline's file and its settings, which owns everything else."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": deployed.meta(deployed.instance, "pipeline"),
        "data": {PIPELINE: deployed.pipeline_file, SETTINGS: deployed.settings.as_text()},
    }


def owner_of(root: Mapping[str, Any]) -> Manifest:
    """The owner reference to the ConfigMap as the server has it: its uid is needed."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": root["metadata"]["name"],
        "uid": root["metadata"]["uid"],
        "blockOwnerDeletion": False,
    }


def everything(
    deployed: Deployed,
    configuration: Configuration,
    owner: Manifest | None = None,
    apis: frozenset[str] = frozenset(),
) -> list[Manifest]:
    """All objects but the root, in the order in which they are applied; `apis` are the API groups of the server.

    `cores`: stage -> the cores in the pod template, where these are not the wanted ones.
    """
    return [
        *surroundings(deployed, owner, apis),
        *(stage_deployment(deployed, stage, configuration[stage], owner) for stage in deployed.stages),
        gateway_deployment(deployed, owner),
    ]


def surroundings(deployed: Deployed, owner: Manifest | None, apis: frozenset[str]) -> list[Manifest]:
    """All objects but the root and the Deployments, which the reconciler maintains."""
    budgets = next((version for version in BUDGET_APIS if version in apis), None)
    # Since 1.21 servers have policy/v1, and know Services of two families.
    is_dual = "policy/v1" in apis
    return [
        memory_map(deployed, owner),
        *([] if deployed.settings.models.source == EMULATED else [models_map(deployed, owner)]),
        *gateway_access(deployed, owner),
        *([gateway_lease(deployed, owner)] if deployed.settings.gateway.count > 1 else []),
        *services(deployed, owner, is_dual),
        *(network_policies(deployed, owner) if "networking.k8s.io/v1" in apis else []),
        *(disruption_budgets(deployed, owner, budgets) if budgets else []),
    ]


# ---- a stage ----


def is_of_stage(manifest: Manifest) -> bool:
    """Whether it is a stage's Deployment, which a controller creates if it is missing."""
    return manifest["kind"] == "Deployment" and names.STAGE in manifest["metadata"]["labels"]


def stage_deployment(
    deployed: Deployed,
    stage: str,
    wanted: StageConfiguration,
    owner: Manifest | None = None,
) -> Manifest:
    """The Deployment of a stage."""
    plane = deployed.plane
    variant = plane.pipeline.stage(stage).variant(wanted.variant)
    slowest_s = max(variant.p99_s(batch, wanted.cores) for batch in variant.batches(wanted.cores))
    real = model_sources.placed(deployed, stage, wanted.variant, deployed.own_cores(stage, wanted))
    deployment = manifest_parts.deployment(
        deployed,
        deployed.meta(deployed.stage_name(stage), MODEL_SERVER, owner, stage=stage),
        names.selector(deployed.instance, MODEL_SERVER, stage=stage),
        deployed.labels(MODEL_SERVER, stage=stage, variant=wanted.variant, cores=str(wanted.cores)),
        manifest_parts.pod(
            deployed,
            [_model_server(deployed, stage, wanted)],
            grace_s=DRAIN_S + ceil(2 * slowest_s + plane.stop_s) + GRACE_S,
            volumes=real.volumes if real else (),
            init_containers=(real.init_container,) if real else (),
        ),
        manifest_parts.rolling(
            rules.default_max_surge(wanted.replicas) if plane.max_surge is None else plane.max_surge,
            plane.max_unavailable,
            deployed.settings.rollout_within_s(variant.start_up_s),
        )
        | ({} if plane.most_cores is None else {"minReadySeconds": _drained_within_s(deployed, stage, wanted.batch)}),
        (MODEL_SERVER, stage, wanted.variant),
    )
    deployment["metadata"]["annotations"] = {names.WANTED: as_text(wanted)}
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    annotations[names.VARIANT] = wanted.variant
    return deployment


def template_of(deployed: Deployed, stage: str, wanted: StageConfiguration) -> str:
    """The digest of the pod template of a stage's Deployment."""
    return digest_of_template(stage_deployment(deployed, stage, wanted))


def _drained_within_s(deployed: Deployed, stage: str, batch: int) -> int:
    """How long a replica of the stage that is to end takes, of whichever variant.

    With a limit of cores, a rollout's next step waits so long after a successor is ready, as what drains still has its
    cores when the next one comes.
    """
    variants = deployed.plane.pipeline.stage(stage).variants
    slowest_s = max(variant.p99_s(min(batch, variant.max_batch())) for variant in variants)
    return DRAIN_S + ceil(slowest_s + deployed.plane.stop_s)


def _model_server(deployed: Deployed, stage: str, wanted: StageConfiguration) -> Manifest:
    variant, cores = deployed.plane.pipeline.stage(stage).variant(wanted.variant), deployed.own_cores(stage, wanted)
    real = model_sources.placed(deployed, stage, wanted.variant, deployed.own_cores(stage, wanted))
    serves = Serves(stage, wanted.variant, wanted.cores)
    settings = replace(
        server_settings(deployed.plane, PIPELINE_PATH, serves),
        host=EVERYWHERE,
        port=MODEL_PORT,
        start_up_s=variant.start_up_s,
    )
    if real:
        folder = Path(real.folder)
        settings = replace(settings, start_up_s=0.0, backend="folder", file=folder, digest=f"@{DIGEST_FILE}")
    container = manifest_parts.container(
        deployed,
        manifest_parts.MODEL_CONTAINER,
        SERVER,
        settings.arguments(),
        deployed.replica_resources(cores, variant.gpus if real else 0),
        threads=cores,
    )
    # The start-up probe gives the model time, whether the server listens while it loads or only afterwards.
    starts_within_s = ceil(variant.start_up_s + deployed.settings.cluster.ready_within_s)
    container |= manifest_parts.serving({"http": MODEL_PORT}, starts_within_s=starts_within_s)
    container |= manifest_parts.draining(DRAIN_S)
    if real:
        container["terminationMessagePolicy"] = manifest_parts.SAYS_ITS_LAST_LINES
        container["volumeMounts"] += [real.mount] if real.mount else []
    return container


def disruption_budgets(
    deployed: Deployed, owner: Manifest | None = None, api_version: str = BUDGET_APIS[0]
) -> list[Manifest]:
    """Evictions leave at least half of a stage's replicas, and never take an only one, nor an only gateway.

    A share holds for any number of replicas, even none, so no budget has to follow the scaling.
    """

    def of_stage(stage: str) -> Manifest:
        meta = deployed.meta(deployed.stage_name(stage), MODEL_SERVER, owner, stage=stage)
        selector = names.selector(deployed.instance, MODEL_SERVER, stage=stage)
        return manifest_parts.budget(meta, {"minAvailable": "50%"}, selector, api_version)

    budgets = [*map(of_stage, deployed.stages)]
    if deployed.settings.gateway.count == 1:
        meta, selector = (
            deployed.meta(deployed.gateway_name, GATEWAY, owner),
            names.selector(deployed.instance, GATEWAY),
        )
        budgets.insert(0, manifest_parts.budget(meta, {"minAvailable": 1}, selector, api_version))
    return budgets


# ---- annotations ----


def as_text(wanted: StageConfiguration) -> str:
    return json.dumps(to_plain(wanted), separators=(",", ":"), sort_keys=True)


def from_text(text: str) -> StageConfiguration:
    """The configuration that `as_text` wrote. Raises ValueError for anything else."""
    try:
        return stage_from_plain(json.loads(text))
    except TypeError as error:
        raise ValueError(str(error)) from None
