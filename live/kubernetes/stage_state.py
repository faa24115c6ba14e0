"""How a stage of a deployed pipeline stands: its Deployment as the server has it, and its pods."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ipa.live.kubernetes import names
from ipa.live.kubernetes.manifests import from_text
from ipa.live.kubernetes.pods import FAILING, Pod
from ipa.policies import StageConfiguration

CRASHES_ALLOWED = 2
"""A container that has crashed more often while its variant never became ready will not by another start."""
NO_SUCH_IMAGE = ("ErrImageNeverPull", "InvalidImageName")
"""An image that will not come by waiting; a registry that is away for a while may come back before the deadline."""

_OVER_QUOTA = "exceeded quota"
_WANT_OF_ROOM = re.compile(r"Insufficient|Too many pods|\btaint|unschedulable")
"""What a scheduler says where other, or emptier, nodes would do; of volumes and affinities they would not."""


@dataclass(frozen=True, slots=True)
class StageState:
    """A stage's Deployment as the server has it, and the pods of the stage.

    `wanted`, `sound` and `failed` are what its annotations say (None: nothing that could be read), `problem` a
    sentence on why its rollout cannot go on, empty where it can; `is_out_of_room`: for want of quota or of nodes, which
    is no fault of the variant.
    """

    given: Mapping[str, Any]
    pods: Sequence[Pod] = ()
    wanted: StageConfiguration | None = None
    sound: StageConfiguration | None = None
    failed: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""
    is_out_of_room: bool = False

    @property
    def replicas(self) -> int:
        return int(self.given["spec"].get("replicas", 1))

    @property
    def is_seen(self) -> bool:
        """The controller of Deployments has acted on what it was asked last; until then counts are those of before."""
        return is_seen(self.given)

    @property
    def is_uniform(self) -> bool:
        """All replicas are of the present template."""
        status = self.given.get("status") or {}
        return self.is_seen and bool(status.get("updatedReplicas", 0) == status.get("replicas", 0))

    @property
    def is_complete(self) -> bool:
        """All replicas are of the present template, and ready."""
        status = self.given.get("status") or {}
        counts = {status.get(key, 0) for key in ("updatedReplicas", "availableReplicas", "replicas")}
        return self.is_uniform and counts == {self.replicas}


def read_stage(given: Mapping[str, Any], pods: Sequence[Pod]) -> StageState:
    """What a Deployment and its pods say."""
    annotations = given["metadata"].get("annotations") or {}
    wanted, sound = (_configuration(annotations.get(key)) for key in (names.WANTED, names.SOUND))
    problem, is_out_of_room = _problem(given, pods)
    return StageState(given, pods, wanted, sound, _failed(annotations.get(names.FAILED)), problem, is_out_of_room)


def _configuration(text: str | None) -> StageConfiguration | None:
    try:
        return None if text is None else from_text(text)
    except ValueError:
        return None


def is_seen(given: Mapping[str, Any]) -> bool:
    """Whether a Deployment's status is of what it was asked last."""
    seen = (given.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= given["metadata"].get("generation", 1))


def has_available(given: Mapping[str, Any] | None) -> bool:
    """Whether a Deployment is there and has a pod that is ready."""
    return given is not None and bool((given.get("status") or {}).get("availableReplicas", 0))


def _problem(given: Mapping[str, Any], pods: Sequence[Pod]) -> tuple[str, bool]:
    """Why a rollout cannot go on, empty where it can; and whether for want of room."""
    here = [pod for pod in pods if pod.removed_s is None and not pod.is_over]
    homeless = [pod for pod in here if pod.unschedulable]
    if any(_WANT_OF_ROOM.search(pod.unschedulable) for pod in homeless):
        return f"{len(homeless)} of {len(here)} pods find no node with room: {homeless[0].unschedulable}", True
    annotations = given["spec"]["template"]["metadata"].get("annotations") or {}
    current = [pod for pod in here if pod.template == annotations.get(names.TEMPLATE)]
    has_served = any(pod.ready_s is not None for pod in current)
    stuck = next((pod for pod in current if _will_not_start(pod, has_served)), None)
    if stuck is not None:
        return f"variant {stuck.variant}: {stuck.waiting} after {stuck.restarts} restarts{_last_words(current)}", False
    conditions = _conditions(given)
    refused, progress = conditions.get("ReplicaFailure", {}), conditions.get("Progressing", {})
    refusal = refused.get("message", refused.get("reason", "")) if refused.get("status") == "True" else ""
    if _OVER_QUOTA in refusal:
        return refusal, True
    if progress.get("reason") == "ProgressDeadlineExceeded":
        why = progress.get("message", "not ready in time")
        words = _last_words(current) or (f": {refusal}" if refusal else "")
        return f"variant {annotations.get(names.VARIANT)}: {why}{words}", False
    return "", False


def _conditions(given: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """A Deployment's conditions by type; none of what its controller has not seen yet, as they are of before."""
    conditions = (given.get("status") or {}).get("conditions") or ()
    return {each["type"]: each for each in conditions} if is_seen(given) else {}


def _last_words(pods: Sequence[Pod]) -> str:
    """What one of them says of its failure, or the scheduler of it, else how it ended."""
    said = next((text for pod in pods if (text := pod.said or pod.unschedulable)), "")
    crash = next((pod.crash for pod in pods if pod.crash), "")
    return f": {said}" if said else f" ({crash})" if crash else ""


def _will_not_start(pod: Pod, has_served: bool) -> bool:
    """Where another replica serves, what keeps this one is its own; else crashes, or an image that cannot come."""
    is_hopeless = pod.restarts > CRASHES_ALLOWED or pod.waiting in NO_SUCH_IMAGE
    return pod.waiting in FAILING and is_hopeless and not has_served


def _failed(text: str | None) -> dict[str, float]:
    try:
        return {str(variant): float(at_s) for variant, at_s in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}
