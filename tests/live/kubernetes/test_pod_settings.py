"""What people add to our pods: the section `kubernetes` of a scenario, in pod templates and in refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ipa.live.kubernetes import controller_manifests, names
from ipa.live.kubernetes.difference import drift
from ipa.live.kubernetes.gateway_manifests import gateway_access, gateway_deployment
from ipa.live.kubernetes.manifests import stage_deployment
from ipa.live.kubernetes.pod_settings import SET_BY_US
from ipa.live.kubernetes.settings import Layout
from ipa.studies import find
from tests.command import ipa, refusal
from tests.live.kubernetes.world import documents, tiny
from tests.live.world import sort

pytestmark = pytest.mark.usefixtures("elsewhere")

HEAD = "schema_version: 1\nkind: scenario\npipeline: video\nkubernetes:\n"
SMALL = sort("small")["sort"]


def template(folder: Path, part: str = "sort", **sections: Any) -> dict[str, Any]:
    """The pod template of a part of the tiny pipeline with these sections."""
    deployed = tiny(folder, layout=Layout(pods=sections))
    if part == "gateway":
        made = gateway_deployment(deployed)
    elif part == "controller":
        made = controller_manifests.controller(deployed, {})[-1]
    else:
        made = stage_deployment(deployed, "sort", SMALL)
    found: dict[str, Any] = made["spec"]["template"]
    return found


def test_each_part_gets_what_is_given_for_it_and_for_all(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "pods": {"labels": {"team": "vision"}, "imagePullSecrets": [{"name": "registry"}]},
        "gateway": {"priorityClassName": "high", "runtimeClassName": "gvisor"},
        "models": {"nodeSelector": {"disk": "ssd", "zone": "a"}},
        "stages": {"sort": {"nodeSelector": {"zone": "b"}}, "other": {"nodeSelector": {"zone": "c"}}},
        "controller": {"resources": {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}}},
    }
    found = {part: template(tmp_path, part, **sections) for part in ("gateway", "sort", "controller")}
    assert [each["metadata"]["labels"]["team"] for each in found.values()] == ["vision"] * 3
    assert [each["spec"]["imagePullSecrets"] for each in found.values()] == [[{"name": "registry"}]] * 3
    assert [each["spec"].get("priorityClassName") for each in found.values()] == ["high", None, None]
    assert found["sort"]["spec"]["nodeSelector"] == {"disk": "ssd", "zone": "b"}
    assert "nodeSelector" not in found["gateway"]["spec"]
    assert found["gateway"]["spec"]["runtimeClassName"] == "gvisor"
    limits = found["controller"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "1Gi", "ephemeral-storage": "2Gi"}


def test_a_variant_has_memory_nodes_and_devices_of_its_own(tmp_path: Path) -> None:
    large = {
        "nodeSelector": {"pool": "gpu"},
        "resources": {"limits": {"memory": "4Gi", "nvidia.com/gpu": "1"}},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    }
    of_all = {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    stages = {"sort": {"nodeSelector": {"disk": "ssd"}, "resources": of_all, "variants": {"large": large}}}
    deployed = tiny(tmp_path, layout=Layout(models="s3://shelf", pods={"stages": stages}))
    small, of_large = (
        stage_deployment(deployed, "sort", sort(variant)["sort"])["spec"]["template"]["spec"]
        for variant in ("small", "large")
    )
    assert (small["nodeSelector"], of_large["nodeSelector"]) == ({"disk": "ssd"}, {"disk": "ssd", "pool": "gpu"})
    assert [{"key": "gpu", "operator": "Exists"} in each["tolerations"] for each in (small, of_large)] == [False, True]
    for spec, memory in ((small, ("1Gi", "2Gi")), (of_large, ("1Gi", "4Gi"))):
        for container in (*spec["containers"], *spec["initContainers"]):  # the model has to fit where it is fetched
            found = container["resources"]
            assert (found["requests"]["memory"], found["limits"]["memory"]) == memory
    assert of_large["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_memory_that_is_a_limit_alone_is_requested_too(tmp_path: Path) -> None:
    """As Kubernetes does it where there is no request; --memory is one for all."""
    variants = {"variants": {"small": {"resources": {"limits": {"memory": "4Gi"}}}}}
    (container,) = template(tmp_path, stages={"sort": variants})["spec"]["containers"]
    assert {kind: found["memory"] for kind, found in container["resources"].items()} == dict.fromkeys(
        ("requests", "limits"), "4Gi"
    )


def test_labels_by_which_pods_are_found_stay_ours(tmp_path: Path) -> None:
    plain, labelled = template(tmp_path), template(tmp_path, pods={"labels": {"a": "b"}})
    assert labelled["metadata"]["labels"] == {"a": "b", **plain["metadata"]["labels"]}


def test_a_cpu_limit_of_the_gateway_is_one_of_each_of_its_containers_as_quotas_ask(tmp_path: Path) -> None:
    router, watch = template(tmp_path, "gateway", gateway={"resources": {"limits": {"cpu": "2"}}})["spec"]["containers"]
    assert router["resources"] == {
        "requests": {"cpu": "250m", "memory": "512Mi", "ephemeral-storage": "0"},
        "limits": {"memory": "512Mi", "cpu": "2", "ephemeral-storage": "2Gi"},
    }
    assert watch["resources"]["limits"] == {"memory": "128Mi", "cpu": "500m", "ephemeral-storage": "2Gi"}
    without = template(tmp_path, "gateway")["spec"]["containers"]
    assert ["cpu" in each["resources"]["limits"] for each in without] == [False, False]


def test_variables_reach_the_main_container_of_each_part_and_no_other(tmp_path: Path) -> None:
    """Such as where a proxy is."""
    proxy = {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}
    key = {"name": "PROXY_KEY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "headers"}}}
    for part, count in (("gateway", 2), ("sort", 1), ("controller", 1)):
        plain = template(tmp_path, part)["spec"]["containers"]
        containers = template(tmp_path, part, pods={"env": [proxy, key]})["spec"]["containers"]
        assert containers[0]["env"] == [*plain[0]["env"], proxy, key]
        assert {each["name"] for each in plain[0]["env"]} <= {*SET_BY_US}
        assert (len(containers), containers[1:]) == (count, plain[1:])


def test_a_device_is_for_the_model_alone_and_a_limit_for_what_fetches_it_too(tmp_path: Path) -> None:
    given = {"resources": {"limits": {"example.com/gpu": "1", "cpu": "1"}}}
    deployed = tiny(tmp_path, layout=Layout(models="s3://shelf", replica_cpu="100m", pods={"models": given}))
    spec = stage_deployment(deployed, "sort", SMALL)["spec"]["template"]["spec"]
    of_both = {"memory": "256Mi", "cpu": "1"}
    serving, fetching = ({"ephemeral-storage": disk, **of_both} for disk in ("2Gi", "66Gi"))
    assert spec["containers"][0]["resources"]["limits"] == {**serving, "example.com/gpu": "1"}
    assert spec["initContainers"][0]["resources"]["limits"] == fetching


def test_pods_are_spread_among_their_own_kind_unless_said_otherwise(tmp_path: Path) -> None:
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    other = {**spread, "labelSelector": {"matchLabels": {"a": "b"}}}
    (own, given) = template(tmp_path, models={"topologySpreadConstraints": [spread, other]})["spec"][
        "topologySpreadConstraints"
    ]
    assert own["labelSelector"]["matchLabels"] == names.selector("ipa-tiny", "model-server", stage="sort")
    assert given == other


def test_an_account_of_one_s_own_is_bound_and_not_made(tmp_path: Path) -> None:
    sections = {part: {"serviceAccountName": "mine"} for part in ("gateway", "controller")}
    deployed = tiny(tmp_path, layout=Layout(pods=sections))
    for objects in (gateway_access(deployed), controller_manifests.access(deployed, "ipa-tiny-controller")):
        assert [each["kind"] for each in objects] == ["Role", "RoleBinding"]
        assert objects[1]["subjects"][0]["name"] == "mine"
    for made in (gateway_deployment(deployed), controller_manifests.controller(deployed, {})[-1]):
        assert made["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


@pytest.mark.parametrize("part", ["gateway", "sort"])
@pytest.mark.parametrize(
    "given",
    [
        {"nodeSelector": {"a": "b"}},
        {"labels": {"a": "b"}},
        {"annotations": {"a": "b"}},
        {"env": [{"name": "A", "value": "b"}]},
    ],
)
def test_what_is_taken_back_is_seen_as_a_change_too(part: str, given: dict[str, Any], tmp_path: Path) -> None:
    """What an object has beyond a manifest is no difference, so a digest has to tell."""
    with_it, without = template(tmp_path, part, pods=given), template(tmp_path, part)
    changed = f"metadata.annotations.{names.TEMPLATE}"
    assert changed in drift(without, with_it)
    assert changed in drift(with_it, without)


def test_quantities_of_devices_are_equal_however_they_are_written() -> None:
    ours, theirs = ({"resources": {"limits": {"example.com/gpu": text}}} for text in ("1000m", "1"))
    assert drift({"spec": ours}, {"spec": theirs}) == []


# ---- the section of a scenario ----

WHOLE = """
  pods:
    imagePullSecrets: [{name: registry}]
    labels: {team: vision, empty: ""}
    annotations: {example.com/note: any text}
  gateway:
    env: [{name: HTTPS_PROXY, value: "http://proxy:3128"}]
    resources: {limits: {cpu: 1}}
    priorityClassName: high
    serviceAccountName: mine
  models:
    tolerations:
    - {key: dedicated, operator: Equal, value: models, effect: NoSchedule}
    topologySpreadConstraints:
    - {maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: ScheduleAnyway}
    affinity:
      nodeAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms:
          - matchExpressions: [{key: kubernetes.io/arch, operator: In, values: [amd64]}]
      podAntiAffinity:
        preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 50
          podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: other}}}
  stages:
    object-detection:
      nodeSelector: {disk: ssd}
      resources: {limits: {nvidia.com/gpu: 1}}
      variants:
        yolov5x: {resources: {limits: {memory: 4Gi}}, nodeSelector: {disk: large}}
  controller:
    nodeSelector: {pool: small}
