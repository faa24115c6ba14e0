"""What a controller may do on the cluster, rule by rule: the table that its Role is made of, and its self-check.

Before anything else a controller asks the API server for each of these rules whether its account may do that.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ipa.live.errors import RunError
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.names import CONTROLLER
from ipa.live.kubernetes.parts import Manifest
from ipa.live.kubernetes.settings import Deployed

AT_ONCE = 8
"""How many questions are asked at a time: a far API server would take seconds for all of them one by one."""

log = logging.getLogger("ipa.live.kubernetes.permissions")

FINDS_GATEWAY: tuple[str, dict[str, Any]] = (
    "finds the gateway's control port, whose token is mounted in its pod",
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get"]},
)
FROM_OUTSIDE: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "asks the gateway for observations, and puts configurations in force in its queues",
        {"apiGroups": [""], "resources": ["services/proxy"], "verbs": ["get", "update"]},
    ),
    (
        "reads the token of the gateway's control port",
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
    ),
)
"""What a controller needs in place of `FINDS_GATEWAY` outside the cluster; an adviser needs no `update`."""

RULES: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "reads the pipeline's ConfigMap: layout, kill switch; brings it up to date; keeps what its policy has learnt",
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]},
    ),
    (
        "sees replicas: which start, serve, end, fail or find no room",
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
    ),
    (
        "sees whether the gateway is ready; applies it and the stages, and sets their replicas",
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"]},
    ),
    (
        "reads the stages' Deployments, and makes those that are not there any more",
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "create"]},
    ),
    (
        "names the autoscaler that has set the replicas of one of them",
        {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["list"]},
    ),
    (
        "tells a rollout's refusals from those before, and keeps replicas from being shared out: names carry hashes",
        {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list", "patch"]},
    ),
    FINDS_GATEWAY,
    (
        "holds the Lease, so that one controller writes",
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "update"]},
    ),
    (
        "makes the Lease where it is not there",
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    ),
    (
        "tells what it did and found as Events on the stages' Deployments",
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    ),
)
"""What a controller may do in its namespace, and why; it may do nothing that it does not need."""

RESIZES: tuple[str, dict[str, Any]] = (
    "changes the cores of replicas as they run",
    {"apiGroups": [""], "resources": ["pods/resize"], "verbs": ["patch"]},
)
"""What a controller may do besides, with `resize: in_place`."""

OPTIONAL = frozenset({"events", "horizontalpodautoscalers", "replicasets", "pods/resize"})
"""Resources without which a controller works, less well: no Events are written; an autoscaler that sets replicas is not
named; what the API server refuses is believed only when the rollout's deadline has passed, and additional replicas are
shared out among old and new ones; and cores are changed by rollouts."""

NAMELESS = frozenset({"create", "list", "watch"})
"""Verbs of requests that name no existing object: a rule with one of them cannot be restricted to names."""

READ_ONLY_RULES: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "reads the pipeline's ConfigMap: its layout",
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    ),
    ("sees replicas", {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}),
    (
        "sees whether the gateway is ready",
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
    ),
    (
        "reads the stages' Deployments",
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
    ),
    (
        "tells a rollout's refusals from those before: names carry hashes",
        {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list"]},
    ),
    FINDS_GATEWAY,
)
"""What `run --advise` needs, which decides and writes nothing."""


def rules_of(deployed: Deployed, read_only: bool = False) -> tuple[tuple[str, dict[str, Any]], ...]:
    """The rules of a pipeline's controller; one that is `read_only` (`run --advise`) decides and writes nothing."""
    if read_only:
        return READ_ONLY_RULES
    return (*RULES, RESIZES) if deployed.plane.resize == "in_place" else RULES


