"""The self-check of a controller: which of the permissions that it needs its account lacks.

It asks the API server, before anything else, for each rule of the table that the Role is made of (`in_cluster`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ipa.live.errors import RunError
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.in_cluster import OPTIONAL, from_outside, named, rules_of
from ipa.live.kubernetes.settings import Deployed

AT_ONCE = 8
"""How many questions are asked at a time: a far API server would take seconds for all of them one by one."""

log = logging.getLogger("ipa.live.kubernetes.permissions")


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
