"""How a layout's `pods`, the section `kubernetes` of a scenario, get into pod templates: pure functions of plain data.

Sections are merged from the general to the particular: `pods`, then `gateway`, `controller`, or `models` and the one of
the stage. Mappings are merged key by key; anything else of the more particular section replaces what was there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipa.live.errors import LiveError
from ipa.live.kubernetes.names import CONTROLLER, GATEWAY

Plain = Mapping[str, Any]

HELPER_CPU_LIMIT = "500m"
"""The CPU limit of a container beside the main one, where that has one: a quota on limits asks it of each container."""

_TO_POD = (
    "affinity",
    "imagePullSecrets",
    "nodeSelector",
    "priorityClassName",
    "serviceAccountName",
)


def of_part(sections: Plain, component: str, stage: str = "") -> dict[str, Any]:
    """What is given for the pods of the gateway, the controller or a stage's model servers."""
    if component in (GATEWAY, CONTROLLER):
        return _merged(sections.get("pods"), sections.get(component))
    of_models = _merged(sections.get("pods"), sections.get("models"))
    return _merged(of_models, (sections.get("stages") or {}).get(stage))


def check(sections: Plain, has_profile_cpu: bool) -> None:
    """Raise LiveError for a CPU limit of replicas that have their profile's cores as their limit."""
    named = {key: sections.get(key) for key in ("pods", "models")}
    named |= {f"stages.{stage}": given for stage, given in (sections.get("stages") or {}).items()}
    for key, given in named.items():
        limit = ((given or {}).get("resources") or {}).get("limits", {}).get("cpu")
        if limit is not None and has_profile_cpu:
            raise LiveError(
                f"kubernetes.{key}.resources.limits.cpu: {limit}: replicas have their profile's cores as their limit; "
                f"leave it out, or give --cpu"
            )


OVER_NODES: Plain = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
"""Pods of a part go to different nodes where they can: one node that is lost takes as few as may be."""


def put_into(template: dict[str, Any], given: Plain, selector: Mapping[str, str]) -> None:
    """Add what is given for a part to its pod template, whose first container is the main one.

    `selector` are the labels of the part's own pods, which a spread constraint without a selector means.
    """
    meta, spec = template["metadata"], template["spec"]
    meta["labels"] = {**(given.get("labels") or {}), **meta["labels"]}
    meta["annotations"] = {**(given.get("annotations") or {}), **meta["annotations"]}
    spec |= {key: given[key] for key in _TO_POD if given.get(key)}
    spec["topologySpreadConstraints"] = [
        {"labelSelector": {"matchLabels": dict(selector)}, **each}
        for each in given.get("topologySpreadConstraints") or (OVER_NODES,)
    ]
    if added := given.get("tolerations"):
        taken = {_taint(each) for each in added}
        spec["tolerations"] = [*(each for each in spec.get("tolerations", ()) if _taint(each) not in taken), *added]
    main, *others = spec["containers"]
    resources = given.get("resources") or {}
    for kind in ("requests", "limits"):
        found: Plain = resources.get(kind) or {}
        _add(main, kind, found)
        for each in others:
            _add(each, kind, _beside(found))
        for each in spec.get("initContainers", ()):
            # They run before the main one, and need no room beyond its own.
            _add(each, kind, {key: value for key, value in found.items() if "/" not in key})


def _add(container: dict[str, Any], kind: str, given: Plain) -> None:
    if given:
        resources = container["resources"]
        container["resources"] = {**resources, kind: {**resources.get(kind, {}), **given}}


def _beside(given: Plain) -> dict[str, Any]:
    """What a container beside the main one gets: quotas ask every container of a pod."""
    limits = {key: value for key, value in given.items() if key == "ephemeral-storage"}
    return limits | ({"cpu": HELPER_CPU_LIMIT} if "cpu" in given else {})


def _taint(toleration: Plain) -> tuple[Any, Any]:
    return toleration.get("key"), toleration.get("effect")


def _merged(general: Any, particular: Any) -> dict[str, Any]:
    """Two sections as one."""
    found = dict(general or {})
    for key, value in (particular or {}).items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = _merged(found[key], value) if both else value
    return found
