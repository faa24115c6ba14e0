"""The section `kubernetes` of a scenario: what people add to our pods, under Kubernetes' own names.

Every key is one of Kubernetes' and means what it means there, so that a piece of a manifest can be pasted. What would
break a pipeline is refused: labels and annotations by which its pods are found again, and the security of its pods.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from ipa.live.kubernetes import names
from ipa.profiles import FileModel, refusal

_SECURITY = "pods keep what the profile `restricted` of Pod Security demands"
_MADE_BY_US = "it is made from the pipeline and the options of `ipa live up`"
_OURS = {
    "securityContext": _SECURITY,
    "hostNetwork": _SECURITY,
    "hostPID": _SECURITY,
    "hostIPC": _SECURITY,
    "automountServiceAccountToken": _SECURITY,
    "containers": _MADE_BY_US,
    "initContainers": _MADE_BY_US,
    "volumes": _MADE_BY_US,
    "image": "it is the option --image",
    "imagePullPolicy": "it is the option --pull",
    "terminationGracePeriodSeconds": "it follows from the pipeline's times",
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

_QUANTITY = re.compile(r"\+?(\d+(\.\d*)?|\.\d+)(m|[kMGTPE]|[KMGTPE]i|[eE][-+]?\d+)?")
_PART = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_PREFIX = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"
_KEY = re.compile(rf"({_PREFIX}/)?{_PART}")
_NAME = re.compile(_PREFIX)


def _quantity(value: Any) -> Any:
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _QUANTITY.fullmatch(text):
        raise refusal(f"should be a quantity, such as 2, 500m or 1Gi; given {value!r}")
    return text


def _key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise refusal(f"should be a name with an optional prefix, such as example.com/team; given {key!r}")
    return key


def _label(text: str) -> str:
    if text and names.label(text) != text:
        raise refusal(f"should be at most 63 letters, digits, '-', '_' and '.'; given {text!r}")
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise refusal(f"should be the name of an object: lower-case letters, digits, '-' and '.'; given {text!r}")
    return text


def _not_ours(given: dict[str, str]) -> dict[str, str]:
    for key in given:
        if key.startswith(names.RESERVED):
            raise refusal("is ours: pods are found again by it", key)
    return given


Key = Annotated[str, AfterValidator(_key)]
Label = Annotated[str, AfterValidator(_label)]
ObjectName = Annotated[str, AfterValidator(_name)]
Quantities = dict[Key, Annotated[str, BeforeValidator(_quantity)]]
Labels = dict[Key, Label]
Weight = Annotated[int, Field(ge=1, le=100)]


class _Pasted(FileModel):
    """A mapping with Kubernetes' names for its keys; only what is given is passed on."""

    model_config = ConfigDict(alias_generator=to_camel)


class LabelExpression(_Pasted):
    """A requirement on a label's value."""

    key: Key
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: list[str] | None = None


class LabelSelector(_Pasted):
    """Which pods, or namespaces."""

    match_labels: Labels | None = None
    match_expressions: list[LabelExpression] | None = None


class NodeTerm(_Pasted):
    """Which nodes: all of its requirements hold."""

    match_expressions: list[LabelExpression] | None = None
    match_fields: list[LabelExpression] | None = None


class WeightedNodeTerm(_Pasted):
    """Nodes that are preferred."""

    weight: Weight
    preference: NodeTerm


class NodeTerms(_Pasted):
    """Nodes of which one term holds."""

    node_selector_terms: Annotated[list[NodeTerm], Field(min_length=1)]


class NodeAffinity(_Pasted):
    """Which nodes a pod needs or prefers."""

    required_during_scheduling_ignored_during_execution: NodeTerms | None = None
    preferred_during_scheduling_ignored_during_execution: list[WeightedNodeTerm] | None = None


class PodTerm(_Pasted):
    """Nodes, or zones, where certain pods run."""

    topology_key: Key
    label_selector: LabelSelector | None = None
    namespaces: list[ObjectName] | None = None
    namespace_selector: LabelSelector | None = None
    match_label_keys: list[Key] | None = None
    mismatch_label_keys: list[Key] | None = None


class WeightedPodTerm(_Pasted):
    """Pods near which, or away from which, a pod prefers to run."""

    weight: Weight
    pod_affinity_term: PodTerm


class PodAffinity(_Pasted):
    """Near which pods, or away from which, a pod needs or prefers to run."""

    required_during_scheduling_ignored_during_execution: list[PodTerm] | None = None
    preferred_during_scheduling_ignored_during_execution: list[WeightedPodTerm] | None = None


class Affinity(_Pasted):
    """Where a pod is to run."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class Toleration(_Pasted):
    """A taint of nodes that does not keep a pod away."""

    key: Key | None = None
    operator: Literal["Exists", "Equal", "Lt", "Gt"] | None = None
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


class Spread(_Pasted):
    """How pods are spread over nodes or zones; without a selector, the part's own pods."""

    max_skew: Annotated[int, Field(ge=1)]
    topology_key: Key
    when_unsatisfiable: Literal["DoNotSchedule", "ScheduleAnyway"]
    label_selector: LabelSelector | None = None
    min_domains: Annotated[int, Field(ge=1)] | None = None
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None
    match_label_keys: list[Key] | None = None


class Reference(_Pasted):
    """An object of the namespace."""

    name: ObjectName


class Resources(_Pasted):
    """What the part's container requests beyond what the options of `up` say, and its limits."""

    requests: Quantities = Field(default_factory=dict)
    limits: Quantities = Field(default_factory=dict)


class ControllerSettings(_Pasted):
    """What is added to a pod template."""

    labels: Annotated[Labels, AfterValidator(_not_ours)] | None = None
    annotations: Annotated[dict[Key, str], AfterValidator(_not_ours)] | None = None
    resources: Resources | None = None
    node_selector: Labels | None = None
    tolerations: list[Toleration] | None = None
    affinity: Affinity | None = None
    topology_spread_constraints: list[Spread] | None = None
    priority_class_name: ObjectName | None = None
    service_account_name: ObjectName | None = None
    image_pull_secrets: list[Reference] | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_is_ours(cls, data: Any) -> Any:
        for key in data if isinstance(data, dict) else ():
            if key in _OURS:
                raise refusal(f"cannot be given: {_OURS[key]}", key)
        return data


class PodSettings(ControllerSettings):
    """The same where options of `up` already say what the container requests."""

    @model_validator(mode="after")
    def _lawful(self) -> PodSettings:
        resources = self.resources or Resources()
        for kind, given in (("requests", resources.requests), ("limits", resources.limits)):
            for key in given:
                if key == "memory" or (key, kind) == ("cpu", "requests"):
                    raise refusal(f"cannot be given here: it is {_OPTIONS[key]}", "resources", kind, key)
        return self


class PodSections(_Pasted):
    """What is added to the pods of each part: `pods` are all, `models` those of all stages."""

    pods: PodSettings | None = None
    gateway: PodSettings | None = None
    models: PodSettings | None = None
    stages: dict[str, PodSettings] = Field(default_factory=dict)
    controller: ControllerSettings | None = None

    def as_plain(self) -> dict[str, Any]:
        """What was given, under Kubernetes' names, as plain data."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
