"""The objects of a deployed pipeline: laws that they keep whatever is deployed, and what a real server says to them."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipa import profiles
from ipa.live.errors import LiveError
from ipa.live.gateway_settings import GatewaySettings
from ipa.live.kubernetes import controller_manifests, deploy, names, permissions
from ipa.live.kubernetes.gateway_manifests import control_secret
from ipa.live.kubernetes.manifests import everything, from_text, owner_of, root, stage_deployment, surroundings
from ipa.live.kubernetes.pod_model import DIGEST_FILE, FIXED_AT
from ipa.live.kubernetes.settings import Deployed
from ipa.live.plane import Plane
from ipa.live.settings import LiveSettings
from ipa.policies import StageConfiguration, lightest_configuration
from ipa.sim import rules
from tests.live.kubernetes.world import IMAGE, language, settings_of, tiny
from tests.live.world import sort

APIS = frozenset({"networking.k8s.io/v1", "policy/v1"})
OWNER = owner_of({"metadata": {"name": "ipa-tiny", "uid": "the-uid"}})


def objects(deployed: Deployed) -> list[dict[str, Any]]:
    configuration = lightest_configuration(deployed.plane.pipeline)
    return everything(deployed, configuration, OWNER, APIS)


def pod_specs(deployed: Deployed) -> Iterator[dict[str, Any]]:
    yield from (
        each["spec"]["template"]["spec"]
        for each in (*objects(deployed), *controller_manifests.controller(deployed, {}))
        if each["kind"] == "Deployment"
    )


def stage(deployed: Deployed, wanted: StageConfiguration) -> dict[str, Any]:
    return stage_deployment(deployed, "sort", wanted)


def server(manifest: dict[str, Any]) -> dict[str, Any]:
    only: dict[str, Any] = manifest["spec"]["template"]["spec"]["containers"][0]
    return only


def test_on_a_cluster_removed_replicas_lose_nothing(tmp_path: Path) -> None:
    with pytest.raises(LiveError, match="removal: lose: pods drain on a cluster; allowed: drain"):
        tiny(tmp_path, removal="lose").check_removal()


def test_all_objects_are_owned_by_the_configmap_so_that_one_delete_removes_them(tmp_path: Path) -> None:
    made = objects(tiny(tmp_path))
    assert [each["metadata"]["ownerReferences"] for each in made] == [[OWNER]] * len(made)
    assert (OWNER["kind"], OWNER["uid"]) == ("ConfigMap", "the-uid")
    assert root(tiny(tmp_path))["kind"] == "ConfigMap"


def test_all_objects_carry_the_recommended_labels_and_the_pipeline(tmp_path: Path) -> None:
    for each in (root(tiny(tmp_path)), *objects(tiny(tmp_path))):
        found = each["metadata"]["labels"]
        assert found["app.kubernetes.io/managed-by"] == "ipa-pipelines"
        assert found["app.kubernetes.io/part-of"] == "ipa-pipelines"
        assert (found["app.kubernetes.io/instance"], found["ipa/pipeline"]) == ("ipa-tiny", "tiny")


def test_a_selector_never_changes_with_variant_or_cores(tmp_path: Path) -> None:
    small, large = (stage(tiny(tmp_path), sort(variant)["sort"]) for variant in ("small", "large"))
    assert small["spec"]["selector"] == large["spec"]["selector"]
    assert small["spec"]["template"]["metadata"]["labels"]["ipa/variant"] == "small"
    assert large["spec"]["template"]["metadata"]["labels"]["ipa/variant"] == "large"
    for each in (small, large):
        selected = each["spec"]["selector"]["matchLabels"].items()
        assert selected <= each["spec"]["template"]["metadata"]["labels"].items()


def test_a_manifest_says_nothing_of_replicas_which_are_set_by_the_scale_subresource_alone(tmp_path: Path) -> None:
    assert "replicas" not in stage(tiny(tmp_path), sort(replicas=7)["sort"])["spec"]


def test_batch_and_timeout_change_no_pod(tmp_path: Path) -> None:
    one, four = (stage(tiny(tmp_path), sort(batch=batch)["sort"]) for batch in (1, 4))
    assert one["spec"]["template"] == four["spec"]["template"]
    assert one["metadata"]["annotations"] != four["metadata"]["annotations"]


def test_the_wanted_configuration_can_be_read_back_from_its_annotation(tmp_path: Path) -> None:
    wanted = sort("large", replicas=3, batch=4)["sort"]
    assert from_text(stage(tiny(tmp_path), wanted)["metadata"]["annotations"][names.WANTED]) == wanted


@pytest.mark.parametrize("text", ["", "{", "[]", '{"variant": "small"}', "null"])
def test_any_other_annotation_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_text(text)


def test_an_emulated_replica_requests_a_fraction_and_has_no_cpu_limit(tmp_path: Path) -> None:
    resources = server(stage(tiny(tmp_path), sort("large")["sort"]))["resources"]
    disk = {"requests": {"ephemeral-storage": "0"}, "limits": {"ephemeral-storage": "2Gi"}}
    asked = {"requests": {"cpu": "20m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}}
    assert resources == {kind: {**asked[kind], **disk[kind]} for kind in asked}


def test_with_real_resources_the_profile_s_cores_are_request_and_limit_and_threads_follow(tmp_path: Path) -> None:
    made = server(stage(tiny(tmp_path, settings=settings_of(models__cpu="profile")), sort("large")["sort"]))
    assert made["resources"]["requests"]["cpu"] == made["resources"]["limits"]["cpu"] == "2"
    assert {"name": "OMP_NUM_THREADS", "value": "2"} in made["env"]


@given(st.integers(1, 40))
def test_the_surge_is_the_model_s_default(replicas: int) -> None:
    pipeline = profiles.load("video")
    deployed = Deployed(Plane(pipeline, "video"), "")
    name = pipeline.stages[0].name
    wanted = StageConfiguration(
        pipeline.stages[0].variants[0].name, 1, replicas, 0.0, pipeline.stages[0].variants[0].base_cores
    )
    rolling = stage_deployment(deployed, name, wanted)["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": rules.default_max_surge(replicas), "maxUnavailable": 0}
    assert rolling["maxSurge"] == -(-replicas // 4)


def test_surge_and_unavailable_are_the_scenario_s(tmp_path: Path) -> None:
    deployed = tiny(tmp_path, max_surge=3, max_unavailable=2)
    rolling = stage(deployed, sort()["sort"])["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": 3, "maxUnavailable": 2}


def test_containers_have_a_read_only_root_and_a_limit_of_the_memory_that_they_ask_for(tmp_path: Path) -> None:
    """Beside what the profile `restricted` asks of pods (test_schemas)."""
    for spec in (*pod_specs(tiny(tmp_path)), *pod_specs(tiny(tmp_path, settings=STORE))):
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]


def test_only_the_gateway_s_watch_has_a_token(tmp_path: Path) -> None:
    gateway, servers = (
        [each["spec"]["template"]["spec"] for each in objects(tiny(tmp_path)) if _component(each) == component]
        for component in ("gateway", "model-server")
    )
    assert [spec["automountServiceAccountToken"] for spec in (*gateway, *servers)] == [False] * 2
    mounted = {
        container["name"]: any(mount["name"] == "token" for mount in container["volumeMounts"])
        for spec in (*gateway, *servers)
        for container in spec["containers"]
    }
    assert mounted == {"gateway": False, "replica-lister": True, "model-server": False}


def test_the_control_token_is_mounted_where_it_is_needed_as_a_file_that_cannot_be_changed(tmp_path: Path) -> None:
    mounted = {}
    for spec in pod_specs(tiny(tmp_path)):
        for container in spec["containers"]:
            found = [each for each in container["volumeMounts"] if each["name"] == "control"]
            mounted[container["name"]] = [(each["mountPath"], each["readOnly"]) for each in found]
            assert "secret" not in str(container.get("env", [])).lower()
        volumes = [each["secret"] for each in spec["volumes"] if each["name"] == "control"]
        assert [(each["secretName"], each["defaultMode"]) for each in volumes] in ([], [("ipa-tiny-control", 0o440)])
    there = [("/etc/ipa-control", True)]
    assert mounted == {"gateway": there, "replica-lister": there, "controller": there, "model-server": []}


def test_no_manifest_but_the_secret_holds_a_token(tmp_path: Path) -> None:
    deployed = tiny(tmp_path)
    made, again = control_secret(deployed, OWNER), control_secret(deployed, OWNER)
    assert len(made["stringData"]["token"]) == 43  # 256 bits
    assert made["stringData"] != again["stringData"]
    kinds = {
        each["kind"] for each in (root(deployed), *objects(deployed), *controller_manifests.controller(deployed, {}))
    }
    assert "Secret" not in kinds


def test_the_gateway_takes_replicas_of_the_pod_network_at_their_port_alone(tmp_path: Path) -> None:
    router = gateway_of(tiny(tmp_path))["containers"][0]
    assert option(router, "--replica-port") == "8080"
    assert [each for each in router["args"] if "/0" in each] == ["0.0.0.0/0", "::/0"]
    router = gateway_of(tiny(tmp_path, settings=settings_of(access__pod_networks=("10.1.0.0/16",))))["containers"][0]
    assert option(router, "--replica-network") == "10.1.0.0/16"
    assert "0.0.0.0/0" not in router["args"]


def test_clients_need_a_token_where_a_secret_is_named(tmp_path: Path) -> None:
    assert "--data-token-file" not in str(gateway_of(tiny(tmp_path)))
    spec = gateway_of(tiny(tmp_path, settings=settings_of(access__token_secret="clients")))
    router, watch = spec["containers"]
    assert option(router, "--data-token-file") == "/etc/ipa-clients/token"
    assert [each["mountPath"] for each in router["volumeMounts"] if each["name"] == "clients"] == ["/etc/ipa-clients"]
    assert "clients" not in str(watch)


def test_web_pages_are_clients_where_their_origin_is_named(tmp_path: Path) -> None:
    router = gateway_of(tiny(tmp_path, settings=settings_of(access__origins=("https://ours.example",))))["containers"][
        0
    ]
    assert option(router, "--data-origin") == "https://ours.example"


def test_a_policy_of_the_gateway_is_made_where_it_is_asked_for(tmp_path: Path) -> None:
    def policies(**settings: Any) -> list[dict[str, Any]]:
        made = objects(tiny(tmp_path, settings=settings_of(**settings)))
        return [each["spec"] for each in made if each["kind"] == "NetworkPolicy"]

    (of_servers,) = policies()
    same, of_gateway = policies(access__network_policy=True, access__control_from=("monitoring", "10.0.0.0/28"))
    assert same == of_servers
    data, control = of_gateway["ingress"]
    assert data == {"ports": [{"protocol": "TCP", "port": 8080}]}
    assert control["ports"] == [{"protocol": "TCP", "port": 8081}]
    controller, namespace, network = control["from"]
    assert controller["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "controller"
    assert namespace == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert network == {"ipBlock": {"cidr": "10.0.0.0/28"}}
    servers, api_server, dns = of_gateway["egress"]
    assert servers["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "model-server"
    assert [each["port"] for each in api_server["ports"]] == [443, 6443]
    assert dns == DNS
    _, of_gateway = policies(access__network_policy=True, access__api_networks=("10.96.0.1/32", "192.0.2.7/32"))
    assert of_gateway["egress"][1]["to"] == [{"ipBlock": {"cidr": each}} for each in ("10.96.0.1/32", "192.0.2.7/32")]


def test_a_policy_of_the_controller_is_made_with_that_of_the_gateway(tmp_path: Path) -> None:
    """It is reached at its metrics by whom the settings names, and calls gateway, API server and DNS alone."""

    def policies(**settings: Any) -> list[dict[str, Any]]:
        made = controller_manifests.controller(tiny(tmp_path, settings=settings_of(**settings)), {})
        return [each["spec"] for each in made if each["kind"] == "NetworkPolicy"]

    assert policies() == []
    (closed,) = policies(access__network_policy=True)
    assert ("ingress" in closed, closed["policyTypes"]) == (False, ["Ingress", "Egress"])
    assert closed["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "controller"
    (given,) = policies(
        access__network_policy=True, access__control_from=("monitoring",), access__api_networks=("10.96.0.1/32",)
    )
    assert [each["port"] for each in given["ingress"][0]["ports"]] == [9100]
    gateway, api_server, dns = given["egress"]
    assert gateway["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert gateway["ports"] == [{"protocol": "TCP", "port": 8081}]
    assert api_server["to"] == [{"ipBlock": {"cidr": "10.96.0.1/32"}}]
    assert dns == DNS


def test_every_pod_is_spread_over_nodes_and_no_volume_on_a_disk_is_without_a_limit(tmp_path: Path) -> None:
    for made in (*objects(tiny(tmp_path, settings=STORE)), *controller_manifests.controller(tiny(tmp_path), {})):
        if made["kind"] == "Deployment":
            spec = made["spec"]["template"]["spec"]
            (spread,) = spec["topologySpreadConstraints"]
            assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
            assert spread["labelSelector"]["matchLabels"] == made["spec"]["selector"]["matchLabels"]
            assert not spec["containers"][0]["image"].endswith(":latest")
            assert all("sizeLimit" in each["emptyDir"] for each in spec["volumes"] if "emptyDir" in each)


def test_what_hangs_is_started_anew(tmp_path: Path) -> None:
    """The controller by its metrics; the watch of replicas, which has no port, by the moment that it writes down."""
    controller = controller_manifests.controller(tiny(tmp_path), {})[-1]["spec"]["template"]["spec"]["containers"][0]
    assert controller["livenessProbe"]["httpGet"] == {"path": "/metrics", "port": 9100}
    _, watch = gateway_of(tiny(tmp_path))["containers"]
    command = [sys.executable, *watch["livenessProbe"]["exec"]["command"][1:]]
    alive = tmp_path / "alive"
    command[-1] = command[-1].replace("/tmp/alive", str(alive))
    assert str(alive) in command[-1]
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0
    for moment_s, code in ((time.monotonic(), 0), (time.monotonic() - 3600.0, 1)):
        alive.write_text(str(moment_s))
        assert subprocess.run(command, check=False, capture_output=True).returncode == code


def _component(given: dict[str, Any]) -> str:
    return given["metadata"]["labels"]["app.kubernetes.io/component"] if given["kind"] == "Deployment" else ""


def test_probes_give_a_variant_its_start_up_and_the_time_until_it_counts_as_failed(tmp_path: Path) -> None:
    deployed = tiny(tmp_path, settings=settings_of(cluster__ready_within_s=30, cluster__nodes_within_s=120))
    made = stage(deployed, sort("large")["sort"])
    probe = server(made)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 31  # 0.3 s of start-up, rounded up
    assert made["spec"]["progressDeadlineSeconds"] == 31 + 120  # a node may have to come
    assert server(made)["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"


def test_a_gateway_is_asked_at_once_whether_it_is_ready(tmp_path: Path) -> None:
    """There is one gateway: until it is ready nobody is served, and a startup probe comes first, every second."""
    (made,) = (each for each in objects(tiny(tmp_path)) if _component(each) == "gateway")
    asked = server(made)
    assert "startupProbe" not in asked
    assert asked["readinessProbe"]["periodSeconds"] == 1
    assert asked["livenessProbe"]["periodSeconds"] * asked["livenessProbe"]["failureThreshold"] == 60


def test_a_gateway_stays_in_its_service_while_a_stage_has_no_replica(tmp_path: Path) -> None:
    """Its clients are to be told why they are not served; only a gateway that shuts down is to be cut off."""
    from ipa.live.plane import ACCEPTS_PATH

    (made,) = (each for each in objects(tiny(tmp_path)) if _component(each) == "gateway")
    assert server(made)["readinessProbe"]["httpGet"]["path"] == ACCEPTS_PATH != "/v2/health/ready"


def test_a_pod_outlives_its_drain_its_batch_and_its_stop_time(tmp_path: Path) -> None:
    spec = stage(tiny(tmp_path, stop_s=5.0), sort("large", batch=4)["sort"])["spec"]["template"]["spec"]
    assert server(stage(tiny(tmp_path), sort()["sort"]))["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "1"]
    assert spec["terminationGracePeriodSeconds"] >= 1 + 2 * 0.06 + 5.0


def test_the_gateway_serves_on_until_all_have_learnt_of_its_end_and_is_not_killed_before_its_last_answer(
    tmp_path: Path,
) -> None:
    deployed = tiny(tmp_path)
    spec = gateway_of(deployed)
    router, watch = spec["containers"]
    command = ["sleep", "3"]
    assert [each["lifecycle"]["preStop"]["exec"]["command"] for each in (router, watch)] == [command, command]
    # What is inside ends by its drop limit, or by the end of the batch that it is then in.
    drained_s = max(deployed.plane.pipeline.drop_limits_s) + 5 + 5 * 0.06
    longest_s = 3 + GatewaySettings().linger_s + min(drained_s, 10 * deployed.plane.pipeline.sla_s)
    assert spec["terminationGracePeriodSeconds"] > longest_s


def test_the_watch_of_replicas_has_the_gateway_s_own_pipeline_file(tmp_path: Path) -> None:
    router, watch = gateway_of(tiny(tmp_path))["containers"]
    assert option(router, "--pipeline") == option(watch, "--pipeline") == "/etc/ipa/pipeline.yaml"


def gateway_of(deployed: Deployed) -> dict[str, Any]:
    """The specification of the gateway's pod."""
    found = next(each for each in objects(deployed) if _component(each) == "gateway")
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def test_all_servers_listen_on_every_address_of_their_pod(tmp_path: Path) -> None:
    containers = [each for spec in pod_specs(tiny(tmp_path)) for each in spec["containers"]]
    found = {
        name: each["args"][each["args"].index(name) + 1]
        for each in containers
        for name in ("--host", "--control-host")
        if name in each["args"]
    }
    assert found == {"--host": "::", "--control-host": "::"}
    assert any('controller.metrics_host="::"' in each["args"] for each in containers)


