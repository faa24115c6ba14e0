"""The replicas of a stage in the kernel: rollouts, and which ones are idle. The counterpart of `sim.replicas`."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from sim import rules
from sim.compiled.heaps import push_event, push_number
from sim.compiled.jit import inner
from sim.compiled.memory import DRAINED, DRAINING, EXISTING, IDLE, IDLE_OTHERS, READY, STARTING, Records
from sim.rules import NEVER, REPLICA

_default_max_surge = inner(rules.default_max_surge)
_gone_s = inner(rules.gone_s)
_rollout = inner(rules.rollout)

ORDER_BITS = 40
"""An event's order is (rank x stages + stage) << ORDER_BITS, plus how many were made before it."""


@inner
def max_surge(run: Any, stage: Any) -> int:
    """How many replicas may exist beyond those desired during a rollout."""
    return _default_max_surge(stage.desired) if run.max_surge < 0 else run.max_surge


@inner
def has_room(run: Any, stage: Any, room: int) -> bool:
    """Whether a rollout step of the stage finds room for all replicas that it may create."""
    return stage.replicas + stage.desired + max_surge(run, stage) <= room


@inner
def roll_out(
    s: int, run: Any, stages: Records, options: Records, replicas: Records, numbers: npt.NDArray[Any], heap: Records
) -> None:
    """One rollout step of stage s towards its configuration."""
    stage = stages[s]
    starting_current = starting_obsolete = ready_current = ready_obsolete = 0
    for i in range(stage.existing):
        replica = replicas[s, numbers[s, EXISTING, i]]
        is_starting = replica.ready_s == NEVER
        if replica.option == stage.option:
            starting_current += is_starting
            ready_current += not is_starting
        else:
            starting_obsolete += is_starting
            ready_obsolete += not is_starting
    step = _rollout(
        stage.desired,
        max_surge(run, stage),
        run.max_unavailable,
        starting_current,
        starting_obsolete,
        ready_current,
        ready_obsolete,
    )
    if step.remove_current > 0:
        _remove(s, True, step.remove_current, run.now_s, stage, replicas, numbers)
    # In the order of removal the starting ones come first, so that the number says which go.
    obsolete = step.remove_starting_obsolete + step.remove_ready_obsolete
    if obsolete > 0:
        _remove(s, False, obsolete, run.now_s, stage, replicas, numbers)
    for _ in range(step.create):
        _create(s, run, stages, options, replicas, numbers, heap)
    _sort_idle(s, stage, options, replicas, numbers)


@inner
def _remove(
    s: int, is_current: bool, count: int, now_s: float, stage: Any, replicas: Records, numbers: npt.NDArray[Any]
) -> None:
    """Remove `count` current or obsolete replicas: starting, then idle, then busy, the highest number first."""
    for state in range(3):
        for i in range(stage.existing - 1, -1, -1):
            number = numbers[s, EXISTING, i]
            replica = replicas[s, number]
            if count == 0:
                break
            if (
                (replica.option == stage.option) == is_current
                and replica.removed_s == NEVER
                and state == (0 if replica.ready_s == NEVER else 1 if replica.batch < 0 else 2)
            ):
                replica.removed_s = now_s
                numbers[s, DRAINING, stage.draining] = number
                stage.draining += 1
                count -= 1
    kept = 0
    for i in range(stage.existing):
        number = numbers[s, EXISTING, i]
        if replicas[s, number].removed_s == NEVER:
            numbers[s, EXISTING, kept] = number
            kept += 1
    stage.existing = kept


@inner
def _create(
    s: int, run: Any, stages: Records, options: Records, replicas: Records, numbers: npt.NDArray[Any], heap: Records
) -> None:
    stage = stages[s]
    number = stage.replicas
    replica = replicas[s, number]
    replica.created_s = run.now_s
    replica.ready_s = NEVER
    replica.removed_s = NEVER
    replica.finish_s = 0.0
    replica.option = stage.option
    replica.batch = -1
    replica.first = -1
    numbers[s, EXISTING, stage.existing] = number
    stage.existing += 1
    stage.replicas += 1
    start_up_s = options[stage.option].start_up_s * replica.start_up_factor
    order = ((REPLICA * len(stages) + s) << ORDER_BITS) + run.made
    run.made += 1
    push_event(heap, run, run.now_s + start_up_s, order, number)


@inner
def _sort_idle(s: int, stage: Any, options: Records, replicas: Records, numbers: npt.NDArray[Any]) -> None:
    """Rebuild the heaps of idle replicas: rising numbers are heaps."""
    stage.idle = 0
    stage.idle_others = 0
    for i in range(stage.existing):
        number = numbers[s, EXISTING, i]
        replica = replicas[s, number]
        if replica.batch >= 0 or replica.ready_s == NEVER:
            continue
        if options[replica.option].variant == stage.variant:
            numbers[s, IDLE, stage.idle] = number
            stage.idle += 1
        else:
            numbers[s, IDLE_OTHERS, stage.idle_others] = number
            stage.idle_others += 1


@inner
def put_idle(s: int, number: int, stage: Any, options: Records, replicas: Records, numbers: npt.NDArray[Any]) -> None:
    """A replica has finished its batch; one that has been removed takes no other."""
    replica = replicas[s, number]
    if replica.removed_s < NEVER:
        return
    if options[replica.option].variant == stage.variant:
        push_number(numbers, s, IDLE, stage.idle, number)
        stage.idle += 1
    else:
        push_number(numbers, s, IDLE_OTHERS, stage.idle_others, number)
        stage.idle_others += 1


@inner
def count_replicas(
    run: Any, stages: Records, options: Records, replicas: Records, numbers: npt.NDArray[Any], tally: npt.NDArray[Any]
) -> None:
    """Count every stage's replicas by variant and state, as of now."""
    tally[:] = 0
    for s in range(len(stages)):
        stage = stages[s]
        for i in range(stage.existing):
            replica = replicas[s, numbers[s, EXISTING, i]]
            tally[options[replica.option].variant, STARTING if replica.ready_s == NEVER else READY] += 1
        kept = 0
        for i in range(stage.draining):
            number = numbers[s, DRAINING, i]
            replica = replicas[s, number]
            if _gone_s(replica.removed_s, replica.finish_s, run.stop_s) > run.now_s:
                tally[options[replica.option].variant, DRAINED] += 1
                numbers[s, DRAINING, kept] = number
                kept += 1
        stage.draining = kept
