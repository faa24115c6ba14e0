"""The commands about a cluster, as far as they go without one; and what the image is packed from."""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ipa.live.errors import LiveError, RunError
from ipa.live.kubernetes import deploy, names
from ipa.live.kubernetes.stage_state import Look
from ipa.live.settings import LiveSettings
from ipa.studies import live_runs
from ipa.studies.commands import cluster
from ipa.studies.runs.live_runs.options import LiveCluster
from tests.command import ipa, refusal
from tests.live.kubernetes import pack
from tests.live.kubernetes.world import documents, tiny
from tests.live.world import sort

pytestmark = pytest.mark.usefixtures("elsewhere")

NO_CLUSTER = {"KUBECONFIG": "/nonexistent/kubeconfig", "HOME": "/nonexistent"}


def test_manifests_are_what_up_would_apply_and_ask_no_cluster() -> None:
    said = ipa("live", "manifests", "video", "--name", "mine", "--namespace", "there", "--image", "x:1", env=NO_CLUSTER)
    objects = documents(said.stdout)
    kinds = [each["kind"] for each in objects]
    assert (kinds[0], kinds.count("Deployment"), kinds.count("Service")) == ("ConfigMap", 3, 2)
    assert {each["metadata"]["namespace"] for each in objects} == {"there"}
    assert {each["metadata"]["labels"]["app.kubernetes.io/instance"] for each in objects} == {"mine"}
    images = [
        container["image"]
        for each in objects
        if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    ]
    assert set(images) == {"x:1"}


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster on which one object is missing, and five are there to delete."""
    monkeypatch.setattr(live_runs, "connect", lambda *_, **__: None)
    monkeypatch.setattr(deploy, "plan", lambda *_: [deploy.DeployStep("create", "Service", "ipa-video")])
    monkeypatch.setattr(deploy, "up", lambda *given: given[-1](Look(done=("created Service ipa-video",))))

    def down(_api: object, _there: object, tell: Any) -> int:
        tell("deleted Service ipa-video")
        return 5

    monkeypatch.setattr(deploy, "down", down)


@pytest.mark.usefixtures("answering")
def test_up_and_down_say_what_they_do_unless_they_are_to_be_quiet() -> None:
    up = ("live", "up", "video", "--policy", "ipa", "--yes")
    loud = ipa(*up, env=NO_CLUSTER)
    assert loud.stdout == "ipa-video is ready.\n"
    assert loud.stderr.splitlines() == [
        "ipa-video in namespace default:",
        "  create Service ipa-video",
        "  created Service ipa-video",
    ]
    quiet = ipa(*up, "-q", "--json", env=NO_CLUSTER)
    assert quiet.stderr == ""
    assert json.loads(quiet.stdout) == {
        "name": "ipa-video",
        "namespace": "default",
        "changes": [{"action": "create", "kind": "Service", "name": "ipa-video"}],
    }
    down = ipa("live", "down", "video", "--yes", "-q", "--json", env=NO_CLUSTER)
    assert down.stderr == ""
    assert json.loads(down.stdout) == {"name": "ipa-video", "namespace": "default", "deleted": 5}


@pytest.mark.usefixtures("answering")
def test_whoever_is_asked_sees_what_about_though_quiet() -> None:
    asked = ipa("live", "up", "video", "-q", env=NO_CLUSTER)
    assert asked.exit_code == 1
    assert "  create Service ipa-video" in asked.stderr


KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: work
clusters: [{name: one, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: me, user: {}}]
contexts:
  - {name: work, context: {cluster: one, user: me, namespace: mine}}
  - {name: play, context: {cluster: one, user: me}}
"""


@pytest.mark.parametrize(
    ("given", "namespace"), [((), "mine"), (("--context", "play"), "default"), (("--namespace", "there"), "there")]
)
def test_manifests_are_for_the_namespace_of_the_context(tmp_path: Path, given: tuple[str, ...], namespace: str) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(KUBECONFIG)
    said = ipa("live", "manifests", "video", *given, env={"KUBECONFIG": str(config)})
    assert {each["metadata"]["namespace"] for each in documents(said.stdout)} == {namespace}