def test_services_have_an_address_of_each_family_where_the_server_knows_of_two(tmp_path: Path) -> None:
    configuration = lightest_configuration(tiny(tmp_path).plane.pipeline)
    for apis, policy in ((APIS, "PreferDualStack"), (frozenset[str](), None)):
        made = everything(tiny(tmp_path), configuration, OWNER, apis)
        services = [each["spec"].get("ipFamilyPolicy") for each in made if each["kind"] == "Service"]
        assert services == [policy, policy]


def test_model_servers_hear_the_gateway_alone(tmp_path: Path) -> None:
    policy = next(each for each in objects(tiny(tmp_path)) if each["kind"] == "NetworkPolicy")
    (rule,) = policy["spec"]["ingress"]
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "gateway"
    assert ("egress" in policy["spec"], policy["spec"]["policyTypes"]) == (False, ["Ingress", "Egress"])


# ---- real models ----

STORE = settings_of(
    models__source="s3://shelf/models/", models__s3_endpoint="http://store.there:9000", models__s3_secret="keys"
)
SOURCES = (STORE, settings_of(models__source="pvc:claim/deep/models"), settings_of(models__source="image:/srv/models"))


def pod_of(deployed: Deployed) -> dict[str, Any]:
    """The specification of the large variant's pod."""
    found: dict[str, Any] = stage(deployed, sort("large")["sort"])["spec"]["template"]["spec"]
    return found


