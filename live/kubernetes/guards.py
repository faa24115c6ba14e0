"""What bounds the changes of a controller: pace, variants that failed to start, the room that there is, other scalers.

Others who set a stage's replicas are a HorizontalPodAutoscaler, KEDA, a person with `kubectl scale`. With the replicas
of a Deployment we write an annotation that says how many we asked for: any other number is somebody else's. (Field
ownership alone would not tell: older servers, such as 1.20, keep no record of who used the scale subresource, and an
owner that has been deleted stays the owner.) A number that another has set is set back at once. If that has happened
`SET_BACK_TIMES` within `WITHIN_S`, whoever it is will do it again, and we stand aside at this stage rather than start
and stop pods in turns: the replicas are left to the other until the number has not changed for `WITHIN_S`, or the
autoscaler that was named is gone. They are then set back once; if that is undone within `WITHIN_S`, we stand aside
again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.difference import foreign_owner
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import Look, StageState, part_of, said
from ipa.live.kubernetes.timeline import PodReplicas, left_out
from ipa.policies import Configuration, StageConfiguration, mix_by_weight

WINDOW_S = 60.0


class Pace:
    """At most `changes_per_minute` changes of a stage's pods, over all stages."""

    def __init__(self, changes_per_minute: int = 30, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = changes_per_minute
        self._clock = clock
        self._changed_at_s: deque[float] = deque()

    def refusal(self, changes: int) -> str:
        """Why so many changes may not be made now, empty if they may. After a minute without any, all of them may."""
        since_s = self._clock() - WINDOW_S
        while self._changed_at_s and self._changed_at_s[0] < since_s:
            self._changed_at_s.popleft()
        if changes and self._changed_at_s and len(self._changed_at_s) + changes > self._most:
            return f"too fast: {len(self._changed_at_s)} changes within a minute; at most {self._most}"
        return ""

    def note(self, changes: int) -> None:
        """So many changes have been asked for now."""
        self._changed_at_s.extend([self._clock()] * changes)


def moves_pods(before: StageConfiguration, after: StageConfiguration) -> bool:
    """Whether a change needs other pods, and not other queues alone."""
    return _pods(before) != _pods(after)


def _pods(wanted: StageConfiguration) -> set[tuple[str, int, int]]:
    return {(part.variant, part.cores, part.replicas) for part in wanted.parts}


# ---- variants that failed to start ----


class FailedVariants:
    """What has failed at each of `stages`, which say when each variant that is left out did."""

    def __init__(self, stages: Mapping[str, PodReplicas]) -> None:
        self._stages = stages
        self._unwritten: dict[str, dict[str, float]] = {}  # stage -> variant -> Unix time, not yet in its Deployment
        self._decided_at: dict[str, int] = {}  # stage -> the step that decided its present variant

    def decided(self, stages: Iterable[str], step: int) -> None:
        """A step has chosen other variants for these stages."""
        self._decided_at |= dict.fromkeys(stages, step)

    def refusal(self, configuration: Configuration) -> str:
        """Why a configuration may not be asked for; empty if it may."""
        for name, wanted in configuration.items():
            stage = self._stages[name]
            present = {part.variant for part in stage.configuration.parts}
            for part in wanted.parts:
                if part.variant in stage.failed_variants and part.variant not in present:
                    return f"{name}: variant {part.variant} has failed to start and is left out for now"
        return ""

    # ---- what the cluster remembers ----

    def to_write(self, states: Mapping[str, StageState], wall_s: float) -> dict[str, dict[str, float]]:
        """Stage -> variant -> Unix time: what the Deployments of stages with new failures are to remember."""
        return {name: {**_remembered(states.get(name), wall_s), **new} for name, new in self._unwritten.items()}

    def has_written(self) -> None:
        """The Deployments remember all of it now."""
        self._unwritten = {}

    def take_over(self, states: Mapping[str, StageState], wall_s: float) -> None:
        """Leave out what an earlier controller found failing."""
        for name, state in states.items():
            stage = self._stages[name]
            stage.excluded = left_out(state.failed, wall_s) | stage.excluded

    # ---- rolling back ----

    def add(self, stage: str, variant: str, wall_s: float) -> None:
        """A variant has failed at `wall_s` [Unix time]."""
        self._stages[stage].excluded[variant] = wall_s
        self._unwritten.setdefault(stage, {})[variant] = wall_s

    def steps_undone(self, stage: str, step: int) -> range:
        """The steps whose decision comes to nothing when a stage is rolled back at `step`: those that chose its present
        variant or kept it."""
        return range(self._decided_at.get(stage, step), step + 1)

    def trouble(self, failing: Mapping[str, str]) -> str:
        """What fails (stage -> why) or is left out, empty where there is nothing."""
        excluded = {each.stage: names for each in self._stages.values() if (names := each.failed_variants)}
        said = [f"{stage}: {why}" for stage, why in failing.items()]
        return "; ".join([*said, *(f"left out: {stage}: {', '.join(names)}" for stage, names in excluded.items())])


@dataclass(frozen=True, slots=True)
class Rollback:
    """A stage goes `back_to` the configuration that stood before `variant`, which has failed."""

    variant: str
    back_to: StageConfiguration


def rollback(state: StageState, wanted: StageConfiguration) -> Rollback | None:
    """What to do about a stage that cannot go on; None if what fails is no longer wanted, or nothing has stood before.

    If a mix with the failed variant has stood, the others get its requests. If that variant has stood alone, with other
    cores, it gets those back.
    """
    failed = state.troubled
    if failed is None or state.sound is None or (part := part_of(wanted, failed.variant)) is None:
        return None
    others = [each for each in state.sound.parts if each.variant != failed.variant]
    if len(others) == len(state.sound.parts) or (not others and state.sound.cores != part.cores):
        return Rollback(failed.variant, state.sound)
    return Rollback(failed.variant, mix_by_weight(others)) if others else None


def _remembered(state: StageState | None, wall_s: float) -> Mapping[str, float]:
    return {} if state is None else left_out(state.failed, wall_s)


# ---- room ----


BELIEVED_FOR_S = 120.0
"""How long a refusal for want of room bounds the cores; then more are tried again."""


class Room:
    """The core limit that follows from what has found room; none until something has not.

    A limit is never below one core for each of the `stages`. Pods that no node has room for are waited with for
    `nodes_within_s`, so that a node can come; a quota does not grow by waiting.
    """

    def __init__(self, stages: int, nodes_within_s: float = 0.0) -> None:
        self._stages = stages
        self._nodes_within_s = nodes_within_s
        self._since_s: float | None = None  # since when pods have waited for a node and none has come
        self._placed = 0
        self._until_s = 0.0
        self.cores: int | None = None
        """The cores that found room; None while no refusal is believed."""

    def note(self, look: Look, now_s: float) -> None:
        """Bound the cores by what has found room among the pods that a look saw, for a while or until more has."""
        pods = [pod for state in look.stages.values() for pod in state.all_pods]
        placed = sum(pod.cores for pod in pods if pod.is_scheduled and pod.removed_s is None and not pod.is_over)
        if look.out_of_room and self._is_final(look, placed, now_s):
            self.cores, self._until_s = max(placed, self._stages), now_s + BELIEVED_FOR_S
        elif not (look.out_of_room or look.done or look.error):
            self._since_s = None
        if look.out_of_room:
            return
        if self.cores is not None and (placed > self.cores or now_s > self._until_s):
            self.cores = None

    def _is_final(self, look: Look, placed: int, now_s: float) -> bool:
        """Whether waiting for a node is no use, or has been none."""
        if self._since_s is None or placed > self._placed:
            self._since_s = now_s
        self._placed = placed
        wants_nodes = all(look.stages[stage].wants_node for stage in look.out_of_room)
        return self.cores is not None or not wants_nodes or now_s - self._since_s >= self._nodes_within_s

    def within(self, limit_cores: int | None) -> int | None:
        """The lower of `limit_cores` (None: no limit) and what there is room for."""
        if self.cores is None:
            return limit_cores
        return min(self.cores, limit_cores or self.cores)

    def trouble(self, look: Look) -> str:
        """What there is no room for, empty if there is room for all."""
        why = said(look.out_of_room)
        if self.cores is None:
            return why and f"{why} (another node may come within {self._nodes_within_s:g} s)"
        return why or f"there is room for {self.cores} cores; more will be tried again"


# ---- others who scale ----

SET_BACK_TIMES = 3
WITHIN_S = 300.0

UNKNOWN = "somebody"
"""Who acted, where neither the server's record nor an autoscaler says so."""
_OF_AUTOSCALERS = ("", "kube-controller-manager", "horizontal-pod-autoscaler")
"""The field managers under which a HorizontalPodAutoscaler may act; with none, the server kept no record."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """What is remembered of others at one stage. Times are of a monotonic clock [s].

    `set_back_s`: when their number was lately set back. `by`: who it was; `autoscaler` is its name if it is a
    HorizontalPodAutoscaler. `seen`: the replicas they set. `aside_s`: while we stand aside, since when that number has
    not changed; None otherwise.
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

    def said(self, wanted: int) -> str:
        """What a person should know; empty if nobody else has lately acted. `wanted`: the replicas that we want."""
        if self.stands_aside:
            sooner = f", or at once when {self.by} is deleted" if self.autoscaler else ""
            return (
                f"{self.by} keeps setting its replicas, now {self.seen} (wanted: {wanted}); they are left to it, and "
                f"set back when they have not changed for {WITHIN_S / 60:g} minutes{sooner}"
            )
        return f"{self.by} had set {self.seen} replicas, which were set back" if self.set_back_s else ""


def judged(
    before: Dispute, seen: int, is_ours: bool, by: str, autoscaler: str, now_s: float, has_gone: bool = False
) -> Dispute:
    """The dispute after one look, on the assumption that a number that may be set back is set back.

    `seen`: the replicas of the Deployment; `is_ours`: they are as we asked for; else `by` and `autoscaler` are who set
    them. `has_gone`: the autoscaler of the dispute does not exist any more.
    """
    lately = tuple(at_s for at_s in before.set_back_s if now_s - at_s < WITHIN_S)
    if before.aside_s is not None:
        if has_gone or (seen == before.seen and now_s - before.aside_s >= WITHIN_S):
            return Dispute((now_s,) * SET_BACK_TIMES, before.by, before.autoscaler, before.seen)
        if seen == before.seen:
            return before
        known = before if is_ours else replace(before, by=by, autoscaler=autoscaler)
        return replace(known, seen=seen, aside_s=now_s)
    if is_ours:
        return replace(before, set_back_s=lately)
    if len(lately) >= SET_BACK_TIMES:
        return Dispute(lately, by, autoscaler, seen, aside_s=now_s)
    return Dispute((*lately, now_s), by, autoscaler, seen)


class Autoscalers:
    """The HorizontalPodAutoscalers of a namespace, read at most once; none if they may not be listed."""

    def __init__(self, api: Api, deployed: Deployed) -> None:
        self._api = api
        self._deployed = deployed
        self._of: dict[str, Mapping[str, Any]] | None = None
        self.are_known = False
        """Whether the server has told; meaningful once `of` has been called."""

    def of(self, name: str) -> Mapping[str, Any] | None:
        """The one that scales the Deployment of a name, if any."""
        if self._of is None:
            self._of = self._listed()
        return self._of.get(name)

    def _listed(self) -> dict[str, Mapping[str, Any]]:
        try:
            found = self._api.list("HorizontalPodAutoscaler", self._deployed.namespace)["items"]
        except ApiError:  # it only helps to name who acts
            return {}
        self.are_known = True
        targets = ((each["spec"].get("scaleTargetRef") or {}, each) for each in found)
        return {str(to.get("name")): each for to, each in targets if to.get("kind") == "Deployment"}


def actor(given: Mapping[str, Any], autoscalers: Autoscalers) -> tuple[str, str]:
    """Who has set a Deployment's replicas, in words, and the name of the autoscaler if it is one."""
    manager = foreign_owner(given, ("spec", "replicas"))
    found = autoscalers.of(given["metadata"]["name"]) if manager in _OF_AUTOSCALERS else None
    if found is None:
        return (repr(manager) if manager else UNKNOWN), ""
    meta = found["metadata"]
    owner = next((f"{each['kind']} {each['name']}" for each in meta.get("ownerReferences") or ()), "")
    return owner or f"HorizontalPodAutoscaler {meta['name']}", str(meta["name"])
