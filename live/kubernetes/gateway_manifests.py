"""The objects of a deployed pipeline's gateway, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from ipa.live.kubernetes import names, parts
from ipa.live.kubernetes.names import GATEWAY
from ipa.live.kubernetes.parts import GRACE_S, PIPELINE_PATH, Manifest
from ipa.live.kubernetes.settings import Deployed, Resources, memory_bytes
from ipa.live.plane import EVERYWHERE, gateway_arguments
from ipa.profiles import Pipeline
from ipa.sim import rules

DATA_PORT, CONTROL_PORT = 8080, 8081
ACCEPTS_PATH = "/gateway/ready"
"""Where the gateway says that it takes requests. Not `/v2/health/ready`, which needs a replica at every stage: if that
cut the gateway off, it could not tell its clients why they are not served, and their connections would be refused."""
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"

DRAIN_S = 3
"""How long the gateway's pod still answers as before when it is to end; meanwhile every node learns of that."""
LINGER_S = 5
"""How long the gateway then still serves clients that stay connected, each for the last time."""
MEMORY_SHARE = 4
"""The share of the gateway's memory that requests may take is one in this many: read, in batches and as answers they
need up to three times their size, and the rest is for the gateway itself and its books."""


def gateway_deployment(deployed: Deployed, owner: Manifest | None = None) -> Manifest:
    """The router with its queues, and beside it the watch that tells it about its replicas."""
    pod = parts.pod(
        deployed,
        [_router(deployed), _watch(deployed)],
        grace_s=DRAIN_S + LINGER_S + ceil(_drained_within_s(deployed.plane.pipeline)) + GRACE_S,
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
        added=deployed.pods_of(GATEWAY),
    )


def _router(deployed: Deployed) -> Manifest:
    arguments = gateway_arguments(
        deployed.plane,
        PIPELINE_PATH,
        DATA_PORT,
        CONTROL_PORT,
        host=EVERYWHERE,
        linger_s=LINGER_S,
        replica_timeout_s=_answers_within_s(deployed.plane.pipeline),
        most_inside_bytes=memory_bytes(deployed.layout.gateway_memory) // MEMORY_SHARE,
    )
    return parts.container(
        deployed,
        "gateway",
        "ipa.live.serving.gateway",
        arguments,
        resources=Resources(deployed.layout.gateway_cpu, None, deployed.layout.gateway_memory).as_manifest(),
        ports={"http": DATA_PORT, "control": CONTROL_PORT},
        probed_port=DATA_PORT,
        ready_path=ACCEPTS_PATH,
        drain_s=DRAIN_S,
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


def _drained_within_s(pipeline: Pipeline) -> float:
    """How long a gateway that takes no new request may wait for those inside (see `Gateway.drain`)."""
    return min(max(pipeline.drop_limits_s) + _answers_within_s(pipeline), rules.bound_s(pipeline.sla_s))


def _watch(deployed: Deployed) -> Manifest:
    arguments = ["--namespace", deployed.namespace, "--instance", deployed.instance]
    arguments += ["--pipeline", PIPELINE_PATH, "--gateway", f"http://127.0.0.1:{CONTROL_PORT}"]
    container = parts.container(
        deployed,
        "endpoints",
        "ipa.live.kubernetes.endpoints",
        arguments,
        resources={"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}},
        drain_s=DRAIN_S,
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
    """What the gateway's watch is allowed: to see the namespace's pods. A ServiceAccount that is given is not made."""
    meta = deployed.meta(deployed.gateway_name, GATEWAY, owner)
    group = "rbac.authorization.k8s.io"
    given = deployed.pods_of(GATEWAY).get("serviceAccountName")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta, "automountServiceAccountToken": False}
    return [
        *(() if given else (account,)),
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
            "subjects": [
                {
                    "kind": "ServiceAccount",
                    "name": given or deployed.gateway_name,
                    "namespace": deployed.namespace,
                }
            ],
        },
    ]


def client_service(deployed: Deployed, owner: Manifest | None = None, is_dual: bool = False) -> Manifest:
    """Where clients find the pipeline, as one model of the Open Inference Protocol."""
    return _service(deployed, deployed.instance, {"http": DATA_PORT}, owner, is_dual, deployed.layout.service_type)


def control_service(deployed: Deployed, owner: Manifest | None = None, is_dual: bool = False) -> Manifest:
    """Where the controller and Prometheus find the gateway; not reachable from outside the cluster."""
    return _service(deployed, deployed.control_name, {"control": CONTROL_PORT}, owner, is_dual)


def _service(
    deployed: Deployed,
    name: str,
    ports: Mapping[str, int],
    owner: Manifest | None,
    is_dual: bool,
    kind: str = "ClusterIP",
) -> Manifest:
    """A Service of the gateway. With `is_dual` it has an address of each family that the cluster has."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": deployed.meta(name, GATEWAY, owner),
        "spec": {
            "type": kind,
            **({"ipFamilyPolicy": "PreferDualStack"} if is_dual else {}),
            "selector": names.selector(deployed.instance, GATEWAY),
            "ports": [{"name": key, "port": port, "targetPort": key, "protocol": "TCP"} for key, port in ports.items()],
        },
    }