def option(container: dict[str, Any], name: str) -> str:
    return str(container["args"][container["args"].index(name) + 1])


def mounts(container: dict[str, Any]) -> dict[str, bool]:
    """Where models are mounted, and whether read-only."""
    return {m["mountPath"]: m.get("readOnly", False) for m in container["volumeMounts"] if m["name"] == "models"}


def volumes(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**each, "name": ""} for each in spec["volumes"] if each["name"] == "models"]


def test_emulated_models_need_nothing_but_their_profile(tmp_path: Path) -> None:
    spec = pod_of(tiny(tmp_path))
    assert "initContainers" not in spec
    assert volumes(spec) == []
    assert "--backend" not in spec["containers"][0]["args"]
    assert option(spec["containers"][0], "--start-up") == "0.3"


def test_a_variant_of_an_object_store_is_fetched_into_the_pod_and_read_only_to_its_server(tmp_path: Path) -> None:
    spec = pod_of(tiny(tmp_path, settings=STORE))
    (fetching,), (serving,) = spec["initContainers"], spec["containers"]
    assert fetching["command"] == ["python", "-m", "ipa.live.kubernetes.pod_model"]
    source = ["--from", "s3://shelf/models/tiny/sort/large", "--endpoint", "http://store.there:9000"]
    key = f"{sha256(b's3://shelf/models').hexdigest()[:8]}.sort.large"
    assert fetching["args"] == ["/models/large", "--key", key, *source, "--secret", "keys"]
    assert (option(serving, "--backend"), option(serving, "--file")) == ("folder", "/models/large")
    assert option(serving, "--start-up") == "0.0"  # it takes what it takes
    assert (mounts(fetching), mounts(serving)) == ({"/models": False}, {"/models": True})
    assert volumes(spec) == [{"name": "", "emptyDir": {"sizeLimit": "64Gi"}}]
    limits = [each["resources"]["limits"] for each in (fetching, serving)]
    assert limits[0]["memory"] == limits[1]["memory"]
    assert fetching["securityContext"] == serving["securityContext"]
    assert {each["terminationMessagePolicy"] for each in (fetching, serving)} == {"FallbackToLogsOnError"}


