"""What to do next, as a pure function of what is wanted and what there is.

Level-triggered: every look starts from the whole state as the API server has it, however it came to be, and ends in the
difference alone. A refused or stale write is never repeated as it was; the next look reads again and finds what is then
to do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ipa.errors import Error
from ipa.live.kubernetes import names
from ipa.live.kubernetes.manifests import as_text, from_text, stage_deployment
from ipa.live.kubernetes.parts import Manifest
from ipa.live.kubernetes.pods import FAILING, Pod
from ipa.live.kubernetes.settings import Deployed
from ipa.policies import StageConfiguration

CRASHES_ALLOWED = 2
"""A container that has crashed more often while its variant never became ready will not by another start."""
NO_SUCH_IMAGE = ("ErrImageNeverPull", "InvalidImageName")
"""An image that will not come by waiting; a registry that is away for a while may come back before the deadline."""

_OVER_QUOTA = "exceeded quota"
_WANT_OF_ROOM = re.compile(r"Insufficient|Too many pods|\btaint|unschedulable")
"""What a scheduler says where other, or emptier, nodes would do; of volumes and affinities they would not."""
_QUANTITY = re.compile(r"\.resources\.(requests|limits)\.[^.]+$")


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


@dataclass(frozen=True, slots=True)
class Apply:
    """Apply a manifest, server-side."""

    manifest: Manifest = field(repr=False)
    why: str


@dataclass(frozen=True, slots=True)
class Scale:
    """Set a stage's replicas, if its Deployment still is what was read.

    `is_rolling`: it has replicas of more than one template. The controller of Deployments would share the replicas out
    among them, in proportion, if their ReplicaSets remembered how many there were to be; they are to forget that first.
    """

    stage: str
    replicas: int
    resource_version: str
    is_rolling: bool
    why: str


Action = Apply | Scale


class ForeignOwnerError(Error):
    """Another field manager holds what we would have to change."""


class Kept:
    """What a server keeps otherwise than it was asked, as admission webhooks make it: asking again changes nothing."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], tuple[Manifest, frozenset[str]]] = {}

    def note(self, manifest: Manifest, answer: Mapping[str, Any]) -> None:
        """Remember what the answer to an apply lacks of what was asked."""
        self._of[_key(manifest)] = manifest, frozenset(drift(manifest, _of_kind(manifest, answer)))

    def drift(self, manifest: Manifest, given: Mapping[str, Any]) -> list[str]:
        """Where an object differs from a manifest, but for what the server has kept of the very same one."""
        asked, kept = self._of.get(_key(manifest), (None, frozenset[str]()))
        found = drift(manifest, _of_kind(manifest, given))
        return [path for path in found if path not in kept] if asked == manifest else found


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def _of_kind(manifest: Manifest, given: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its kind, which lists leave out."""
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], **given}


def read_stage(given: Mapping[str, Any], pods: Sequence[Pod]) -> StageState:
    """What a Deployment and its pods say."""
    annotations = given["metadata"].get("annotations") or {}
    wanted, sound = (_configuration(annotations.get(key)) for key in (names.WANTED, names.SOUND))
    problem, is_out_of_room = _problem(given, pods)
    return StageState(given, pods, wanted, sound, _failed(annotations.get(names.FAILED)), problem, is_out_of_room)


def difference(
    deployed: Deployed,
    stage: str,
    wanted: StageConfiguration,
    state: StageState | None,
    owner: Manifest | None,
    failed: Mapping[str, float] | None = None,
    kept: Kept | None = None,
) -> list[Action]:
    """What makes a stage what it should be, in order: nothing where it is that already.

    `failed`: the variants to remember as failed, with the moments; None: those that are remembered. `kept`: what the
    server is known to keep otherwise than asked. Raises ForeignOwnerError where another manager has set the replicas,
    or has paused the Deployment.

    More replicas are asked for once the controller of Deployments has seen a new template, so that they are of the new
    variant; fewer before it is given one, so that old replicas make room for new ones.
    """
    kept = kept or Kept()
    if state is None:
        return [Apply(stage_deployment(deployed, stage, wanted, owner), f"{stage} is not there")]
    if state.given["spec"].get("paused"):
        name = deployed.stage_name(stage)
        raise ForeignOwnerError(f"{name} is paused: kubectl rollout resume deployment/{name}")
    is_reached = state.is_complete and state.wanted == wanted and state.replicas == wanted.replicas
    notes = _notes(wanted if is_reached else state.sound, state.failed if failed is None else failed)
    manifest = stage_deployment(deployed, stage, wanted, owner, notes)
    changed = kept.drift(manifest, state.given)
    apply: list[Action] = [Apply(manifest, f"{stage}: {', '.join(changed[:3])}")] if changed else []
    if state.replicas == wanted.replicas:
        return apply
    foreign = foreign_owner(state.given, ("spec", "replicas"))
    if foreign:
        raise ForeignOwnerError(
            f"{deployed.stage_name(stage)}: its replicas are set by {foreign!r} ({state.replicas}; wanted: "
            f"{wanted.replicas}); remove what scales it, or delete the Deployment, which is then made anew"
        )
    why = f"{stage}: {state.replicas} -> {wanted.replicas} replicas"
    version = state.given["metadata"]["resourceVersion"]
    if wanted.replicas < state.replicas:
        return [Scale(stage, wanted.replicas, version, not state.is_uniform, why), *apply]
    has_new_template = any(path.startswith("spec.template") for path in changed)
    if has_new_template or not state.is_seen:
        return apply
    return [*apply, Scale(stage, wanted.replicas, "" if changed else version, not state.is_uniform, why)]


def _notes(sound: StageConfiguration | None, failed: Mapping[str, float]) -> dict[str, str]:
    notes = {} if sound is None else {names.SOUND: as_text(sound)}
    return notes | ({names.FAILED: json.dumps(dict(sorted(failed.items())))} if failed else {})


def drift(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """Where an object differs from a manifest: the paths of all that the manifest says and the object does not.

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
    # The server leaves out what is empty or false, and writes quantities its own way.
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
    """The manager other than us that has set a field of an object, empty for none."""
    for entry in given["metadata"].get("managedFields") or ():
        fields: Any = entry.get("fieldsV1") or {}
        for key in path:
            fields = fields.get(f"f:{key}") if isinstance(fields, Mapping) else None
        if fields is not None and entry.get("manager") != names.FIELD_MANAGER:
            return str(entry.get("manager"))
    return ""


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
