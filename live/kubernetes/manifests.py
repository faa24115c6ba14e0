"""The objects of a deployed pipeline, as pure functions: settings and configuration in, plain data out.

    ConfigMap            the pipeline's file; it owns all the rest, so that deleting it deletes everything
    ServiceAccount, Role, RoleBinding   of the gateway's watch, which may see pods and nothing else
    gateway              one Deployment (the router, and beside it the watch of its replicas), a Service for clients and
                         one for the control plane
    per stage            one Deployment of model servers, and a PodDisruptionBudget where the server has them
    NetworkPolicy        model servers are called by the gateway only, and call only the object store of their models

A stage's `replicas` is not among the fields of these manifests: only the scale subresource sets it, so that applying a
manifest never reverts it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from math import ceil
from typing import Any

from ipa.live.kubernetes import model_sources, names, parts
from ipa.live.kubernetes.names import GATEWAY, MODEL_SERVER
from ipa.live.kubernetes.parts import PIPELINE_PATH, Manifest
from ipa.live.kubernetes.settings import Deployed, Resources, memory_bytes
from ipa.live.plane import gateway_arguments, server_arguments
from ipa.policies import Configuration, StageConfiguration
from ipa.profiles import Pipeline
from ipa.sim import rules

PIPELINE, LAYOUT = "pipeline.yaml", "layout.json"
"""The keys of the ConfigMap."""

DATA_PORT, CONTROL_PORT, MODEL_PORT = 8080, 8081, 8080
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"

DRAIN_S = 1
"""How long a pod that is to end still answers as before; meanwhile the gateway learns of its end."""
GATEWAY_DRAIN_S = 3
"""The same for the gateway's pod, of whose end every node has to learn."""
GATEWAY_LINGER_S = 5
"""How long the gateway then still serves clients that stay connected, each for the last time."""
GATEWAY_SHARE = 4
"""The share of the gateway's memory that requests may take is one in this many: read, in batches and as answers they
need up to three times their size, and the rest is for the gateway itself and its books."""
GRACE_S = 10
"""How much longer than the longest batch a pod may take to end before it is killed."""


def root(deployed: Deployed) -> Manifest:
    """The ConfigMap with the pipeline's file and its layout, which owns everything else."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": deployed.meta(deployed.instance, "pipeline"),
        "data": {PIPELINE: deployed.pipeline_file, LAYOUT: deployed.layout.as_text()},
    }


def owner_of(root: Mapping[str, Any]) -> Manifest:
    """The reference to the ConfigMap, as an owner, as the server has it: its uid is needed."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": root["metadata"]["name"],
        "uid": root["metadata"]["uid"],
        "blockOwnerDeletion": False,
    }


def everything(
    deployed: Deployed, configuration: Configuration, owner: Manifest | None = None, apis: frozenset[str] = frozenset()
) -> list[Manifest]:
    """All objects but the root, in the order in which they are applied; `apis` are the API groups of the server."""
    return [
        *surroundings(deployed, owner, apis),
        *(stage_deployment(deployed, stage, configuration[stage], owner) for stage in deployed.stages),
        gateway_deployment(deployed, owner),
    ]


def surroundings(deployed: Deployed, owner: Manifest | None, apis: frozenset[str]) -> list[Manifest]:
    """All objects but the root and the Deployments, which the reconciler keeps."""
    budgets = [disruption_budget(deployed, stage, owner) for stage in deployed.stages]
    return [
        *gateway_access(deployed, owner),
        client_service(deployed, owner),
        control_service(deployed, owner),
        *([network_policy(deployed, owner)] if "networking.k8s.io/v1" in apis else []),
        *(budgets if "policy/v1" in apis else []),
    ]


# ---- the gateway ----


def gateway_deployment(deployed: Deployed, owner: Manifest | None = None) -> Manifest:
    """The router with its queues, and beside it the watch that tells it about its replicas."""
    pod = parts.pod(
        deployed,
        [_router(deployed), _watch(deployed)],
        grace_s=GATEWAY_DRAIN_S + GATEWAY_LINGER_S + ceil(rules.bound_s(deployed.plane.pipeline.sla_s)) + GRACE_S,
        volumes=[_token_volume()],
    )
    pod["serviceAccountName"] = deployed.gateway_name
    return parts.deployment(
        deployed,
        deployed.meta(deployed.gateway_name, GATEWAY, owner),
        names.selector(deployed.instance, GATEWAY),
        deployed.labels(GATEWAY),
        pod,
        # A new gateway takes new requests before the old one, which finishes what it has, goes away.
        {"maxSurge": 1, "maxUnavailable": 0},
        deadline_s=ceil(deployed.layout.ready_within_s),
    )


