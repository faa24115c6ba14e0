"""The status of a Deployment and its ReplicaSets, and what hinders the pods of its present template.

A Deployment's conditions cover all its ReplicaSets together, and Kubernetes (1.20 to 1.34) keeps a condition's message
while its reason stays the same. So they may concern a pod of an earlier template, or say of an earlier rollout that it
has begun, has ended or is past its deadline. Refusals for the present template are therefore read from its own
ReplicaSet, and a deadline counts only if its message names that.

A Deployment's deadline runs while its pods wait for a node and for their image, which is no fault of a variant. So
where it has pods that are not ready, it is late when one of these has had its time, however the deadline stands.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from ipa.live.kubernetes import names
from ipa.live.kubernetes.pods import FAILING, Pod, controller_of, seconds


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """The ReplicaSet of a Deployment's present template; without a name, there is none yet.

    `refusal`: why the API server has refused its next pod for `refused_for_s`; empty if it has not.
    """

    name: str = ""
    refusal: str = ""
    refused_for_s: float = 0.0


def present(deployment: Mapping[str, Any], replica_sets: Iterable[Mapping[str, Any]], now_s: float) -> ReplicaSet:
    """The ReplicaSet of a Deployment's present template: among all with that template, the latest revision.

    `now_s`: the server's Unix time. Several have one template after `kubectl rollout restart`, or if only the
    pipeline's file differs.
    """
    uid = deployment["metadata"].get("uid")
    of_template = [
        replica_set
        for replica_set in replica_sets
        if controller_of(replica_set).get("uid") == uid
        and digest_of_template(replica_set) == digest_of_template(deployment)
    ]
    newest = max(of_template, key=_revision, default=None)
    if newest is None or not is_seen(deployment):
        return ReplicaSet()
    refused = conditions(newest).get("ReplicaFailure", {})
    refused_for_s = now_s - seconds(refused["lastTransitionTime"]) if refused else 0.0
    return ReplicaSet(newest["metadata"]["name"], _words(refused), refused_for_s)


def refusal(deployment: Mapping[str, Any]) -> str:
    """Why the server refuses a pod of a Deployment, of any of its templates; empty if it does not."""
    return _words(conditions(deployment).get("ReplicaFailure", {}))


def uncreated(deployment: Mapping[str, Any]) -> str:
    """Why the server refuses the ReplicaSet of a Deployment's latest template; empty if it does not.

    The condition appears before the change counts as seen, which needs a ReplicaSet. For a moment it may still concern
    the previous template.
    """
    if is_seen(deployment):
        return ""
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if (condition["type"], condition.get("reason")) == ("Progressing", "ReplicaSetCreateError"):
            return str(condition.get("message", condition["reason"]))
    return ""


def conditions(resource: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The conditions of an object by type; none while they are older than its latest change."""
    listed = (resource.get("status") or {}).get("conditions") or ()
    return {condition["type"]: condition for condition in listed} if is_seen(resource) else {}


def is_seen(resource: Mapping[str, Any]) -> bool:
    """Whether an object's status reflects its latest change."""
    seen_generation = (resource.get("status") or {}).get("observedGeneration", 0)
    return bool(seen_generation >= resource["metadata"].get("generation", 1))


def is_rolled_out(deployment: Mapping[str, Any]) -> bool:
    """Whether a Deployment has all its replicas, of the present template and ready, and no others. Of two gateways, one
    is ready."""
    status, replicas = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    is_gateway = (deployment["metadata"].get("labels") or {}).get(names.COMPONENT) == names.GATEWAY
    ready = status.get("availableReplicas", 0) == (1 if is_gateway else replicas)
    are_new = {status.get(key, 0) for key in ("updatedReplicas", "replicas")} == {replicas}
    return is_seen(deployment) and ready and are_new


def has_available(deployment: Mapping[str, Any] | None) -> bool:
    """Whether a Deployment exists and has a pod that is ready."""
    return deployment is not None and bool((deployment.get("status") or {}).get("availableReplicas", 0))


def digest_of_template(resource: Mapping[str, Any]) -> str:
    """The digest of the pod template of a Deployment or a ReplicaSet."""
    return _annotation_of_template(resource, names.TEMPLATE)


def variant_of_template(deployment: Mapping[str, Any]) -> str:
    """The variant of the pods of a Deployment; empty for the gateway's."""
    return _annotation_of_template(deployment, names.VARIANT)


def _annotation_of_template(resource: Mapping[str, Any], key: str) -> str:
    return str((resource["spec"]["template"]["metadata"].get("annotations") or {}).get(key, ""))


def _revision(replica_set: Mapping[str, Any]) -> int:
    """The number of its latest rollout among those of its Deployment."""
    return int((replica_set["metadata"].get("annotations") or {}).get(names.REVISION, 0))


