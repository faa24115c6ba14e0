"""What follows from the state of a cluster: the difference and nothing else. No cluster: a server made of memory."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import ApiError
from ipa.live.kubernetes.deploy import check_ours
from ipa.live.kubernetes.difference import (
    Action,
    Apply,
    Scale,
    ServerChanges,
    difference,
    drift,
)
from ipa.live.kubernetes.manifests import owner_of, root, stage_deployment
from ipa.live.kubernetes.pods import listing, read
from ipa.live.kubernetes.reconcile import AFTER_LOSS_S, LONGEST_PAUSE_S, Reconciler
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import read_stage
from ipa.live.kubernetes.timeline import PodReplicas, Timeline
from ipa.policies import ReplicaCounts, StageConfiguration
from tests.live.kubernetes.fake import Server, owned
from tests.live.kubernetes.world import BEGAN, BEGAN_S, made_of, on_server, pod, refused, sound, tiny
from tests.live.world import sort

SMALL, LARGE = sort("small", 2)["sort"], sort("large", 2)["sort"]
OWNER = owner_of({"metadata": {"name": "ipa-tiny", "uid": "r"}})


def actions(deployed: Deployed, wanted: StageConfiguration, given: Mapping[str, Any] | None) -> list[Action]:
    state = None if given is None else read_stage(given, ())
    return difference(deployed, "sort", wanted, state, None)


# ---- the difference ----


def test_what_stands_as_wanted_is_left_alone(tmp_path: Path) -> None:
    assert actions(tiny(tmp_path), SMALL, on_server(tiny(tmp_path), SMALL, notes=sound(SMALL))) == []


def test_a_stage_that_is_not_there_is_made(tmp_path: Path) -> None:
    (made,) = actions(tiny(tmp_path), SMALL, None)
    assert isinstance(made, Apply)
    assert made.manifest["kind"] == "Deployment"


def test_fewer_or_more_replicas_are_a_scale_of_what_was_read_and_nothing_else(tmp_path: Path) -> None:
    given = on_server(tiny(tmp_path), SMALL, notes=sound(SMALL), replicas=5, available=5)
    (scale,) = actions(tiny(tmp_path), replace(SMALL, replicas=2), given)
    assert scale == Scale("sort", 2, "7", False, "sort: 5 -> 2 replicas")


def test_another_batch_changes_an_annotation_and_no_template(tmp_path: Path) -> None:
    given = on_server(tiny(tmp_path), SMALL, notes=sound(SMALL))
    (apply,) = actions(tiny(tmp_path), replace(SMALL, batch=4), given)
    assert isinstance(apply, Apply)
    assert drift(apply.manifest, given) == ["metadata.annotations.ipa/wanted"]


def test_a_shrinking_change_of_variant_is_scaled_before_the_template(tmp_path: Path) -> None:
    given = on_server(tiny(tmp_path), replace(SMALL, replicas=4), notes=sound(SMALL))
    scale, apply = actions(tiny(tmp_path), LARGE, given)
    assert isinstance(apply, Apply)
    assert scale == Scale("sort", 2, "7", False, "sort: 4 -> 2 replicas")


def test_a_growing_change_of_variant_is_scaled_once_its_template_is_seen(tmp_path: Path) -> None:
    deployed, wanted = tiny(tmp_path), replace(LARGE, replicas=4)
    (apply,) = actions(deployed, wanted, on_server(deployed, SMALL, notes=sound(SMALL)))
    assert isinstance(apply, Apply)
    given = on_server(deployed, wanted, replicas=2, updated=1, old=2, notes=sound(SMALL), generation=2, seen=1)
    assert actions(deployed, wanted, given) == []
    given["status"]["observedGeneration"] = 2
    assert actions(deployed, wanted, given) == [Scale("sort", 4, "7", True, "sort: 2 -> 4 replicas")]


def test_a_change_of_replicas_in_the_middle_of_a_rollout_is_marked_as_such(tmp_path: Path) -> None:
    deployed, standing = tiny(tmp_path), replace(LARGE, replicas=3)
    given = on_server(deployed, standing, updated=1, old=3, notes=sound(SMALL))
    more = actions(deployed, replace(LARGE, replicas=5), given)
    fewer = actions(deployed, replace(LARGE, replicas=1), given)
    assert [type(each) for each in more] == [Apply, Scale]  # the surge follows the replicas
    assert [type(each) for each in fewer] == [Scale, Apply]
    assert all(each.is_rolling for each in (*more, *fewer) if isinstance(each, Scale))


def test_a_rollout_is_complete_when_the_server_has_seen_it_and_all_replicas_are_new_and_ready(tmp_path: Path) -> None:
    deployed = tiny(tmp_path)

    def is_complete(**status: Any) -> bool:
        return read_stage(on_server(deployed, SMALL, **status), ()).is_complete

    assert is_complete()
    assert not is_complete(generation=2, seen=1)  # the counts are those of before
    assert not is_complete(updated=1)
    assert not is_complete(old=1)
    assert not is_complete(available=1)


def test_a_rolled_out_configuration_is_remembered_as_sound(tmp_path: Path) -> None:
    (apply,) = actions(tiny(tmp_path), LARGE, on_server(tiny(tmp_path), LARGE, notes=sound(SMALL)))
    assert isinstance(apply, Apply)
    remembered = apply.manifest["metadata"]["annotations"][names.SOUND]
    assert '"variant":"large"' in remembered
    (apply,) = actions(tiny(tmp_path), SMALL, on_server(tiny(tmp_path), LARGE, available=1, notes=sound(LARGE)))
    assert isinstance(apply, Apply)
    assert '"variant":"large"' in apply.manifest["metadata"]["annotations"][names.SOUND]  # not what is only asked for


def test_an_edit_by_another_hand_is_a_difference_and_what_the_server_adds_is_none(tmp_path: Path) -> None:
    given = on_server(tiny(tmp_path), SMALL, notes=sound(SMALL))
    given["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"
    assert actions(tiny(tmp_path), SMALL, given) == []
    edited = copy.deepcopy(given)
    edited["spec"]["template"]["spec"]["containers"][0]["image"] = "other:1"
    (apply,) = actions(tiny(tmp_path), SMALL, edited)
    assert isinstance(apply, Apply)
    assert apply.why == "sort: spec.template.spec.containers[0].image"


@pytest.mark.parametrize(("ours", "servers"), [("1024Mi", "1Gi"), ("0.5", "500m"), ("1000m", "1"), ("1.5Gi", "1536Mi")])
def test_the_server_writes_quantities_its_own_way(ours: str, servers: str) -> None:
    pytest.importorskip("kubernetes")

    def container(quantity: str) -> dict[str, Any]:
        return {"containers": [{"resources": {"limits": {"memory": quantity}}}]}

    assert drift(container(ours), container(servers)) == []
    assert drift(container(ours), container("2Gi")) == ["containers[0].resources.limits.memory"]
    assert drift({"image": ours}, {"image": servers}) == ["image"]


def test_replicas_of_a_stage_that_is_new_become_ours_with_the_first_look(tmp_path: Path) -> None:
    one = replace(SMALL, replicas=1)
    given = on_server(tiny(tmp_path), one, notes=sound(one))
    del given["metadata"]["annotations"][names.REPLICAS]  # as where an apply has made it
    assert actions(tiny(tmp_path), one, given) == [Scale("sort", 1, "7", False, "sort: 1 stays the number of replicas")]


# ---- one look ----


def looker(tmp_path: Path, wanted: StageConfiguration = SMALL, **status: Any) -> tuple[Server, Reconciler]:
    deployed = tiny(tmp_path)
    server = Server(deployed, owned(deployed, wanted, **status))
    return server, Reconciler(server, deployed)  # type: ignore[arg-type]


def test_a_look_at_what_stands_writes_nothing(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path)
    look = reconciler.reconcile({"sort": SMALL}, [])
    assert (server.written, look.done, look.is_complete({"sort": SMALL})) == ([], (), True)


def test_a_look_acts_on_the_difference_alone(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path, replicas=3, available=3)
    look = reconciler.reconcile({"sort": SMALL}, [])
    assert server.written == [("ipa-tiny-stage-sort", 2, "7")]
    assert not look.is_complete({"sort": SMALL})  # what has just been asked for is not there yet


def test_replica_sets_that_share_a_rollout_forget_how_many_there_were_to_be(tmp_path: Path) -> None:
    wanted = replace(LARGE, replicas=4)
    server, reconciler = looker(tmp_path, wanted, replicas=2, updated=1, old=2)
    desired = {names.DESIRED: "2"}
    for name, replicas, noted in (("old", 2, desired), ("new", 1, desired), ("gone", 0, desired), ("told", 1, {})):
        server.sets.append({"metadata": {"name": name, "annotations": noted}, "spec": {"replicas": replicas}})
    reconciler.reconcile({"sort": wanted}, [])
    assert server.written == [
        ("ReplicaSet", "old", names.DESIRED),
        ("ReplicaSet", "new", names.DESIRED),
        ("ipa-tiny-stage-sort", 4, "7"),
    ]


@pytest.mark.parametrize("status", [429, 500, 503, 0])
def test_a_write_that_does_not_get_through_is_found_anew_by_the_next_look(tmp_path: Path, status: int) -> None:
    server, reconciler = looker(tmp_path, replicas=3, available=3)
    server.failing = [ApiError("PUT scale", status, "not now")]
    look = reconciler.reconcile({"sort": SMALL}, [])
    assert (server.written, look.stopped, bool(look.error), reconciler.pause_s > 0.0) == ([], {}, True, True)
    server.stages[0]["metadata"]["resourceVersion"] = "8"  # it has changed meanwhile
    assert reconciler.reconcile({"sort": SMALL}, []).error == ""
    assert (server.written, reconciler.pause_s) == ([("ipa-tiny-stage-sort", 2, "8")], 0.0)


@pytest.mark.parametrize(("conflicts", "has_failed"), [(1, False), (2, False), (3, True)])
def test_what_changed_between_reading_and_writing_is_read_again_at_once(
    tmp_path: Path, conflicts: int, has_failed: bool
) -> None:
    """The cluster's own controllers write too: a conflict is no trouble to be told, unless it stays."""
    server, reconciler = looker(tmp_path, replicas=3, available=3)
    server.failing = [ApiError("PUT scale", 409, "the object has been modified") for _ in range(conflicts)]
    look = reconciler.reconcile({"sort": SMALL}, [])
    assert (bool(look.error), reconciler.pause_s > 0.0, bool(look.done)) == (has_failed, has_failed, not has_failed)
    assert len(server.written) == (0 if has_failed else 1)


