"""What is left to do at a stage, as a pure function of what is wanted and what there is.

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
from ipa.live.kubernetes.manifests import as_text, stage_deployment
from ipa.live.kubernetes.parts import Manifest
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import StageState
from ipa.policies import StageConfiguration

_QUANTITY = re.compile(r"\.resources\.(requests|limits)\.[^.]+$")


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