def _words(refused: Mapping[str, Any]) -> str:
    return str(refused.get("message", refused.get("reason", ""))) if refused.get("status") == "True" else ""


# ---- what hinders pods ----


PULLED_WITHIN_S = 600.0
"""How long a node may take to pull the image, and to mount volumes, as long as it reports no failure."""
CRASHES_ALLOWED = 2
"""If a container has crashed more often while its variant never became ready, another start will not help."""
NO_SUCH_IMAGE = ("ErrImageNeverPull", "InvalidImageName")
"""Reasons why an image will never come; a registry that is unavailable may return before the deadline."""

_OVER_QUOTA = "exceeded quota"
_PASSES = "exceeded quota|status unknown for quota|error looking up service account"
_REFUSED = re.compile(rf"is forbidden: (?!{_PASSES})|is invalid: ")
"""Messages of refusals that will recur: limits that a quota demands or a LimitRange sets, Pod Security, an unknown
priority class. An exceeded quota may get room again; the status of a new quota, or a new account, is known in a
moment."""
_WANT_OF_ROOM = re.compile(r"Insufficient|Too many pods|\btaint|unschedulable|no nodes available")
"""Messages of a scheduler where other, or emptier, nodes would help; with volumes and affinities they would not."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What hinders a rollout.

    `problem`: why it cannot go on; empty if it can. `is_out_of_room`: the problem is lack of quota or nodes
    (`wants_node`), no fault of the variant. `is_late`: the time that a rollout may take has passed. `delay`: what keeps
    a pod from starting now, and may pass. `lost`: which nodes with its pods are not ready.
    """

    problem: str = ""
    is_out_of_room: bool = False
    wants_node: bool = False
    is_late: bool = False
    delay: str = ""
    lost: str = ""


NOTHING = Obstacle()


def obstacle(
    deployment: Mapping[str, Any],
    pods: Sequence[Pod],
    replica_set: ReplicaSet | None,
    now_s: float = 0.0,
    lost: Collection[str] = (),
    nodes_within_s: float = 0.0,
) -> Obstacle:
    """What hinders the pods of a Deployment; nothing once all are ready.

    `pods`: those of all its templates. `replica_set`: that of the present one; None if it may not be read. Then a
    refusal, of whichever template, is only a delay, unless it is of a quota or the deadline has passed. `now_s`: the
    server's Unix time; without it, no pod counts as late. `lost`: the nodes that are not ready; their pods count
    against nothing, and while there are any, no deadline counts. `nodes_within_s`: how long a node may take to come.
    """
    away = [pod for pod in pods if pod.node in lost and not pod.is_over]
    limits = _Limits(
        now_s, int(deployment["spec"].get("progressDeadlineSeconds", 600)) - ceil(nodes_within_s), nodes_within_s
    )
    here, has_lost = [pod for pod in pods if pod not in away], any(pod.is_lost for pod in away)
    hindrance = _obstacle(deployment, here, replica_set, limits, has_lost)
    if not away or is_rolled_out(deployment):
        return hindrance
    nodes = sorted({pod.node for pod in away})
    lost_text = f"node{'s' if nodes[1:] else ''} {', '.join(nodes)} not ready, with {len(away)} of {len(pods)} pods"
    return replace(NOTHING if hindrance.is_late else hindrance, lost=lost_text, delay=hindrance.delay or lost_text)


@dataclass(frozen=True, slots=True)
class _Limits:
    """The server's Unix time, and how long a pod may take to become ready once its container runs, and to get a
    node."""

    now_s: float
    ready_within_s: int
    nodes_within_s: float

    def overdue(self, pods: Iterable[Pod]) -> str:
        """Which pod has had its time and is not ready, and why, if it says so; empty if none."""
        for pod in pods:
            since_s, within_s = self._time_of(pod)
            if pod.ready_s is None and self.now_s - since_s > within_s:
                return f"{pod.name} has not been ready for {within_s:g} s{_last_words([pod]) or _waits(pod)}"
        return ""

    def _time_of(self, pod: Pod) -> tuple[float, float]:
        """Since when [Unix time] a pod has had how long [s] to go on."""
        if pod.scheduled_s is None:
            return pod.created_s, self.nodes_within_s + self.ready_within_s
        if pod.started_s is not None:
            # Never before it had a node, whose clock may be slow.
            return max(pod.scheduled_s, pod.started_s, pod.unready_s or 0.0), self.ready_within_s
        if pod.waiting in FAILING:
            return pod.failing_s or pod.scheduled_s, self.ready_within_s
        return pod.scheduled_s, PULLED_WITHIN_S


