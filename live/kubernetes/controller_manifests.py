"""The objects of a controller inside the cluster and of its monitoring, as pure functions, and all objects as YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from ipa.live.errors import LiveError
from ipa.live.kubernetes import names, pod_templates
from ipa.live.kubernetes.manifest_parts import (
    CONTROL_TOKEN_PATH,
    GRACE_S,
    MOST_DISK,
    ONE_BY_ONE,
    PIPELINE_PATH,
    Manifest,
    account,
    budget,
    container_security,
    lost_node_tolerations,
    over_nodes,
    pod_security,
    secret_mount,
    secret_volume,
)
from ipa.live.kubernetes.names import CONTROLLER, GATEWAY
from ipa.live.kubernetes.network_policies import controller_policy
from ipa.live.kubernetes.permissions import READ_ONLY_RULES, RULES, Rule, role
from ipa.live.kubernetes.settings import Deployed
from ipa.live.live_backend import TROUBLES
from ipa.live.plane import EVERYWHERE
from ipa.live.settings import RUN
from ipa.policies import plugins, split_spec

METRICS_PORT = 9100
FOLDER = "/etc/ipa"
SCENARIO = "scenario.yaml"
STATE_FOLDER = "/var/lib/ipa"
NOT_OURS = ("trace", "window", "scale", "scaling", "arrivals")
"""The keys of a scenario that a controller ignores: its load."""


def access(deployed: Deployed, name: str, rules: Sequence[Rule] = RULES) -> list[Manifest]:
    """A ServiceAccount with these rules; an account that is given by name is not made."""
    return account(
        deployed, deployed.meta(name, CONTROLLER), role(deployed, name, rules), deployed.account_of(CONTROLLER)
    )


def controller(deployed: Deployed, files: Mapping[str, str]) -> list[Manifest]:
    """The objects of a controller for a deployed pipeline: its scenario, its permissions and its Deployment.

    `files` are those of its scenario, by name (`scenario_files`). With `controller.advise` it decides and changes
    nothing, and its Role allows no write.

    State that must not be lost is in the cluster's objects. The journal, with what the policy has learnt, lasts as long
    as the pod, or is on the PersistentVolumeClaim `controller.state_claim`; its latest entry is always on the cluster.
    """
    advise, state_claim = deployed.settings.controller.advise, deployed.settings.controller.state_claim
    name = names.name(deployed.instance, "controller")
    meta = deployed.meta(name, CONTROLLER)
    selector = names.selector(deployed.instance, CONTROLLER)
    template: Manifest = {
        "metadata": {
            "labels": deployed.labels(CONTROLLER),
            "annotations": {names.CONTENT: _content(deployed, files)},
        },
        "spec": {
            **_pod(deployed, name, advise, _state(deployed, files, advise, state_claim)),
            "topologySpreadConstraints": over_nodes(selector),
        },
    }
    template = pod_templates.merged(template, deployed.settings.cluster.pods, CONTROLLER)
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": dict(files)},
        *access(deployed, name, READ_ONLY_RULES if advise else RULES),
        *([controller_policy(deployed, meta, METRICS_PORT)] if deployed.settings.access.network_policy else []),
        # Evictions take one pod at a time; a single one starts elsewhere, and resumes from the cluster's objects.
        budget(meta, {"maxUnavailable": 1}, selector),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                # A second replica would wait for the Lease, and take over within 12 s; with a claim, for the journal.
                "replicas": 1,
                # With a journal that outlives it, the next pod can write that once the previous one has ended. The API
                # server refuses to apply Recreate over a default strategy, whose fields remain.
                **({"strategy": ONE_BY_ONE} if state_claim else {}),
                "selector": {"matchLabels": selector},
                "template": template,
            },
        },
    ]


def _content(deployed: Deployed, files: Mapping[str, str]) -> str:
    """A digest of all that the controller's pod reads at its start; a change replaces the pod."""
    return _digest(deployed.pipeline_file, *(text for file in sorted(files.items()) for text in file))


def _digest(*texts: str) -> str:
    return sha256(json.dumps(texts).encode()).hexdigest()[:16]


class _State(NamedTuple):
    """Where the journal is, and on what volume."""

    path: str
    volume: Manifest


def _state(deployed: Deployed, files: Mapping[str, str], advise: bool, claim: str) -> _State:
    """Controllers may share a claim: each has a journal of its own there, and another pipeline, scenario or image gets
    a new one, since its controller might not understand, or not read, the previous one."""
    if not claim:
        return _State(f"{STATE_FOLDER}/journal.jsonl", {"name": "state", "emptyDir": {"sizeLimit": "1Gi"}})
    digest = _digest(_content(deployed, files), deployed.settings.image.name, str(advise))
    path = f"{STATE_FOLDER}/{deployed.instance}-{digest}.jsonl"
    # Another name: an apply that only changes a volume's type leaves both types, and is refused.
    return _State(path, {"name": "kept-state", "persistentVolumeClaim": {"claimName": claim}})