def test_a_context_that_the_kubeconfig_does_not_have_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(KUBECONFIG)
    message = refusal("live", "manifests", "video", "--context", "word", env={"KUBECONFIG": str(config)})
    assert message == "--context word: the kubeconfig has no such context; it has work, play"


def test_a_deployment_is_named_without_its_load_and_its_policy(tmp_path: Path) -> None:
    """Which are where the controller is."""
    scenario = tmp_path / "scenario.yaml"
    head = "schema_version: 1\nkind: scenario\npipeline: video\n"
    scenario.write_text(f"{head}trace: elsewhere.csv\nwindow: 100:200\npolicy: elsewhere.py:Mine\n", encoding="utf-8")
    assert cluster.named(str(scenario), LiveCluster(namespace="there")).instance == "ipa-video"
    assert "policy: elsewhere.py" in refusal("live", "manifests", str(scenario))
    for command in ("status", "down"):
        assert "elsewhere" not in refusal("live", command, str(scenario), env=NO_CLUSTER)


def test_manifests_of_a_controller_hold_the_scenario_and_what_it_may_do() -> None:
    said = ipa(
        "live",
        "manifests",
        "video",
        "--set",
        "interval_s=7",
        "--set",
        "controller.in_cluster=true",
        "--set",
        "controller.monitor=true",
        env=NO_CLUSTER,
    )
    objects = documents(said.stdout)
    (scenario,) = [each["data"]["scenario.yaml"] for each in objects if "scenario.yaml" in each.get("data", {})]
    assert yaml.safe_load(scenario)["interval_s"] == 7
    kinds = [each["kind"] for each in objects]
    assert [kind for kind in kinds if kind == "Role" or kind.endswith("Monitor")] == [
        *("Role", "Role"),
        *("ServiceMonitor", "PodMonitor"),
    ]
    assert "# names the autoscaler that has set the replicas of one of them" in said.stdout


OWN = """
class Mine:
    reads = ()

    def __init__(self, pipeline=None, predictor=None):
        pass

    def decide(self, observation, memory):
        ...

    def predict(self, observation):
        return 1.0
"""


def test_what_a_scenario_names_of_one_s_own_goes_into_the_controller_s_pod(tmp_path: Path) -> None:
    (tmp_path / "policy.py").write_text(OWN)
    (tmp_path / "load.csv").write_text("second,requests\n0,5\n")
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        "schema_version: 1\nkind: scenario\npipeline: video\ntrace: load.csv\n"
        "policy: {name: policy.py:Mine, predictor: {name: policy.py:Mine}}\n"
    )
    said = ipa("live", "manifests", scenario, "--set", "controller.in_cluster=true", env=NO_CLUSTER)
    assert said.exit_code == 0, said.stderr
    (data,) = [each["data"] for each in documents(said.stdout) if "scenario.yaml" in each.get("data", {})]
    assert sorted(data) == ["policy.py", "scenario.yaml"]
    assert data["policy.py"] == OWN
    inside = yaml.safe_load(data["scenario.yaml"])
    moved = "/etc/ipa/policy.py:Mine"
    assert inside["policy"] == {"name": moved, "predictor": {"name": moved}}
    assert "trace" not in inside  # the load comes from elsewhere
    behind = f"{tmp_path}/policy.py:Mine predictor={tmp_path}/policy.py:Mine"
    said = ipa("live", "manifests", "video", "--set", "controller.in_cluster=true", "--policy", behind, env=NO_CLUSTER)
    (again,) = [each["data"] for each in documents(said.stdout) if "scenario.yaml" in each.get("data", {})]
    assert yaml.safe_load(again["scenario.yaml"])["policy"] == {"name": moved, "predictor": moved}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "policy.py").write_text(OWN)
    clash = f"policy.predictor={tmp_path}/other/policy.py:Mine"
    assert "both go to one folder of the controller's pod" in refusal(
        "live", "manifests", scenario, "--set", "controller.in_cluster=true", "--set", clash
    )


