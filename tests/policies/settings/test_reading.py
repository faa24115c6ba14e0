"""Autoscalers' manifests read as policies: every field has a counterpart, is noted, or is refused by its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ipa.policies import PolicyError, Settings, create, read_settings
from tests.tiny import published, two_by_two

PIPELINE = two_by_two(published(accuracy="sum"))

CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}


def hpa(**spec: Any) -> dict[str, Any]:
    given = {"scaleTargetRef": {"kind": "Deployment", "name": "a"}, "minReplicas": 2, "maxReplicas": 20, **spec}
    return {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "w"}, "spec": given}


def keda(trigger: dict[str, Any], **spec: Any) -> dict[str, Any]:
    given = {"scaleTargetRef": {"name": "a"}, "minReplicaCount": 1, "triggers": [trigger], **spec}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "w"}, "spec": given}


def prometheus(query: str = "sum(rate(http_requests_total[1m]))", **metadata: str) -> dict[str, Any]:
    return {"type": "prometheus", "metadata": {"query": query, "threshold": "8.5", **metadata}}


def read(tmp_path: Path, document: object) -> Settings:
    path = tmp_path / "settings.yaml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document), encoding="utf-8")
    settings = read_settings(path)
    create(settings.policy, PIPELINE, settings.parameters)  # what is read is a policy
    return settings


def pods(name: str, value: object, kind: str = "Pods") -> dict[str, Any]:
    source = {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": value}}
    return {"type": kind, kind.lower(): source}


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ([CPU], {"metric": "utilisation", "target": 0.6}),
        ([], {"metric": "utilisation", "target": 0.8}),
        ([pods("http_requests_per_second", "500m")], {"metric": "rps", "target": 0.5}),
        ([pods("requests_in_flight", 3)], {"metric": "concurrency", "target": 3.0}),
        ([pods("queue_length", "1k", "External")], {"metric": "concurrency", "target": 1000.0, "external": True}),
    ],
)
def test_the_metric_of_an_hpa(tmp_path: Path, metrics: list[Any], expected: dict[str, Any]) -> None:
    settings = read(tmp_path, hpa(metrics=metrics))
    assert settings == Settings("hpa", {"min_replicas": 2, "max_replicas": 20, **expected})


def test_the_behavior_of_an_hpa(tmp_path: Path) -> None:
    up = {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}], "selectPolicy": "Min", "tolerance": "50m"}
    down = {"stabilizationWindowSeconds": 60, "selectPolicy": "Disabled"}
    parameters = read(tmp_path, hpa(metrics=[CPU], behavior={"scaleUp": up, "scaleDown": down})).parameters
    own = {key: value for key, value in parameters.items() if key.startswith("scale_")}
    assert own == {
        "scale_up_rules": [{"pods": 2, "period_s": 60.0}],
        "scale_up_select": "min",
        "scale_up_tolerance": 0.05,
        "scale_down_window_s": 60,
        "scale_down_select": "disabled",
    }


def test_an_hpa_of_version_1_and_what_a_cluster_prints(tmp_path: Path) -> None:
    document = hpa(targetCPUUtilizationPercentage=70)
    document |= {"apiVersion": "autoscaling/v1", "status": {"currentReplicas": 3}}
    document["metadata"] |= {"uid": "1", "annotations": {"x": "y"}}
    assert read(tmp_path, document).parameters["target"] == 0.7


def test_a_scaled_object_is_an_hpa_with_an_external_metric(tmp_path: Path) -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 30}}
    advanced = {"horizontalPodAutoscalerConfig": {"behavior": behavior}}
    settings = read(tmp_path, keda(prometheus(), advanced=advanced, maxReplicaCount=9))
    assert settings.parameters == {
        "min_replicas": 1,
        "max_replicas": 9,
        "metric": "rps",
        "target": 8.5,
        "external": True,
        "scale_down_window_s": 30,
    }
    assert settings.notes == ()
    assert read(tmp_path, keda(prometheus())).parameters["max_replicas"] == 100


def test_a_scaled_object_that_may_go_to_no_replica_keeps_one_and_says_so(tmp_path: Path) -> None:
    settings = read(tmp_path, keda(prometheus(activationThreshold="2"), pollingInterval=15, minReplicaCount=0))
    assert settings.parameters["min_replicas"] == 1
    assert [note.partition(": ")[0] for note in settings.notes] == [
        "spec.minReplicaCount",
        "spec.pollingInterval",
        "spec.triggers[0].metadata.activationThreshold",
    ]


def test_a_scaled_object_by_cpu(tmp_path: Path) -> None:
    trigger = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "55"}}
    assert read(tmp_path, keda(trigger)).parameters["target"] == 0.55


def test_a_list_has_one_for_each_stage(tmp_path: Path) -> None:
    other = hpa(metrics=[CPU], maxReplicas=5, scaleTargetRef={"name": "b"})
    listed = {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [hpa(metrics=[CPU]), other]}
    parameters = read(tmp_path, listed).parameters
    assert parameters["max_replicas"] == {"a": 20, "b": 5}
    assert parameters["target"] == 0.6


TWO = {"type": "Pods", "value": 1, "periodSeconds": 60}

WRONG: list[tuple[object, str]] = [
    ("", "holds 0 documents; allowed: one"),
    ("a: 1\n---\nb: 2\n", "holds 2 documents; allowed: one, which may be a List"),
    ("kind: X\nname: {{ .Values.name }}\n", "line 2: has a template's {{ }}"),
    ("a: [1\n", "line 2: is no YAML"),
    ("- a\n", "the document: ['a']; allowed: a mapping"),
    ({"apiVersion": "v1", "kind": "Pod"}, "kind: 'Pod' of apiVersion 'v1'; allowed: HorizontalPodAutoscaler"),
    ({"apiVersion": "v1", "kind": "List", "items": []}, "items: is empty"),
    (hpa(minReplicas=30), "spec.maxReplicas: 20 is below minReplicas, which is 30"),
    (hpa(maxReplicas=None), "spec.maxReplicas: is missing"),
    (hpa(maxReplicas="many"), "spec.maxReplicas: 'many'; allowed: a whole number of at least 1"),
    (hpa(metrics=[CPU, CPU]), "spec.metrics: 2 metrics, of which the one that asks for most counts; allowed: one"),
    (hpa(metrics=[pods("http_rps", 0)]), "averageValue: 0; allowed: a quantity above 0"),
    (hpa(metrics=[pods("latency", 1)]), "spec.metrics[0].pods.metric.name: 'latency': is it requests per second or"),
    (hpa(metrics=[{"type": "Resource", "resource": {"name": "memory"}}]), "resource.name: 'memory'; allowed: cpu"),
    (hpa(behaviour={}), "spec.behaviour: has no counterpart here"),
    (hpa(behavior={"scaleUp": {"policies": [{**TWO, "type": "Pod"}]}}), "policies[0].type: 'Pod'; allowed: Pods, Perc"),
    (hpa(behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 1}]}}), "policies[0]: lacks periodSeconds"),
    (keda(prometheus(threshold="0")), "spec.triggers[0].metadata.threshold: '0'; allowed: a quantity above 0"),
    (keda({"type": "kafka", "metadata": {}}), "spec.triggers[0].type: 'kafka'; allowed: prometheus, cpu"),
    (keda(prometheus("up")), "spec.triggers[0].metadata.query: 'up': is it requests per second or"),
    (keda(prometheus(), triggers=[]), "spec.triggers: 0 triggers; allowed: one"),
    (keda({**prometheus(), "metricType": "Value"}), "spec.triggers[0].metricType: 'Value'; allowed: AverageValue"),
]


@pytest.mark.parametrize(("document", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_what_cannot_be_followed_is_refused_in_one_line(tmp_path: Path, document: object, message: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read(tmp_path, document)
    text = str(refused.value)
    assert message in text
    assert text.startswith(f"{tmp_path / 'settings.yaml'}: ")
    assert "\n" not in text


def test_items_of_a_list_say_the_same_but_for_what_is_of_a_stage(tmp_path: Path) -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 30}}
    others = {
        "scale_down_window_s is None for a and another elsewhere": hpa(scaleTargetRef={"name": "b"}, behavior=behavior),
        "items: scale a, a; allowed: each another stage": hpa(),
    }
    for message, other in others.items():
        with pytest.raises(PolicyError, match=message):
            read(tmp_path, {"apiVersion": "v1", "kind": "List", "items": [hpa(), other]})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"none\.yaml: cannot be read: No such file or directory$"):
        read_settings(tmp_path / "none.yaml")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "packed.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError, match=r"packed\.yaml: cannot be read: is not UTF-8 text$"):
        read_settings(path)
