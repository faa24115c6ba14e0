"""The actions that bring a stage to its wanted state, as a function of wanted and observed state (see `reconcile`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ipa.errors import Error
from ipa.live.kubernetes import manifest_parts, names
from ipa.live.kubernetes.manifest_parts import Manifest
from ipa.live.kubernetes.manifests import as_text, stage_deployment
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import StageState
from ipa.live.kubernetes.within_budget import Allowed, drains_before_next_step
from ipa.policies import StageConfiguration

_QUANTITY = re.compile(r"\.resources\.(requests|limits)\.[^\[]+$")


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of a manifest, provided the object has not changed since it was read; None: there was none."""

    manifest: Manifest = field(repr=False)
    why: str
    resource_version: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Scale:
    """Set a stage's replicas, provided its Deployment has not changed since it was read.

    `is_rolling`: it has replicas of more than one template. The Deployment controller would distribute the change among
    them in proportion, by a number noted on their ReplicaSets; that is removed first.
    """

    stage: str
    replicas: int
    resource_version: str | None
    is_rolling: bool
    why: str


Action = Apply | Scale


class ForeignOwnerError(Error):
    """Another field manager owns a field that has to change."""


class ServerChanges:
    """Fields that a server keeps different from what was applied, as admission webhooks may: applying again is no
    use."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], tuple[Manifest, frozenset[str]]] = {}

    def note(self, manifest: Manifest, answer: Mapping[str, Any]) -> None:
        """Remember where the answer to an apply differs from its manifest."""
        self._of[_key(manifest)] = manifest, frozenset(drift(manifest, _of_kind(manifest, answer)))

    def drift(self, manifest: Manifest, existing: Mapping[str, Any]) -> list[str]:
        """Where an object differs from a manifest, except where the server kept this very manifest different."""
        applied, known_changes = self._of.get(_key(manifest), (None, frozenset[str]()))
        changes = drift(manifest, _of_kind(manifest, existing))
        return [path for path in changes if path not in known_changes] if applied == manifest else changes


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def _of_kind(manifest: Manifest, existing: Mapping[str, Any]) -> dict[str, Any]:
    """An object with its kind, which is missing in lists."""
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], **existing}


def difference(
    deployed: Deployed,
    stage: str,
    wanted: StageConfiguration,
    state: StageState | None,
    owner: Manifest | None,
    failed: Mapping[str, float] | None = None,
    server_changes: ServerChanges | None = None,
    allowed: Allowed | None = None,
) -> list[Action]:
    """The actions, in order, that bring a stage to its wanted state; none if it is there.

    `state`: that of its Deployment; None: there is none. `failed`: the variants to record as failed, with the times
    [Unix time], beside those recorded already. `server_changes`: what the server is known to keep different.
    `allowed`: what is allowed within a limit of cores; None: there is none. Raises ForeignOwnerError if somebody else
    has paused the Deployment.

    Scaling up waits until the Deployment controller has seen a new template, so that new replicas are of the new
    variant; scaling down comes before a new template, so that old replicas make room for new ones.
    """
    if state is None:
        return [Apply(stage_deployment(deployed, stage, wanted, owner), f"{stage} does not exist")]
    if state.deployment["spec"].get("paused"):
        name = deployed.stage_name(stage)
        raise ForeignOwnerError(f"{name} is paused: kubectl rollout resume deployment/{name}")
    sound = wanted if state.has_reached(wanted) else state.sound
    manifest = stage_deployment(deployed, stage, wanted, owner_for(state.deployment, owner))
    manifest["metadata"]["annotations"] |= _notes(sound, {**state.failed, **(failed or {})})
    template = manifest["spec"]["template"]["metadata"]["annotations"][names.TEMPLATE]
    if allowed is not None and drains_before_next_step(template, state):
        # The next step begins once the last successor has been ready for so long: not before what drains has ended,
        # however long that takes. Beyond half of its deadline, the rollout would rather fail for lack of progress.
        spec = manifest["spec"]
        spec["minReadySeconds"] = max(spec.get("minReadySeconds", 0), spec["progressDeadlineSeconds"] // 2)
    allowed = allowed or Allowed(wanted.replicas)
    if allowed.one_by_one:
        manifest["spec"]["strategy"] = manifest_parts.ONE_BY_ONE
    changed = [] if allowed.keeps_template else (server_changes or ServerChanges()).drift(manifest, state.deployment)
    why = f"{stage}: {_change(state, wanted, changed)}"
    apply: list[Action] = [Apply(manifest, why, version_of(state.deployment))] if changed else []
    return _scaled(stage, allowed.replicas, state, changed, apply)


def owner_for(existing: Mapping[str, Any] | None, owner: Manifest | None) -> Manifest | None:
    """The owner in an object's manifest: none if it was applied without one, as from Git, where it is to stay as it
    is."""
    return owner if existing is None or existing["metadata"].get("ownerReferences") else None


def _change(state: StageState, wanted: StageConfiguration, changed: Sequence[str]) -> str:
    """What changes, in words such as "small -> large, batch 1 -> 4"; the fields where these say nothing of it."""
    before, words = state.wanted or wanted, []
    if state.variant != wanted.variant:
        words.append(f"{state.variant} -> {wanted.variant}")
    if before.cores != wanted.cores:
        words.append(f"{before.cores} -> {wanted.cores} cores")
    if before.batch != wanted.batch:
        words.append(f"batch {before.batch} -> {wanted.batch}")
    if before.batch_timeout_s != wanted.batch_timeout_s:
        words.append(f"batch timeout {before.batch_timeout_s:.3g} -> {wanted.batch_timeout_s:.3g} s")
    if before.replicas != wanted.replicas:
        words.append(f"{before.replicas} -> {wanted.replicas} replicas wanted")
    if not words and f"metadata.annotations.{names.SOUND}" in changed:
        words.append(f"all {wanted.replicas} replicas of {wanted.variant} are ready")
    return ", ".join(words or changed[:3])


def _scaled(stage: str, replicas: int, state: StageState, changed: Sequence[str], apply: list[Action]) -> list[Action]:
    """The apply, if any, and the scaling before or after it."""
    if state.requested_replicas == state.replicas == replicas:
        return apply
    is_set = state.replicas == replicas
    change = f"{state.replicas}{' stays the number of' if is_set else f' -> {replicas}'} replicas"
    version, is_rolling = version_of(state.deployment), not (is_set or state.is_uniform)
    scale = Scale(stage, replicas, version, is_rolling, f"{stage}: {change}")
    if replicas < state.replicas:
        return [scale, *apply]
    has_new_template = any(path.startswith("spec.template") for path in changed)
    return apply if has_new_template or not state.is_seen else [*apply, scale]


def version_of(resource: Mapping[str, Any]) -> str | None:
    """The resource version of an object as read: a write that names it is refused once the object has changed.

    So a controller that has lost its Lease cannot overwrite what the next one has written.
    """
    version: str | None = resource["metadata"].get("resourceVersion")
    return version


def _notes(sound: StageConfiguration | None, failed: Mapping[str, float]) -> dict[str, str]:
    notes = {} if sound is None else {names.SOUND: as_text(sound)}
    return notes | ({names.FAILED: json.dumps(dict(sorted(failed.items())))} if failed else {})


def drift(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """The paths of the manifest's fields whose values the object does not have.

    What the object has beyond the manifest (the server's defaults, other managers' fields) is no difference.
    """
    if ours == theirs:
        return []
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return [
            place
            for key, value in ours.items()
            for place in drift(value, theirs.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            place
            for position, (one, other) in enumerate(zip(ours, theirs, strict=True))
            for place in drift(one, other, f"{path}[{position}]")
        ]
    # The server leaves out what is empty or false, and has its own way of writing quantities.
    is_same = (not ours and theirs is None) or (_QUANTITY.search(path) and _is_as_much(ours, theirs))
    return [] if is_same else [path]


def _is_as_much(quantity: Any, other_quantity: Any) -> bool:
    """Whether two quantities are equal, such as 1024Mi and 1Gi."""
    from kubernetes.utils.quantity import parse_quantity

    try:
        return bool(parse_quantity(quantity) == parse_quantity(other_quantity))
    except (ValueError, TypeError):
        return False


def foreign_owner(resource: Mapping[str, Any], path: Sequence[str]) -> str:
    """The manager other than us that owns a field of an object; empty if there is none."""
    for entry in resource["metadata"].get("managedFields") or ():
        fields: Any = entry.get("fieldsV1") or {}
        for key in path:
            fields = fields.get(f"f:{key}") if isinstance(fields, Mapping) else None
        if fields is not None and entry.get("manager") != names.FIELD_MANAGER:
            return str(entry.get("manager"))
    return ""