class Shelf:
    """An API server with objects of one pipeline, on which a controller makes its Lease once more; `asked`: kinds."""

    def __init__(self, *groups: str) -> None:
        self.there = {("ConfigMap", "ipa-tiny"), ("Deployment", "ipa-tiny-controller"), ("Lease", "ipa-tiny")}
        self.asked: set[str] = set()
        self.selectors: set[str] = set()
        self.deleted: list[str] = []
        self.draining = 0
        """How often the gateway's pod is still there once its Deployment is gone."""
        self._groups = frozenset(groups)
        self._is_written_again = False

    def groups(self) -> frozenset[str]:
        return self._groups

    def get(self, kind: str, namespace: str, name: str) -> Any:
        labels = {names.INSTANCE: "ipa-tiny"}
        return {"metadata": {"name": name, "labels": labels}} if (kind, name) in self.there else None

    def list(self, kind: str, namespace: str, selector: str) -> Any:
        self.asked.add(kind)
        self.selectors.add(selector)
        if kind == "Pod" and "component=gateway" in selector:
            self.draining -= 1
            spec = {"terminationGracePeriodSeconds": 25}
            return {"items": [{"metadata": {"name": "gateway-1"}, "spec": spec}] if self.draining >= 0 else []}
        return {"items": [{"metadata": {"name": name}} for each, name in self.there if each == kind]}

    def delete(self, kind: str, namespace: str, name: str, *, alone: bool = False) -> None:
        if (kind, name) in self.there:
            self.deleted.append(f"{kind} {name}{' alone' if alone else ''}")
        self.there.discard((kind, name))
        if kind == "Lease" and not self._is_written_again:
            self._is_written_again = True
            self.there.add((kind, name))


def test_down_takes_what_a_controller_has_still_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "LOOKED_EVERY_S", 0.0)
    shelf = Shelf("apps/v1", "coordination.k8s.io/v1")
    shelf.there |= {("Secret", "ipa-tiny-control"), ("Secret", "of-another")}
    assert deploy.down(shelf, tiny(tmp_path)) == 4  # type: ignore[arg-type]
    assert shelf.there == {("Secret", "of-another")}
    assert "Secret" not in shelf.asked  # its one Secret is asked for by name
    assert "ServiceMonitor" not in shelf.asked  # a kind that this server does not have


def test_what_is_left_of_stages_that_a_pipeline_no_longer_has_is_found_and_nothing_else(tmp_path: Path) -> None:
    shelf = Shelf("apps/v1", "policy/v1beta1")
    kinds = ("Deployment", "PodDisruptionBudget", "Service")
    shelf.there = {(kind, f"ipa-tiny-stage-{stage}") for kind in kinds for stage in ("sort", "rank")}
    found = deploy.leftovers(shelf, tiny(tmp_path))  # type: ignore[arg-type]
    assert found == [(kind, "ipa-tiny-stage-rank") for kind in ("Deployment", "PodDisruptionBudget")]
    assert shelf.selectors == {
        (
            "app.kubernetes.io/part-of=ipa-pipelines,app.kubernetes.io/instance=ipa-tiny,"
            "app.kubernetes.io/component=model-server,ipa/stage"
        )
    }


