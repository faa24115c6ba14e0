"""In-place pod resize: templates stay, pods get other cores, and where they cannot a rollout follows. No cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipa import profiles
from ipa.live.errors import LiveError
from ipa.live.kubernetes import controller_manifests, deploy, names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.difference import RESIZED_WITHIN_S, Apply, ResizePod, difference, drift
from ipa.live.kubernetes.manifests import everything, owner_of, root, stage_deployment
from ipa.live.kubernetes.permissions import needed
from ipa.live.kubernetes.pods import Pod, read
from ipa.live.kubernetes.reconcile import Reconciler
from ipa.live.kubernetes.settings import Deployed, Layout
from ipa.live.kubernetes.stage_state import Look, read_stage
from ipa.live.kubernetes.timeline import PodReplicas, Timeline
from ipa.live.plane import Plane
from ipa.policies import StageConfiguration
from tests.live.kubernetes.fake import Server, owned
from tests.live.kubernetes.world import IMAGE, noted, on_server, pod, sound, tiny
from tests.live.world import resizable_file, sort

ONE = StageConfiguration("small", 1, 2, 0.0, 1)
TWO = replace(ONE, cores=2)
"""Two replicas of the variant small, with 1 core each or with 2."""
LARGE = sort("large", 2)["sort"]


def deployed_in(folder: Path, resize: str = "in_place") -> Deployed:
    """The tiny pipeline, whose small variant has 1 core or 2."""
    path = resizable_file(folder)
    plane = Plane(profiles.load(str(path)), str(path), resize=resize)
    return Deployed(plane, path.read_text(), layout=Layout(image=IMAGE, replica_cpu="profile"))


def replica(number: int, asked: int = 1, **given: Any) -> Pod:
    """A pod of the stage that is resized in place, and has got what was asked."""
    return pod(number, asked_cores=asked, **{"cores": asked, **given})


# ---- the difference ----


def test_other_cores_are_an_annotation_and_a_resize_of_each_pod(tmp_path: Path) -> None:
    deployed = deployed_in(tmp_path)
    given = on_server(deployed, ONE, notes=sound(ONE))
    going = replica(3, removed_s=9.0)
    apply, *resizes = difference(deployed, "sort", TWO, read_stage(given, [replica(1), replica(2), going]), None)
    assert isinstance(apply, Apply)
    assert drift(apply.manifest, given) == ["metadata.annotations.ipa/wanted"]
    assert resizes == [
        ResizePod("sort", f"sort-{number}", "small", 2, f"sort: sort-{number}: 1 -> 2 cores") for number in (1, 2)
    ]


def test_a_new_pod_comes_with_the_templates_cores_and_gets_the_wanted_ones(tmp_path: Path) -> None:
    deployed = deployed_in(tmp_path)
    given = on_server(deployed, ONE)
    noted(given, stage_deployment(deployed, "sort", TWO)["metadata"]["annotations"] | sound(TWO))
    state = read_stage(given, [replica(1, 2), replica(2, 1, ready_s=None)])
    assert not state.is_complete
    (resize,) = difference(deployed, "sort", TWO, state, None)
    assert isinstance(resize, ResizePod)
    assert resize.pod == "sort-2"
    asked = read_stage(given, [replica(1, 2), replica(2, 2, cores=1)])
    assert difference(deployed, "sort", TWO, asked, None) == []
    assert not asked.is_complete  # the kubelet has not done it yet
    assert read_stage(given, [replica(1, 2), replica(2, 2)]).is_complete


def test_another_variant_takes_its_cores_into_the_template(tmp_path: Path) -> None:
    deployed = deployed_in(tmp_path)
    state = read_stage(on_server(deployed, LARGE, notes=sound(LARGE)), [replica(1, 2, variant="large")])
    (apply,) = difference(deployed, "sort", ONE, state, None)
    assert isinstance(apply, Apply)
    template = apply.manifest["spec"]["template"]
    assert template["metadata"]["labels"][names.CORES] == "1"
    assert template["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "1"


def test_cores_that_the_pipeline_no_longer_has_leave_the_template(tmp_path: Path) -> None:
    deployed = deployed_in(tmp_path)
    given = on_server(deployed, TWO, notes=sound(TWO))
    given["spec"]["template"]["metadata"]["labels"][names.CORES] = "3"
    (apply,) = difference(deployed, "sort", TWO, read_stage(given, [replica(1, 2)]), None)
    assert isinstance(apply, Apply)
    assert apply.manifest["spec"]["template"]["metadata"]["labels"][names.CORES] == "2"


def test_by_a_rollout_the_template_takes_other_cores(tmp_path: Path) -> None:
    deployed = deployed_in(tmp_path, "rollout")
    given = on_server(deployed, ONE, notes=sound(ONE))
    assert names.RESIZE not in given["spec"]["template"]["metadata"]["annotations"]
    (apply,) = difference(deployed, "sort", TWO, read_stage(given, [pod(1), pod(2)]), None)
    assert isinstance(apply, Apply)
    assert apply.manifest["spec"]["template"]["metadata"]["labels"][names.CORES] == "2"


class Standing:
    """A server on which a pipeline stands, all its objects as they should be."""

    def __init__(self, deployed: Deployed, stage: dict[str, Any]) -> None:
        made = root(deployed)
        made["metadata"] |= {"uid": "r"}
        objects = [made, *everything(deployed, {"sort": TWO}, owner_of(made)), stage]  # the last of a name counts
        self.objects = {(each["kind"], each["metadata"]["name"]): each for each in objects}
        self.stage = stage

    def get(self, kind: str, namespace: str, name: str) -> Any:
        labels = {names.INSTANCE: "ipa-tiny", "app.kubernetes.io/part-of": names.PART_OF}
        return {"metadata": {"labels": labels}} if kind == "Secret" else self.objects[kind, name]

    def list(self, kind: str, namespace: str, selector: str) -> Any:
        return {"items": [self.stage]}

    def groups(self) -> frozenset[str]:
        return frozenset()

    def apply(self, manifest: dict[str, Any], dry_run: bool) -> None:
        assert dry_run


def test_a_plan_leaves_a_template_whose_pods_have_been_resized_alone(tmp_path: Path) -> None:
    """Wanted are 2 cores; the template's pods are made with 1."""
    deployed = deployed_in(tmp_path)
    owner = owner_of({"metadata": {"name": "ipa-tiny", "uid": "r"}})
    server = Standing(deployed, noted(stage_deployment(deployed, "sort", TWO, owner, cores=1), sound(TWO)))
    steps = deploy.plan(server, deployed, {"sort": ONE})  # type: ignore[arg-type]
    assert [step for step in steps if step.action != "keep"] == []


