"""Foreign scalers: when a number of replicas that another has set is set back, and when it is left to them.

Others who set a stage's replicas are a HorizontalPodAutoscaler, KEDA, or a person with `kubectl scale`. With the
replicas of a Deployment we write an annotation with the number that we asked for: any other number is somebody else's.
(Field ownership alone does not tell: older servers, such as 1.20, do not record who used the scale subresource, and a
deleted owner stays the owner.)

A foreign number is set back at once. After `SET_BACK_TIMES` times within `WITHIN_S`, the other will do it again, and we
stand aside at this stage rather than start and stop pods in turns: the replicas are left to the other until the number
has not changed for `WITHIN_S`, or the named autoscaler is gone. They are then set back once; if that is undone within
`WITHIN_S`, we stand aside again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.difference import foreign_owner
from ipa.live.kubernetes.settings import Deployed

SET_BACK_TIMES = 3
WITHIN_S = 300.0

UNKNOWN = "somebody"
"""The name of a scaler that neither the server's record nor an autoscaler reveals."""
_OF_AUTOSCALERS = ("", "kube-controller-manager", "horizontal-pod-autoscaler")
"""The field managers under which a HorizontalPodAutoscaler may act; with none, the server kept no record."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """The history of foreign scaling at one stage. Times are of a monotonic clock [s].

    `set_back_s`: when a foreign number was lately set back. `by`: who set it; `autoscaler`: the name, if that is a
    HorizontalPodAutoscaler. `seen`: the replicas that it set. `aside_s`: while we stand aside, since when that number
    has not changed; None otherwise.
    """

    set_back_s: tuple[float, ...] = ()
    by: str = ""
    autoscaler: str = ""
    seen: int = 0
    aside_s: float | None = None

    @property
    def stands_aside(self) -> bool:
        """Whether the replicas are left to the other."""
        return self.aside_s is not None

    def said(self, desired: int) -> str:
        """A message for people; empty if nobody else has lately scaled. `desired`: the replicas that we want."""
        if self.stands_aside:
            sooner = f", or at once when {self.by} is deleted" if self.autoscaler else ""
            return (
                f"{self.by} keeps setting its replicas, now {self.seen} (wanted: {desired}); they are left to it, and "
                f"set back when they have not changed for {WITHIN_S / 60:g} minutes{sooner}"
            )
        return f"{self.by} had set {self.seen} replicas, which were set back" if self.set_back_s else ""


def judged(
    before: Dispute, replicas: int, is_ours: bool, by: str, autoscaler: str, now_s: float, has_gone: bool = False
) -> Dispute:
    """The dispute after one look, assuming that a number that may be set back is set back.

    `replicas`: those of the Deployment; `is_ours`: we asked for that number; otherwise `by` and `autoscaler` name
    who set it. `has_gone`: the autoscaler of the dispute no longer exists.
    """
    lately = tuple(at_s for at_s in before.set_back_s if now_s - at_s < WITHIN_S)
    if before.aside_s is not None:
        if has_gone or (replicas == before.seen and now_s - before.aside_s >= WITHIN_S):
            return Dispute((now_s,) * SET_BACK_TIMES, before.by, before.autoscaler, before.seen)
        if replicas == before.seen:
            return before
        dispute = before if is_ours else replace(before, by=by, autoscaler=autoscaler)
        return replace(dispute, seen=replicas, aside_s=now_s)
    if is_ours:
        return replace(before, set_back_s=lately)
    if len(lately) >= SET_BACK_TIMES:
        return Dispute(lately, by, autoscaler, replicas, aside_s=now_s)
    return Dispute((*lately, now_s), by, autoscaler, replicas)


class Autoscalers:
    """The HorizontalPodAutoscalers of a namespace, read at most once; none if they may not be listed."""

    def __init__(self, api: Api, deployed: Deployed) -> None:
        self._api = api
        self._deployed = deployed
        self._of: dict[str, Mapping[str, Any]] | None = None
        self.are_known = False
        """Whether they could be listed; meaningful once `of` has been called."""

    def of(self, name: str) -> Mapping[str, Any] | None:
        """The autoscaler of the Deployment of that name, if any."""
        if self._of is None:
            self._of = self._listed()
        return self._of.get(name)

    def _listed(self) -> dict[str, Mapping[str, Any]]:
        try:
            autoscalers = self._api.list("HorizontalPodAutoscaler", self._deployed.namespace)["items"]
        except ApiError:  # it only helps to name who acts
            return {}
        self.are_known = True
        targets = ((autoscaler["spec"].get("scaleTargetRef") or {}, autoscaler) for autoscaler in autoscalers)
        return {str(to.get("name")): autoscaler for to, autoscaler in targets if to.get("kind") == "Deployment"}


def actor(deployment: Mapping[str, Any], autoscalers: Autoscalers) -> tuple[str, str]:
    """Who has set a Deployment's replicas, in words, and the name of the autoscaler if it is one."""
    manager = foreign_owner(deployment, ("spec", "replicas"))
    autoscaler = autoscalers.of(deployment["metadata"]["name"]) if manager in _OF_AUTOSCALERS else None
    if autoscaler is None:
        return (repr(manager) if manager else UNKNOWN), ""
    meta = autoscaler["metadata"]
    owner = next((f"{of['kind']} {of['name']}" for of in meta.get("ownerReferences") or ()), "")
    return owner or f"HorizontalPodAutoscaler {meta['name']}", str(meta["name"])