def test_down_lets_the_gateway_answer_before_it_takes_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the root, so that nobody makes anything anew, then who decides and who takes requests; models last."""
    monkeypatch.setattr(deploy, "LOOKED_EVERY_S", 0.0)
    shelf = Shelf("apps/v1")
    shelf.there |= {("Deployment", "ipa-tiny-gateway"), ("Deployment", "ipa-tiny-stage-sort")}
    shelf.draining = 3
    told: list[str] = []
    assert deploy.down(shelf, tiny(tmp_path), told.append) == 4  # type: ignore[arg-type]
    assert shelf.deleted == [
        "ConfigMap ipa-tiny alone",
        "Deployment ipa-tiny-controller",
        "Deployment ipa-tiny-gateway",
        "Deployment ipa-tiny-stage-sort",
    ]
    assert told == ["waiting for the gateway to answer the requests inside, at most 25 s: gateway-1"]


def test_down_does_not_wait_for_ever_for_a_gateway_whose_node_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "LOOKED_EVERY_S", 0.0)
    monkeypatch.setattr(deploy, "LATE_S", -25.0)
    shelf = Shelf("apps/v1")
    shelf.draining = 10**9
    assert deploy.down(shelf, tiny(tmp_path)) == 2  # type: ignore[arg-type]


def test_for_gitops_the_stages_deployments_are_left_to_the_controller() -> None:
    whole, less = (
        {(each["kind"], each["metadata"]["name"]) for each in documents(said.stdout)}
        for more in (
            (),
            (
                "--set",
                "controller.gitops=true",
            ),
        )
        if (
            said := ipa("live", "manifests", "video", "--set", "controller.in_cluster=true", *more, env=NO_CLUSTER)
        ).exit_code
        == 0
    )
    stages = ("object-detection", "image-classification")
    assert whole - less == {("Deployment", f"ipa-video-stage-{stage}") for stage in stages}
    assert less < whole
    assert "controller.in_cluster" in refusal("live", "manifests", "video", "--set", "controller.gitops=true")


class Clock:
    """A clock that goes on where somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s


def test_up_ends_with_the_cause_at_once_where_waiting_is_no_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, first = Clock(), sort()
    looks = iter([Look(error="HTTP 500"), Look(delays={"sort": "not yet"}), Look(gateway_problem="forbidden")])
    reconciler = SimpleNamespace(pause_s=0.0, reconcile=lambda *_, **__: next(looks))
    monkeypatch.setattr(deploy, "time", clock)
    monkeypatch.setattr(deploy, "read_stages", lambda *_: {})
    monkeypatch.setattr(deploy, "read_pods", lambda *_: [])
    monkeypatch.setattr(deploy, "Reconciler", lambda *_: reconciler)
    lease = SimpleNamespace(acquire=lambda: None, is_held=True)
    with pytest.raises(RunError, match="the gateway: forbidden"):
        deploy._until_ready(None, tiny(tmp_path), first, lambda _: None, 60.0, lease)  # type: ignore[arg-type]
    assert clock.now_s == 2 * deploy.LOOKED_EVERY_S


def test_down_takes_monitors_where_there_is_an_operator_of_prometheus(tmp_path: Path) -> None:
    shelf = Shelf("apps/v1", "monitoring.coreos.com/v1")
    shelf.there = {("ServiceMonitor", "ipa-tiny"), ("PodMonitor", "ipa-tiny-controller")}
    assert deploy.down(shelf, tiny(tmp_path)) == 2  # type: ignore[arg-type]
    assert shelf.there == set()


