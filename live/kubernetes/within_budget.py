"""What a stage's Deployment may ask for within the stage's budget of cores, so that rule 5's limit holds on a cluster.

The Deployment controller creates a successor as soon as it has told a replica to end, which still has its cores. So a
rollout has room if there is some for what drains meanwhile, and one that has none, and replaces one replica after the
other, gives up as many replicas as make this room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ipa.live.kubernetes import names
from ipa.live.kubernetes.stage_state import StageState
from ipa.live.plane import Plane
from ipa.policies import Configuration, StageConfiguration
from ipa.sim import rules


@dataclass(frozen=True, slots=True)
class Allowed:
    """How many `replicas` a Deployment may ask for now. `one_by_one`: a rollout removes one before it adds one.
    `keeps_template`: its template stays as it is for now. `lacks_room`: there would be more, or at once, with room."""

    replicas: int
    one_by_one: bool = False
    keeps_template: bool = False
    lacks_room: bool = False


@dataclass(frozen=True, slots=True)
class Budget:
    """The most cores that a stage's replicas may have until the next decision; `max_surge` and `max_unavailable` where
    there is room; whether it `replaces` one after the other where there is none, or waits."""

    cores: int
    max_surge: int
    max_unavailable: int
    replaces: bool

    @classmethod
    def of(cls, replicas: int, cores: int, plane: Plane) -> Budget:
        """So many cores for the desired replicas of a stage."""
        surge = rules.default_max_surge(replicas) if plane.max_surge is None else plane.max_surge
        return cls(cores, surge, plane.max_unavailable, plane.when_full == "replace")


def allowed(wanted: StageConfiguration, template: str, state: StageState, budget: Budget) -> Allowed:
    """What the Deployment of a stage may ask for on the way to the wanted configuration.

    `template`: the digest of its pod template. A replica of another is obsolete, even if it is of the same variant.
    """
    draining_cores, obsolete, current = _existing(state, template)
    exist_cores = draining_cores + sum(obsolete) + current * wanted.cores
    desired, scaled = wanted.replicas, state.replicas
    if exist_cores + max(desired - current, 0) * wanted.cores <= budget.cores:
        return Allowed(desired)
    if not obsolete:
        replicas = min(desired, max((budget.cores - draining_cores) // wanted.cores, current))
        return Allowed(replicas, lacks_room=replicas < desired)
    drains = max(draining_cores, (budget.max_surge + budget.max_unavailable) * max(obsolete))
    has_template = state.template == template
    if _peak_cores(desired, budget.max_surge, obsolete, wanted.cores) + drains <= budget.cores:
        at_once = min(desired - current, budget.max_surge + max(desired - current - len(obsolete), 0))
        if exist_cores + at_once * wanted.cores <= budget.cores:
            return Allowed(desired)
        return Allowed(min(desired, scaled), keeps_template=not has_template, lacks_room=not has_template)
    if not budget.replaces or wanted.cores > budget.cores:
        return Allowed(min(desired, scaled), keeps_template=not has_template, lacks_room=True)
    room_cores = budget.cores - max(obsolete)
    replicas = next(
        (count for count in range(desired, 0, -1) if _peak_cores(count, 0, obsolete, wanted.cores) <= room_cores), 0
    )
    if exist_cores + wanted.cores > budget.cores:  # until what drains has ended
        return Allowed(min(replicas, scaled), True, keeps_template=not has_template, lacks_room=True)
    if not has_template and replicas < scaled:
        return Allowed(replicas, keeps_template=True, lacks_room=True)
    return Allowed(replicas if has_template else min(replicas, scaled), one_by_one=True, lacks_room=True)


def drains_before_next_step(template: str, state: StageState) -> bool:
    """Whether replicas drain while the rollout to this template has others still to replace."""
    draining_cores, obsolete, _ = _existing(state, template)
    return bool(draining_cores and obsolete)


def divided(limit_cores: int, wanted: Configuration, states: Mapping[str, StageState]) -> dict[str, int]:
    """The cores that each stage may have from this decision to the next (`rules.budgets_within`).

    What a Deployment may still create by itself counts as existing, so that none gets the room of another's rollout.
    """
    committed = [committed_cores(states[name]) if name in states else 0 for name in wanted]
    desired = [each.replicas * each.cores for each in wanted.values()]
    return dict(zip(wanted, rules.budgets_within(limit_cores, committed, desired), strict=True))


def needed_cores(wanted: StageConfiguration, template: str, state: StageState) -> int:
    """The most cores that a stage may come to have, whatever its budget, on the way to a configuration with this
    template: what its Deployment is committed to, or what exists and the replicas that lack."""
    draining_cores, obsolete, current = _existing(state, template)
    lacking = max(wanted.replicas - current, 0)
    exist_cores = draining_cores + sum(obsolete) + current * wanted.cores
    before_cores = exist_cores if state.template == template else max(exist_cores, committed_cores(state))
    return max(committed_cores(state), before_cores + lacking * wanted.cores)


def committed_cores(state: StageState) -> int:
    """The most cores that may exist at a stage whose Deployment stays as it is: a rollout that has begun goes on."""
    spec = state.deployment["spec"]
    replicas, rolling = state.replicas, spec["strategy"]["rollingUpdate"]
    surge, unavailable = (
        count if isinstance(count, int) else replicas  # a share of them: at most all
        for count in (rolling["maxSurge"], rolling["maxUnavailable"])
    )
    cores = int((spec["template"]["metadata"].get("labels") or {}).get(names.CORES, 0))
    draining_cores, obsolete, current = _existing(state, state.template)
    exist_cores = draining_cores + sum(obsolete) + current * cores
    without_removals = exist_cores + max(replicas - current, 0) * cores
    if not obsolete:
        return without_removals
    largest, staying = max(obsolete), min(max(replicas - current, 0), len(obsolete))
    drains = max(draining_cores + (len(obsolete) - staying) * largest, (surge + unavailable) * largest)
    peak_cores = _peak_cores(replicas, surge, [largest] * staying, cores) if staying else max(current, replicas) * cores
    return min(without_removals, max(exist_cores, peak_cores + drains))


def _existing(state: StageState, template: str) -> tuple[int, list[int], int]:
    """The cores of a stage's draining replicas, those of each other one that is not of this template, and how many
    are."""
    pods = [pod for pod in state.pods if not pod.is_over and pod.ended_s is None]
    staying = [pod for pod in pods if pod.removed_s is None]
    obsolete = [pod.cores for pod in staying if pod.template != template]
    return sum(pod.cores for pod in pods if pod.removed_s is not None), obsolete, len(staying) - len(obsolete)


def _peak_cores(replicas: int, surge: int, obsolete: Sequence[int], cores: int) -> int:
    """The most cores of replicas that do not drain, in a rollout to so many of `cores`: at its begin or at its end."""
    largest, staying = max(obsolete), min(len(obsolete), replicas + surge)
    at_begin = staying * largest + min(replicas, replicas + surge - staying) * cores
    return max(at_begin, min(surge, staying) * largest + replicas * cores)