def test_a_write_names_the_version_that_was_read_so_that_a_late_one_undoes_nothing(tmp_path: Path) -> None:
    """As that of a controller which has lost its Lease between its reading and the arrival of what it wrote."""
    server, reconciler = looker(tmp_path)
    reconciler.reconcile({"sort": replace(SMALL, batch=4)}, [])
    assert server.versions == ["7"]
    server, reconciler = looker(tmp_path)
    reconciler.reconcile({"sort": replace(LARGE, replicas=1)}, [])
    assert (server.written[0], server.versions) == (("ipa-tiny-stage-sort", 1, "7"), ["8"])  # what its own scale made
    server, reconciler = looker(tmp_path)
    server.gateway["metadata"]["resourceVersion"] = "5"
    server.gateway["spec"]["template"]["metadata"]["labels"] = {}
    reconciler.reconcile({"sort": SMALL}, [])
    assert (server.written, server.versions) == (["ipa-tiny-gateway"], ["5"])


def test_pauses_grow_and_stay_bounded(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path, replicas=3)
    pauses = []
    for _ in range(20):
        server.failing = [ApiError("PUT scale", 429, "too many requests")]
        reconciler.reconcile({"sort": SMALL}, [])
        pauses.append(reconciler.pause_s)
    assert pauses[0] <= 0.5
    assert max(pauses) <= LONGEST_PAUSE_S
    assert pauses[-1] >= LONGEST_PAUSE_S / 2 * 0.5