# ---- what a pod says ----


def as_given(asked: str, has: str | None, reason: str = "", **annotations: str) -> dict[str, Any]:
    """A pod of 1 core by its label, as the API server gives it."""
    reported = {} if has is None else {"resources": {"requests": {"cpu": has}}}
    pending = {"type": "PodResizePending", "status": "True", "lastTransitionTime": "2026-01-01T00:00:30Z"}
    server = {"name": "model-server", "resources": {"requests": {"cpu": asked}}}
    return {
        "metadata": {
            "uid": "u",
            "name": "sort-1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {names.STAGE: "sort", names.VARIANT: "small", names.CORES: "1"},
            "annotations": annotations,
        },
        "spec": {"containers": [{"name": "sidecar"}, server]},
        "status": {
            "containerStatuses": [{"name": "model-server", **reported}],
            "conditions": [{**pending, "reason": reason, "message": "no capacity: cpu"}] if reason else [],
        },
    }


def test_a_pod_has_the_cores_that_its_container_has_got() -> None:
    marked = {names.RESIZE: "in_place"}
    given = [
        as_given("2", "1", **marked),
        as_given("2", "2", **marked),
        as_given("2", None, **marked),  # it has not started yet
        as_given("100m", "100m"),  # of a pipeline that is rolled out
    ]
    assert [(found.cores, found.asked_cores) for found in map(read, given)] == [(1, 2), (2, 2), (2, 2), (1, None)]
    pending = read(as_given("2", "1", "Infeasible", **marked))
    assert pending.unresized == "Infeasible: no capacity: cpu"