def test_manifests_of_an_adviser_let_it_write_nowhere(tmp_path: Path) -> None:
    out = tmp_path / "base"
    ipa("live", "manifests", "video", "--set", "controller.advise=true", "--out", str(out), env=NO_CLUSTER)
    role = yaml.safe_load((out / "role-ipa-video-controller.yaml").read_text())
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    pod = yaml.safe_load((out / "deployment-ipa-video-controller.yaml").read_text())["spec"]["template"]["spec"]
    assert "controller.advise=true" in pod["containers"][0]["args"]
    listed = yaml.safe_load((out / "kustomization.yaml").read_text())["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == sorted(each.name for each in out.iterdir())
    assert "give a new or empty folder" in refusal("live", "manifests", "video", "--out", str(out))


@pytest.mark.parametrize("command", ["status", "down", "up"])
def test_without_a_cluster_a_command_says_what_is_missing(command: str) -> None:
    pytest.importorskip("kubernetes")
    options = ("--yes",) if command in ("down", "up") else ()
    said = ipa("live", command, "video", "--namespace", "x", *options, env=NO_CLUSTER)
    assert said.exit_code == 2
    assert "does not exist; name one in KUBECONFIG" in said.stderr


@pytest.mark.parametrize("command", [("up",), ("run", "--backend", "kubernetes")])
def test_without_the_client_a_command_says_what_to_install(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    name, *options = command
    said = refusal("live", name, "video", *options)
    assert said == "the kubernetes backend needs its client: pip install '.[kubernetes]' in the checkout"


def test_no_load_is_for_a_cluster() -> None:
    pytest.importorskip("aiohttp")
    assert "--no-load needs --backend kubernetes" in refusal("live", "run", "video", "--no-load")


@pytest.mark.parametrize(
    ("mode", "option"),
    [
        ("--no-load", ("--out", "o")),
        ("--no-load", ("--report", "r")),
        ("--no-load", ("--json",)),
        ("--set=controller.advise=true", ("--json",)),
    ],
)
def test_a_controller_alone_has_no_results_to_write(mode: str, option: tuple[str, ...]) -> None:
    pytest.importorskip("aiohttp")
    said = refusal("live", "run", "video", "--backend", "kubernetes", mode, *option, env=NO_CLUSTER)
    assert said.startswith(
        f"{option[0]}: with {mode.removeprefix('--set=').removesuffix('=true')} on a cluster no load is sent"
    )
    assert "use --set controller.state=FILE to keep the journal" in said


def test_a_name_that_no_object_can_have_is_refused() -> None:
    said = refusal("live", "manifests", "video", "--name", "Mine!")
    assert "--name Mine!: should be lower-case letters, digits and hyphens" in said


def test_manifests_say_where_real_models_are() -> None:
    store = (
        "--set",
        "models.source=s3://shelf/models",
        "--set",
        "models.s3_endpoint=http://store:9000",
        "--set",
        "models.s3_secret=keys",
    )
    said = ipa("live", "manifests", "video", *store, env=NO_CLUSTER)
    objects = documents(said.stdout)
    urls = [
        container["args"][container["args"].index("--from") + 1]
        for each in objects
        if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"].get("initContainers", ())
    ]
    assert urls == [
        "s3://shelf/models/video/object-detection/yolov5n",
        "s3://shelf/models/video/image-classification/resnet18",
    ]
    layout = LiveSettings.from_text(objects[0]["data"]["settings.json"])
    assert layout.models.s3_endpoint == "http://store:9000"


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("up", ("--trace", "--window", "--scale")),
        ("manifests", ("--trace", "--window", "--scale")),
    ],
)
def test_a_command_offers_no_option_that_it_has_no_use_for(command: str, options: tuple[str, ...]) -> None:
    for option in options:
        assert f"No such option '{option}'" in refusal("live", command, "video", option, "1")


def test_models_are_baked_into_what_is_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "_files", lambda _: iter([(pack.PREFIX / "bin/python3", Path(sys.executable).resolve())]))
    models = tmp_path / "models" / "video" / "detect" / "small"
    models.mkdir(parents=True)
    (models / "model.py").write_text("class Model: ...")
    pack.pack(tmp_path / "image.tar", tmp_path / "models")
    with tarfile.open(tmp_path / "image.tar") as archive:
        file = archive.extractfile("models/video/detect/small/model.py")
        assert file is not None
        assert file.read() == b"class Model: ..."
    with pytest.raises(LiveError, match="nowhere: no such folder"):
        pack.pack(tmp_path / "image.tar", tmp_path / "nowhere")