def test_a_field_of_another_manager_stops_the_controller_until_a_person_has_acted(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path)
    server.stages[0]["spec"]["template"]["spec"]["containers"][0]["image"] = "other:1"
    conflict = ApiError("PATCH", 409, 'conflict with "kubectl-edit"', (".spec.template: conflict",))
    server.failing = [conflict, conflict]
    for _ in range(2):
        look = reconciler.reconcile({"sort": SMALL}, [])
        assert "kubectl-edit" in look.stopped["sort"]
    assert reconciler.reconcile({"sort": SMALL}, []).stopped == {}  # by itself, once it may


def test_what_a_webhook_makes_of_a_manifest_is_asked_for_once(tmp_path: Path) -> None:
    manifest = stage_deployment(tiny(tmp_path), "sort", SMALL)
    given = copy.deepcopy(manifest)
    given["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "250m"
    changed = "spec.template.spec.containers[0].resources.requests.cpu"
    kept = ServerChanges()
    assert kept.drift(manifest, given) == [changed]
    kept.note(manifest, given)  # the answer to an apply
    assert kept.drift(manifest, given) == []
    given["spec"]["template"]["spec"]["containers"][0]["image"] = "another's"
    assert kept.drift(manifest, given) == ["spec.template.spec.containers[0].image"]
    other = stage_deployment(tiny(tmp_path), "sort", LARGE)
    assert changed in kept.drift(other, given)


def test_nothing_is_written_once_it_may_not_be(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path)
    look = reconciler.reconcile({"sort": LARGE}, [], may_write=lambda: False)
    assert (look.done, look.error, server.written) == ((), "the Lease is not held", [])


def test_a_gateway_of_before_serves_until_the_new_one_does_and_none_is_missed(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path)
    server.gateway["status"] = {"replicas": 2, "updatedReplicas": 1, "availableReplicas": 1, "observedGeneration": 1}
    look = reconciler.reconcile({"sort": SMALL}, [])
    assert (look.is_gateway_ready, look.lacks_gateway) == (False, False)
    server.gateway["spec"]["replicas"] = 0
    server.gateway["status"] = {"observedGeneration": 1}
    look = reconciler.reconcile({"sort": SMALL}, [])
    assert (look.is_gateway_ready, look.lacks_gateway) == (False, True)


def test_what_keeps_a_gateway_from_coming_is_said(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path)
    said = 'pods "x" is forbidden: failed quota: cores: must specify limits.cpu'
    server.gateway["status"] = {"observedGeneration": 1, "conditions": [refused(said)]}
    server.sets = [made_of(server.gateway, refusal=said)]
    look = reconciler.reconcile({"sort": SMALL}, [])
    assert (look.failed, look.gateway_problem, look.hopeless) == ({}, said, f"the gateway: {said}")
    said = 'pods "x" is forbidden: exceeded quota: cores'
    server.gateway["status"] = {"observedGeneration": 1, "conditions": [refused(said)]}
    server.sets = [made_of(server.gateway, refusal=said)]
    look = reconciler.reconcile({"sort": SMALL}, [])
    assert (look.hopeless, look.out_of_room, look.waits_for) == ("", {}, f"the gateway: {said}")


def test_why_the_pod_of_a_gateway_does_not_start_is_said(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path)
    server.gateway["status"] = {"observedGeneration": 1}
    waiting = {"state": {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}}
    meta: dict[str, Any] = {"uid": "u", "name": "gateway-1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    annotations = server.gateway["spec"]["template"]["metadata"]["annotations"]
    server.sets = [made_of(server.gateway)]
    owner = {"kind": "ReplicaSet", "name": server.sets[0]["metadata"]["name"], "controller": True}
    meta |= {"annotations": annotations, "ownerReferences": [owner]}
    server.gateway_pods = [{"metadata": meta, "status": {"containerStatuses": [waiting]}}]
    look = reconciler.reconcile({"sort": SMALL}, [])
    assert (look.hopeless, look.waits_for) == ("", "the gateway: ErrImagePull: no such host")
    server.gateway_pods[0]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] = "InvalidImageName"
    look = reconciler.reconcile({"sort": SMALL}, [])
    assert look.hopeless == "the gateway: InvalidImageName after 0 restarts: no such host"


def test_the_kill_switch_keeps_everything_as_it_is(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path, replicas=3)
    assert server.root is not None
    server.root["metadata"]["annotations"] = {names.HOLD: "true"}
    look = reconciler.reconcile({"sort": SMALL}, [])
    assert (look.is_held, server.written) == (True, [])


def test_a_read_only_client_is_never_asked_to_write(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path, replicas=3)
    server.read_only = True
    assert reconciler.reconcile({"sort": SMALL}, []).error == ""
    assert server.written == []


def test_what_was_applied_without_an_owner_as_from_git_stays_so(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path)
    for given in (server.gateway, *server.stages):
        del given["metadata"]["ownerReferences"]
    assert reconciler.reconcile({"sort": SMALL}, []).done == ()
    (apply, *_) = difference(server.deployed, "sort", LARGE, read_stage(server.stages[0], ()), OWNER)
    assert isinstance(apply, Apply)
    assert "ownerReferences" not in apply.manifest["metadata"]
    (apply, *_) = difference(server.deployed, "sort", LARGE, None, OWNER)
    assert isinstance(apply, Apply)
    assert apply.manifest["metadata"]["ownerReferences"] == [OWNER]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (LARGE, "small -> large, 1 -> 2 cores"),
        (replace(SMALL, batch=4, batch_timeout_s=0.25), "batch 1 -> 4, batch timeout 0 -> 0.25 s"),
        (replace(SMALL, replicas=5), "2 -> 5 replicas wanted"),
        (replace(LARGE, replicas=1, batch=2), "small -> large, 1 -> 2 cores, batch 1 -> 2, 2 -> 1 replicas wanted"),
    ],
)
def test_a_change_is_told_in_words(tmp_path: Path, wanted: StageConfiguration, words: str) -> None:
    deployed = tiny(tmp_path)
    given = on_server(deployed, SMALL, notes=sound(SMALL))
    assert f"sort: {words}" in [action.why for action in actions(deployed, wanted, given)]