def from_outside(rules: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """The rules of a controller that runs outside the cluster and reaches the gateway by the API server's proxy."""
    writes = any({"patch", "update"} & {*rule["verbs"]} for _, rule in rules)
    (why, proxy), reads_token = FROM_OUTSIDE
    by_proxy = (why, proxy) if writes else (why.partition(",")[0], {**proxy, "verbs": ["get"]})
    return [each for rule in rules for each in ((by_proxy, reads_token) if rule is FINDS_GATEWAY else (rule,))]


def named(rules: Sequence[tuple[str, dict[str, Any]]], deployed: Deployed) -> list[dict[str, Any]]:
    """The rules, restricted to this pipeline's objects where the API allows that and the names are known."""
    stages = [
        deployed.stage_name(stage, lane)
        for stage in deployed.stages
        for lane in (0, *(deployed.further_lanes(stage) if deployed.plane.mixes else ()))
    ]
    is_read_only = not any({"patch", "update"} & {*rule["verbs"]} for _, rule in rules)
    bound = {
        "configmaps": [deployed.instance, *(() if is_read_only else (deployed.memory_name,))],
        "secrets": [deployed.control_name],
        "services": [deployed.control_name],
        "services/proxy": [f"http:{deployed.control_name}:control"],
        "deployments": [deployed.gateway_name, *stages],
        "leases": [deployed.instance],
    }
    return [{**rule, **_names(rule, bound)} for _, rule in rules]


def _names(rule: Mapping[str, Any], bound: Mapping[str, list[str]]) -> dict[str, list[str]]:
    (resource,) = rule["resources"]
    return {} if resource not in bound or NAMELESS & {*rule["verbs"]} else {"resourceNames": bound[resource]}


def role(deployed: Deployed, name: str, rules: Sequence[tuple[str, dict[str, Any]]] = RULES) -> Manifest:
    """A Role with a controller's rules."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": deployed.meta(name, CONTROLLER),
        "rules": named(rules, deployed),
    }


# ---- the self-check ----


@dataclass(frozen=True, slots=True)
class Permission:
    """One verb on one resource, such as `deployments/scale` of the group `apps`; `name` empty: on all of a namespace.

    `why` says what a controller needs it for; without an optional one it works, less well.
    """

    verb: str
    group: str
    resource: str
    name: str
    why: str

    @property
    def is_optional(self) -> bool:
        """Whether a controller can do without."""
        return self.resource in OPTIONAL

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        return f"{self.verb} {self.resource}{group}{f' {self.name}' if self.name else ''} ({self.why})"


def needed(deployed: Deployed, read_only: bool, is_inside: bool) -> Iterator[Permission]:
    """What a controller of a deployed pipeline needs, inside the cluster or outside; one that only reads (`run
    --advise`) needs less."""
    rules = rules_of(deployed, read_only)
    rules = rules if is_inside else tuple(from_outside(rules))
    for (why, _), rule in zip(rules, named(rules, deployed), strict=True):
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames", ("",)):
                    yield Permission(verb, rule["apiGroups"][0], resource, name, why)


def missing(api: Api, deployed: Deployed, is_inside: bool) -> list[Permission]:
    """What this client's account lacks of it. Raises ApiError where the server does not say."""
    wanted = list(needed(deployed, api.read_only, is_inside))

    def is_allowed(each: Permission) -> bool:
        return api.may(deployed.namespace, each.verb, each.group, each.resource, each.name)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        allowed = list(threads.map(is_allowed, wanted))
    return [each for each, is_there in zip(wanted, allowed, strict=True) if not is_there]


def check(api: Api, deployed: Deployed, is_inside: bool) -> None:
    """Raise RunError, naming each, for permissions that this account lacks and cannot do without."""
    try:
        lacking = missing(api, deployed, is_inside)
    except ApiError as error:
        log.warning("what this account may do is not known", extra={"problem": str(error)})
        return
    for each in lacking:
        if each.is_optional:
            log.warning("not allowed, and can be done without", extra={"permission": str(each)})
    if vital := [str(each) for each in lacking if not each.is_optional]:
        raise RunError(
            f"this account may not, in namespace {deployed.namespace}: {'; '.join(vital)}. "
            "ipa live manifests --controller prints a Role that allows all that a controller needs"
        )
