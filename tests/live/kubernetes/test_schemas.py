"""What `ipa live manifests` prints, against the published schemas of Kubernetes and the rules of Pod Security."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from ipa.live.serving.metrics import TABLE
from tests.command import ipa
from tests.live.kubernetes.world import documents

pytestmark = pytest.mark.usefixtures("elsewhere")

NEWEST = kubernetes_validate.latest_version().removesuffix(".0")
VERSIONS = ("1.25", "1.30", "1.34", NEWEST)
OWN_SCHEMA = ("ServiceMonitor", "PodMonitor", "PrometheusRule")
"""Kinds of the Prometheus operator, which Kubernetes has no schema of."""

STORE = ("models.source=s3://shelf/models", "models.s3_endpoint=http://store:9000", "models.s3_secret=keys")
OPTIONS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "controller": ("controller.in_cluster=true", "controller.monitor=true", "cluster.service_type=LoadBalancer"),
    "adviser": ("controller.advise=true", "controller.monitor=true", "cluster.service_type=NodePort"),
    "s3": STORE,
    "s3 without a secret": ("models.source=s3://shelf",),
    "pvc": ("models.source=pvc:claim/deep", "models.cpu=500m"),
    "image": ("models.source=image:/models", "models.cpu=profile"),
    "pods": ("pods", "controller.in_cluster=true", "controller.monitor=true"),
    "pods and s3": ("pods", "controller.in_cluster=true", *STORE),
}
PODS = """
schema_version: 1
kind: deployment
cluster:
  pods:
    pods:
      metadata:
        labels: {team: vision, empty: ""}
        annotations: {example.com/note: any text}
      spec:
        imagePullSecrets: [{name: registry}]
    gateway:
      spec:
        priorityClassName: high
        serviceAccountName: mine
        containers:
        - {name: gateway, env: [{name: LEVEL, value: "1"}], resources: {limits: {cpu: 1}}}
    models:
      spec:
        tolerations:
        - {key: dedicated, operator: Equal, value: models, effect: NoSchedule}
        topologySpreadConstraints:
        - {maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway}
        affinity:
          nodeAffinity:
            requiredDuringSchedulingIgnoredDuringExecution:
              nodeSelectorTerms:
              - matchExpressions: [{key: kubernetes.io/arch, operator: In, values: [amd64]}]
    stages:
      object-detection:
        spec: {nodeSelector: {disk: ssd}}
        variants:
          yolov5x:
            spec:
              nodeSelector: {disk: large}
              containers: [{name: model-server, resources: {limits: {memory: 4Gi}, requests: {memory: 4Gi}}}]
    controller:
      spec: {nodeSelector: {pool: small}}
"""


@cache
def printed(options: tuple[str, ...]) -> list[dict[str, Any]]:
    """The objects that the command prints."""
    Path("deployment.yaml").write_text(PODS)
    pairs = (("--settings", "deployment.yaml") if each == "pods" else ("--set", each) for each in options)
    said = ipa("live", "manifests", "video", *(word for pair in pairs for word in pair))
    assert said.exit_code == 0, said.stderr
    return documents(said.stdout)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_one_of_the_published_schema_and_has_no_other_fields(version: str) -> None:
    texts = {json.dumps(each, sort_keys=True) for options in OPTIONS.values() for each in printed(options)}
    objects = [each for each in map(json.loads, sorted(texts)) if each["kind"] not in OWN_SCHEMA]
    assert len(objects) > 30
    assert [problem for each in objects for problem in problems(each, version)] == []


def test_the_schemas_would_refuse_a_field_that_is_not_there() -> None:
    gateway = next(each for each in printed(OPTIONS["plain"]) if each["kind"] == "Deployment")
    (found,) = problems({**gateway, "spec": {**gateway["spec"], "replica": 1}}, VERSIONS[-1])
    assert "'replica' was unexpected" in found


def test_the_autoscaler_of_the_docs_is_one_and_follows_a_metric_that_there_is() -> None:
    text = (Path(__file__).parents[3] / "docs/kubernetes.md").read_text(encoding="utf-8")
    (block,) = (each for each in text.split("```yaml\n") if each.startswith("apiVersion: autoscaling/v2"))
    given = yaml.safe_load(block.partition("```")[0])
    assert problems(given, VERSIONS[-1]) == []
    metric = given["spec"]["metrics"][0]["external"]["metric"]
    labels = {each.name: {"pipeline", *each.labels} for each in TABLE}
    assert metric["selector"]["matchLabels"].keys() <= labels[metric["name"]]
    stages = {each["metadata"]["name"] for each in printed(OPTIONS["plain"]) if each["kind"] == "Deployment"}
    assert given["spec"]["scaleTargetRef"]["name"] in stages


def problems(given: dict[str, Any], version: str) -> list[str]:
    """What the strict schema of an object's kind says against it."""
    group, _, api = given["apiVersion"].rpartition("/")
    kind = "-".join(filter(None, (given["kind"].lower(), group.partition(".")[0], api)))
    errors = Draft202012Validator(schema(version, kind), registry=registry(version)).iter_errors(given)
    return [f"{given['kind']} {given['metadata']['name']}: {each.json_path}: {each.message}" for each in errors]