def test_that_all_replicas_are_ready_is_told_too(tmp_path: Path) -> None:
    """It is noted, so that a rollback goes there."""
    deployed = tiny(tmp_path)
    (apply,) = actions(deployed, SMALL, on_server(deployed, SMALL))
    assert apply.why == "sort: all 2 replicas of small are ready"


def test_a_pipeline_that_has_been_taken_down_is_said_so(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path)
    server.root = None
    assert reconciler.reconcile({"sort": SMALL}, []).is_down


def test_a_variant_that_will_not_start_is_named_and_one_without_room_is_not(tmp_path: Path) -> None:
    server, reconciler = looker(tmp_path, LARGE, updated=0, old=2)
    server.sets = [made_of(server.stages[0])]
    own = {"replica_set": server.sets[0]["metadata"]["name"], "ready_s": None}
    crashing = pod(1, "large", waiting="CrashLoopBackOff", restarts=3, **own)
    look = reconciler.reconcile({"sort": LARGE}, [crashing])
    assert list(look.failed) == ["sort"]
    homeless = replace(crashing, waiting="", unschedulable="0/1 nodes are available: 1 Insufficient cpu.")
    look = reconciler.reconcile({"sort": LARGE}, [homeless])
    assert (look.failed, list(look.out_of_room)) == ({}, ["sort"])