def test_only_the_init_container_has_the_store_s_credentials_and_as_files(tmp_path: Path) -> None:
    spec = pod_of(tiny(tmp_path, settings=STORE))
    (fetching,) = spec["initContainers"]
    assert {"name": "keys", "secret": {"secretName": "keys", "optional": True}} in spec["volumes"]
    assert {"name": "keys", "mountPath": "/keys", "readOnly": True} in fetching["volumeMounts"]
    assert option(fetching, "--secret") == "keys"
    assert "secretKeyRef" not in str(spec)
    assert "/keys" not in str(spec["containers"])
    assert "secret" not in str(pod_of(tiny(tmp_path, settings=settings_of(models__source="s3://shelf"))))


def test_every_container_has_a_limit_of_its_node_s_disk_and_asks_for_none(tmp_path: Path) -> None:
    """A pod that fetches a model may take as much as the volume for it, and what it takes otherwise."""
    every = [each for pod in pod_specs(tiny(tmp_path)) for each in (*pod["containers"], *pod.get("initContainers", ()))]
    assert len(every) >= 3
    assert {each["resources"]["limits"]["ephemeral-storage"] for each in every} == {"2Gi"}
    (fetching,) = pod_of(tiny(tmp_path, settings=STORE))["initContainers"]
    assert fetching["resources"]["limits"]["ephemeral-storage"] == "66Gi"
    assert {each["resources"]["requests"]["ephemeral-storage"] for each in (*every, fetching)} == {"0"}


