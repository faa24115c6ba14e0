"""What is left to do at a stage, as a pure function of what is wanted and what there is.

Level-triggered: every pass starts from the whole state in the API server, however it came about, and yields only the
difference. A refused or stale write is never repeated unchanged: the next pass reads again and finds what is then left
to do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ipa.errors import Error
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.manifest_parts import Manifest
from ipa.live.kubernetes.manifests import as_text, stage_deployment
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import StageState
from ipa.policies import StageConfiguration

_QUANTITY = re.compile(r"\.resources\.(requests|limits)\.[^\[]+$")


@dataclass(frozen=True, slots=True)
class Apply:
    """Apply a manifest, server-side, provided the object is still what was read; None: there was none."""

    manifest: Manifest = field(repr=False)
    why: str
    resource_version: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Scale:
    """Set a stage's replicas, provided its Deployment is still what was read.

    `is_rolling`: it has replicas of more than one template. The Deployment controller would share the replicas out
    among them in proportion, by the number that their ReplicaSets remember; that number is removed first.
    """

    stage: str
    replicas: int
    resource_version: str | None
    is_rolling: bool
    why: str
    lane: int = 0


@dataclass(frozen=True, slots=True)
class ResizePod:
    """Give a pod other cores, as it runs."""

    stage: str
    pod: str
    variant: str
    cores: int
    why: str
    lane: int = 0


Action = Apply | Scale | ResizePod


class ForeignOwnerError(Error):
    """Another field manager owns what would have to change."""


class Kept:
    """What a server keeps different from what was asked, say because of admission webhooks: asking again is no use."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], tuple[Manifest, frozenset[str]]] = {}

    def note(self, manifest: Manifest, answer: Mapping[str, Any]) -> None:
        """Remember what the answer to an apply lacks of what was asked."""
        self._of[_key(manifest)] = manifest, frozenset(drift(manifest, _of_kind(manifest, answer)))

    def drift(self, manifest: Manifest, given: Mapping[str, Any]) -> list[str]:
        """Where an object differs from a manifest, except where the server kept this very manifest different."""
        asked, kept = self._of.get(_key(manifest), (None, frozenset[str]()))
        found = drift(manifest, _of_kind(manifest, given))
        return [path for path in found if path not in kept] if asked == manifest else found


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def _of_kind(manifest: Manifest, given: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its kind, which is missing in lists."""
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], **given}


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane of a stage; one that mixes no variants has the first alone.

    `wanted` is in force there, `decided` is wanted of the whole stage (None: the same); `state` is that of the lane's
    Deployment, None if there is none.
    """

    stage: str
    wanted: StageConfiguration
    state: StageState | None
    number: int = 0
    decided: StageConfiguration | None = None

    @property
    def title(self) -> str:
        """The lane in a sentence."""
        return names.title(self.stage, self.number)


def difference(
    deployed: Deployed,
    lane: Lane,
    owner: Manifest | None,
    failed: Mapping[str, float] | None = None,
    kept: Kept | None = None,
    by_rollout: str = "",
) -> list[Action]:
    """The actions, in order, that make a lane what it should be; none if it already is.

    `failed` are the variants to remember as failed, with the times [Unix time]; None: those remembered already. `kept`
    is what the server is known to keep different. `by_rollout` is why cores, though they should be, cannot be changed
    in place. Raises ForeignOwnerError if another has paused the Deployment.

    More replicas are asked for only once the Deployment controller has seen a new template, so that they are of the new
    variant; fewer are asked for before it gets one, so that old replicas make room for new ones.

    Where cores are changed in place, a new template would be a rollout: it keeps the cores that it has as long as its
    variant stays, and each pod, new ones too, gets the wanted ones.
    """
    stage, wanted, state, kept = lane.stage, lane.wanted, lane.state, kept or Kept()
    decided = lane.decided or wanted
    if state is None:
        made = stage_deployment(deployed, stage, wanted, owner, lane=lane.number, decided=decided)
        return [Apply(made, f"{lane.title} does not exist")]
    if lane.number and not wanted.replicas:  # it is free: what its pods would be made from does not matter
        return _scaled(lane, state, (), [])
    if state.given["spec"].get("paused"):
        name = deployed.stage_name(stage, lane.number)
        raise ForeignOwnerError(f"{name} is paused: kubectl rollout resume deployment/{name}")
    notes = {}
    if not lane.number:
        sound = decided if state.stands(decided) else state.sound
        notes = _notes(sound, state.failed if failed is None else failed)
    cores = None if by_rollout else template_cores(deployed, stage, wanted, state)
    manifest = stage_deployment(deployed, stage, wanted, owner, cores, lane.number, decided)
    manifest["metadata"]["annotations"] |= notes
    changed = kept.drift(manifest, state.given)
    why = f"{lane.title}: {', '.join(changed[:3])}" + (f"; not in place: {by_rollout}" if by_rollout else "")
    apply: list[Action] = [Apply(manifest, why, version_of(state.given))] if changed else []
    resizes = _resizes(lane, state) if deployed.plane.resize == "in_place" and not by_rollout else []
    return [*_scaled(lane, state, changed, apply), *resizes]


def template_cores(deployed: Deployed, stage: str, wanted: StageConfiguration, state: StageState) -> int | None:
    """The cores that a stage's template keeps where pods are resized in place; None: it takes the wanted ones, as that
    of another variant does, or one of cores that the pipeline no longer has."""
    is_kept = deployed.plane.resize == "in_place" and state.variant == wanted.variant
    profiled = deployed.plane.pipeline.stage(stage).variant(wanted.variant).cores
    return state.cores if is_kept and state.cores in profiled else None


def _resizes(lane: Lane, state: StageState) -> list[Action]:
    cores = lane.wanted.cores
    return [
        ResizePod(
            lane.stage,
            pod.name,
            pod.variant,
            cores,
            f"{lane.title}: {pod.name}: {pod.asked_cores} -> {cores} cores",
            lane.number,
        )
        for pod in state.resizable(lane.wanted.variant)
        if pod.asked_cores != cores
    ]


def _scaled(lane: Lane, state: StageState, changed: Sequence[str], apply: list[Action]) -> list[Action]:
    """The apply, if any, and before or after it the setting of replicas."""
    replicas = lane.wanted.replicas
    if state.asked == state.replicas == replicas:
        return apply
    is_set = state.replicas == replicas
    change = f"{state.replicas}{' stays the number of' if is_set else f' -> {replicas}'} replicas"
    version, is_rolling = version_of(state.given), not (is_set or state.is_uniform)
    scale = Scale(lane.stage, replicas, version, is_rolling, f"{lane.title}: {change}", lane.number)
    if replicas < state.replicas:
        return [scale, *apply]
    has_new_template = any(path.startswith("spec.template") for path in changed)
    return apply if has_new_template or not state.is_seen else [*apply, scale]


def version_of(given: Mapping[str, Any]) -> str | None:
    """The version of an object as it was read: a write that names it is refused once anybody has changed the object.

    So what a controller wrote that has lost its Lease meanwhile changes nothing that the next one has written.
    """
    version: str | None = given["metadata"].get("resourceVersion")
    return version


def _notes(sound: StageConfiguration | None, failed: Mapping[str, float]) -> dict[str, str]:
    notes = {} if sound is None else {names.SOUND: as_text(sound)}
    return notes | ({names.FAILED: json.dumps(dict(sorted(failed.items())))} if failed else {})


def drift(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """The paths of the manifest's fields whose values the object does not have.

    What the object has beyond the manifest (the server's defaults, other managers' fields) is no difference.
    """
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return [
            found
            for key, value in ours.items()
            for found in drift(value, theirs.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            found
            for position, (one, other) in enumerate(zip(ours, theirs, strict=True))
            for found in drift(one, other, f"{path}[{position}]")
        ]
    # The server leaves out what is empty or false, and has its own way of writing quantities.
    is_same = ours == theirs or (not ours and theirs is None) or (_QUANTITY.search(path) and _is_as_much(ours, theirs))
    return [] if is_same else [path]


def _is_as_much(one: Any, other: Any) -> bool:
    """Whether two quantities are equal, such as 1024Mi and 1Gi."""
    from kubernetes.utils.quantity import parse_quantity

    try:
        return bool(parse_quantity(one) == parse_quantity(other))
    except (ValueError, TypeError):
        return False


def foreign_owner(given: Mapping[str, Any], path: Sequence[str]) -> str:
    """The manager other than us that owns a field of an object; empty if there is none."""
    for entry in given["metadata"].get("managedFields") or ():
        fields: Any = entry.get("fieldsV1") or {}
        for key in path:
            fields = fields.get(f"f:{key}") if isinstance(fields, Mapping) else None
        if fields is not None and entry.get("manager") != names.FIELD_MANAGER:
            return str(entry.get("manager"))
    return ""


RESIZED_WITHIN_S = 30.0
"""How long a pod may wait for the cores that were asked for it, before a rollout looks for another node."""

INFEASIBLE = "Infeasible"
"""The kubelet's reason where its node can never grant a resize; it defers one that may have to wait."""

NO_SUCH_API = "the server cannot resize pods (Kubernetes can since 1.33)"


class Resizing:
    """Remembers why the cores of stages cannot be changed in place: for the server as a whole, and for what a stage
    wants now. `clock`: a monotonic one [s]."""

    def __init__(self, api: Api, deployed: Deployed, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._is_wanted = deployed.plane.resize == "in_place"
        self._is_possible: bool | None = None  # once the server has been asked
        # By stage and lane: variant and cores, and why not in place; pods that wait for their cores, and since when.
        self._why: dict[tuple[str, int], tuple[tuple[str, int], str]] = {}
        self._since_s: dict[tuple[str, int], dict[str, float]] = {}

    def by_rollout(self, stage: str, wanted: StageConfiguration, state: StageState | None, lane: int = 0) -> str:
        """Why the wanted cores cannot be had in place; empty if they can, or are not to be. Raises ApiError."""
        if not self._is_wanted or state is None:
            return ""
        if self._is_possible is None:
            self._is_possible = self._api.can_resize()
        if not self._is_possible:
            return NO_SUCH_API
        if (state.variant, state.cores) == (wanted.variant, wanted.cores):
            return ""  # a rollout would change nothing, or is under way
        of, why = self._why.get((stage, lane), (None, ""))
        if of == (wanted.variant, wanted.cores):
            return why
        self._why.pop((stage, lane), None)
        why = self._ungranted((stage, lane), wanted, state)
        if why:
            self._why[stage, lane] = (wanted.variant, wanted.cores), why
        return why

    def refused(self, action: ResizePod, error: ApiError) -> None:
        """The server has refused a resize: a rollout follows. Raises `error` if the next try may succeed."""
        if error.is_transient or error.status in (404, 409):
            raise error
        self._why[action.stage, action.lane] = (action.variant, action.cores), error.text

    def _ungranted(self, at: tuple[str, int], wanted: StageConfiguration, state: StageState) -> str:
        """Why a pod does not get the wanted cores where it is, or not for too long."""
        waiting = [pod for pod in state.resizable(wanted.variant) if pod.asked_cores == wanted.cores != pod.cores]
        before, now_s = self._since_s.get(at, {}), self._clock()
        self._since_s[at] = {pod.uid: before.get(pod.uid, now_s) for pod in waiting}
        for pod in waiting:
            is_late = now_s - self._since_s[at][pod.uid] > RESIZED_WITHIN_S
            if is_late or pod.unresized.startswith(INFEASIBLE):
                return f"{pod.name}: {pod.unresized or f'it still has {pod.cores} cores'}"
        return ""