def test_a_rollout_that_a_lost_node_has_delayed_is_not_blamed_on_its_variant(tmp_path: Path) -> None:
    server, _ = looker(tmp_path, LARGE, updated=0, old=2)
    clock = [0.0]
    reconciler = Reconciler(server, server.deployed, clock=lambda: clock[0])  # type: ignore[arg-type]
    made = made_of(server.stages[0])
    server.sets = [made]
    said = f'ReplicaSet "{made["metadata"]["name"]}" has timed out progressing.'
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": said}
    server.stages[0]["status"]["conditions"] = [late]
    starts = pod(1, "large", replica_set=made["metadata"]["name"], ready_s=None, node="a")
    server.lost = {"a"}
    look = reconciler.reconcile({"sort": LARGE}, [starts])
    assert (look.failed, look.lost) == ({}, {"sort": "node a not ready, with 1 of 1 pods"})
    server.lost = set()  # it is back, or another pod starts elsewhere
    clock[0] = AFTER_LOSS_S - 1.0
    look = reconciler.reconcile({"sort": LARGE}, [starts])
    assert (look.failed, look.lost, "has not been ready" in look.delays["sort"]) == ({}, {}, True)
    clock[0] = AFTER_LOSS_S + 1.0
    assert "has not been ready" in reconciler.reconcile({"sort": LARGE}, [starts]).failed["sort"]


def test_what_is_not_ours_is_refused(tmp_path: Path) -> None:
    from ipa.live.errors import LiveError

    deployed = tiny(tmp_path)
    check_ours("Service", None, deployed)
    check_ours("ConfigMap", root(deployed), deployed)
    theirs = {"metadata": {"name": "ipa-tiny", "namespace": "default", "labels": {"app": "x"}}}
    with pytest.raises(LiveError, match="Service ipa-tiny in namespace default is not ours"):
        check_ours("Service", theirs, deployed)


# ---- pods ----


def test_a_pod_that_is_marked_not_ready_without_its_containers_is_on_a_lost_node() -> None:
    def conditions(ready: str, containers: str) -> list[dict[str, str]]:
        at = {"lastTransitionTime": BEGAN}
        return [{"type": "Ready", "status": ready, **at}, {"type": "ContainersReady", "status": containers, **at}]

    told = {"True True": False, "False False": False, "False True": True}
    given = {said: as_given(conditions=conditions(*said.split())) for said in told}
    assert {said: read(each).is_lost for said, each in given.items()} == told
    assert read({**given["False True"], "spec": {"nodeName": "a"}}).node == "a"


def as_given(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "uid": "u",
            "name": "p",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"ipa/stage": "sort", "ipa/variant": "small", "ipa/cores": "2"},
            "annotations": {"ipa/variant": "small/odd name"},
        },
        "status": status,
    }


