"""What `up` would do, by the server's own answers, before anything is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ipa.live.errors import LiveError
from ipa.live.kubernetes import reader
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.belongings import check_ours, leftovers, refused
from ipa.live.kubernetes.difference import drift, template_cores
from ipa.live.kubernetes.lanes import targets
from ipa.live.kubernetes.manifests import everything, owner_of, root
from ipa.live.kubernetes.parts import Manifest
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.standing import standing_of
from ipa.policies import Configuration

CREATE, CHANGE, KEEP, DELETE = "create", "change", "keep", "delete"


@dataclass(frozen=True, slots=True)
class Step:
    """What `up` will do to one object; `fields` are those it changes."""

    action: str
    kind: str
    name: str
    fields: tuple[str, ...] = ()


def plan(api: Api, deployed: Deployed, first: Configuration) -> list[Step]:
    """What `up` would do, by the server's own answers to a dry run of everything, and what it would delete.

    Raises LiveError for what the server would refuse, and for objects that have our names but are not ours.
    """
    steps = []
    try:
        found = api.get("ConfigMap", deployed.namespace, deployed.instance)
        owner = None if found is None else owner_of(found)
        states = reader.stages(api, deployed)
        configuration = standing_of(deployed, first, states)
        # Further lanes that are free stay as they are.
        lanes = {
            stage: {lane: part for lane, part in parts.items() if part.replicas or not lane}
            for stage, parts in targets(deployed.plane.pipeline, configuration, states, None).items()
        }
        cores = {
            (stage, lane): template_cores(deployed, stage, lanes[stage][lane], each)
            for stage, state in states.items()
            for lane, each in state.lanes.items()
            if lane in lanes[stage]
        }
        for manifest in (root(deployed), *everything(deployed, configuration, owner, api.groups(), lanes, cores)):
            given = api.get(manifest["kind"], deployed.namespace, manifest["metadata"]["name"])
            check_ours(None if given is None else {"kind": manifest["kind"], **given}, deployed)
            api.apply(manifest, dry_run=True)
            steps.append(_step(manifest, given))
        steps.insert(1, _step_of_secret(api, deployed))
        steps += [Step(DELETE, kind, name) for kind, name in leftovers(api, deployed)]
    except ApiError as error:
        raise LiveError(refused(error, deployed)) from None
    return steps


def _step_of_secret(api: Api, deployed: Deployed) -> Step:
    """The token of the control port is made once and then stays: `up` never reads or writes it again."""
    given = api.get("Secret", deployed.namespace, deployed.control_name)
    check_ours(None if given is None else {"kind": "Secret", **given}, deployed)
    return Step(CREATE if given is None else KEEP, "Secret", deployed.control_name)


def _step(manifest: Manifest, given: dict[str, Any] | None) -> Step:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    if given is None:
        return Step(CREATE, kind, name)
    changed = drift(manifest, {"apiVersion": manifest["apiVersion"], "kind": kind, **given})
    return Step(CHANGE if changed else KEEP, kind, name, tuple(changed))
