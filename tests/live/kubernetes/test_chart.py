"""The Helm chart: Helm itself lints, renders and installs it, and what it renders is what the kustomize base has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipa import profiles
from ipa.live.kubernetes import deploy, names
from tests.command import ipa, refusal
from tests.live.kubernetes.world import IMAGE, tiny

NO_CLUSTER = {"KUBECONFIG": "/nonexistent/kubeconfig", "HOME": "/nonexistent"}
WITH_CONTROLLER = ("--namespace", "there", "--controller", "--gitops")
SCENARIO = "schema_version: 1\nkind: scenario\npipeline: video\npolicy: policy.py:Mine\n"
POLICY = '''"""{{ .Values.image }}, {# and @image@"""


class Mine:
    def __init__(self, pipeline): ...
    def decide(self, observation, memory): ...
'''
MONITORING = ("PodMonitor", "PrometheusRule", "ServiceMonitor")

Objects = dict[tuple[str, str], Any]


def helm() -> Any:
    """Helm's library; skipped without it (make helm)."""
    return pytest.importorskip("helm_python")


def chart_of(folder: Path, what: object, *options: str) -> Path:
    said = ipa("live", "manifests", what, *WITH_CONTROLLER, *options, "--chart", folder, env=NO_CLUSTER)
    assert said.exit_code == 0, said.stderr
    return folder


def rendered(chart: Path, **values: Any) -> Objects:
    """What Helm makes of the chart, by kind and name."""
    with helm().Chart.load(chart) as loaded:
        texts: dict[str, str] = loaded.render(values, name="demo", namespace="there")
    return by_name(each for path, text in texts.items() if path.endswith(".yaml") for each in yaml.safe_load_all(text))


def printed(what: object, *options: str) -> Objects:
    """What is printed for the same, without the Deployment of the gateway: the chart leaves it to the controller."""
    said = ipa("live", "manifests", what, *WITH_CONTROLLER, *options, env=NO_CLUSTER)
    found = by_name(yaml.safe_load_all(said.stdout))
    return {key: each for key, each in found.items() if key != ("Deployment", "ipa-video-gateway")}


def by_name(objects: Iterator[Any]) -> Objects:
    return {(each["kind"], each["metadata"]["name"]): each for each in objects if each}


def test_a_chart_is_of_what_a_controller_does_not_make_itself_and_holds_no_secret(tmp_path: Path) -> None:
    chart = chart_of(tmp_path / "chart", "video", "--monitor")
    templates = {each.name.removesuffix(".yaml") for each in (chart / "templates").glob("*.yaml")}
    assert templates == {f"{kind.lower()}-{name}" for kind, name in printed("video", "--monitor")}
    assert not [each for each in templates if each.startswith("secret-")]
    values = yaml.safe_load((chart / "values.yaml").read_text())
    assert (values["pipeline"], values["policy"]) == (profiles.text("video"), {"name": "foresight"})
    assert refusal("live", "manifests", "video", "--chart", str(tmp_path / "other")).startswith(
        "--chart: needs --controller"
    )
    assert "give a new or empty folder" in refusal("live", "manifests", "video", "--controller", "--chart", str(chart))


def test_a_chart_has_what_is_added_to_pods(tmp_path: Path) -> None:
    """Those of the gateway and the stages are made by the controller, from the layout."""
    scenario = tmp_path / "scenario.yaml"
    env = [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}]
    given = {"schema_version": 1, "kind": "scenario", "pipeline": "video", "kubernetes": {"pods": {"env": env}}}
    scenario.write_text(yaml.safe_dump(given), encoding="utf-8")
    templates = chart_of(tmp_path / "chart", scenario) / "templates"
    for name in ("configmap-ipa-video", "deployment-ipa-video-controller"):
        assert "http://collector:4318" in (templates / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "options", [("--monitor",), ("--state-claim", "kept"), ("--network-policy", "--control-from", "monitoring")]
)
def test_with_its_own_values_a_chart_gives_what_the_kustomize_base_has(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    assert rendered(chart_of(tmp_path / "chart", "video", *options)) == printed("video", *options)


def test_a_value_does_what_the_option_does(tmp_path: Path) -> None:
    options = (
        *("--image", "x:2", "--pull", "Never", "--service", "NodePort", "--policy", "scale-only:low"),
        *("--cpu", "2", "--memory", "1Gi", "--gateway-cpu", "1", "--gateway-memory", "2Gi"),
    )
    values: dict[str, Any] = {
        "image": "x:2", "imagePullPolicy": "Never", "service": {"type": "NodePort"},
        "replica": {"cpu": "2", "memory": "1Gi"},
        "gateway": {"cpu": "1", "memory": "2Gi"}, "policy": {"name": "scale-only:low"}, "monitor": True,
    }  # fmt: skip
    plain = chart_of(tmp_path / "chart", "video", "--state-claim", "kept")
    assert rendered(plain, **values) == printed("video", *options, "--monitor", "--state-claim", "kept")
    without = rendered(chart_of(tmp_path / "monitored", "video", "--monitor"), monitor=False)
    assert not any(kind in MONITORING for kind, _ in without)


def test_another_pipeline_file_policy_or_resource_of_the_controller_means_another_pod_of_it(tmp_path: Path) -> None:
    chart = chart_of(tmp_path / "chart", "video")

    def pod(**values: Any) -> dict[str, Any]:
        found = rendered(chart, **values)["Deployment", "ipa-video-controller"]["spec"]["template"]
        return {"content": found["metadata"]["annotations"][names.CONTENT], **found["spec"]["containers"][0]}

    text = profiles.text("video") + "# another\n"
    contents = {pod()["content"], pod(pipeline=text)["content"], pod(policy={"name": "rate"})["content"]}
    assert len(contents) == 3
    assert rendered(chart, pipeline=text)["ConfigMap", "ipa-video"]["data"]["pipeline.yaml"] == text
    assert pod(controller={"resources": {"limits": {"memory": "1Gi"}}})["resources"]["limits"]["memory"] == "1Gi"


def test_a_pipeline_with_other_stages_than_the_chart_s_is_refused(tmp_path: Path) -> None:
    chart = chart_of(tmp_path / "chart", "video")
    with pytest.raises(helm().HelmRenderError, match="for the stages object-detection, image-classification; make"):
        rendered(chart, pipeline="stages: [{name: rank}]")


def test_a_policy_s_file_is_in_the_chart_as_it_is_whatever_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policy.py").write_text(POLICY, encoding="utf-8")
    Path("scenario.yaml").write_text(SCENARIO, encoding="utf-8")
    found = rendered(chart_of(tmp_path / "chart", "scenario.yaml"))
    assert found == printed("scenario.yaml")
    assert found["ConfigMap", "ipa-video-controller"]["data"]["policy.py"] == POLICY


def test_helm_s_linter_finds_nothing_but_that_there_is_no_icon(tmp_path: Path) -> None:
    found = helm().lint(chart_of(tmp_path / "chart", "video", "--monitor"))
    assert [each["error"] for each in found["messages"]] == ["icon is recommended"]
    assert (found["total_charts_linted"], found["errors"]) == (1, [])


@pytest.mark.cluster
def test_what_helm_installs_makes_the_rest_and_controls_it_and_is_upgraded_and_uninstalled(tmp_path: Path) -> None:
    """No field is in dispute: the controller leaves alone what Helm has set, and Helm what the controller decides."""
    pytest.importorskip("kubernetes")
    from ipa.live.kubernetes.gateway_manifests import control_secret
    from tests.live.kubernetes.test_in_cluster import RATE, WITHIN_S, World, until
    from tests.live.kubernetes.test_in_cluster import SCENARIO as CONTROLLED
    from tests.live.kubernetes.world import own_namespace

    with own_namespace(WITHIN_S) as namespace:
        world = World(tiny(tmp_path, namespace), tmp_path / "scenario.yaml")
        (tmp_path / "load.csv").write_text("second,requests\n0,1\n1,1\n", encoding="utf-8")
        world.where[0].write_text(CONTROLLED % RATE, encoding="utf-8")
        chart = tmp_path / "chart"
        ipa("live", "manifests", *world.where, "--controller", "--chart", chart)
        world.api.create(control_secret(world.deployed))
        values = {"image": IMAGE, "imagePullPolicy": "Never", "service": {"type": "NodePort"}}
        with helm().Config(namespace=namespace, kubeconfig_path=os.environ["KUBECONFIG"]) as release:
            release.install(str(chart), "tiny", values)
            (first,) = until(lambda: world.pods(names.CONTROLLER), "the controller's pod is ready")
            until(lambda: world.is_controlled_by(first, 2), "status names it, and its steps")
            until(lambda: world.stage()["ready"] == 1, "its replica is ready")
            done = world.steps(first)[-1]
            release.upgrade(str(chart), "tiny", {**values, "replica": {"cpu": "", "memory": "200Mi"}})
            until(lambda: world.memory_of_replicas() == ["200Mi"], "the new layout is rolled out")
            until(lambda: world.is_controlled(done), "it goes on, and nothing keeps it")
            release.uninstall("tiny")
        until(lambda: not world.pods(names.MODEL_SERVER) and not world.pods(names.GATEWAY), "all pods are gone")
        until(
            lambda: {kind for kind, _ in deploy.belongings(world.api, world.deployed)} <= {"Secret", "Pod"}, "the rest"
        )