def test_a_pod_is_read_as_the_server_gives_it() -> None:
    at_s = 1767225600.0  # 2026-01-01
    conditions = [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:09Z"},
        {"type": "PodScheduled", "status": "True"},
    ]
    found = read(as_given(podIP="10.0.0.9", phase="Running", conditions=conditions))
    assert (found.variant, found.cores, found.created_s, found.ready_s) == ("small/odd name", 2, at_s, at_s + 9)
    assert found.is_serving
    assert found.unready_s is None
    no_more = [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:10:00Z"}]
    lost = read(as_given(podIP="10.0.0.9", phase="Running", conditions=no_more))
    assert (lost.is_serving, lost.ready_s, lost.unready_s) == (False, None, at_s + 600)
    ending = as_given(podIP="10.0.0.9", conditions=conditions)
    ending["metadata"] |= {"deletionTimestamp": "2026-01-01T00:01:30Z", "deletionGracePeriodSeconds": 30}
    ending["status"]["containerStatuses"] = [{"state": {"terminated": {"finishedAt": "2026-01-01T00:01:02Z"}}}]
    assert read(ending).ended_s == at_s + 62.5
    assert read(ending).removed_s == at_s + 60  # asked for when the grace period began
    assert not read(ending).is_serving


@pytest.mark.parametrize(
    ("phase", "state", "is_over"),
    [
        ("Running", "running", False),
        ("Running", "waiting", True),
        ("Running", "terminated", True),
        ("Pending", "waiting", False),
    ],
)
def test_a_pod_that_is_to_go_is_over_once_no_container_runs_or_may_start(phase: str, state: str, is_over: bool) -> None:
    """A kubelet may clear an ended container away before it says so: it then waits, and is not dated. It may also be
    starting the container of a pending pod, which runs before it is ended."""
    ending = as_given(phase=phase, containerStatuses=[{"state": {state: {}}}])
    assert not read(ending).is_over
    ending["metadata"] |= {"deletionTimestamp": "2026-01-01T00:01:30Z", "deletionGracePeriodSeconds": 30}
    assert read(ending).is_over == is_over


def test_a_pod_that_has_only_just_been_made_is_starting() -> None:
    found = read(as_given())
    assert (found.is_serving, found.scheduled_s, found.waiting, found.restarts) == (False, None, "", 0)


def test_an_init_container_that_fails_is_why_its_pod_waits() -> None:
    ended = {"exitCode": 1, "message": "a first line\nError: s3://shelf/large: there is nothing\n"}
    initialising = {"restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}
    fetching = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}, "restartCount": 3}
    found = read(
        as_given(
            initContainerStatuses=[{**fetching, "lastState": {"terminated": ended}}], containerStatuses=[initialising]
        )
    )
    assert (found.waiting, found.restarts) == ("CrashLoopBackOff", 3)
    assert found.message == "Error: s3://shelf/large: there is nothing"
    again = {"state": {"running": {}}, "lastState": {"terminated": ended}, "restartCount": 3}
    found = read(as_given(initContainerStatuses=[again], containerStatuses=[initialising]))
    assert (found.waiting, found.message) == ("PodInitializing", "Error: s3://shelf/large: there is nothing")


def test_a_container_that_never_ran_has_the_system_s_word_for_why() -> None:
    lacking = {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}
    found = read(as_given(initContainerStatuses=[{"state": {"waiting": lacking}, "restartCount": 0}]))
    assert (found.waiting, found.message) == ("CreateContainerConfigError", 'secret "keys" not found')


def test_an_init_container_that_is_done_says_nothing_of_its_pod() -> None:
    done = {"state": {"terminated": {"exitCode": 0}}, "restartCount": 0}
    running = {"state": {"running": {}}, "restartCount": 0}
    found = read(as_given(initContainerStatuses=[done], containerStatuses=[running]))
    assert (found.waiting, found.message, found.restarts) == ("", "", 0)


def test_replicas_are_numbered_alike_by_whoever_sees_them_and_in_order_of_creation() -> None:
    pods = [pod(3), pod(1), pod(2)]
    listed = listing(pods, ["sort"])["sort"]
    assert [each["url"] for each in listed] == [f"http://10.0.0.{number}:8080" for number in (1, 2, 3)]
    assert [each["number"] for each in listing(pods[:1], ["sort"])["sort"]] == [listed[2]["number"]]
    assert all(float(each["number"]) == each["number"] for each in listed)  # through JSON and tables


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    (only,) = listing([pod(1, address="fd00::1")], ["sort"])["sort"]
    assert only["url"] == "http://[fd00::1]:8080"