def _pod(deployed: Deployed, name: str, advise: bool, state: _State) -> Manifest:
    pipeline = {"name": deployed.instance, "items": [{"key": "pipeline.yaml", "path": "pipeline.yaml"}]}
    return {
        "serviceAccountName": name,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": pod_security(),
        "tolerations": lost_node_tolerations(),
        "containers": [_container(deployed, advise, state)],
        "volumes": [
            {
                "name": "settings",
                "projected": {"sources": [{"configMap": {"name": name}}, {"configMap": pipeline}]},
            },
            secret_volume("control", deployed.control_name),
            {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
            state.volume,
        ],
    }


def _container(deployed: Deployed, advise: bool, state: _State) -> Manifest:
    arguments = ["live", "run", f"{FOLDER}/{SCENARIO}", "--backend", "kubernetes"]
    arguments += ["--no-load", "--namespace", deployed.namespace, "--name", deployed.instance]
    given = {
        key: value for key, where, value in deployed.settings.given() if key.startswith("controller.") and RUN in where
    }
    ours = {
        "access.control_token_file": CONTROL_TOKEN_PATH,
        "controller.advise": advise,
        "controller.state": state.path,
        "controller.metrics_port": METRICS_PORT,
        "controller.metrics_host": EVERYWHERE,
    }
    for key, value in (given | ours).items():
        arguments += ["--set", f"{key}={json.dumps(value, default=list)}"]
    probe = {"httpGet": {"path": "/metrics", "port": METRICS_PORT}, "timeoutSeconds": 5}
    return {
        "name": "controller",
        "image": deployed.settings.image.name,
        "imagePullPolicy": deployed.settings.image.pull,
        "command": ["python", "-m", "ipa"],
        "args": arguments,
        "env": [{"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"}],
        # Metrics are served once the scenario has been read: so a controller that cannot run replaces none (without
        # a claim).
        "readinessProbe": {**probe, "periodSeconds": 2},
        # A hanging one is restarted. It has two minutes to read its scenario, find the cluster and listen.
        "livenessProbe": {**probe, "initialDelaySeconds": 120, "periodSeconds": 10, "failureThreshold": 6},
        "resources": {
            "requests": {"cpu": "100m", "memory": "512Mi", "ephemeral-storage": "0"},
            "limits": {"memory": "512Mi", "ephemeral-storage": MOST_DISK},
        },
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "settings", "mountPath": FOLDER, "readOnly": True},
            secret_mount("control", CONTROL_TOKEN_PATH),
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": state.volume["name"], "mountPath": STATE_FOLDER},
        ],
    }


def monitors(deployed: Deployed, has_controller: bool = True) -> list[Manifest]:
    """The Prometheus operator's objects for the gateway and for the controller in the cluster."""
    endpoints = [{"port": "control", "path": "/metrics", "interval": "1s"}]
    of_gateway = _monitor(deployed, "ServiceMonitor", deployed.instance, GATEWAY, {"endpoints": endpoints})
    if not has_controller:
        return [of_gateway]
    name, of_pods = names.name(deployed.instance, "controller"), [{"port": "metrics", "interval": "1s"}]
    of_controller = _monitor(deployed, "PodMonitor", name, CONTROLLER, {"podMetricsEndpoints": of_pods})
    return [of_gateway, of_controller, alert_rules(deployed)]