def test_modules_are_packed_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers cannot write: what is not compiled in the image would be compiled at every start."""
    whole, broken = tmp_path / "whole.py", tmp_path / "broken.py"
    whole.write_text("x = 1\n")
    broken.write_text("x = {{ template }} {\n")
    site = pack.PREFIX / "lib/python3/site-packages"
    python = {pack.PREFIX / "bin/python3": Path(sys.executable).resolve()}
    files = python | {site / path.name: path for path in (whole, broken)}
    monkeypatch.setattr(pack, "_files", lambda _: iter(files.items()))
    pack.pack(tmp_path / "image.tar")
    with tarfile.open(tmp_path / "image.tar") as archive:
        compiled = [name for name in archive.getnames() if name.endswith(".pyc")]
        (name,) = compiled
        assert name == f"{site}/__pycache__/whole.{sys.implementation.cache_tag}.pyc"
        file = archive.extractfile(name)
        assert file is not None
        assert file.read()[4] == 1  # by hash, unchecked: whatever the times of files in the image are


def test_further_extras_are_packed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def files(extras: tuple[str, ...]) -> Iterator[tuple[PurePosixPath, Path]]:
        asked.extend(extras)
        yield pack.PREFIX / "bin/python3", Path(sys.executable).resolve()

    monkeypatch.setattr(pack, "_files", files)
    monkeypatch.setattr(sys, "argv", ["pack", str(tmp_path / "image.tar"), "--extra", "dask"])
    pack.main()
    assert asked == [*pack.EXTRAS, "dask"]
    assert (tmp_path / "image.tar").is_file()


def test_what_is_packed_is_the_distribution_with_all_that_it_requires() -> None:
    found = pack.distributions("pydantic", ())
    assert {"pydantic", "pydantic-core", "typing-extensions"} <= set(found)
    assert "email-validator" not in found  # an extra that nobody asked for
    assert all(isinstance(each, metadata.Distribution) for each in found.values())


def test_what_is_not_installed_is_named() -> None:
    with pytest.raises(LiveError, match=r"no-such-thing is not installed: pip install '.\["):
        pack.distributions("no-such-thing")


def test_programs_bring_the_libraries_that_they_need() -> None:
    found = pack._libraries([Path(sys.executable).resolve()])
    assert any(target.name == "libc.so.6" for target in found)
    assert any("ld-linux" in target.name for target in found)


def test_up_prints_each_cause_once_when_it_appears(capsys: pytest.CaptureFixture[str]) -> None:
    from ipa.studies.commands.live_cluster import _Progress

    refused, full = "variant small: ErrImagePull: no such host", 'pods "x" is forbidden: exceeded quota'
    progress = _Progress()
    for look in (
        Look(done=("sort does not exist",)),
        Look(),
        Look(delays={"sort": refused}),
        Look(delays={"sort": refused}),
        Look(delays={"sort": refused}, gateway_delay=full),
        Look(error="GET /version: away"),
        Look(),
    ):
        progress(look)
    assert capsys.readouterr().err.splitlines() == [
        "  sort does not exist",
        f"  sort: {refused}",
        f"  sort: {refused}; the gateway: {full}",
        "  GET /version: away",
    ]


def test_status_says_what_keeps_the_gateway_from_coming(capsys: pytest.CaptureFixture[str]) -> None:
    from ipa.studies.commands.live_cluster import print_status

    found: dict[str, Any] = {"name": "ipa-tiny", "namespace": "here", "controller": None, "troubles": {}, "stages": {}}
    print_status({**found, "gateway_ready": False, "gateway_problem": "no node takes it: 0/1 nodes"})
    print_status({**found, "gateway_ready": True, "gateway_problem": ""})
    said = [line for line in capsys.readouterr().out.splitlines() if "gateway" in line]
    assert said == [
        "ipa-tiny in namespace here: gateway not ready, controller None",
        "gateway: no node takes it: 0/1 nodes",
        "ipa-tiny in namespace here: gateway ready, controller None",
    ]
