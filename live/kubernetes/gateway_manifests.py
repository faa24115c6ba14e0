"""The objects of a deployed pipeline's gateway, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from pathlib import Path

from ipa.live import plane
from ipa.live.gateway_settings import GatewaySettings
from ipa.live.kubernetes import manifest_parts, names
from ipa.live.kubernetes.manifest_parts import (
    CONTROL_TOKEN_PATH,
    GRACE_S,
    MODEL_PORT,
    PIPELINE_PATH,
    Manifest,
    secret_mount,
    secret_volume,
)
from ipa.live.kubernetes.names import GATEWAY
from ipa.live.kubernetes.settings import Deployed
from ipa.live.plane import ACCEPTS_PATH, EVERYWHERE, TAKEN_WITHIN_S, gateway_settings, longest_batch_s
from ipa.live.settings import memory_bytes
from ipa.live.tokens import new_token
from ipa.profiles import Pipeline
from ipa.sim import rules

DATA_PORT, CONTROL_PORT = 8080, 8081
EVERY_NETWORK = ("0.0.0.0/0", "::/0")
CLIENT_TOKEN_PATH = "/etc/ipa-clients/token"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"

ALIVE_PATH = "/tmp/alive"
SILENT_S = 60
"""The watch has no port, but writes a heartbeat every two seconds; it is restarted after so long without one."""

DRAIN_S = 3
"""How long a terminating gateway pod serves as before, until every node knows of its end."""
LINGER_S = 5
"""How long the gateway then still serves connected clients, one last request each."""
NO_DEADLINE_S = 2**31 - 1
"""What Kubernetes takes for a rollout without a deadline."""
MEMORY_SHARE = 4
"""Requests may take one part in this many of the gateway's memory: read, in batches and as answers they need up to
three times their size, and the rest is for the gateway itself and its records."""


def gateway_deployment(deployed: Deployed, owner: Manifest | None = None) -> Manifest:
    """The gateway's Deployment: the router with its queues, and beside it the watch that sends it the list of
    replicas."""
    is_pair = deployed.settings.gateway.count > 1
    waits_s = DRAIN_S + (TAKEN_WITHIN_S if is_pair else 0)
    volumes = [_token_volume(), secret_volume("control", deployed.control_name)]
    if deployed.settings.access.token_secret:
        volumes += [secret_volume("clients", deployed.settings.access.token_secret)]
    pod = manifest_parts.pod(
        deployed,
        [_router(deployed), _watch(deployed)],
        grace_s=waits_s + LINGER_S + ceil(_drained_within_s(deployed.plane.pipeline)) + GRACE_S,
        volumes=volumes,
    )
    pod["serviceAccountName"] = deployed.gateway_name
    deployment = manifest_parts.deployment(
        deployed,
        deployed.meta(deployed.gateway_name, GATEWAY, owner),
        names.selector(deployed.instance, GATEWAY),
        deployed.labels(GATEWAY),
        pod,
        _strategy(deployed),
        (GATEWAY,),
    )
    if is_pair:
        deployment["spec"]["replicas"] = deployed.settings.gateway.count
    return deployment


def _strategy(deployed: Deployed) -> Manifest:
    """A new gateway takes requests before the old one finishes its own and ends. Of two, one is never ready, so a
    rollout replaces both at once and has no deadline; the old holder serves until a new one does."""
    if deployed.settings.gateway.count > 1:
        return manifest_parts.rolling(2, 2, NO_DEADLINE_S)
    return manifest_parts.rolling(1, 0, deployed.settings.rollout_within_s())


def gateway_lease(deployed: Deployed, owner: Manifest | None = None) -> Manifest:
    """The Lease of two gateways, which nobody holds yet."""
    meta = deployed.meta(deployed.gateway_name, GATEWAY, owner)
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta}


def _router(deployed: Deployed) -> Manifest:
    memory = {"memory": deployed.settings.gateway.memory}
    container = manifest_parts.container(
        deployed,
        manifest_parts.GATEWAY_CONTAINER,
        plane.GATEWAY,
        _settings(deployed).arguments(),
        {"requests": {**memory, "cpu": deployed.settings.gateway.cpu}, "limits": memory},
    )
    container |= manifest_parts.serving({"http": DATA_PORT, "control": CONTROL_PORT}, ACCEPTS_PATH)
    container |= manifest_parts.draining(DRAIN_S)
    container["volumeMounts"] += [secret_mount("control", CONTROL_TOKEN_PATH)]
    if deployed.settings.access.token_secret:
        container["volumeMounts"] += [secret_mount("clients", CLIENT_TOKEN_PATH)]
    return container


def _settings(deployed: Deployed) -> GatewaySettings:
    """Replicas have addresses of pods, and our port."""
    given = deployed.settings
    service = f"{deployed.control_name}.{deployed.namespace}"
    settings = replace(
        gateway_settings(deployed.plane, PIPELINE_PATH, CONTROL_TOKEN_PATH),
        host=EVERYWHERE,
        port=DATA_PORT,
        control_host=EVERYWHERE,
        control_port=CONTROL_PORT,
        control_names=(deployed.control_name, service, f"{service}.svc", f"{service}.svc.cluster.local"),
        data_origins=given.access.origins,
        replica_networks=given.access.pod_networks or EVERY_NETWORK,
        replica_port=MODEL_PORT,
        linger_s=LINGER_S,
        most_inside_bytes=memory_bytes(given.gateway.memory) // MEMORY_SHARE,
        limits=given.gateway.as_text(),
    )
    if given.gateway.count > 1:
        settings = replace(settings, is_leased=True)
    if given.access.token_secret:
        settings = replace(settings, data_token_file=Path(CLIENT_TOKEN_PATH))
    return settings


def _drained_within_s(pipeline: Pipeline) -> float:
    """How long a gateway that takes no new request may wait for those inside (see `Gateway.drain`)."""
    return min(max(pipeline.drop_limits_s) + longest_batch_s(pipeline), rules.bound_s(pipeline.sla_s))


def _watch(deployed: Deployed) -> Manifest:
    arguments = ["--namespace", deployed.namespace, "--instance", deployed.instance]
    arguments += ["--pipeline", PIPELINE_PATH, "--gateway", f"http://127.0.0.1:{CONTROL_PORT}"]
    arguments += ["--token-file", CONTROL_TOKEN_PATH, "--alive-file", ALIVE_PATH]
    container = manifest_parts.container(
        deployed,
        manifest_parts.LISTER_CONTAINER,
        "ipa.live.kubernetes.replica_lister",
        arguments,
        {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}},
    )
    if deployed.settings.gateway.count > 1:
        name = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}
        container["env"] += [{"name": "POD_NAME", "valueFrom": name}]  # and it gives the Lease back at once
    else:
        container |= manifest_parts.draining(DRAIN_S)
    is_alive = f"import time; assert time.monotonic() - float(open('{ALIVE_PATH}').read()) < {SILENT_S}"
    container["livenessProbe"] = {
        "exec": {"command": ["python", "-I", "-S", "-c", is_alive]},
        "initialDelaySeconds": 60,
        "periodSeconds": 30,
        "timeoutSeconds": 10,
        "failureThreshold": 3,
    }
    container["volumeMounts"] += [
        {"name": "token", "mountPath": TOKEN_PATH, "readOnly": True},
        secret_mount("control", CONTROL_TOKEN_PATH),
    ]
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
    """The permission of the gateway's watch to see the namespace's pods, and to hold the Lease of two gateways. A
    ServiceAccount that is given by name is not made."""
    meta = deployed.meta(deployed.gateway_name, GATEWAY, owner)
    rules: list[Manifest] = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
    if deployed.settings.gateway.count > 1:
        of_lease = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
        rules += [{**of_lease, "resourceNames": [deployed.gateway_name], "verbs": ["get", "watch", "update"]}]
    sees_pods = manifest_parts.role(meta, rules)
    return manifest_parts.account(deployed, meta, sees_pods, deployed.account_of(GATEWAY), token=False)


def control_secret(deployed: Deployed, owner: Manifest | None = None) -> Manifest:
    """The Secret with a new token of the gateway's control port."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": deployed.meta(deployed.control_name, GATEWAY, owner),
        "type": "Opaque",
        "stringData": {names.TOKEN_KEY: new_token()},
    }


def services(deployed: Deployed, owner: Manifest | None = None, is_dual: bool = False) -> list[Manifest]:
    """Where clients find the pipeline, as one model of the Open Inference Protocol; and where the controller and
    Prometheus find the gateway, which is not reachable from outside the cluster."""
    return [
        _service(
            deployed, deployed.instance, {"http": DATA_PORT}, owner, is_dual, deployed.settings.cluster.service_type
        ),
        _service(deployed, deployed.control_name, {"control": CONTROL_PORT}, owner, is_dual),
    ]


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