def test_pods_whose_numbers_meet_are_kept_apart() -> None:
    twin = replace(pod(1), address="10.0.0.9")
    numbers = [each["number"] for each in listing([pod(1), twin], ["sort"])["sort"]]
    assert numbers[1] == numbers[0] + 1


def test_only_what_serves_is_listed_and_every_stage_is_there() -> None:
    pods = [pod(1, ready_s=None), pod(2, removed_s=5.0), pod(3, is_over=True), pod(4, address=None)]
    assert listing(pods, ["sort", "other"]) == {"sort": [], "other": []}


# ---- the timeline ----


def timeline() -> tuple[Timeline, PodReplicas]:
    stage = PodReplicas("sort", SMALL)
    return Timeline({"sort": stage}), stage


def test_what_is_watched_is_dated_as_it_happens() -> None:
    line, sorting = timeline()
    line.note({"a": pod(100, ready_s=None, uid="a")}, True, 5.0, 1000.0)
    line.note({"a": pod(100, uid="a")}, True, 13.2, 1008.2)
    line.note({"a": pod(100, uid="a", removed_s=1.0)}, True, 20.0, 1015.0)
    assert sorting.counts() == {"small": ReplicaCounts(draining=1)}
    line.note({}, True, 23.5, 1018.5)
    (replica,) = sorting.all
    moments = (replica.created_s, replica.ready_s, replica.removed_s, replica.gone_s)
    assert moments == (5.0, 13.2, 20.0, 23.5)
    assert sorting.core_s(30.0) == 18.5  # a replica costs from its creation until it is gone


def test_what_a_list_finds_is_dated_by_the_server_s_own_timestamps() -> None:
    line, sorting = timeline()
    line.note({"a": pod(1000, uid="a", ready_s=1008.0)}, False, 50.0, 1040.0)
    (replica,) = sorting.all
    assert (replica.created_s, replica.ready_s) == (10.0, 18.0)  # 40 and 32 s before 50


def test_a_pod_that_has_been_evicted_is_gone_though_it_is_listed() -> None:
    line, sorting = timeline()
    line.note({"a": pod(1, uid="a")}, True, 1.0, 1.0)
    line.note({"a": pod(1, uid="a", is_over=True)}, True, 9.0, 9.0)
    assert (sorting.all[0].removed_s, sorting.all[0].gone_s) == (9.0, 9.0)


def test_a_replica_is_gone_once_its_containers_have_ended_though_its_pod_is_still_listed() -> None:
    line, sorting = timeline()
    line.note({"a": pod(1, uid="a")}, True, 1.0, 1001.0)
    line.note({"a": pod(1, uid="a", removed_s=1009.0)}, True, 9.0, 1009.0)
    line.note({"a": pod(1, uid="a", removed_s=1009.0, ended_s=1010.5)}, True, 13.0, 1013.0)
    line.note({}, True, 15.0, 1015.0)
    assert (sorting.all[0].removed_s, sorting.all[0].gone_s) == (9.0, 10.5)


def test_a_container_that_has_crashed_and_starts_anew_is_not_gone() -> None:
    line, sorting = timeline()
    line.note({"a": pod(1, uid="a", ended_s=5.5)}, True, 6.0, 6.0)
    assert not sorting.all[0].is_gone


def test_a_container_that_served_and_is_started_again_is_another_replica() -> None:
    line, sorting = timeline()
    line.note({"a": pod(1, uid="a")}, True, 1.0, 1.0)
    line.note({"a": pod(1, uid="a", ready_s=None, restarts=1)}, True, 9.0, 9.0)
    line.note({"a": pod(1, uid="a", ready_s=12.0, restarts=1)}, True, 12.0, 12.0)
    first, second = sorting.all
    assert (first.ready_s, first.removed_s, first.gone_s) == (1.0, 9.0, 9.0)
    assert (second.created_s, second.ready_s, second.is_removed) == (9.0, 12.0, False)
    assert [line.number("sort", pod(1, uid="a").number, start_s) for start_s in (8.0, 12.5)] == [0, 1]
    assert sorting.deaths == {"small": 1}


def test_a_replica_that_nobody_has_seen_has_no_place_in_the_table_of_a_stage_without_any() -> None:
    """The gateway had it from pods that were gone before this watch began."""
    line, _ = timeline()
    assert line.number("sort", 7, 1.0) == -1


