"""What Deployments, pods and containers have in common: hardened, probed, with threads that follow the cores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from ipa.live.kubernetes import names, pod_templates
from ipa.live.kubernetes.settings import Deployed

Manifest = dict[str, Any]

PIPELINE_PATH = "/etc/ipa/pipeline.yaml"
CONTROL_TOKEN_PATH = "/etc/ipa-control/token"
"""Where the token of the gateway's control port is mounted in those containers that need it."""
READABLE_BY_GROUP = 0o440
BUDGET_APIS = ("policy/v1", "policy/v1beta1")
"""The API versions of PodDisruptionBudgets, the newest first; servers before 1.21 have only the older."""
MODEL_PORT = 8080
"""The port of model servers."""
MODEL_CONTAINER, PREPARE_CONTAINER = "model-server", "prepare-model"
"""The names of their container, and of the init container that fetches its model, or finds it, and compares it."""
GATEWAY_CONTAINER, LISTER_CONTAINER = "gateway", "replica-lister"
OUR_CONTAINERS = (MODEL_CONTAINER, PREPARE_CONTAINER, GATEWAY_CONTAINER, LISTER_CONTAINER)
"""All that have our image; a webhook may add others to a pod."""
USER = 65532
GRACE_S = 10
"""How long a pod may take to end beyond its work, before it is killed."""
MOST_DISK = "2Gi"
"""How much of its node's disk a container may take with its volumes and logs; beyond it, its pod is evicted."""
PROBED_EVERY_S = 1
NODE_LOST_FOR_S = 30
"""How long a pod stays on a node that is not ready or unreachable, before it is replaced elsewhere."""
ONE_BY_ONE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
"""A rollout that removes a replica before it adds one."""
SAYS_ITS_LAST_LINES = "FallbackToLogsOnError"
"""The termination message of a container that fails: the end of its log."""


def deployment(
    deployed: Deployed,
    meta: Manifest,
    selector: Mapping[str, str],
    pod_labels: Mapping[str, str],
    pod: Manifest,
    rollout: Manifest,
    part: Sequence[str],
) -> Manifest:
    """A Deployment that leaves the number of replicas open; `rollout` is how it is rolled out (`rolling`).

    What the settings add to the pods of this `part` (component, stage, variant) is merged in.
    """
    ours: Manifest = {
        "metadata": {"labels": dict(pod_labels), "annotations": {names.CONTENT: deployed.content}},
        "spec": {**pod, "topologySpreadConstraints": over_nodes(selector)},
    }
    template = pod_templates.merged(ours, deployed.settings.cluster.pods, *part)
    # What we find pods again by is ours.
    template["metadata"] = {key: {**template["metadata"][key], **own} for key, own in ours["metadata"].items()}
    template["metadata"]["annotations"][names.TEMPLATE] = _digest(template)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {
            "selector": {"matchLabels": dict(selector)},
            **rollout,
            "revisionHistoryLimit": 1,
            "template": template,
        },
    }


def rolling(max_surge: int, max_unavailable: int, deadline_s: int) -> Manifest:
    """A rolling update that counts as failed after `deadline_s`."""
    return {
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": max_surge, "maxUnavailable": max_unavailable},
        },
        "progressDeadlineSeconds": deadline_s,
    }


def over_nodes(selector: Mapping[str, str]) -> list[Manifest]:
    """Spreads a part's pods over nodes where possible, so that a lost node takes as few as possible."""
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    return [{**spread, "labelSelector": {"matchLabels": dict(selector)}}]


def _digest(content: object) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def pod(
    deployed: Deployed,
    containers: list[Manifest],
    grace_s: int,
    volumes: Iterable[Manifest] = (),
    init_containers: Sequence[Manifest] = (),
) -> Manifest:
    """A pod without a token, with the pipeline's file and a small /tmp; killed `grace_s` after being asked to end."""
    spec: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s,
        "securityContext": pod_security(),
        "tolerations": lost_node_tolerations(),
        "containers": containers,
        "volumes": [
            {
                "name": "pipeline",
                "configMap": {"name": deployed.instance, "items": [{"key": "pipeline.yaml", "path": "pipeline.yaml"}]},
            },
            {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
            *volumes,
        ],
    }
    return spec | ({"initContainers": list(init_containers)} if init_containers else {})