def test_the_time_line_dates_a_resize_and_the_cost_follows() -> None:
    stages = {"sort": PodReplicas("sort", ONE)}
    timeline = Timeline(stages)
    for now_s, cores in ((10.0, 1), (20.0, 1), (30.0, 2)):
        timeline.note({"uid-1": replica(1, cores)}, True, now_s, now_s)
    records = stages["sort"].records()
    assert records.cores.tolist() == [1]
    assert [column.tolist() for column in records.resizes] == [[0], [30.0], [1], [2]]
    assert stages["sort"].core_s(40.0) == 20.0 * 1 + 10.0 * 2


# ---- looks ----


class Resizer(Server):
    """A server whose pods may be resized; `refusal` is what it answers instead."""

    has_resize = True
    refusal: ApiError | None = None
    now_s = 0.0

    def can_resize(self) -> bool:
        return self.has_resize

    def resize(self, namespace: str, name: str, container: str, cpu: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.written.append((name, container, cpu))


@pytest.fixture
def server(tmp_path: Path) -> Resizer:
    deployed = deployed_in(tmp_path)
    return Resizer(deployed, owned(deployed, ONE))


@pytest.fixture
def look(server: Resizer) -> Callable[..., Look]:
    reconciler = Reconciler(server, server.deployed, clock=lambda: server.now_s)  # type: ignore[arg-type]

    def look(*pods: Pod, wanted: StageConfiguration = TWO) -> Look:
        server.written.clear()
        return reconciler.reconcile({"sort": wanted}, pods)

    return look


def rolled_out(look: Look) -> bool:
    return any("spec.template" in why for why in look.done)


def test_a_look_resizes_each_pod(server: Resizer, look: Callable[..., Look]) -> None:
    found = look(replica(1), replica(2))
    resized = [("sort-1", "model-server", "2"), ("sort-2", "model-server", "2")]
    assert server.written == ["ipa-tiny-stage-sort", *resized]
    assert not rolled_out(found)


def test_what_a_node_can_never_grant_is_rolled_out_and_the_look_says_why(look: Callable[..., Look]) -> None:
    stuck = replica(1, 2, cores=1, unresized="Infeasible: no capacity: cpu")
    found = look(stuck, replica(2))
    assert rolled_out(found)
    assert "not in place: sort-1: Infeasible: no capacity: cpu" in found.done[0]
    assert len(found.done) == 1


@pytest.mark.parametrize("said", ["Deferred: no room now", ""])
def test_a_pod_is_waited_for_for_half_a_minute(server: Resizer, look: Callable[..., Look], said: str) -> None:
    """Whether its kubelet says why or, being older, nothing."""
    waiting = replica(1, 2, cores=1, unresized=said)
    assert not rolled_out(look(waiting, replica(2, 2)))
    server.now_s = RESIZED_WITHIN_S
    assert not rolled_out(look(waiting, replica(2, 2)))
    server.now_s = RESIZED_WITHIN_S + 1.0
    found = look(waiting, replica(2, 2))
    assert f"not in place: sort-1: {said or 'it still has 1 cores'}" in found.done[0]
    assert not rolled_out(look(waiting, replica(2, 2), wanted=ONE))  # other cores are tried in place again


def test_a_pod_that_gets_its_cores_late_but_in_time_starts_no_rollout(
    server: Resizer, look: Callable[..., Look]
) -> None:
    for now_s, has in ((0.0, 1), (20.0, 2), (40.0, 1), (60.0, 1)):
        server.now_s = now_s
        assert not rolled_out(look(replica(1, 2, cores=has), replica(2, 2)))


def test_a_server_before_1_33_rolls_out(server: Resizer, look: Callable[..., Look]) -> None:
    server.has_resize = False
    found = look(replica(1), replica(2))
    assert rolled_out(found)
    assert "not in place: the server cannot resize pods" in found.done[0]


@pytest.mark.parametrize("status", [403, 422])
def test_a_resize_that_is_refused_is_a_rollout_at_the_next_look(
    server: Resizer, look: Callable[..., Look], status: int
) -> None:
    server.refusal = ApiError("PATCH", status, "exceeded quota")
    assert not rolled_out(look(replica(1), replica(2)))
    found = look(replica(1), replica(2))
    assert "not in place: exceeded quota" in found.done[0]


def test_where_the_template_has_the_wanted_cores_a_resize_is_tried_again_and_again(
    server: Resizer, look: Callable[..., Look]
) -> None:
    """A template of 1 core, pods that were given 2 and are to have 1 again: a rollout would change nothing."""
    server.refusal = ApiError("PATCH", 403, "exceeded quota")
    for _ in range(2):
        found = look(replica(1, 2), replica(2, 2), wanted=ONE)
        assert (found.done, found.error, found.stopped) == ((), "", {})
    server.refusal = None
    look(replica(1, 2), replica(2, 2), wanted=ONE)
    assert server.written == [(f"sort-{number}", "model-server", "1") for number in (1, 2)]


def test_a_resize_that_meets_a_busy_server_is_tried_again(server: Resizer, look: Callable[..., Look]) -> None:
    server.refusal = ApiError("PATCH", 503, "later")
    assert "later" in look(replica(1), replica(2)).error
    server.refusal = None
    look(replica(1), replica(2))
    assert ("sort-2", "model-server", "2") in server.written


# ---- requests, permissions, layouts ----


def test_a_resize_is_a_patch_of_the_pods_subresource(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Api, "request", lambda _, *given, **options: sent.append((*given, options["content_type"])))
    object.__new__(Api).resize("default", "sort-1", "model-server", "2")
    resources = {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}
    patch = {"spec": {"containers": [{"name": "model-server", "resources": resources}]}}
    path = "/api/v1/namespaces/default/pods/sort-1/resize"
    assert sent == [("PATCH", path, patch, "application/strategic-merge-patch+json")]


@pytest.mark.parametrize(("listed", "can"), [(["pods", "pods/log"], False), (["pods", "pods/resize"], True)])
def test_whether_a_server_can_resize_is_what_it_lists(
    monkeypatch: pytest.MonkeyPatch, listed: list[str], can: bool
) -> None:
    monkeypatch.setattr(Api, "request", lambda *_: {"resources": [{"name": name} for name in listed]})
    assert object.__new__(Api).can_resize() is can


def test_a_controller_may_resize_only_where_it_has_to(tmp_path: Path) -> None:
    for deployed, allowed in ((deployed_in(tmp_path), True), (tiny(tmp_path), False)):
        (role,) = [each for each in controller_manifests.controller(deployed, {}) if each["kind"] == "Role"]
        assert any(rule["resources"] == ["pods/resize"] for rule in role["rules"]) is allowed
        assert ("pods/resize" in controller_manifests.as_yaml([role])) is allowed
        assert any(each.resource == "pods/resize" for each in needed(deployed, False, True)) is allowed
        assert not any(each.resource == "pods/resize" for each in needed(deployed, True, True))


def test_replicas_whose_cpu_does_not_follow_their_cores_cannot_be_resized(tmp_path: Path) -> None:
    deployed_in(tmp_path).check_resize()
    tiny(tmp_path).check_resize()
    with pytest.raises(LiveError, match=r"resize: in_place: the replicas' CPU has to .*: --cpu profile"):
        tiny(tmp_path, resize="in_place").check_resize()


def test_on_a_cluster_removed_replicas_lose_nothing(tmp_path: Path) -> None:
    with pytest.raises(LiveError, match="removal: lose: pods drain on a cluster; allowed: drain"):
        tiny(tmp_path, removal="lose").check_resize()