def test_crashes_before_a_pod_was_known_are_none_of_this_run_s() -> None:
    line, sorting = timeline()
    line.note({"a": pod(1, uid="a", restarts=4)}, False, 1.0, 1.0)
    assert (len(sorting.all), sorting.deaths) == (1, {})


def test_crashes_are_counted_by_variant() -> None:
    line, sorting = timeline()
    for restarts in (0, 2, 2, 3):
        line.note({"a": pod(1, uid="a", restarts=restarts)}, True, 1.0, 1.0)
    assert sorting.deaths == {"small": 3}


def test_at_t_0_what_stands_has_always_stood_and_numbers_start_anew() -> None:
    line, sorting = timeline()
    line.note({"a": pod(1, uid="a"), "b": pod(2, uid="b")}, False, 0.0, 0.0)
    line.note({"b": pod(2, uid="b")}, True, 5.0, 5.0)
    line.restart()
    (replica,) = sorting.all
    assert (replica.number, replica.created_s, replica.ready_s) == (0, 0.0, 0.0)
    assert line.number("sort", pod(2, uid="b").number, 1.0) == 0
    assert line.number("sort", pod(1, uid="a").number, 1.0) == -1


def test_a_pod_that_was_gone_before_t_0_and_is_listed_still_is_none_of_the_run_s() -> None:
    line, sorting = timeline()
    ended = pod(1, uid="a", removed_s=2.0, ended_s=3.0, is_over=True)
    line.note({"a": ended, "b": pod(2, uid="b")}, False, 5.0, 5.0)
    line.restart()
    line.note({"a": ended, "b": pod(2, uid="b")}, True, 6.0, 6.0)
    line.note({"b": pod(2, uid="b")}, True, 7.0, 7.0)
    assert [each.is_gone for each in sorting.all] == [False]


def test_a_batch_that_starts_within_the_watch_s_latency_is_of_a_replica_that_was_there() -> None:
    line, sorting = timeline()
    line.note({"a": pod(1, uid="a", removed_s=None)}, True, 10.0, 10.0)
    line.note({"a": pod(1, uid="a", removed_s=1.0)}, True, 20.0, 20.0)
    line.served("sort", 0, 9.99)
    line.served("sort", 0, 20.01)
    assert (sorting.all[0].ready_s, sorting.all[0].removed_s) == (9.99, 20.01)


@pytest.mark.parametrize("by_s", [8 * 3600.0, -50.0])
def test_what_is_dated_keeps_its_age_when_the_clock_is_set(by_s: float) -> None:
    """To that of a gateway which is older than its controller, or younger."""
    line, sorting = timeline()
    line.note({"a": pod(1, uid="a"), "b": pod(2, uid="b", ready_s=None)}, True, 60.0, 60.0)
    line.note({"a": pod(1, uid="a", removed_s=90.0), "b": pod(2, uid="b", ready_s=None)}, True, 90.0, 90.0)
    line.set_forward(by_s)
    moments = [(each.created_s, each.ready_s, each.removed_s, each.gone_s) for each in sorting.all]
    assert moments == [
        (60.0 + by_s, 60.0 + by_s, 90.0 + by_s, inf),
        (60.0 + by_s, inf, inf, inf),
    ]


def test_a_controller_without_an_end_forgets_what_is_long_gone() -> None:
    line, sorting = timeline()
    line.note({"a": pod(1, uid="a")}, True, 1.0, 1.0)
    line.note({"b": pod(2, uid="b")}, True, 100.0, 100.0)
    line.forget(99.0)
    assert len(sorting.all) == 2
    line.forget(101.0)
    assert [(replica.number, replica.created_s) for replica in sorting.all] == [(0, 100.0)]
    assert line.number("sort", pod(2, uid="b").number, 101.0) == 0
    assert len(line._numbers) == 1


def test_a_failed_variant_is_left_out_for_a_while() -> None:
    _, sorting = timeline()
    sorting.excluded["large"] = BEGAN_S
    sorting.forgive(BEGAN_S + 299.0)
    assert sorting.failed_variants == ("large",)
    sorting.forgive(BEGAN_S + 300.0)
    assert sorting.failed_variants == ()


def test_a_change_of_the_template_is_what_the_server_rolls_out(tmp_path: Path) -> None:
    deployed = tiny(tmp_path)
    before, after = (stage_deployment(deployed, "sort", each)["spec"]["template"] for each in (SMALL, LARGE))
    changed = drift(after, before)
    assert "metadata.annotations.ipa/variant" in changed
    assert any(each.startswith("spec.containers[0].args") for each in changed)