def test_a_volume_is_mounted_read_only_and_holds_all_variants(tmp_path: Path) -> None:
    spec = pod_of(tiny(tmp_path, settings=settings_of(models__source="pvc:claim/deep/models")))
    assert volumes(spec) == [{"name": "", "persistentVolumeClaim": {"claimName": "claim", "readOnly": True}}]
    assert mounts(spec["containers"][0]) == {"/models": True}
    assert option(spec["containers"][0], "--file") == "/models/deep/models/tiny/sort/large"
    assert mounts(spec["initContainers"][0]) == {"/models": True}
    assert spec["initContainers"][0]["args"][0] == "/models/deep/models/tiny/sort/large"
    at_its_root = pod_of(tiny(tmp_path, settings=settings_of(models__source="pvc:claim")))
    assert option(at_its_root["containers"][0], "--file") == "/models/tiny/sort/large"


def test_models_in_the_image_need_no_volume(tmp_path: Path) -> None:
    spec = pod_of(tiny(tmp_path, settings=settings_of(models__source="image:/srv/models")))
    assert option(spec["containers"][0], "--file") == "/srv/models/tiny/sort/large"
    assert (volumes(spec), spec["initContainers"][0]["args"][0]) == ([], "/srv/models/tiny/sort/large")


@pytest.mark.parametrize("settings", SOURCES, ids=lambda settings: settings.models.source)
def test_a_pod_compares_its_model_with_the_digest_that_the_run_has_fixed(
    tmp_path: Path, settings: LiveSettings
) -> None:
    """Before its server starts, and again at each start of that in the same pod."""
    deployed = tiny(tmp_path, settings=settings)
    spec = pod_of(deployed)
    (preparing,), (serving,) = spec["initContainers"], spec["containers"]
    assert {"name": "fixed", "configMap": {"name": "ipa-tiny-models", "optional": True}} in spec["volumes"]
    assert {"name": "fixed", "mountPath": FIXED_AT, "readOnly": True} in preparing["volumeMounts"]
    assert option(serving, "--digest") == f"@{DIGEST_FILE}"
    assert option(preparing, "--key").endswith(".sort.large")
    other = pod_of(
        replace(deployed, settings=settings_of(settings, models__source=f"{settings.models.source.rstrip('/')}/v2"))
    )["initContainers"][0]
    assert option(other, "--key") != option(preparing, "--key")  # another place has models of its own
    assert "ipa-tiny-models" in [each["metadata"]["name"] for each in surroundings(deployed, None, frozenset())]


