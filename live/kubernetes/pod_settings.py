"""What people add to our pods (the section `kubernetes` of a scenario), and how it is merged into pod templates.

Every key is one of Kubernetes', with its meaning there, so that a piece of a manifest can be pasted: it goes into the
pod template unchanged, and the server's dry run checks it before anything changes. Settings that would break a pipeline
are refused here: labels and annotations by which its pods are found again, and the security of its pods.

Sections are merged from the general to the particular: `pods`, then `gateway`, `controller`, or `models`, the one of
the stage and the one of the variant there. Mappings are merged key by key; anything else of the more particular section
replaces what was there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ipa.live.errors import LiveError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.names import CONTROLLER, GATEWAY
from ipa.profiles import FileModel, refusal

_SECURITY = "pods keep what the profile `restricted` of Pod Security demands"
_MADE_BY_US = "it is made from the pipeline and the options of `ipa live up`"
_NO_SECRETS = "containers of a pod keep their tokens from one another"
_OURS = {
    "securityContext": _SECURITY,
    "hostNetwork": _SECURITY,
    "hostPID": _SECURITY,
    "hostIPC": _SECURITY,
    "hostUsers": _SECURITY,
    "automountServiceAccountToken": _SECURITY,
    "shareProcessNamespace": _NO_SECRETS,
    "enableServiceLinks": _NO_SECRETS,
    "containers": _MADE_BY_US,
    "initContainers": _MADE_BY_US,
    "ephemeralContainers": _MADE_BY_US,
    "volumes": _MADE_BY_US,
    "serviceAccount": "it is an old name of serviceAccountName",
    "nodeName": "it would pass by the scheduler; see nodeSelector",
    "image": "it is the option --image",
    "imagePullPolicy": "it is the option --pull",
    "terminationGracePeriodSeconds": "it follows from the pipeline's times",
    "activeDeadlineSeconds": "a Deployment's pods have no end",
    "restartPolicy": "a Deployment's pods always restart",
    "replicas": "it is what policies decide",
    "selector": "pods are found again by it",
    "strategy": "it follows from max_surge and max_unavailable",
}
"""Keys of pods and Deployments that cannot be given, and why."""

_OPTIONS = {
    "cpu": "the option --cpu, for the gateway --gateway-cpu",
    "memory": "the option --memory, for the gateway --gateway-memory",
}

SET_BY_US = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONDONTWRITEBYTECODE")
"""Environment variables that we set ourselves."""

_QUANTITY = re.compile(r"\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)(m|[kMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?")
HELPER_CPU_LIMIT = "500m"
"""The CPU limit of a sidecar, if the main container has one: a quota on limits demands it of each container."""
OVER_NODES: Mapping[str, Any] = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "ScheduleAnyway",
}
"""Spreads a part's pods over nodes where possible, so that a lost node takes as few as possible."""

VARIANTS = "variants"
"""The key of a stage's section with those of its variants."""

Plain = Mapping[str, Any]


# ---- the section ----


def _section(section: dict[str, Any], *at: str) -> dict[str, Any]:
    """A section, `at` a place in the validated one, with quantities as text. Keys that are ours are refused."""
    for key in section:
        if key in _OURS:
            raise refusal(f"cannot be given: {_OURS[key]}", *at, key)
    for kind in ("labels", "annotations"):
        for key, text in _mapping(section, kind, *at).items():
            if key.startswith(names.RESERVED):
                raise refusal("is ours: pods are found again by it", *at, kind, key)
            if not isinstance(text, str):
                raise refusal(f"should be text; given {_yaml(text)}", *at, kind, key)
    for kind in ("env", "tolerations", "topologySpreadConstraints"):
        items = section.get(kind) or []
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise refusal("should be a list of mappings", *at, kind)
    if reserved := {item.get("name") for item in section.get("env") or ()} & {*SET_BY_US}:
        text = f"{', '.join(sorted(reserved))} cannot be given: it follows from the cores and the image"
        raise refusal(text, *at, "env")
    resources: dict[str, dict[str, str]] = {}
    for kind in _mapping(section, "resources", *at):
        of_kind = _mapping(section["resources"], kind, *at, "resources")
        resources[kind] = {key: _quantity(value, *at, "resources", kind, key) for key, value in of_kind.items()}
    return {**section, "resources": resources} if "resources" in section else section


def _of_options(section: dict[str, Any]) -> dict[str, Any]:
    """A section of several stages or the gateway. Resources that options of `up` set are refused."""
    if VARIANTS in section:
        raise refusal("cannot be given here: it is a key of a stage's section", VARIANTS)
    return _without(section, _OPTIONS)


def _without(section: dict[str, Any], options: Mapping[str, str], *at: str) -> dict[str, Any]:
    for kind, of_kind in (section.get("resources") or {}).items():
        for key in of_kind:
            if key in options and (key, kind) != ("cpu", "limits"):
                raise refusal(f"cannot be given here: it is {options[key]}", *at, "resources", kind, key)
    return section


def _of_stage(section: dict[str, Any]) -> dict[str, Any]:
    """A stage's section, with those of its `variants`. Memory may be other than the option's, which is for all."""

    def of_replicas(section: dict[str, Any], *at: str) -> dict[str, Any]:
        return _without(_section(section, *at), {"cpu": _OPTIONS["cpu"]}, *at)

    own = of_replicas({key: value for key, value in section.items() if key != VARIANTS})
    if VARIANTS not in section:
        return own
    of_variants = _mapping(section, VARIANTS)
    variants = {name: of_replicas(_mapping(of_variants, name, VARIANTS), VARIANTS, name) for name in of_variants}
    return {**own, VARIANTS: variants}