def container(
    deployed: Deployed,
    name: str,
    module: str,
    arguments: list[str],
    resources: Mapping[str, Any],
    threads: int = 1,
    most_disk: str = MOST_DISK,
) -> Manifest:
    """A container that runs one of our modules; numerical libraries get `threads` threads."""
    return {
        "name": name,
        "image": deployed.settings.image.name,
        "imagePullPolicy": deployed.settings.image.pull,
        "command": ["python", "-m", module],
        "args": arguments,
        "env": [
            *({"name": key, "value": str(threads)} for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")),
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
        ],
        # It requests no disk, so that nodes that do not report theirs take it too.
        "resources": {
            "requests": {**resources["requests"], "ephemeral-storage": "0"},
            "limits": {**resources.get("limits", {}), "ephemeral-storage": most_disk},
        },
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "pipeline", "mountPath": PIPELINE_PATH.rpartition("/")[0], "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def account(deployed: Deployed, meta: Manifest, role: Manifest, given: str, token: bool = True) -> list[Manifest]:
    """A ServiceAccount bound to a role; one that is `given` by name is bound, and not made. Without `token`, pods do
    not mount its token automatically."""
    group = "rbac.authorization.k8s.io"
    service_account: Manifest = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
    subject = {"kind": "ServiceAccount", "name": given or meta["name"], "namespace": deployed.namespace}
    return [
        *(() if given else (service_account if token else {**service_account, "automountServiceAccountToken": False},)),
        role,
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": meta["name"]},
            "subjects": [subject],
        },
    ]


def role(meta: Manifest, rules: Sequence[Manifest]) -> Manifest:
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": [*rules]}


def budget(meta: Manifest, bound: Manifest, selector: Mapping[str, str], api_version: str = BUDGET_APIS[0]) -> Manifest:
    """A PodDisruptionBudget: a bound on evictions of the selected pods."""
    spec = {**bound, "selector": {"matchLabels": dict(selector)}}
    return {"apiVersion": api_version, "kind": "PodDisruptionBudget", "metadata": meta, "spec": spec}


def lost_node_tolerations() -> list[Manifest]:
    """How long pods stay on a lost node; a cluster's default is five minutes."""
    return [
        {
            "key": f"node.kubernetes.io/{state}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": NODE_LOST_FOR_S,
        }
        for state in ("not-ready", "unreachable")
    ]


def secret_volume(name: str, secret: str) -> Manifest:
    """A volume with the token of a Secret, as a file that the containers' user can read and not change."""
    items = [{"key": names.TOKEN_KEY, "path": names.TOKEN_KEY}]
    return {"name": name, "secret": {"secretName": secret, "defaultMode": READABLE_BY_GROUP, "items": items}}


def secret_mount(name: str, path: str) -> Manifest:
    """The mount of `secret_volume` that makes its token the file at `path`."""
    return {"name": name, "mountPath": path.rpartition("/")[0], "readOnly": True}


def pod_security() -> Manifest:
    """The security of a pod that does not run as root."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """The security of a container that can write nowhere and gain no privileges."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def draining(drain_s: int) -> Manifest:
    """The hook of a terminating container that serves as before for `drain_s`, until others know of its end."""
    return {"lifecycle": {"preStop": {"exec": {"command": ["sleep", str(drain_s)]}}}}


def serving(
    ports: Mapping[str, int], ready_path: str = "/v2/health/ready", starts_within_s: int | None = None
) -> Manifest:
    """Ports and probes of a container; the first port is probed.

    One that takes long to start has `starts_within_s`. Others may take a minute, and their readiness is probed at once:
    a startup probe would delay that by up to a second.
    """
    port = next(iter(ports.values()))

    def probe(path: str, failures: int, every_s: int = PROBED_EVERY_S) -> Manifest:
        return {
            "httpGet": {"path": path, "port": port},
            "periodSeconds": every_s,
            "timeoutSeconds": 5,
            "failureThreshold": failures,
        }

    starts = starts_within_s and probe("/v2/health/live", max(1, starts_within_s // PROBED_EVERY_S))
    return {
        "ports": [{"name": key, "containerPort": port, "protocol": "TCP"} for key, port in ports.items()],
        **({"startupProbe": starts} if starts else {}),
        "readinessProbe": probe(ready_path, 3),
        "livenessProbe": probe("/v2/health/live", 6, every_s=10),
    }