def _monitor(deployed: Deployed, kind: str, name: str, part: str, endpoints: Manifest) -> Manifest:
    """Tells the Prometheus operator where a part's metrics are."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": kind,
        "metadata": deployed.meta(name, part),
        "spec": {"selector": {"matchLabels": names.selector(deployed.instance, part)}, **endpoints},
    }


class Alert(NamedTuple):
    """How long a trouble lasts before its alert fires. Pauses shorter than `pauses` are part of it: many troubles come
    and go for as long as their cause is there."""

    lasting: str
    pauses: str
    severity: str


ALERTS = {
    "no_gateway": Alert("1m", "30s", "critical"),  # one that crashes again and again serves for moments
    "no_replica": Alert("2m", "1m", "critical"),
    "lost_node": Alert("0m", "5m", "critical"),  # its pods run elsewhere within a minute
    "no_sample": Alert("2m", "1m", "warning"),
    "no_lease": Alert("2m", "1m", "warning"),
    "no_api": Alert("2m", "1m", "warning"),
    "stopped": Alert("5m", "1m", "warning"),
    "foreign_scaler": Alert("7m", "1m", "warning"),  # replicas that are set back once are a trouble for 5 minutes
    # The lower limit ends after 2 minutes, and policies try again; a node that is to come may take some minutes.
    "no_room": Alert("10m", "2m", "warning"),
    # Its variant is left out for 5 minutes, and then fails again after its start-up and its image's.
    "failed_variant": Alert("0m", "15m", "warning"),
    "held": Alert("1h", "1m", "info"),
}
"""Trouble -> its alert."""


def alert_rules(deployed: Deployed) -> Manifest:
    """An alert for each trouble of the controller in the cluster, and one for its silence, for the Prometheus
    operator."""
    name = names.name(deployed.instance, "controller")
    labels = {"namespace": deployed.namespace, "pipeline": deployed.pipeline}
    series = f'ipa_trouble{{namespace="{deployed.namespace}",pod=~"{name}-.*"'
    rules = [
        {
            "alert": "Ipa" + "".join(word.title() for word in kind.split("_")),
            "expr": f'max(max_over_time({series},kind="{kind}"}}[{alert.pauses}])) > 0',
            "for": alert.lasting,
            "labels": {"severity": alert.severity, **labels},
            "annotations": {
                "summary": TROUBLES[kind],
                "description": f"See: ipa live status --name {deployed.instance}",
            },
        }
        for kind, alert in ALERTS.items()
    ]
    silent = {
        "alert": "IpaNoController",
        "expr": f"absent({series}}})",
        "for": "2m",
        "labels": {"severity": "critical", **labels},
        "annotations": {"summary": "no controller is heard of: the configuration stays as it is"},
    }
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": deployed.meta(name, CONTROLLER),
        "spec": {"groups": [{"name": deployed.instance, "rules": [silent, *rules]}]},
    }


def scenario_files(scenario: Mapping[str, Any]) -> dict[str, str]:
    """A scenario for the controller's pod, as files by name: its own, and the Python files that its policy names.

    The pipeline's file is mounted beside them; the load comes from elsewhere. Raises LiveError if two files have one
    name.
    """
    files: dict[str, Path] = {}
    own_keys = {key: value for key, value in scenario.items() if key not in NOT_OURS}
    name, parameters = split_spec(scenario["policy"]["name"])
    policy = {**scenario["policy"], "name": name, **parameters}
    moved = {**own_keys, "pipeline": PIPELINE_PATH, "policy": _moved(policy, files)}
    # A line for each key; JSON is YAML.
    lines = (f"{key}: {json.dumps(value, separators=(',', ':'), sort_keys=True)}\n" for key, value in moved.items())
    return {SCENARIO: "".join(lines)} | {name: path.read_text(encoding="utf-8") for name, path in files.items()}


def _moved(choice: Any, files: dict[str, Path]) -> Any:
    """A policy's choice, with each class's file moved to the controller's folder; `files`: name there -> file here."""
    if isinstance(choice, Mapping):
        return {key: _moved(value, files) for key, value in choice.items()}
    if not isinstance(choice, str) or not plugins.is_file(choice):
        return choice
    file, _, name = choice.rpartition(":")
    path = Path(file).resolve()
    if files.setdefault(path.name, path) != path:
        raise LiveError(
            f"{path}: the policy also names {files[path.name]}, and both go to one folder of the controller's pod"
        )
    return f"{FOLDER}/{path.name}:{name}"


def as_yaml(objects: Sequence[Manifest]) -> str:
    """The objects as a YAML stream; each of a Role's rules has a comment that says why."""
    return "---\n".join(map(_yaml_of, objects))


def kustomize_base(objects: Sequence[Manifest]) -> dict[str, str]:
    """The files of a kustomize base, by name: one for each object, and the one that lists them."""
    files = {
        f"{manifest['kind'].lower()}-{manifest['metadata']['name']}.yaml": _yaml_of(manifest) for manifest in objects
    }
    listed = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(files)}
    return {**files, "kustomization.yaml": _dumped(listed)}


def _yaml_of(manifest: Manifest) -> str:
    """An object as YAML; of a controller's Role each rule has a comment that says why."""
    if manifest["kind"] == "Role" and manifest["metadata"]["labels"][names.COMPONENT] == CONTROLLER:
        roles = (RULES, READ_ONLY_RULES)
        return _commented(manifest, next(rules for rules in roles if len(rules) == len(manifest["rules"])))
    return _dumped(manifest)


def _dumped(manifest: Manifest) -> str:
    """As YAML in which a file's text can be read line by line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def represent_str(self, text: str) -> yaml.ScalarNode:
            style = "|" if "\n" in text else None
            return self.represent_scalar("tag:yaml.org,2002:str", text, style)

    Dumper.add_representer(str, Dumper.represent_str)
    return str(yaml.dump(manifest, Dumper=Dumper, sort_keys=False, width=120))


def _commented(role: Manifest, rules: Sequence[Rule]) -> str:
    import yaml

    head = yaml.safe_dump({key: value for key, value in role.items() if key != "rules"}, sort_keys=False)
    parts = [
        f"# {why}\n{yaml.safe_dump([rule], sort_keys=False, default_flow_style=None, width=120)}"
        for (why, _), rule in zip(rules, role["rules"], strict=True)
    ]
    return f"{head}rules:\n{''.join(parts)}"
