"""What keeps pods from coming, of what a Deployment, its ReplicaSet and its pods say: by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipa.live.kubernetes.deployments import Obstacle, digest_of_template, obstacle, present
from ipa.live.kubernetes.pods import Pod
from tests.live.kubernetes.world import BEGAN, BEGAN_S, made_of, on_server, pod, refused, template, tiny
from tests.live.world import sort

LARGE = sort("large", 2)["sort"]
TIMED_OUT = 'variant large: ReplicaSet "RS" has timed out progressing.'
NOT_READY = "variant large: sort-1 has not been ready for 121 s"
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


def found(
    folder: Path,
    pods: Sequence[Pod] = (),
    refusal: str = "",
    late: bool = False,
    lost: Sequence[str] = (),
    **status: Any,
) -> Obstacle:
    """What keeps two large replicas from following two small ones: pods with their template are of their ReplicaSet,
    RS; `refusal` is why its next pod is refused; `late`: it is past its deadline, and so are its pods."""
    deployed = tiny(folder)
    given = on_server(deployed, LARGE, **{"updated": 0, "old": 2, **status})
    replica_set = made_of(given, refusal=refusal)
    said = f'ReplicaSet "{replica_set["metadata"]["name"]}" has timed out progressing.'
    given["status"]["conditions"] = [
        *([{**LATE, "message": said}] if late else []),
        *([refused(refusal)] if refusal else []),
    ]
    made = present(given, [replica_set], BEGAN_S)
    own = [replace(each, replica_set=made.name if each.template else "of-another") for each in pods]
    assert {each.template for each in pods} <= {"", digest_of_template(given)}
    now_s = BEGAN_S if late else 0.0
    seen = obstacle(given, own, made, now_s, lost=lost, nodes_within_s=deployed.settings.cluster.nodes_within_s)
    return replace(seen, problem=seen.problem.replace(made.name, "RS"))


def problem(folder: Path, pods: Sequence[Pod] = (), refusal: str = "", late: bool = False) -> tuple[str, bool]:
    said = found(folder, pods, refusal, late)
    return said.problem, said.is_out_of_room


# ---- its nodes ----


def test_pods_of_a_lost_node_count_against_nothing_and_the_node_is_named(tmp_path: Path) -> None:
    """Whoever hangs there, and however long the rollout takes for it."""
    large = template(tiny(tmp_path), LARGE)
    away = pod(1, "large", template=large, node="a", is_lost=True, ready_s=None)
    hangs = pod(2, "large", template=large, node="a", ready_s=None, waiting="CrashLoopBackOff", restarts=3)
    starts = pod(3, "large", template=large, node="b", ready_s=None)
    for late in (False, True):
        seen = found(tmp_path, [away, hangs, starts], late=late, lost=["a"])
        assert (seen.problem, seen.lost) == ("", "node a not ready, with 2 of 3 pods")
        assert seen.delay == seen.lost
    crashes = replace(starts, waiting="CrashLoopBackOff", restarts=3)
    assert "CrashLoopBackOff" in found(tmp_path, [hangs, crashes], lost=["a"]).problem  # of its own
    assert found(tmp_path, [away, crashes], lost=["a"]).problem == ""  # the variant has served elsewhere
    assert found(tmp_path, [starts], late=True, lost=["a"]).is_late


# ---- its pods ----


def test_a_container_that_keeps_crashing_before_it_was_ever_ready_will_not_start(tmp_path: Path) -> None:
    large = template(tiny(tmp_path), LARGE)
    crashing = pod(1, "large", template=large, ready_s=None, waiting="CrashLoopBackOff", restarts=3)
    assert problem(tmp_path, [crashing]) == ("variant large: CrashLoopBackOff after 3 restarts", False)
    once = replace(crashing, restarts=1)
    assert problem(tmp_path, [once]) == ("", False)
    other_serves = [crashing, pod(2, "large", template=large)]
    assert problem(tmp_path, other_serves) == ("", False)
    of_before = [replace(crashing, template="")]
    assert problem(tmp_path, of_before) == ("", False)


@pytest.mark.parametrize("waiting", ["ErrImageNeverPull", "InvalidImageName"])
def test_an_image_that_cannot_come_is_found_without_waiting(tmp_path: Path, waiting: str) -> None:
    large = template(tiny(tmp_path), LARGE)
    without = pod(1, "large", template=large, ready_s=None, waiting=waiting)
    said, is_out_of_room = problem(tmp_path, [without])
    assert (waiting in said, is_out_of_room) == (True, False)
    elsewhere_it_serves = [without, pod(2, "large", template=large)]
    assert problem(tmp_path, elsewhere_it_serves) == ("", False)


@pytest.mark.parametrize("waiting", ["ImagePullBackOff", "ErrImagePull"])
def test_an_image_that_does_not_come_may_until_the_deadline(tmp_path: Path, waiting: str) -> None:
    pulling = pod(
        1, "large", template=template(tiny(tmp_path), LARGE), ready_s=None, waiting=waiting, message="no route"
    )
    assert problem(tmp_path, [pulling]) == ("", False)
    assert problem(tmp_path, [pulling], late=True) == (f"{NOT_READY}: no route", False)


def test_a_rollout_past_its_deadline_has_failed(tmp_path: Path) -> None:
    assert problem(tmp_path, late=True) == (TIMED_OUT, False)


def test_a_pod_that_says_nothing_until_its_deadline_is_named(tmp_path: Path) -> None:
    silent = pod(1, "large", template=template(tiny(tmp_path), LARGE), ready_s=None)
    see = f"see: kubectl describe pod {silent.name}"
    assert problem(tmp_path, [silent], late=True)[0] == f"{NOT_READY} (its container runs, but is not ready; {see})"
    creating = replace(silent, started_s=None, waiting="ContainerCreating")
    late = problem(tmp_path, [creating], late=True)[0]
    assert late == f"{NOT_READY.replace('121', '600')} (ContainerCreating; {see})"


def test_what_a_container_said_at_its_end_is_part_of_the_problem(tmp_path: Path) -> None:
    said = "Error: s3://shelf/tiny/sort/large: there is nothing"
    failing = pod(1, "large", template=template(tiny(tmp_path), LARGE), ready_s=None, message=said)
    crashing = replace(failing, waiting="CrashLoopBackOff", restarts=3)
    assert problem(tmp_path, [crashing])[0] == f"variant large: CrashLoopBackOff after 3 restarts: {said}"
    assert problem(tmp_path, [failing], late=True)[0] == f"{NOT_READY}: {said}"


def test_what_delays_a_pod_is_said_while_it_may_pass(tmp_path: Path) -> None:
    waiting: dict[str, Any] = {"template": template(tiny(tmp_path), LARGE), "ready_s": None}

    def delay(**how: Any) -> str:
        return found(tmp_path, [pod(1, "large", **waiting, **how), pod(2, ready_s=None, waiting="ErrImagePull")]).delay

    assert delay() == delay(waiting="ContainerCreating") == ""
    assert delay(waiting="ErrImagePull", message="no such host") == "variant large: ErrImagePull: no such host"
    assert delay(waiting="CrashLoopBackOff", restarts=1, crash="Error, exit code 3") == (
        "variant large: CrashLoopBackOff (Error, exit code 3)"
    )
    assert delay(unschedulable="didn't match node selector") == (
        "variant large: no node takes it: didn't match node selector"
    )


# ---- room ----


def test_want_of_quota_is_no_fault_of_the_variant(tmp_path: Path) -> None:
    assert problem(tmp_path, refusal="exceeded quota", late=True) == ("exceeded quota", True)


@pytest.mark.parametrize(
    "said",
    [
        "0/1 nodes are available: 1 Insufficient cpu.",
        "0/2 nodes are available: 2 node(s) were unschedulable.",
        "no nodes available to schedule pods",
    ],
)
def test_pods_that_another_node_would_take_want_room(tmp_path: Path, said: str) -> None:
    large = template(tiny(tmp_path), LARGE)
    homeless = pod(1, "large", template=large, ready_s=None, scheduled_s=None, unschedulable=said)
    here = [homeless, pod(2, "large", template=large), pod(3)]
    assert problem(tmp_path, here) == (f"1 of 2 pods find no node with room: {said}", True)
    assert found(tmp_path, here).wants_node


def test_what_no_node_would_take_is_no_want_of_room(tmp_path: Path) -> None:
    large, said = template(tiny(tmp_path), LARGE), 'persistentvolumeclaim "shelf" not found'
    homeless = pod(1, "large", template=large, ready_s=None, scheduled_s=None, unschedulable=said)
    assert problem(tmp_path, [homeless]) == ("", False)
    late = NOT_READY.replace("121", "301")  # another node may come, and take it
    assert problem(tmp_path, [homeless], late=True) == (f"{late}: {said}", False)


# ---- what the API server refuses ----


@pytest.mark.parametrize(
    "said",
    [
        'pods "x" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false',
        'pods "x" is forbidden: failed quota: cores: must specify limits.cpu',
        'pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
        'pods "x" is forbidden: no PriorityClass with name high was found',
        'Pod "x" is invalid: spec.tolerations[0].operator: Invalid value: "Exists"',
    ],
)
def test_what_a_server_will_refuse_again_is_said_at_once_unless_the_variant_has_served(
    said: str, tmp_path: Path
) -> None:
    assert problem(tmp_path, refusal=said) == (f"variant large: {said}", False)
    served = pod(1, "large", template=template(tiny(tmp_path), LARGE))
    assert problem(tmp_path, [served], said) == ("", False)
    assert problem(tmp_path, [served], said, late=True) == (f"{TIMED_OUT}: {said}", False)


@pytest.mark.parametrize(
    "said",
    [
        'Internal error occurred: failed calling webhook "policy.example.com": connection refused',
        'pods "x" is forbidden: error looking up service account a/b: serviceaccount "b" not found',
        'pods "x" is forbidden: status unknown for quota: cores, resources: limits.cpu',
        'admission webhook "policy.example.com" denied the request: no',
    ],
)
def test_what_a_server_may_allow_later_delays_until_the_deadline(said: str, tmp_path: Path) -> None:
    assert found(tmp_path, refusal=said) == Obstacle(delay=said)
    assert problem(tmp_path, refusal=said, late=True) == (f"{TIMED_OUT}: {said}", False)


def test_a_stage_that_has_all_its_replicas_is_kept_from_nothing(tmp_path: Path) -> None:
    """The conditions of a rollout that came to nothing are told a moment longer."""
    whole: dict[str, Any] = {"updated": 2, "old": 0, "available": 2}
    assert found(tmp_path, [pod(1)], "exceeded quota", late=True, **whole) == Obstacle()


@pytest.mark.parametrize(
    ("changes", "due_s", "says"),
    [
        ({}, 121.0, "121 s (its container runs, but is not ready; see: kubectl describe pod sort-2)"),
        ({"crash": "Error, exit code 1"}, 121.0, "121 s (Error, exit code 1)"),
        ({"crash": "Error, exit code 1", "unready_s": BEGAN_S + 70.0}, 191.0, "121 s (Error, exit code 1)"),
        ({"started_s": None, "waiting": "ContainerCreating"}, 600.0, "600 s (ContainerCreating; see: kubectl describe"),
    ],
    ids=["hangs", "has crashed", "has served", "waits for its image"],
)
def test_a_replica_beside_others_that_does_not_become_ready_is_told_though_kubernetes_sets_it_no_deadline(
    changes: dict[str, Any], due_s: float, says: str, tmp_path: Path
) -> None:
    """The rollout has ended, and another is added."""
    deployed = tiny(tmp_path)
    given = on_server(deployed, LARGE, available=1)
    made = present(given, [made_of(given)], BEGAN_S)
    ended = {"type": "Progressing", "reason": "NewReplicaSetAvailable", "message": f'"{made.name}" has progressed'}
    given["status"]["conditions"] = [{**ended, "status": "True"}]
    began: dict[str, Any] = dict.fromkeys(("created_s", "scheduled_s", "started_s", "unready_s"), BEGAN_S)
    hanging = pod(2, "large", replica_set=made.name, **{"ready_s": None, **began, **changes})
    for now_s, delay in ((BEGAN_S + due_s, ""), (BEGAN_S + due_s + 1.0, f"sort-2 has not been ready for {says}")):
        pods = [pod(1, "large", replica_set=made.name), hanging]
        seen = obstacle(given, pods, made, now_s, nodes_within_s=deployed.settings.cluster.nodes_within_s)
        assert (seen.problem, bool(seen.delay)) == ("", bool(delay))
        assert delay in seen.delay


# ---- how long a variant may take ----

NODE_S, IMAGE_S = BEGAN_S + 105.0, BEGAN_S + 165.0
"""Its pod is created as the server begins, and gets a node after 105 s; that has pulled the image 60 s later."""


@pytest.mark.parametrize(
    ("changes", "due_s"),
    [
        ({"started_s": IMAGE_S, "scheduled_s": NODE_S}, IMAGE_S + 121.0),
        ({"started_s": BEGAN_S, "scheduled_s": NODE_S}, NODE_S + 121.0),
        ({"scheduled_s": NODE_S, "waiting": "ContainerCreating"}, NODE_S + 600.0),
        ({"scheduled_s": NODE_S, "waiting": "ErrImagePull"}, NODE_S + 121.0),
        ({"scheduled_s": NODE_S, "waiting": "ErrImagePull", "failing_s": IMAGE_S}, IMAGE_S + 121.0),
        ({"unschedulable": "didn't match Pod's node affinity/selector"}, BEGAN_S + 180.0 + 121.0),
        ({}, BEGAN_S + 180.0 + 121.0),
    ],
    ids=[
        "runs",
        "runs where the clock is slow",
        "image is pulled",
        "image cannot be pulled",
        "image cannot be pulled after a while",
        "no node of its kind",
        "no scheduler",
    ],
)
@pytest.mark.parametrize("may_list_sets", [True, False])
def test_a_variant_s_time_counts_from_when_its_pod_has_a_node_and_its_image(
    changes: dict[str, Any], due_s: float, may_list_sets: bool, tmp_path: Path
) -> None:
    """Whatever Kubernetes says of the rollout."""
    deployed = tiny(tmp_path)
    given = on_server(deployed, LARGE, updated=1, old=2)
    made = present(given, [made_of(given)], BEGAN_S)
    given["status"]["conditions"] = [{**LATE, "message": f'ReplicaSet "{made.name}" has timed out progressing.'}]
    waiting: dict[str, Any] = {"scheduled_s": None, "started_s": None, "ready_s": None, "created_s": BEGAN_S}
    of = {"replica_set": made.name, "template": template(deployed, LARGE)}
    starting = pod(1, "large", **waiting | of | changes)
    for now_s, is_late in ((due_s, False), (due_s + 1.0, True)):
        seen = obstacle(given, [starting], made if may_list_sets else None, now_s, nodes_within_s=180.0)
        assert (seen.is_late, bool(seen.problem)) == (is_late, is_late)


def test_a_replica_set_that_cannot_be_made_is_told_until_the_change_is_seen(tmp_path: Path) -> None:
    """As Kubernetes 1.20 tells it. It keeps the time of the first refusal, so nothing is given up for it."""
    said = 'Failed to create new replica set "x": replicasets.apps "x" is forbidden: exceeded quota: few'
    told = {"type": "Progressing", "status": "False", "reason": "ReplicaSetCreateError", "message": said}
    status: dict[str, Any] = {"updated": 0, "old": 2, "conditions": [{**told, "lastTransitionTime": BEGAN}]}
    for seen, delay in ((1, said), (2, "")):
        given = on_server(tiny(tmp_path), LARGE, generation=2, seen=seen, **status)
        now_s = BEGAN_S + 10_000.0
        assert obstacle(given, [pod(1)], present(given, [], now_s), now_s) == Obstacle(delay=delay)


# ---- which template it is of ----


def test_the_present_replica_set_is_the_latest_of_its_deployment_and_its_template(tmp_path: Path) -> None:
    """After `kubectl rollout restart` two are of one template."""
    deployed = tiny(tmp_path)
    given = on_server(deployed, LARGE, updated=0, old=2)
    restarted = made_of(given, revision=10, refusal="of the present")
    restarted["metadata"]["name"] = "again"
    anothers = made_of(given, revision=11)
    anothers["metadata"]["ownerReferences"][0]["uid"] = "another"
    before = made_of(on_server(deployed, sort("small", 2)["sort"]), revision=12)
    sets = [made_of(given, revision=9), restarted, anothers, before]
    assert present(given, sets, BEGAN_S).name == "again"
    assert present(given, sets, BEGAN_S).refusal == "of the present"
    assert present(given, [], BEGAN_S).name == present(given, [anothers, before], BEGAN_S).name == ""


def test_what_was_told_before_the_latest_change_is_not_believed(tmp_path: Path) -> None:
    given = on_server(tiny(tmp_path), LARGE, generation=2, seen=1, updated=0, old=2, conditions=[LATE])
    assert obstacle(given, [], None) == Obstacle()
    assert present(given, [made_of(given, refusal="forbidden")], BEGAN_S).name == ""
    seen = on_server(tiny(tmp_path), LARGE, updated=0, old=2)
    assert present(seen, [made_of(seen, refusal="forbidden", seen=0)], BEGAN_S).refusal == ""


def test_where_replica_sets_may_not_be_read_a_refusal_is_told_and_not_believed_until_the_deadline(
    tmp_path: Path,
) -> None:
    """It may be of an earlier template. Want of room is believed: it ends by itself."""
    said = 'pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2'

    def unread(message: str, *conditions: object) -> Obstacle:
        given = on_server(tiny(tmp_path), LARGE, updated=0, old=2, conditions=[refused(message), *conditions])
        return obstacle(given, [], None)

    late = {**LATE, "message": "has timed out."}
    assert unread(said) == Obstacle(delay=said)
    assert unread(said, late).problem == f"variant large: has timed out.: {said}"
    assert unread("exceeded quota") == Obstacle("exceeded quota", is_out_of_room=True)