def _router(deployed: Deployed) -> Manifest:
    arguments = gateway_arguments(
        deployed.plane,
        PIPELINE_PATH,
        DATA_PORT,
        CONTROL_PORT,
        host="0.0.0.0",
        linger_s=GATEWAY_LINGER_S,
        replica_timeout_s=_answers_within_s(deployed.plane.pipeline),
        most_inside_bytes=memory_bytes(deployed.layout.gateway_memory) // GATEWAY_SHARE,
    )
    return parts.container(
        deployed,
        "gateway",
        "ipa.live.serving.gateway",
        arguments,
        resources=Resources(deployed.layout.gateway_cpu, None, deployed.layout.gateway_memory).as_manifest(),
        ports={"http": DATA_PORT, "control": CONTROL_PORT},
        probed_port=DATA_PORT,
        drain_s=GATEWAY_DRAIN_S,
    )


def _answers_within_s(pipeline: Pipeline) -> float:
    """How long a batch may take before its replica counts as lost: a node that dies says nothing."""
    slowest_s = max(
        variant.p99_s(variant.max_batch(cores), cores)
        for stage in pipeline.stages
        for variant in stage.variants
        for cores in variant.cores
    )
    return round(min(2.0 + 5.0 * slowest_s, rules.bound_s(pipeline.sla_s)), 3)


def _watch(deployed: Deployed) -> Manifest:
    arguments = ["--namespace", deployed.namespace, "--instance", deployed.instance]
    arguments += ["--pipeline", PIPELINE_PATH, "--gateway", f"http://127.0.0.1:{CONTROL_PORT}"]
    container = parts.container(
        deployed,
        "endpoints",
        "ipa.live.kubernetes.endpoints",
        arguments,
        resources={"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}},
        drain_s=GATEWAY_DRAIN_S,
    )
    container["volumeMounts"] += [{"name": "token", "mountPath": TOKEN_PATH, "readOnly": True}]
    return container


def _token_volume() -> Manifest:
    """A token for the one container that needs it; the automatic one would be in every container of the pod."""
    return {
        "name": "token",
        "projected": {
            "defaultMode": 0o444,
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            ],
        },
    }


def gateway_access(deployed: Deployed, owner: Manifest | None = None) -> list[Manifest]:
    """What the gateway's watch is allowed: to see the namespace's pods."""
    meta = deployed.meta(deployed.gateway_name, GATEWAY, owner)
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta, "automountServiceAccountToken": False},
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": meta,
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": deployed.gateway_name},
            "subjects": [{"kind": "ServiceAccount", "name": deployed.gateway_name, "namespace": deployed.namespace}],
        },
    ]


def client_service(deployed: Deployed, owner: Manifest | None = None) -> Manifest:
    """Where clients find the pipeline, as one model of the Open Inference Protocol."""
    return _service(deployed, deployed.instance, {"http": DATA_PORT}, owner, deployed.layout.service_type)


def control_service(deployed: Deployed, owner: Manifest | None = None) -> Manifest:
    """Where the controller and Prometheus find the gateway; not reachable from outside the cluster."""
    return _service(deployed, deployed.control_name, {"control": CONTROL_PORT}, owner)


def _service(
    deployed: Deployed, name: str, ports: Mapping[str, int], owner: Manifest | None, kind: str = "ClusterIP"
) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": deployed.meta(name, GATEWAY, owner),
        "spec": {
            "type": kind,
            "selector": names.selector(deployed.instance, GATEWAY),
            "ports": [{"name": key, "port": port, "targetPort": key, "protocol": "TCP"} for key, port in ports.items()],
        },
    }


# ---- a stage ----