def _obstacle(
    deployment: Mapping[str, Any],
    pods: Sequence[Pod],
    replica_set: ReplicaSet | None,
    limits: _Limits,
    has_served: bool,
) -> Obstacle:
    """The same for pods on nodes that are ready; `has_served`: other pods of the Deployment have served."""
    if is_rolled_out(deployment):
        return NOTHING
    here = _present([pod for pod in pods if pod.removed_s is None and not pod.is_over], deployment, replica_set)
    homeless = [pod for pod in here if _WANT_OF_ROOM.search(pod.unschedulable)]
    if homeless:
        text = f"{len(homeless)} of {len(here)} pods find no node with room: {homeless[0].unschedulable}"
        return Obstacle(text, is_out_of_room=True, wants_node=True)
    refused = refusal(deployment) if replica_set is None else replica_set.refusal
    has_served = has_served or any(pod.ready_s is not None for pod in here)
    stuck = next((pod for pod in here if _will_not_start(pod, has_served)), None)
    late = ""
    if stuck is not None:
        why = f"{stuck.waiting} after {stuck.restarts} restarts{_last_words(here)}"
    elif _OVER_QUOTA in refused:
        return Obstacle(refused, is_out_of_room=True)
    elif _REFUSED.search(refused) and replica_set is not None and not has_served:
        why = refused
    else:
        why = late = _too_late(deployment, here, replica_set, limits, refused, has_served)
    if why:
        return Obstacle(_of_variant(deployment, why), is_late=bool(late))
    return Obstacle(delay=uncreated(deployment) or _delay(deployment, here, refused, limits))


def _present(pods: Sequence[Pod], deployment: Mapping[str, Any], replica_set: ReplicaSet | None) -> list[Pod]:
    if replica_set is None:
        return [pod for pod in pods if pod.template == digest_of_template(deployment)]
    return [pod for pod in pods if pod.replica_set == replica_set.name]


def _too_late(
    deployment: Mapping[str, Any],
    pods: Sequence[Pod],
    replica_set: ReplicaSet | None,
    limits: _Limits,
    refused: str,
    has_served: bool,
) -> str:
    """What has passed its deadline; empty if nothing has.

    Kubernetes sets no deadline for a single pod once the rollout has ended, nor for a template that has had pods before
    and gets none now.
    """
    progress = conditions(deployment).get("Progressing", {})
    reason, text = progress.get("reason"), progress.get("message", "not ready in time")
    is_of_present = replica_set is None or f'"{replica_set.name}"' in text
    if any(pod.ready_s is None for pod in pods):
        has_ended = reason == "NewReplicaSetAvailable" and is_of_present
        return "" if has_ended or not is_seen(deployment) else limits.overdue(pods)
    if reason == "ProgressDeadlineExceeded" and is_of_present:
        return f"{text}{f': {refused}' if refused else ''}"
    if replica_set is not None and refused and not has_served and replica_set.refused_for_s > limits.ready_within_s:
        return f"refused for {limits.ready_within_s} s: {refused}"
    return ""


def _delay(deployment: Mapping[str, Any], pods: Sequence[Pod], refused: str, limits: _Limits) -> str:
    """What keeps one of the pods from starting, or the next from being made, and may pass."""
    late = next((pod for pod in pods if pod.ready_s is None and (pod.waiting in FAILING or pod.unschedulable)), None)
    if late is not None:
        return _of_variant(deployment, f"{late.waiting or 'no node takes it'}{_last_words([late])}")
    text = limits.overdue(pods)
    return refused or (_of_variant(deployment, text) if text else "")


def _of_variant(deployment: Mapping[str, Any], text: str) -> str:
    """A text about pods, with their variant before it if they have one."""
    variant = variant_of_template(deployment)
    return f"variant {variant}: {text}" if variant else text


def _last_words(pods: Sequence[Pod]) -> str:
    """What one of them, or the scheduler, says about the failure; else how one ended."""
    reason = next((text for pod in pods if (text := pod.message or pod.unschedulable)), "")
    crash = next((pod.crash for pod in pods if pod.crash), "")
    return f": {reason}" if reason else f" ({crash})" if crash else ""


def _waits(pod: Pod) -> str:
    """The state of a pod that gives no reason, and the command that shows its events."""
    return f" ({pod.waiting or 'its container runs, but is not ready'}; see: kubectl describe pod {pod.name})"


def _will_not_start(pod: Pod, has_served: bool) -> bool:
    """Whether a pod will never start: it crashes, or its image cannot come, and no other replica has served."""
    is_hopeless = pod.restarts > CRASHES_ALLOWED or pod.waiting in NO_SUCH_IMAGE
    return pod.waiting in FAILING and is_hopeless and not has_served
