"""How a stage of a deployed pipeline, or its gateway, stands: its Deployment as the server has it, and its pods."""

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
"""If a container has crashed more often while its variant never became ready, another start will not help."""
NO_SUCH_IMAGE = ("ErrImageNeverPull", "InvalidImageName")
"""Waiting will not bring these images; a registry that is away may come back before the deadline."""

_OVER_QUOTA = "exceeded quota"
_REFUSED = re.compile(r"is forbidden: (?!exceeded quota|error looking up service account)|is invalid: ")
"""What the API server says of pods that it will refuse again: limits that a quota asks for or a LimitRange sets, Pod
Security, a priority class that is not there. A quota has room again some day, and a new account is known in a moment.
"""
_REFUSED_POD = re.compile(r'pods? "([^"]+)"', re.IGNORECASE)
_ROLLED_OUT = re.compile(r'replica ?set "([^"]+)"', re.IGNORECASE)
_WANT_OF_ROOM = re.compile(r"Insufficient|Too many pods|\btaint|unschedulable|no nodes available")
"""What a scheduler says if other, or emptier, nodes would help; with volumes and affinities they would not."""


@dataclass(frozen=True, slots=True)
class StageState:
    """A Deployment as the server has it, and its pods: of a stage, of a further lane of one, or of the gateway.

    That of a stage is of its first lane, and speaks for the whole stage; `further` are the other lanes, by number.

    `wanted`, `sound`, `failed` and `asked`, the replicas that we last asked for, are what its annotations say (None:
    nothing that could be read). `problem` is a sentence on why its rollout cannot go on, empty if it can; with
    `is_out_of_room` the reason is a lack of quota or nodes, and no fault of the variant. `delay` is what keeps a pod
    from starting now, and may pass.
    """

    given: Mapping[str, Any]
    pods: Sequence[Pod] = ()
    wanted: StageConfiguration | None = None
    sound: StageConfiguration | None = None
    failed: Mapping[str, float] = field(default_factory=dict)
    asked: int | None = None
    problem: str = ""
    is_out_of_room: bool = False
    delay: str = ""
    further: Mapping[int, StageState] = field(default_factory=dict)

    # ---- the whole stage ----

    @property
    def lanes(self) -> dict[int, StageState]:
        """All lanes of the stage that have a Deployment."""
        return {0: self, **self.further}

    @property
    def all_pods(self) -> list[Pod]:
        """Those of all lanes."""
        return [pod for lane in self.lanes.values() for pod in lane.pods]

    @property
    def troubled(self) -> StageState | None:
        """The first lane that cannot go on, if there is one: for a fault of its own rather than for want of room."""
        found = [lane for lane in self.lanes.values() if lane.problem]
        return min(found, key=lambda lane: lane.is_out_of_room, default=None)

    @property
    def any_delay(self) -> str:
        """What keeps a pod of any lane from starting now, and may pass."""
        return next((lane.delay for lane in self.lanes.values() if lane.delay), "")

    def stands(self, wanted: StageConfiguration, *, alone: bool = True) -> bool:
        """Whether the stage is as wanted: the replicas of every variant, ready, and if `alone` no others."""
        lanes = [lane for lane in self.lanes.values() if lane.replicas or not lane.is_complete]
        parts = {(part.variant, part.replicas) for part in wanted.parts}
        there = [lane for lane in lanes if lane.is_complete and (lane.variant, lane.replicas) in parts]
        return self.wanted == wanted and len(there) == len(parts) and not (alone and len(lanes) > len(there))

    # ---- a Deployment ----

    @property
    def part(self) -> StageConfiguration | None:
        """Of what is wanted, the part of the variant of its template; None where that is not wanted."""
        return None if self.wanted is None else part_of(self.wanted, self.variant)

    @property
    def replicas(self) -> int:
        return int(self.given["spec"].get("replicas", 1))

    @property
    def is_ours(self) -> bool:
        """Whether the number of replicas is what we asked for, if we ever did."""
        return self.asked in (None, self.replicas)

    @property
    def is_seen(self) -> bool:
        """Whether the Deployment controller has acted on the latest change; until then the counts are older."""
        return is_seen(self.given)

    @property
    def is_uniform(self) -> bool:
        """Whether all replicas are of the present template."""
        status = self.given.get("status") or {}
        return self.is_seen and bool(status.get("updatedReplicas", 0) == status.get("replicas", 0))

    @property
    def is_complete(self) -> bool:
        """Whether all replicas are of the present template, ready, and if resized in place of the wanted cores."""
        status = self.given.get("status") or {}
        counts = {status.get(key, 0) for key in ("updatedReplicas", "availableReplicas", "replicas")}
        has_cores = (part := self.part) is None or not any(
            {pod.asked_cores, pod.cores} != {part.cores} for pod in self.resizable(part.variant)
        )
        return self.is_uniform and counts == {self.replicas} and has_cores

    @property
    def cores(self) -> int | None:
        """The cores that its pods are made with; None if they are not resized in place."""
        meta = self.given["spec"]["template"]["metadata"]
        is_resized = names.RESIZE in (meta.get("annotations") or {})
        return int(meta["labels"][names.CORES]) if is_resized else None

    @property
    def variant(self) -> str:
        """The variant of its template."""
        return str((self.given["spec"]["template"]["metadata"].get("annotations") or {}).get(names.VARIANT, ""))

    def resizable(self, variant: str) -> list[Pod]:
        """The pods of a variant whose cores change in place, without those that are to go."""
        return [
            pod
            for pod in self.pods
            if pod.asked_cores is not None and pod.variant == variant and pod.removed_s is None and not pod.is_over
        ]