def _mapping(section: Plain, key: str, *below: str) -> dict[str, Any]:
    value = section.get(key)
    if value is not None and not isinstance(value, dict):
        raise refusal("should be a mapping of keys to values", *below, key)
    return value or {}


def _quantity(value: Any, *at: str) -> str:
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _QUANTITY.fullmatch(text):
        raise refusal(f"should be a quantity, such as 2, 500m or 1Gi; given {value!r}", *at)
    return text


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


ControllerSection = Annotated[dict[str, Any], AfterValidator(_section)]
Section = Annotated[ControllerSection, AfterValidator(_of_options)]
StageSection = Annotated[dict[str, Any], AfterValidator(_of_stage)]


class PodSections(FileModel):
    """The additions to the pods of each part; `pods`: of all parts, `models`: of all stages. A stage's section may have
    one for each of its `variants`."""

    pods: Section | None = None
    gateway: Section | None = None
    models: Section | None = None
    stages: dict[str, StageSection] = Field(default_factory=dict)
    controller: ControllerSection | None = None

    def as_plain(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_unset=True)


def check(sections: Plain, has_profile_cpu: bool) -> None:
    """Raise LiveError for a CPU limit of replicas that have their profile's cores as their limit."""
    named = {key: sections.get(key) for key in ("pods", "models")}
    for stage, section in (sections.get("stages") or {}).items():
        named[f"stages.{stage}"] = section
        named |= {
            f"stages.{stage}.{VARIANTS}.{name}": of_variant
            for name, of_variant in (section.get(VARIANTS) or {}).items()
        }
    for key, section in named.items():
        limit = ((section or {}).get("resources") or {}).get("limits", {}).get("cpu")
        if limit is not None and has_profile_cpu:
            raise LiveError(
                f"kubernetes.{key}.resources.limits.cpu: {limit}: replicas have their profile's cores as their limit; "
                f"leave it out, or give --cpu"
            )


# ---- into pod templates ----


def of_part(sections: Plain, component: str, stage: str = "", variant: str = "") -> dict[str, Any]:
    """The additions to the pods of the gateway, the controller or the model servers of a stage's variant."""
    if component in (GATEWAY, CONTROLLER):
        return _merged(sections.get("pods"), sections.get(component))
    of_stage = dict((sections.get("stages") or {}).get(stage) or {})
    of_variant = (of_stage.pop(VARIANTS, None) or {}).get(variant)
    of_models = _merged(sections.get("pods"), sections.get("models"))
    return _merged(_merged(of_models, of_stage), of_variant)


def put_into(template: dict[str, Any], additions: Plain, selector: Mapping[str, str]) -> None:
    """Merge a part's additions into its pod template, whose first container is the main one.

    `selector`: the labels of the part's own pods, for spread constraints without a selector.
    """
    of_pod = dict(additions)
    meta, spec = template["metadata"], template["spec"]
    meta["labels"] = {**(of_pod.pop("labels", None) or {}), **meta["labels"]}
    meta["annotations"] = {**(of_pod.pop("annotations", None) or {}), **meta["annotations"]}
    spreads = of_pod.pop("topologySpreadConstraints", None) or (OVER_NODES,)
    spec["topologySpreadConstraints"] = [{"labelSelector": {"matchLabels": dict(selector)}, **item} for item in spreads]
    if added := of_pod.pop("tolerations", None):
        taints = {_taint(item) for item in added}
        spec["tolerations"] = [*(item for item in spec.get("tolerations", ()) if _taint(item) not in taints), *added]
    main, *others = spec["containers"]
    main["env"] = [*main["env"], *(of_pod.pop("env", None) or ())]
    resources = of_pod.pop("resources", None) or {}
    if memory := (resources.get("limits") or {}).get("memory"):  # a request is its limit, unless said otherwise
        resources = {**resources, "requests": {"memory": memory, **(resources.get("requests") or {})}}
    for kind, quantities in resources.items():
        _add(main, kind, quantities)
        for item in others:
            _add(item, kind, _beside(quantities))
        for item in spec.get("initContainers", ()):
            # They run before the main one, and need no room beyond its own.
            _add(item, kind, {key: value for key, value in quantities.items() if "/" not in key})
    spec |= {key: value for key, value in of_pod.items() if value}


def _add(container: dict[str, Any], kind: str, additions: Plain) -> None:
    if additions:
        resources = container["resources"]
        container["resources"] = {**resources, kind: {**resources.get(kind, {}), **additions}}


def _beside(additions: Plain) -> dict[str, Any]:
    """The resources of a sidecar: quotas demand them of every container of a pod."""
    limits = {key: value for key, value in additions.items() if key == "ephemeral-storage"}
    return limits | ({"cpu": HELPER_CPU_LIMIT} if "cpu" in additions else {})


def _taint(toleration: Plain) -> tuple[Any, Any]:
    return toleration.get("key"), toleration.get("effect")


def _merged(general: Any, particular: Any) -> dict[str, Any]:
    found = dict(general or {})
    for key, value in (particular or {}).items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = _merged(found[key], value) if both else value
    return found