def stage_deployment(
    deployed: Deployed,
    stage: str,
    wanted: StageConfiguration,
    owner: Manifest | None = None,
    notes: Mapping[str, str] | None = None,
) -> Manifest:
    """The model servers of a stage. `notes` are further annotations, in which a controller remembers things."""
    plane = deployed.plane
    variant = plane.pipeline.stage(stage).variant(wanted.variant)
    slowest_s = max(variant.p99_s(batch, wanted.cores) for batch in variant.batches(wanted.cores))
    marks = {"stage": stage, "variant": wanted.variant, "cores": str(wanted.cores)}
    real = model_sources.placed(deployed, stage, wanted.variant, wanted.cores)
    deployment = parts.deployment(
        deployed,
        deployed.meta(deployed.stage_name(stage), MODEL_SERVER, owner, stage=stage),
        names.selector(deployed.instance, MODEL_SERVER, stage=stage),
        deployed.labels(MODEL_SERVER, **marks),
        parts.pod(
            deployed,
            [_model_server(deployed, stage, wanted)],
            grace_s=DRAIN_S + ceil(2 * slowest_s + plane.stop_s) + GRACE_S,
            volumes=real.volumes if real else (),
            init_containers=real.init_containers if real else (),
        ),
        {
            "maxSurge": rules.default_max_surge(wanted.replicas) if plane.max_surge is None else plane.max_surge,
            "maxUnavailable": plane.max_unavailable,
        },
        deadline_s=ceil(variant.start_up_s + deployed.layout.ready_within_s),
    )
    deployment["metadata"]["annotations"] = {names.WANTED: as_text(wanted), **(notes or {})}
    template = deployment["spec"]["template"]
    template["metadata"]["annotations"] |= {names.VARIANT: wanted.variant, names.TEMPLATE: _digest(template["spec"])}
    return deployment


def _digest(given: Manifest) -> str:
    return sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()[:16]


def _model_server(deployed: Deployed, stage: str, wanted: StageConfiguration) -> Manifest:
    start_up_s = deployed.plane.pipeline.stage(stage).variant(wanted.variant).start_up_s
    real = model_sources.placed(deployed, stage, wanted.variant, wanted.cores)
    container = parts.container(
        deployed,
        "model-server",
        "ipa.live.serving.server",
        server_arguments(
            deployed.plane,
            PIPELINE_PATH,
            stage,
            wanted.variant,
            wanted.cores,
            MODEL_PORT,
            start_up_s=0.0 if real else start_up_s,
            host="0.0.0.0",
            models=("folder", "--file", real.folder) if real else ("emulated",),
        ),
        resources=deployed.replica_resources(wanted.cores).as_manifest(),
        ports={"http": MODEL_PORT},
        probed_port=MODEL_PORT,
        threads=wanted.cores,
        # The start-up probe gives the model time, whether the server listens while it loads or only afterwards.
        starts_within_s=ceil(start_up_s + deployed.layout.ready_within_s),
        drain_s=DRAIN_S,
    )
    if real:
        container["terminationMessagePolicy"] = parts.SAYS_ITS_LAST_LINES
        container["volumeMounts"] += [real.mount] if real.mount else []
    return container


def disruption_budget(deployed: Deployed, stage: str, owner: Manifest | None = None) -> Manifest:
    """Evictions take one replica of a stage at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": deployed.meta(deployed.stage_name(stage), MODEL_SERVER, owner, stage=stage),
        "spec": {
            "maxUnavailable": max(1, deployed.plane.max_unavailable),
            "selector": {"matchLabels": names.selector(deployed.instance, MODEL_SERVER, stage=stage)},
        },
    }


def network_policy(deployed: Deployed, owner: Manifest | None = None) -> Manifest:
    """Model servers are called by the gateway only and call only their object store. The node's probes always pass."""
    from_gateway = {"podSelector": {"matchLabels": names.selector(deployed.instance, GATEWAY)}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": deployed.meta(names.name(deployed.instance, "replicas"), MODEL_SERVER, owner),
        "spec": {
            "podSelector": {"matchLabels": names.selector(deployed.instance, MODEL_SERVER)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [from_gateway], "ports": [{"protocol": "TCP", "port": MODEL_PORT}]}],
            "egress": model_sources.egress(deployed.layout),
        },
    }


# ---- annotations ----


def as_text(wanted: StageConfiguration) -> str:
    """A stage's configuration as an annotation."""
    return json.dumps(asdict(wanted), separators=(",", ":"), sort_keys=True)


def from_text(text: str) -> StageConfiguration:
    """The configuration that `as_text` wrote. Raises ValueError for anything else."""
    try:
        return StageConfiguration(**json.loads(text))
    except TypeError as error:
        raise ValueError(str(error)) from None