def part_of(wanted: StageConfiguration, variant: str) -> StageConfiguration | None:
    """The part of a variant; None if there is none."""
    return next((part for part in wanted.parts if part.variant == variant), None)


def read_stage(
    given: Mapping[str, Any], pods: Sequence[Pod], further: Mapping[int, StageState] | None = None
) -> StageState:
    """What a Deployment and its pods say."""
    annotations = given["metadata"].get("annotations") or {}
    wanted, sound = (_configuration(annotations.get(key)) for key in (names.WANTED, names.SOUND))
    problem, is_out_of_room = _problem(given, pods)
    asked = annotations.get(names.REPLICAS, "")
    delay = "" if problem else _delay(given, pods)
    return StageState(
        given,
        pods,
        wanted,
        sound,
        _failed(annotations.get(names.FAILED)),
        int(asked) if asked.isdecimal() else None,
        problem,
        is_out_of_room,
        delay,
        further or {},
    )


def _configuration(text: str | None) -> StageConfiguration | None:
    try:
        return None if text is None else from_text(text)
    except ValueError:
        return None


def is_seen(given: Mapping[str, Any]) -> bool:
    """Whether a Deployment's status reflects its latest change."""
    seen = (given.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= given["metadata"].get("generation", 1))


def has_available(given: Mapping[str, Any] | None) -> bool:
    """Whether a Deployment exists and has a pod that is ready."""
    return given is not None and bool((given.get("status") or {}).get("availableReplicas", 0))


def _problem(given: Mapping[str, Any], pods: Sequence[Pod]) -> tuple[str, bool]:
    """Why a rollout cannot go on, empty if it can; and whether for lack of room."""
    here = [pod for pod in pods if pod.removed_s is None and not pod.is_over]
    homeless = [pod for pod in here if pod.unschedulable]
    if any(_WANT_OF_ROOM.search(pod.unschedulable) for pod in homeless):
        return f"{len(homeless)} of {len(here)} pods find no node with room: {homeless[0].unschedulable}", True
    current, variant = _current(given, here), _variant(given)
    has_served = any(pod.ready_s is not None for pod in current)
    stuck = next((pod for pod in current if _will_not_start(pod, has_served)), None)
    if stuck is not None:
        return f"{variant}{stuck.waiting} after {stuck.restarts} restarts{_last_words(current)}", False
    refusal, progress = _refusal(given), _conditions(given).get("Progressing", {})
    if _OVER_QUOTA in refusal:
        return refusal, True
    if _REFUSED.search(refusal) and not (has_served or _is_older(refusal, progress)):
        return f"{variant}{refusal}", False
    if progress.get("reason") == "ProgressDeadlineExceeded":
        why = progress.get("message", "not ready in time")
        words = _last_words(current) or (f": {refusal}" if refusal else _waits(current))
        return f"{variant}{why}{words}", False
    return "", False


