"""One model declares the settings of a deployment; files, --set and what a cluster keeps are read with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ipa import profiles
from ipa.live import LiveError
from ipa.live.gateway_settings import GatewaySettings
from ipa.live.kubernetes.gateway_manifests import gateway_deployment
from ipa.live.settings import SECTIONS, GatewayLimits, LiveSettings, cpu_cores, memory_bytes
from ipa.studies import prepare, scenario
from ipa.studies.commands import cluster
from ipa.studies.runs.live_runs import Live, LiveCluster, check_live, deployed, read_live_settings
from ipa.studies.runs.live_runs.checks import plane_of
from tests.command import refusal
from tests.live.kubernetes.world import settings_of, tiny

HEAD = "schema_version: 1\nkind: deployment\n"


def test_a_file_says_some_keys_and_set_changes_any(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(f"{HEAD}gateway: {{count: 2, memory: 2Gi}}\naccess: {{origins: [a, b]}}\n", encoding="utf-8")
    found = read_live_settings(file, {"gateway.count": 1, "models.cpu": 2, "access.control_from": "there"})
    assert (found.gateway.count, found.gateway.memory, found.models.cpu) == (1, "2Gi", "2")
    assert (found.access.origins, found.access.control_from) == (("a", "b"), ("there",))
    assert found.cluster == LiveSettings().cluster


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gateway: {count: 3}\n", ":3: gateway.count: should be at most 2; given 3"),
        ("gatway: {}\n", ":3: gatway: unknown key; did you mean 'gateway'?"),
        ("image: {name: a b}\n", ":3: image.name: should be the name of an image"),
        ("models:\n  memory: 512m\n", ":4: models.memory: should be a number of bytes, such as 512Mi"),
        ("gateway: {cpu: lots}\n", ":3: gateway.cpu: should be a number of cores above 0"),
    ],
)
def test_a_wrong_key_of_a_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text(HEAD + text, encoding="utf-8")
    with pytest.raises(LiveError) as refused:
        read_live_settings(file)
    assert f"{file}{said}" in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        *(("models.cpu", text, "should be a number of cores above 0") for text in ("lots", "1k", "-1", "0m", "1 core")),
        *(("models.memory", text, "should be a number of bytes") for text in ("512MB", "much", "-1Gi", "0Mi", "")),
        ("models.source", "gs://shelf", "should be emulated, a folder, s3://BUCKET"),
        ("models.source", "pvc:Claim", "should be emulated"),
        ("models.s3_endpoint", "http://a/b", "should be a URL without a path"),
        ("models.s3_secret", "Bad_", "should be the name of an object"),
        ("access.control_from", "10.0.0.1/8", "has host bits set; allowed: networks such as"),
        ("access.control_from", "Not_One", "should be a namespace, or a network"),
        ("access.pod_networks", "everywhere", "allowed: networks such as 10.0.0.0/16"),
        ("cluster.ready_within_s", 0, "should be at least 1"),
        ("controller.decision_timeout_s", 0, "should be above 0"),
        ("controller.prometheus", "ftp://x", "should be the URL of a server"),
        ("gateway.port", 70000, "should be at most 65535"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(key: str, value: Any, said: str) -> None:
    with pytest.raises(LiveError, match=f"^{key}") as refused:
        read_live_settings(None, {key: value})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("access.control_from=there",), "access.control_from: there: needs access.network_policy: true"),
        (("models.source=folder",), "models.source: on a cluster it should be emulated, s3://BUCKET"),
        (("models.s3_endpoint=http://store",), "models.s3_endpoint: http://store: needs models.source s3://"),
        (("cluster.pods.stages.detect.spec.nodeName=a",), "cluster.pods.stages: 'video' has no stage 'detect'"),
        (("controller.state_claim=kept",), "controller.state_claim: kept: needs controller.in_cluster: true"),
    ],
)
def test_what_does_not_go_together_is_refused(options: tuple[str, ...], said: str) -> None:
    assert said in refusal("live", "manifests", "video", *(word for each in options for word in ("--set", each)))


def test_what_a_cluster_keeps_comes_back_and_another_version_s_is_refused() -> None:
    given = settings_of(image__name="x:1", cluster__ready_within_s=5.0, access__control_from=("monitoring",))
    assert LiveSettings.from_text(given.as_text()) == given
    passing = settings_of(given, controller__state="journal", models__samples="rows.npz", gateway__port=80)
    assert passing.as_text() == given.as_text()
    with pytest.raises(LiveError, match="made by another version"):
        LiveSettings.from_text('{"colour": "blue"}')


def test_a_run_on_a_cluster_has_the_settings_of_its_deployment() -> None:
    there = settings_of(gateway__memory="1Gi")
    for alike in ({"gateway.memory": "1Gi"}, {"gateway.memory": "512Mi"}, {"controller.changes_per_minute": 3}, {}):
        read_live_settings(None, alike).check_deployed(there)
    with pytest.raises(LiveError, match=r"gateway\.memory: 2Gi: the deployment has 1Gi"):
        read_live_settings(None, {"gateway.memory": "2Gi"}).check_deployed(there)


def test_on_this_machine_a_cluster_s_keys_are_refused_and_a_gateway_has_its_limits() -> None:
    prepared = prepare(scenario.find("video", {"trace": "constant:1", "policy": "rate", "window": "0:10"}))
    live = Live(settings=read_live_settings(None, {"gateway.most_items": 50, "gateway.port": 8080}))
    check_live(live, prepared)
    plane = plane_of(prepared, live)
    assert (plane.port, GatewayLimits.of(plane.limits)) == (8080, GatewayLimits(most_items=50))
    assert plane_of(prepared).limits == ""
    wrong = Live(settings=read_live_settings(None, {"cluster.service_type": "NodePort"}))
    with pytest.raises(LiveError, match=r"cluster\.service_type: NodePort: is of a cluster: --backend kubernetes"):
        check_live(wrong, prepared)
    check_live(Live(cluster=LiveCluster(), settings=wrong.settings), prepared)


def test_a_gateway_on_a_cluster_has_its_limits_and_admits_as_much_as_its_memory_has_room_for(tmp_path: Path) -> None:
    limits = {"most_items": 50, "most_json_bytes": 1000, "most_recorded_bytes": 2000}
    given = settings_of(gateway__memory="2Gi", **{f"gateway__{key}": value for key, value in limits.items()})
    pod = gateway_deployment(tiny(tmp_path, settings=given))["spec"]["template"]["spec"]
    words = pod["containers"][0]["args"]
    assert json.loads(words[words.index("--limits") + 1]) == limits
    assert words[words.index("--most-inside") + 1] == str(2**29)
    assert "--limits" not in gateway_deployment(tiny(tmp_path))["spec"]["template"]["spec"]["containers"][0]["args"]


def test_limits_that_cannot_be_are_refused_by_the_gateway() -> None:
    assert GatewayLimits.of(GatewaySettings().limits) == GatewayLimits()
    with pytest.raises(LiveError, match="--limits"):
        GatewayLimits.of('{"most_items": 0}')


def test_keys_of_a_deployment_are_told_from_those_of_a_scenario() -> None:
    assert set(SECTIONS) == set(LiveSettings.model_fields) - {"schema_version", "kind"} == {*cluster.SECTIONS}
    assert not {*SECTIONS} & {*scenario.Scenario.model_fields}
    assert cluster.split(("gateway.port=1", "seed=2", "limits.node_cores=3")) == (
        ("gateway.port=1",),
        ("seed=2", "limits.node_cores=3"),
    )


def test_a_deployment_has_its_pipeline_s_stages(tmp_path: Path) -> None:
    prepared = prepare(scenario.find("video", {"trace": "constant:1", "policy": "rate", "window": "0:10"}))
    pods: dict[str, Any] = {"stages": {"object-detection": {"variants": {"huge": {}}}}}
    with pytest.raises(LiveError, match=r"cluster\.pods\.stages: .*huge"):
        deployed(prepared, LiveCluster(namespace="x"), read_live_settings(None, {"cluster.pods": pods}))
    assert profiles.load("video").stages[0].name == "object-detection"


@pytest.mark.parametrize(("text", "size"), [("512Mi", 2**29), ("1.5Gi", 3 * 2**29), ("2G", 2 * 10**9), ("4096", 4096)])
def test_a_quantity_of_memory_has_so_many_bytes(text: str, size: int) -> None:
    assert memory_bytes(text) == size


@pytest.mark.parametrize(("text", "cores"), [("250m", 0.25), ("1.5", 1.5), ("2", 2.0)])
def test_a_quantity_of_cpu_has_so_many_cores(text: str, cores: float) -> None:
    assert cpu_cores(text) == cores
