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
from ipa.live.kubernetes import manifest_parts
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.manifest_parts import Manifest
from ipa.live.kubernetes.names import CONTROLLER
from ipa.live.kubernetes.settings import Deployed
from ipa.live.settings import EMULATED

AT_ONCE = 8
"""How many questions are asked at a time: a far API server would take seconds for all of them one by one."""

log = logging.getLogger("ipa.live.kubernetes.permissions")

Rule = tuple[str, dict[str, Any]]
"""A rule of a Role, and why a controller needs it."""


def _rule(why: str, verbs: str, resource: str, group: str = "") -> Rule:
    return why, {"apiGroups": [group], "resources": [resource], "verbs": verbs.split()}


FINDS_GATEWAY = _rule("finds the gateway's control port, whose token is mounted in its pod", "get", "services")
FROM_OUTSIDE = (
    _rule("asks the gateway for observations, and puts configurations in force in its queues", "get update",
          "services/proxy"),
    _rule("reads the token of the gateway's control port", "get", "secrets"),
)  # fmt: skip
"""What a controller needs in place of `FINDS_GATEWAY` outside the cluster; an adviser needs no `update`."""

RULES: tuple[Rule, ...] = (
    _rule("reads the pipeline's ConfigMap: settings, kill switch; brings it up to date; keeps what its policy has "
          "learnt, and fixes its models", "get patch", "configmaps"),
    _rule("sees replicas: which start, serve, end, fail or find no room", "list watch", "pods"),
    _rule("sees whether the gateway is ready; applies it and the stages, and sets their replicas",
          "get patch", "deployments", "apps"),
    _rule("reads the stages' Deployments, and makes those that are not there any more",
          "list create", "deployments", "apps"),
    _rule("names the autoscaler that has set the replicas of one of them",
          "list", "horizontalpodautoscalers", "autoscaling"),
    _rule("tells a rollout's refusals from those before, and keeps replicas from being shared out: names carry hashes",
          "list patch", "replicasets", "apps"),
    FINDS_GATEWAY,
    _rule("holds the Lease, so that one controller writes", "get update", "leases", "coordination.k8s.io"),
    _rule("makes the Lease where it is not there", "create", "leases", "coordination.k8s.io"),
    _rule("tells what it did and found as Events on the stages' Deployments", "create", "events"),
)  # fmt: skip
"""What a controller may do in its namespace, and why; it may do nothing that it does not need."""

READ_ONLY_RULES: tuple[Rule, ...] = (
    _rule("reads the pipeline's ConfigMap: its settings", "get", "configmaps"),
    _rule("sees replicas", "list watch", "pods"),
    _rule("sees whether the gateway is ready", "get", "deployments", "apps"),
    _rule("reads the stages' Deployments", "list", "deployments", "apps"),
    _rule("tells a rollout's refusals from those before: names carry hashes", "list", "replicasets", "apps"),
    FINDS_GATEWAY,
)
"""What an adviser needs, which decides and writes nothing."""

OPTIONAL = frozenset({"events", "horizontalpodautoscalers", "replicasets"})
"""Resources without which a controller works, less well: no Events are written; an autoscaler that sets replicas is not
named; what the API server refuses is believed only when the rollout's deadline has passed, and additional replicas are
shared out among old and new ones."""

NAMELESS = frozenset({"create", "list", "watch"})
"""Verbs of requests that name no existing object: a rule with one of them cannot be restricted to names."""


def from_outside(rules: Sequence[Rule]) -> list[Rule]:
    """The rules of a controller that runs outside the cluster and reaches the gateway by the API server's proxy."""
    writes = any({"patch", "update"} & {*rule["verbs"]} for _, rule in rules)
    (why, proxy), reads_token = FROM_OUTSIDE
    by_proxy = (why, proxy) if writes else (why.partition(",")[0], {**proxy, "verbs": ["get"]})
    return [each for rule in rules for each in ((by_proxy, reads_token) if rule is FINDS_GATEWAY else (rule,))]


def named(rules: Sequence[Rule], deployed: Deployed) -> list[dict[str, Any]]:
    """The rules, restricted to this pipeline's objects where the API allows that and the names are known."""
    stages = map(deployed.stage_name, deployed.stages)
    models = () if deployed.settings.models.source == EMULATED else (deployed.models_name,)
    is_read_only = not any({"patch", "update"} & {*rule["verbs"]} for _, rule in rules)
    bound = {
        "configmaps": [deployed.instance, *(() if is_read_only else (deployed.memory_name, *models))],
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


def role(deployed: Deployed, name: str, rules: Sequence[Rule] = RULES) -> Manifest:
    return manifest_parts.role(deployed.meta(name, CONTROLLER), named(rules, deployed))


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
        return self.resource in OPTIONAL

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        return f"{self.verb} {self.resource}{group}{f' {self.name}' if self.name else ''} ({self.why})"


def needed(deployed: Deployed, read_only: bool, is_inside: bool) -> Iterator[Permission]:
    """The permissions that a controller needs, inside the cluster or outside; one that is `read_only` (an
    adviser) needs fewer."""
    rules = READ_ONLY_RULES if read_only else RULES
    rules = rules if is_inside else tuple(from_outside(rules))
    for (why, _), rule in zip(rules, named(rules, deployed), strict=True):
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames", ("",)):
                    yield Permission(verb, rule["apiGroups"][0], resource, name, why)


def missing(api: Api, deployed: Deployed, is_inside: bool) -> list[Permission]:
    """The needed permissions that this client's account lacks. Raises ApiError if the server does not say."""
    permissions = list(needed(deployed, api.read_only, is_inside))

    def is_allowed(permission: Permission) -> bool:
        return api.may(deployed.namespace, permission.verb, permission.group, permission.resource, permission.name)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        allowed = list(threads.map(is_allowed, permissions))
    return [permission for permission, is_there in zip(permissions, allowed, strict=True) if not is_there]


def check(api: Api, deployed: Deployed, is_inside: bool) -> None:
    """Raise RunError, naming each, for permissions that this account lacks and cannot do without."""
    try:
        lacking = missing(api, deployed, is_inside)
    except ApiError as error:
        log.warning("what this account may do is not known", extra={"problem": str(error)})
        return
    for permission in lacking:
        if permission.is_optional:
            log.warning("not allowed, and can be done without", extra={"permission": str(permission)})
    if vital := [str(permission) for permission in lacking if not permission.is_optional]:
        raise RunError(
            f"this account may not, in namespace {deployed.namespace}: {'; '.join(vital)}. "
            "ipa live manifests --set controller.in_cluster=true prints a Role that allows all that a controller needs"
        )