def _delay(given: Mapping[str, Any], pods: Sequence[Pod]) -> str:
    """What keeps one of the present pods from starting, or the next from being made; empty if nothing does."""
    current = _current(given, [pod for pod in pods if pod.removed_s is None and not pod.is_over])
    late = next((pod for pod in current if pod.ready_s is None and (pod.waiting in FAILING or pod.unschedulable)), None)
    if late is None and (unresized := next((pod for pod in current if pod.unresized), None)):
        return f"{unresized.name} keeps {unresized.cores} cores: {unresized.unresized}"
    if late is None:
        refusal = _refusal(given)
        return "" if _is_older(refusal, _conditions(given).get("Progressing", {})) else refusal
    return f"{_variant(given)}{late.waiting or 'no node takes it'}{_last_words([late])}"


def _current(given: Mapping[str, Any], pods: Sequence[Pod]) -> list[Pod]:
    """The pods of the present template."""
    template = (given["spec"]["template"]["metadata"].get("annotations") or {}).get(names.TEMPLATE)
    return [pod for pod in pods if pod.template == template]


def _is_older(refusal: str, progress: Mapping[str, Any]) -> bool:
    """Whether the refused pod is of an earlier template, whose refusal is told until it is scaled down."""
    pod, rolled_out = _REFUSED_POD.match(refusal), _ROLLED_OUT.search(progress.get("message", ""))
    return pod is not None and rolled_out is not None and not pod[1].startswith(f"{rolled_out[1]}-")


def _variant(given: Mapping[str, Any]) -> str:
    """How a sentence about its pods begins: with the variant, where there is one."""
    variant = (given["spec"]["template"]["metadata"].get("annotations") or {}).get(names.VARIANT)
    return f"variant {variant}: " if variant else ""


def _refusal(given: Mapping[str, Any]) -> str:
    """Why the API server refuses the next pod; empty if it does not."""
    refused = _conditions(given).get("ReplicaFailure", {})
    return str(refused.get("message", refused.get("reason", ""))) if refused.get("status") == "True" else ""


def _conditions(given: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """A Deployment's conditions by type; none while they are older than its latest change."""
    conditions = (given.get("status") or {}).get("conditions") or ()
    return {each["type"]: each for each in conditions} if is_seen(given) else {}


def _last_words(pods: Sequence[Pod]) -> str:
    """What one of them, or the scheduler, says about the failure; else how one ended."""
    said = next((text for pod in pods if (text := pod.said or pod.unschedulable)), "")
    crash = next((pod.crash for pod in pods if pod.crash), "")
    return f": {said}" if said else f" ({crash})" if crash else ""


def _waits(pods: Sequence[Pod]) -> str:
    """What a pod that says nothing has come to, and where its node tells why."""
    late = next((pod for pod in pods if pod.ready_s is None), None)
    if late is None:
        return ""
    return f" ({late.waiting or 'its container runs, but is not ready'}; see: kubectl describe pod {late.name})"


def _will_not_start(pod: Pod, has_served: bool) -> bool:
    """Whether a pod will never start: it crashes, or its image cannot come, and no other replica has served."""
    is_hopeless = pod.restarts > CRASHES_ALLOWED or pod.waiting in NO_SUCH_IMAGE
    return pod.waiting in FAILING and is_hopeless and not has_served


def _failed(text: str | None) -> dict[str, float]:
    try:
        return {str(variant): float(at_s) for variant, at_s in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}
