"""How a stage of a deployed pipeline, or its gateway, stands: its Deployment as the server has it, and its pods."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ipa.live.kubernetes import names
from ipa.live.kubernetes.deployments import ReplicaSet, is_rolled_out, is_seen, variant_of_template
from ipa.live.kubernetes.manifests import from_text
from ipa.live.kubernetes.obstacles import NOTHING, Obstacle, obstacle
from ipa.live.kubernetes.pods import Pod
from ipa.policies import StageConfiguration


@dataclass(frozen=True, slots=True)
class StageState:
    """A Deployment as the server has it, and its pods: of a stage, of a further lane of one, or of the gateway.

    That of a stage is of its first lane, and speaks for the whole stage; `further` are the other lanes, by number.

    `wanted`, `sound`, `failed` and `asked`, the replicas that we last asked for, are what its annotations say (None:
    nothing that could be read). `obstacle` is what keeps the pods of its present template from coming.
    """

    given: Mapping[str, Any]
    pods: Sequence[Pod] = ()
    wanted: StageConfiguration | None = None
    sound: StageConfiguration | None = None
    failed: Mapping[str, float] = field(default_factory=dict)
    asked: int | None = None
    obstacle: Obstacle = NOTHING
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
        found = [lane for lane in self.lanes.values() if lane.obstacle.problem]
        return min(found, key=lambda lane: lane.obstacle.is_out_of_room, default=None)

    @property
    def any_delay(self) -> str:
        """What keeps a pod of any lane from starting now, and may pass."""
        return next((lane.obstacle.delay for lane in self.lanes.values() if lane.obstacle.delay), "")

    @property
    def wants_node(self) -> bool:
        """Whether pods of a lane wait for a node with room."""
        return any(lane.obstacle.wants_node for lane in self.lanes.values())

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
        has_cores = (part := self.part) is None or not any(
            {pod.asked_cores, pod.cores} != {part.cores} for pod in self.resizable(part.variant)
        )
        return is_rolled_out(self.given) and has_cores

    @property
    def cores(self) -> int | None:
        """The cores that its pods are made with; None if they are not resized in place."""
        meta = self.given["spec"]["template"]["metadata"]
        is_resized = names.RESIZE in (meta.get("annotations") or {})
        return int(meta["labels"][names.CORES]) if is_resized else None

    @property
    def variant(self) -> str:
        """The variant of its template."""
        return variant_of_template(self.given)

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
    given: Mapping[str, Any],
    pods: Sequence[Pod],
    further: Mapping[int, StageState] | None = None,
    made: ReplicaSet | None = None,
    now_s: float | None = None,
) -> StageState:
    """What a Deployment, the ReplicaSet of its present template and its pods say (see `obstacles.obstacle`)."""
    annotations = given["metadata"].get("annotations") or {}
    wanted, sound = (_configuration(annotations.get(key)) for key in (names.WANTED, names.SOUND))
    asked = annotations.get(names.REPLICAS, "")
    return StageState(
        given,
        pods,
        wanted,
        sound,
        _failed(annotations.get(names.FAILED)),
        int(asked) if asked.isdecimal() else None,
        obstacle(given, pods, made, now_s),
        further or {},
    )


def _configuration(text: str | None) -> StageConfiguration | None:
    try:
        return None if text is None else from_text(text)
    except ValueError:
        return None


def _failed(text: str | None) -> dict[str, float]:
    try:
        return {str(variant): float(at_s) for variant, at_s in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}