@pytest.mark.parametrize("settings", SOURCES, ids=lambda settings: settings.models.source)
def test_a_real_model_has_its_profile_s_cores_unless_said_otherwise(tmp_path: Path, settings: LiveSettings) -> None:
    resources = pod_of(tiny(tmp_path, settings=settings))["containers"][0]["resources"]
    assert (resources["requests"]["cpu"], resources["limits"]["cpu"]) == ("2", "2")
    less = pod_of(tiny(tmp_path, settings=settings_of(settings, models__cpu="100m")))["containers"][0]["resources"]
    assert (less["requests"]["cpu"], "cpu" in less["limits"]) == ("100m", False)


@pytest.mark.parametrize(("variant", "cores", "gpus"), [("small", 1, 1), ("large", 4, 2)])
def test_a_language_model_has_its_cores_and_gpus_and_an_emulated_one_no_gpu(
    tmp_path: Path, variant: str, cores: int, gpus: int
) -> None:
    """What its GPUs cost, 10 cores each, it does not ask for."""
    wanted = StageConfiguration(variant, 4, 1, 0.0, cores + 10 * gpus)
    real = server(
        stage(language(tmp_path, settings_of(image__name=IMAGE, models__source="image:/srv/models")), wanted)
    )["resources"]
    assert real["limits"]["nvidia.com/gpu"] == str(gpus)
    assert real["requests"]["cpu"] == real["limits"]["cpu"] == str(cores)
    emulated = server(stage(language(tmp_path), wanted))["resources"]
    assert "nvidia.com/gpu" not in {**emulated["limits"], **emulated["requests"]}
    assert emulated["requests"]["cpu"] == "20m"


DNS = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}


