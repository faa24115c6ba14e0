"""What a Deployment and its ReplicaSets say of themselves, as the server has them.

A Deployment's own conditions are of all its ReplicaSets together, and Kubernetes (1.20 to 1.34) leaves the words of a
condition as they are while its reason is the same. So they may tell why a pod of an earlier template was refused, and
of the rollout before that it has begun, has ended or is past its deadline. What is refused to the present template is
read from its own ReplicaSet, and a deadline counts if it names that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ipa.live.kubernetes import names
from ipa.live.kubernetes.pods import controller_of, seconds


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """The ReplicaSet of a Deployment's present template; without a name, there is none yet.

    `refusal` is why the API server refuses its next pod, and has done so for `refused_for_s`; empty if it does not.
    """

    name: str = ""
    refusal: str = ""
    refused_for_s: float = 0.0


def present(given: Mapping[str, Any], replica_sets: Iterable[Mapping[str, Any]], now_s: float) -> ReplicaSet:
    """That of a Deployment's present template: of those made from such a template, the one of the latest revision.
    `now_s`: the server's Unix time.

    Another is of such a template after `kubectl rollout restart`, or where only the pipeline's file differs.
    """
    uid = given["metadata"].get("uid")
    of_template = [
        each
        for each in replica_sets
        if controller_of(each).get("uid") == uid and digest_of_template(each) == digest_of_template(given)
    ]
    newest = max(of_template, key=_revision, default=None)
    if newest is None or not is_seen(given):
        return ReplicaSet()
    refused = conditions(newest).get("ReplicaFailure", {})
    refused_for_s = now_s - seconds(refused["lastTransitionTime"]) if refused else 0.0
    return ReplicaSet(newest["metadata"]["name"], _words(refused), refused_for_s)


def refusal(given: Mapping[str, Any]) -> str:
    """Why the server refuses a pod of a Deployment, whichever of its templates that is of; empty if it does not."""
    return _words(conditions(given).get("ReplicaFailure", {}))


def uncreated(given: Mapping[str, Any]) -> str:
    """Why the server refuses the ReplicaSet of a Deployment's latest template; empty if it does not.

    It is told before the change counts as seen, which it does once there is a ReplicaSet. For a moment it may still be
    about the template before.
    """
    if is_seen(given):
        return ""
    for each in (given.get("status") or {}).get("conditions") or ():
        if (each["type"], each.get("reason")) == ("Progressing", "ReplicaSetCreateError"):
            return str(each.get("message", each["reason"]))
    return ""


def conditions(given: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The conditions of an object by type; none while they are older than its latest change."""
    found = (given.get("status") or {}).get("conditions") or ()
    return {each["type"]: each for each in found} if is_seen(given) else {}


def is_seen(given: Mapping[str, Any]) -> bool:
    """Whether an object's status reflects its latest change."""
    seen = (given.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= given["metadata"].get("generation", 1))


def is_rolled_out(given: Mapping[str, Any]) -> bool:
    """Whether a Deployment has all its replicas, of the present template and ready, and no others."""
    status = given.get("status") or {}
    counts = {status.get(key, 0) for key in ("updatedReplicas", "availableReplicas", "replicas")}
    return is_seen(given) and counts == {given["spec"].get("replicas", 1)}


def has_available(given: Mapping[str, Any] | None) -> bool:
    """Whether a Deployment exists and has a pod that is ready."""
    return given is not None and bool((given.get("status") or {}).get("availableReplicas", 0))


def digest_of_template(given: Mapping[str, Any]) -> str:
    """The digest of what the pods of a Deployment or a ReplicaSet are made from."""
    return _annotation_of_template(given, names.TEMPLATE)


def variant_of_template(given: Mapping[str, Any]) -> str:
    """The variant of the pods of a Deployment; empty for the gateway's."""
    return _annotation_of_template(given, names.VARIANT)


def _annotation_of_template(given: Mapping[str, Any], key: str) -> str:
    return str((given["spec"]["template"]["metadata"].get("annotations") or {}).get(key, ""))


def _revision(replica_set: Mapping[str, Any]) -> int:
    """How late in the rollouts of its Deployment it came, or came back."""
    return int((replica_set["metadata"].get("annotations") or {}).get(names.REVISION, 0))


def _words(refused: Mapping[str, Any]) -> str:
    return str(refused.get("message", refused.get("reason", ""))) if refused.get("status") == "True" else ""