"""


def written(text: str) -> str:
    Path("scenario.yaml").write_text(HEAD + text)
    return "scenario.yaml"


def test_a_scenario_s_section_is_kept_as_it_was_written_and_goes_into_the_layout() -> None:
    scenario = find(written(WHOLE))
    given = yaml.safe_load(WHOLE)
    given["gateway"]["resources"]["limits"]["cpu"] = "1"
    given["stages"]["object-detection"]["resources"]["limits"]["nvidia.com/gpu"] = "1"
    assert scenario.as_dict()["kubernetes"] == given
    assert scenario.with_values({}) == scenario
    objects = documents(ipa("live", "manifests", "scenario.yaml", "--controller").stdout)
    assert Layout.from_text(objects[0]["data"]["layout.json"]).pods == given
    (inside,) = [each["data"]["scenario.yaml"] for each in objects if "scenario.yaml" in each.get("data", {})]
    assert "kubernetes" not in yaml.safe_load(inside)  # a controller reads the layout
    selectors = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"].get("nodeSelector")
        for each in objects
        if each["kind"] == "Deployment"
    }
    assert selectors == {
        "ipa-video-stage-object-detection": {"disk": "ssd"},
        "ipa-video-stage-image-classification": None,
        "ipa-video-gateway": None,
        "ipa-video-controller": {"pool": "small"},
    }


def test_one_setting_needs_no_file() -> None:
    said = ipa("live", "manifests", "video", "--set", "kubernetes.gateway.resources.limits.cpu=1")
    layout = Layout.from_text(documents(said.stdout)[0]["data"]["layout.json"])
    assert layout.pods == {"gateway": {"resources": {"limits": {"cpu": "1"}}}}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("gatway: {}", "kubernetes.gatway: unknown key; did you mean 'gateway'?"),
        ("models: {securityContext: {}}", "securityContext: cannot be given: pods keep what the profile `restricted`"),
        ("controller: {hostNetwork: true}", "hostNetwork: cannot be given: pods keep what the profile `restricted`"),
        ("gateway: {replicas: 2}", "replicas: cannot be given: it is what policies decide"),
        ("gateway: {image: x}", "image: cannot be given: it is the option --image"),
        ("pods: {labels: {ipa/stage: x}}", "labels.ipa/stage: is ours: pods are found again by it"),
        ("pods: {labels: {app.kubernetes.io/name: x}}", "labels.app.kubernetes.io/name: is ours"),
        ("pods: {annotations: {ipa/wanted: x}}", "annotations.ipa/wanted: is ours"),
        ("pods: {annotations: {a: true}}", "annotations.a: should be text; given true"),
        ("gateway: {resources: {limits: {cpu: many}}}", "limits.cpu: should be a quantity, such as 2, 500m or 1Gi"),
        ("gateway: {resources: {requests: {cpu: 1}}}", "requests.cpu: cannot be given here: it is the option --cpu"),
        ("gateway: {resources: {limits: {memory: 1Gi}}}", "limits.memory: cannot be given here: it is the option"),
        (
            "pods: {shareProcessNamespace: true}",
            "cannot be given: containers of a pod keep their tokens from one another",
        ),
        ("models: {nodeName: n}", "nodeName: cannot be given: it would pass by the scheduler; see nodeSelector"),
        ("gateway: {tolerations: [all]}", "tolerations: should be a list of mappings"),
        ("pods: {env: {A: b}}", "pods.env: should be a list of mappings"),
        (
            "models: {env: [{name: OMP_NUM_THREADS, value: 8}]}",
            "env: OMP_NUM_THREADS cannot be given: it follows from the cores and the image",
        ),
        ("stages: {object-detection: {resources: {requests: {cpu: 1}}}}", "requests.cpu: cannot be given here: it is"),
        (
            "stages: {object-detection: {variants: {yolov5n: {resources: {requests: {cpu: 1}}}}}}",
            "variants.yolov5n.resources.requests.cpu: cannot be given here: it is the option --cpu",
        ),
        (
            "stages: {object-detection: {variants: {yolov5n: {hostNetwork: true}}}}",
            "variants.yolov5n.hostNetwork: cannot be given: pods keep what the profile",
        ),
        ("stages: {object-detection: {variants: {yolov5n: [a]}}}", "variants.yolov5n: should be a mapping of keys"),
        ("stages: {object-detection: {variants: [yolov5n]}}", "variants: should be a mapping of keys to values"),
        ("models: {variants: {yolov5n: {}}}", "variants: cannot be given here: it is a key of a stage's section"),
        ("gateway: {labels: [a]}", "labels: should be a mapping of keys to values"),
        ("gateway: {resources: {limits: 1}}", "resources.limits: should be a mapping of keys to values"),
    ],
)
def test_what_cannot_be_added_is_refused_by_line_and_name(given: str, why: str) -> None:
    said = refusal("live", "manifests", written(f"  {given}\n"))
    assert said.startswith("scenario.yaml:5: kubernetes.")
    assert why in said


def test_a_stage_that_is_not_there_is_refused() -> None:
    said = refusal("live", "manifests", written("  stages: {object-detecton: {}}\n"))
    assert "kubernetes.stages: 'video' has no stage 'object-detecton'" in said
    assert "did you mean 'object-detection'?" in said


def test_a_variant_that_is_not_there_is_refused() -> None:
    said = refusal("live", "manifests", written("  stages: {object-detection: {variants: {yolov5z: {}}}}\n"))
    assert "kubernetes.stages: object-detection has no variant 'yolov5z'" in said


def test_replicas_with_their_profile_s_cores_have_no_other_limit() -> None:
    path = written("  models: {resources: {limits: {cpu: 1}}}\n")
    assert ipa("live", "manifests", path).exit_code == 0
    said = refusal("live", "manifests", path, "--cpu", "profile")
    assert said.startswith("kubernetes.models.resources.limits.cpu: 1: replicas have their profile's cores")
    path = written("  stages: {object-detection: {variants: {yolov5n: {resources: {limits: {cpu: 1}}}}}}\n")
    said = refusal("live", "manifests", path, "--cpu", "profile")
    assert said.startswith("kubernetes.stages.object-detection.variants.yolov5n.resources.limits.cpu: 1: replicas")