@pytest.mark.parametrize(
    ("settings", "egress"),
    [
        (settings_of(), []),
        (settings_of(models__source="pvc:claim"), []),
        (settings_of(models__source="image:/models"), []),
        (STORE, [DNS, {"ports": [{"protocol": "TCP", "port": 9000}]}]),
        (settings_of(models__source="s3://shelf"), [DNS, {"ports": [{"protocol": "TCP", "port": 443}]}]),
        (settings_of(STORE, models__s3_endpoint="http://store"), [DNS, {"ports": [{"protocol": "TCP", "port": 80}]}]),
        (
            settings_of(STORE, models__s3_endpoint="https://10.1.2.3:9000"),
            [{"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"protocol": "TCP", "port": 9000}]}],
        ),
        (
            settings_of(STORE, models__s3_endpoint="http://[fd00::1]:9000"),
            [{"to": [{"ipBlock": {"cidr": "fd00::1/128"}}], "ports": [{"protocol": "TCP", "port": 9000}]}],
        ),
    ],
)
def test_model_servers_call_the_object_store_alone_and_only_where_there_is_one(
    tmp_path: Path, settings: LiveSettings, egress: list[dict[str, Any]]
) -> None:
    policy = next(each for each in objects(tiny(tmp_path, settings=settings)) if each["kind"] == "NetworkPolicy")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]  # what is not allowed is forbidden
    assert policy["spec"].get("egress", []) == egress


@pytest.mark.parametrize("settings", [settings_of(), settings_of(access__network_policy=True), STORE])
def test_no_field_is_an_empty_list_which_a_server_would_drop(tmp_path: Path, settings: LiveSettings) -> None:
    """`kubectl diff` of what is in Git would never be empty."""

    def empty(given: Any, path: str) -> Iterator[str]:
        if given in ([], None):
            yield path
        for key, value in (
            given.items() if isinstance(given, dict) else enumerate(given if isinstance(given, list) else ())
        ):
            yield from empty(value, f"{path}.{key}")

    deployed = tiny(tmp_path, settings=settings)
    for each in (*objects(deployed), *controller_manifests.controller(deployed, {})):
        assert list(empty(each, each["kind"])) == []


def test_kinds_that_the_server_lacks_are_left_out(tmp_path: Path) -> None:
    deployed = tiny(tmp_path)
    made = everything(deployed, lightest_configuration(deployed.plane.pipeline), OWNER, frozenset())
    assert {"NetworkPolicy", "PodDisruptionBudget"} & {each["kind"] for each in made} == set()


@pytest.mark.parametrize("version", ["policy/v1", "policy/v1beta1"])
def test_budgets_keep_the_gateway_and_an_only_replica_from_eviction(tmp_path: Path, version: str) -> None:
    """Half of the replicas, rounded up: one of one, one of two, two of three."""
    deployed = tiny(tmp_path)
    made = everything(deployed, sort(), OWNER, frozenset({version}))
    budgets = {each["metadata"]["name"]: each for each in made if each["kind"] == "PodDisruptionBudget"}
    assert {name: each["spec"]["minAvailable"] for name, each in budgets.items()} == {
        "ipa-tiny-gateway": 1,
        "ipa-tiny-stage-sort": "50%",
    }
    assert {each["apiVersion"] for each in budgets.values()} == {version}
    for name, each in budgets.items():
        deployment = next(one for one in made if one["kind"] == "Deployment" and one["metadata"]["name"] == name)
        assert each["spec"]["selector"] == deployment["spec"]["selector"]


def test_pods_leave_a_node_that_is_lost_after_half_a_minute(tmp_path: Path) -> None:
    made = [*everything(tiny(tmp_path), sort()), *controller_manifests.controller(tiny(tmp_path), {})]
    pods = [each["spec"]["template"]["spec"] for each in made if each["kind"] == "Deployment"]
    assert len(pods) == 3
    for each in pods:
        assert {(one["key"], one["effect"], one["tolerationSeconds"]) for one in each["tolerations"]} == {
            ("node.kubernetes.io/not-ready", "NoExecute", 30),
            ("node.kubernetes.io/unreachable", "NoExecute", 30),
        }


def test_a_controller_s_journal_is_in_its_pod_or_on_a_claim(tmp_path: Path) -> None:
    """On a claim, one pod at a time writes it, and another scenario or pipeline has another."""
    deployed = tiny(tmp_path)

    def of(files: dict[str, str], deployed: Deployed = deployed, claim: str = "") -> tuple[str, dict[str, Any], Any]:
        settings = settings_of(deployed.settings, controller__state_claim=claim)
        spec = controller_manifests.controller(replace(deployed, settings=settings), files)[-1]["spec"]
        pod = spec["template"]["spec"]
        (container,) = pod["containers"]
        (mount,) = [each for each in container["volumeMounts"] if each["mountPath"] == "/var/lib/ipa"]
        (volume,) = [each for each in pod["volumes"] if each["name"] == mount["name"]]
        state = next(word for word in container["args"] if word.startswith("controller.state="))
        return state.partition("=")[2].strip('"'), volume, spec.get("strategy")

    assert of({}) == ("/var/lib/ipa/journal.jsonl", {"name": "state", "emptyDir": {"sizeLimit": "1Gi"}}, None)
    path, volume, strategy = of({"scenario.yaml": "one"}, claim="kept")
    assert re.fullmatch(r"/var/lib/ipa/ipa-tiny-[0-9a-f]{16}\.jsonl", path)
    assert volume == {"name": "kept-state", "persistentVolumeClaim": {"claimName": "kept"}}
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    assert of({"scenario.yaml": "one"}, claim="kept")[0] == path
    another = Deployed(deployed.plane, deployed.pipeline_file + "# another", settings=deployed.settings)
    paths = [
        of({"scenario.yaml": "two"}, claim="kept")[0],
        of({"scenario.yaml": "one"}, another, claim="kept")[0],
    ]
    assert len({path, *paths}) == 3


def test_another_pipeline_file_makes_other_pods(tmp_path: Path) -> None:
    one = tiny(tmp_path)
    two = Deployed(one.plane, one.pipeline_file + "# another", settings=one.settings)
    assert (
        stage(one, sort()["sort"])["spec"]["template"]["metadata"]
        != stage(two, sort()["sort"])["spec"]["template"]["metadata"]
    )


@pytest.mark.long
@given(st.text(min_size=1, max_size=100))
def test_any_name_becomes_a_label_and_names_that_differ_stay_apart(text: str) -> None:
    made = names.label(text)
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", made)
    assert names.label(made) == made
    assert names.label(text + "x") != made


@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=3))
def test_any_parts_become_an_object_s_name(parts: list[str]) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?", names.name(*parts))