@cache
def registry(version: str) -> Registry[Any]:
    """What the schemas of a version refer to; `kubernetes_validate.validate` reads its megabytes for each object."""
    return Resource.from_contents(schema(version, "_definitions")) @ Registry()


@cache
def schema(version: str, name: str) -> Any:
    folder = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", OPTIONS)
def test_every_pod_is_admitted_where_pod_security_is_restricted(name: str) -> None:
    pods = [each["spec"]["template"]["spec"] for each in printed(OPTIONS[name]) if each["kind"] == "Deployment"]
    assert len(pods) == 3 + any("in_cluster" in each or "advise" in each for each in OPTIONS[name])
    assert [violations(pod) for pod in pods] == [[]] * len(pods)


VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
    *("persistentVolumeClaim", "projected", "secret"),
}


def violations(pod: dict[str, Any]) -> list[str]:
    """What the profile `restricted` of Pod Security (1.25 and later, Linux) forbids in a pod's specification.

    https://kubernetes.io/docs/concepts/security/pod-security-standards/
    """
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    found += [f"volume {kind}" for each in pod.get("volumes", ()) for kind in each if kind not in ("name", *VOLUMES)]
    of_pod = pod.get("securityContext", {})
    found += [f"the pod's {key}" for key in ("sysctls", "seLinuxOptions", "windowsOptions") if key in of_pod]
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        found += [f"{each['name']}: {what}" for each in pod.get(kind, ()) for what in _violations_of(each, of_pod)]
    return found


def _violations_of(container: dict[str, Any], of_pod: dict[str, Any]) -> list[str]:
    own = container.get("securityContext", {})
    both = {**of_pod, **own}
    capabilities = own.get("capabilities", {})
    is_kept = {
        "privileged": not own.get("privileged"),
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
        "capabilities.drop": "ALL" in capabilities.get("drop", ()),
        "capabilities.add": set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"},
        "runAsNonRoot": both.get("runAsNonRoot") is True,
        "runAsUser": both.get("runAsUser") != 0,
        "seccompProfile": both.get("seccompProfile", {}).get("type") in ("RuntimeDefault", "Localhost"),
        "procMount": own.get("procMount", "Default") == "Default",
        "seLinuxOptions": "seLinuxOptions" not in own,
        "hostPort": not any(port.get("hostPort") for port in container.get("ports", ())),
        "hostProcess": not own.get("windowsOptions", {}).get("hostProcess"),
    }
    return [rule for rule, holds in is_kept.items() if not holds]


@pytest.mark.parametrize("container", ["initContainers", "containers"])
@pytest.mark.parametrize("rule", ["allowPrivilegeEscalation", "capabilities"])
def test_the_rules_would_find_what_is_forbidden_in_any_container(container: str, rule: str) -> None:
    pods = [each["spec"]["template"]["spec"] for each in printed(OPTIONS["s3"]) if each["kind"] == "Deployment"]
    pod = next(each for each in pods if "initContainers" in each)
    (given,) = pod[container]
    left = {key: value for key, value in given["securityContext"].items() if key != rule}
    found = violations({**pod, container: [{**given, "securityContext": left}]})
    assert found == [f"{given['name']}: {rule if rule != 'capabilities' else 'capabilities.drop'}"]