def test_a_controller_s_role_names_the_pipeline_s_own_objects_and_never_deletes(tmp_path: Path) -> None:
    deployed = tiny(tmp_path)
    rules = permissions.role(deployed, "c")["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch", "create", "patch", "update"}
    assert names_by_verb(rules) == {
        ("configmaps", "get"): ["ipa-tiny", "ipa-tiny-memory"],
        ("configmaps", "patch"): ["ipa-tiny", "ipa-tiny-memory"],
        ("events", "create"): None,
        ("deployments", "get"): ["ipa-tiny-gateway", "ipa-tiny-stage-sort"],
        ("deployments", "patch"): ["ipa-tiny-gateway", "ipa-tiny-stage-sort"],
        ("services", "get"): ["ipa-tiny-control"],
        ("leases", "get"): ["ipa-tiny"],
        ("leases", "update"): ["ipa-tiny"],
        **dict.fromkeys([("pods", "list"), ("pods", "watch"), ("deployments", "list"), ("deployments", "create")]),
        ("horizontalpodautoscalers", "list"): None,
        **dict.fromkeys([("replicasets", "list"), ("replicasets", "patch"), ("leases", "create")]),
    }


def test_a_controller_outside_reads_the_one_secret_and_uses_the_one_proxy(tmp_path: Path) -> None:
    deployed = tiny(tmp_path)
    for of_inside, verbs in ((permissions.RULES, ("get", "update")), (permissions.READ_ONLY_RULES, ("get",))):
        inside, outside = (
            names_by_verb(permissions.role(deployed, "c", each)["rules"])
            for each in (of_inside, permissions.from_outside(of_inside))
        )
        assert {key: outside[key] for key in outside.keys() - inside.keys()} == {
            ("secrets", "get"): ["ipa-tiny-control"],
            **{("services/proxy", verb): ["http:ipa-tiny-control:control"] for verb in verbs},
        }
        assert inside.keys() - outside.keys() == {("services", "get")}


def names_by_verb(rules: list[dict[str, Any]]) -> dict[tuple[str, str], list[str] | None]:
    """Which objects a role's verbs are bound to; None: to all of the kind."""
    return {(rule["resources"][0], verb): rule.get("resourceNames") for rule in rules for verb in rule["verbs"]}


def test_an_adviser_s_role_only_reads_and_only_the_pipeline_s_own_where_it_names_an_object(tmp_path: Path) -> None:
    rules = permissions.role(tiny(tmp_path), "c", permissions.READ_ONLY_RULES)["rules"]
    found = names_by_verb(rules)
    assert {verb for _, verb in found} == {"get", "list", "watch"}
    assert all((found[resource, verb] is None) == (verb != "get") for resource, verb in found)


def test_manifests_as_yaml_say_what_each_rule_is_for(tmp_path: Path) -> None:
    import yaml

    text = controller_manifests.as_yaml(controller_manifests.controller(tiny(tmp_path), {}))
    assert "# reads the stages' Deployments, and makes those that are not there any more\n- apiGroups: [apps]" in text
    assert list(yaml.safe_load_all(text)) == controller_manifests.controller(tiny(tmp_path), {})


@pytest.mark.cluster
@pytest.mark.parametrize("name", profiles.names())
def test_a_real_server_takes_the_manifests_of_every_shipped_pipeline(name: str) -> None:
    """A server-side dry run: the API server's own validation of every field."""
    from ipa.live.kubernetes import api

    pipeline = profiles.load(name)
    deployed = Deployed(Plane(pipeline, name), profiles.text(name), settings=settings_of(image__name=IMAGE))
    steps = deploy.plan(api.connect(), deployed, lightest_configuration(pipeline))
    kinds = [step.kind for step in steps]
    assert kinds.count("Deployment") == len(pipeline.stages) + 1
    assert {step.action for step in steps} <= {"create", "change", "keep"}


@pytest.mark.cluster
@pytest.mark.parametrize("settings", SOURCES, ids=lambda settings: settings.models.source)
def test_a_real_server_takes_real_models(tmp_path: Path, settings: LiveSettings) -> None:
    from ipa.live.kubernetes import api

    client = api.connect()
    for each in objects(tiny(tmp_path, settings=settings)):
        if each["kind"] in ("Deployment", "NetworkPolicy"):
            assert client.apply(each, dry_run=True)["kind"] == each["kind"]


@pytest.mark.cluster
def test_a_real_server_takes_the_controller(tmp_path: Path) -> None:
    from ipa.live.kubernetes import api

    client = api.connect()
    known = {"v1", *client.groups()}  # policy/v1 since Kubernetes 1.21
    for each in controller_manifests.controller(tiny(tmp_path), {}):
        if each["apiVersion"] in known:
            assert client.apply(each, dry_run=True)["kind"] == each["kind"]
        else:
            assert each["kind"] == "PodDisruptionBudget"
