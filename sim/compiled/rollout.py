"""The replicas of a stage in the kernel: rollouts and idle replicas, as in `ipa.sim.events.replica_set`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ipa.sim import rules
from ipa.sim.compiled.heaps import append, push_event, push_number
from ipa.sim.compiled.jit import inner, small
from ipa.sim.compiled.memory import (
    DRAINED,
    DRAINING,
    EXISTING,
    HAS_ROOM,
    IDLE,
    IDLE_OTHERS,
    IS_READY,
    READY,
    STARTING,
    KernelMemory,
)
from ipa.sim.rules import NEVER

_default_max_surge = small(rules.default_max_surge)
_gone_s = small(rules.gone_s)
_must_replace = small(rules.must_replace)
_removal_order = small(rules.removal_order)
_rollout = small(rules.rollout)


@small
def _max_surge(s: int, memory: KernelMemory) -> int:
    max_surge: int = memory.run[0].max_surge
    return _default_max_surge(memory.stages[s].desired) if max_surge < 0 else max_surge


@small
def has_room(s: int, memory: KernelMemory) -> bool:
    """Whether there is room for all replicas that a rollout step of stage s may create."""
    stage = memory.stages[s]
    return stage.replicas + stage.desired + _max_surge(s, memory) <= memory.replicas.shape[1]


@inner
def taken(s: int, memory: KernelMemory) -> tuple[int, int]:
    """The cores and GPUs of all replicas of stage s that exist now, draining ones too."""
    cores, gpus = _taken_by_staying(s, memory)
    draining, now_s = memory.numbers[s, DRAINING], memory.stages[s].now_s
    for i in range(draining[0]):
        if gone_s(s, draining[1 + i], memory) > now_s:
            option = memory.options[memory.replicas[s, draining[1 + i]].option]
            cores += option.cores
            gpus += option.gpus
    return cores, gpus


@small
def gone_s(s: int, number: int, memory: KernelMemory) -> float:
    """When a removed replica is gone."""
    replica = memory.replicas[s, number]
    busy_until_s = replica.removed_s if memory.run[0].loses else replica.finish_s
    moment_s: float = _gone_s(replica.removed_s, busy_until_s, memory.run[0].stop_s)
    return moment_s


@small
def _taken_by_staying(s: int, memory: KernelMemory) -> tuple[int, int]:
    """The cores and GPUs of the starting and ready replicas of stage s."""
    existing = memory.numbers[s, EXISTING]
    cores: Any = np.int64(0)
    gpus: Any = np.int64(0)
    for i in range(existing[0]):
        option = memory.options[memory.replicas[s, existing[1 + i]].option]
        cores += option.cores
        gpus += option.gpus
    return cores, gpus


@small
def _room(s: int, memory: KernelMemory) -> int:
    """How many replicas stage s can create now."""
    stage = memory.stages[s]
    room: int = stage.desired
    if not memory.run[0].is_limited:
        return room
    option, existing = memory.options[stage.option], taken(s, memory)
    for needed, spare in (
        (option.cores, stage.budget_cores - existing[0]),
        (option.gpus, stage.budget_gpus - existing[1]),
    ):
        if needed > 0:
            room = min(room, spare // needed if spare > 0 else spare - spare)
    return room


@small
def _must_replace_one(s: int, memory: KernelMemory) -> bool:
    """Whether stage s, which lacks room, removes an obsolete ready replica to make some."""
    stage, existing = memory.stages[s], memory.numbers[s, EXISTING]
    zero: Any = np.int64(0)
    starting_current = current = ready_obsolete = zero
    for i in range(existing[0]):
        replica = memory.replicas[s, existing[1 + i]]
        is_current = replica.option == stage.option
        current += is_current
        starting_current += is_current and replica.ready_s == NEVER
        ready_obsolete += not is_current
    option = memory.options[stage.option]
    return memory.run[0].replaces and _must_replace(
        starting_current,
        ready_obsolete,
        (current * option.cores, current * option.gpus),
        _taken_by_staying(s, memory),
        (option.cores, option.gpus),
        (stage.budget_cores, stage.budget_gpus),
    )


@inner
def roll_out(s: int, memory: KernelMemory) -> None:
    """Roll stage s out towards its configuration, as far as there is room."""
    zero: Any = np.int64(0)
    one: Any = np.int64(1)
    while True:
        lacking = _step(s, memory)
        if lacking == 0:
            break
        if _room(s, memory) > 0:
            continue
        if not _must_replace_one(s, memory):
            break
        _remove(s, zero, one, memory)
    if memory.run[0].is_limited:
        _note_room(s, lacking > 0, memory)
    _sort_idle(s, memory)


@inner
def _step(s: int, memory: KernelMemory) -> int:
    """One rollout step of stage s; returns how many more replicas it would create if there were room."""
    stage, replicas, existing = memory.stages[s], memory.replicas, memory.numbers[s, EXISTING]
    zero: Any = np.int64(0)  # numba would compile the rule a second time for a literal 0
    starting_current = starting_obsolete = ready_current = ready_obsolete = zero
    for i in range(existing[0]):
        replica = replicas[s, existing[1 + i]]
        is_starting = replica.ready_s == NEVER
        if replica.option == stage.option:
            starting_current += is_starting
            ready_current += not is_starting
        else:
            starting_obsolete += is_starting
            ready_obsolete += not is_starting
    step = _rollout(
        stage.desired,
        _max_surge(s, memory),
        memory.run[0].max_unavailable,
        starting_current,
        starting_obsolete,
        ready_current,
        ready_obsolete,
        _room(s, memory),
    )
    # Starting replicas are removed first, so the sum determines which obsolete ones are.
    obsolete = step.remove_starting_obsolete + step.remove_ready_obsolete
    if step.remove_current + obsolete > 0:
        _remove(s, step.remove_current, obsolete, memory)
    for _ in range(step.create):
        _create(s, memory)
    lacking: int = step.lacking
    return lacking


@small
def _note_room(s: int, lacks_room: bool, memory: KernelMemory) -> None:
    """Count how often and how long stage s lacks room."""
    stage, duration_s = memory.stages[s], memory.run[0].duration_s
    if lacks_room and not stage.lacks_room:
        stage.lacks_since_s = stage.now_s
        stage.times_lacked += stage.now_s < duration_s
    elif stage.lacks_room and not lacks_room:
        until_s = stage.now_s if stage.now_s < duration_s else duration_s
        if until_s > stage.lacks_since_s:
            stage.lacked_s += until_s - stage.lacks_since_s
    stage.lacks_room = lacks_room


@inner
def expect_room(s: int, removed_before: int, memory: KernelMemory) -> None:
    """Wake stage s when the replicas removed since then are gone."""
    draining, now_s = memory.numbers[s, DRAINING], memory.stages[s].now_s
    for i in range(removed_before, draining[0]):
        moment_s = gone_s(s, draining[1 + i], memory)
        if now_s < moment_s < NEVER:
            push_event(moment_s, HAS_ROOM, draining[1 + i], memory.run[0], memory.stages[s], memory.heap[s])


@inner
def _remove(s: int, current: int, obsolete: int, memory: KernelMemory) -> None:
    """Remove this many current and this many obsolete replicas, in the rules' order of removal."""
    stage, replicas, existing = memory.stages[s], memory.replicas, memory.numbers[s, EXISTING]
    count = existing[0]
    while current + obsolete > 0:
        chosen, least = 0, (3, 0)
        for i in range(1, 1 + count):
            replica = replicas[s, existing[i]]
            if replica.removed_s < NEVER or (current if replica.option == stage.option else obsolete) == 0:
                continue
            signed: Any = np.int64(existing[i])
            order = _removal_order(replica.ready_s == NEVER, replica.batch >= 0, signed)
            if order < least:
                chosen, least = i, order
        replica = replicas[s, existing[chosen]]
        replica.removed_s = stage.now_s
        append(memory.numbers[s, DRAINING], existing[chosen])
        is_current = replica.option == stage.option
        current -= is_current
        obsolete -= not is_current
    existing[0] = 0
    for i in range(count):
        if replicas[s, existing[1 + i]].removed_s == NEVER:
            append(memory.numbers[s, EXISTING], existing[1 + i])


@inner
def _create(s: int, memory: KernelMemory) -> None:
    stage, now_s = memory.stages[s], memory.stages[s].now_s
    number = stage.replicas
    stage.replicas += 1
    append(memory.numbers[s, EXISTING], number)
    replica = memory.replicas[s, number]
    replica.created_s = now_s
    replica.ready_s = NEVER
    replica.removed_s = NEVER
    replica.finish_s = 0.0
    replica.option = stage.option
    replica.batch = -1
    replica.first = -1
    push_event(now_s + memory.options[stage.option].start_up_s, IS_READY, number, memory.run[0], stage, memory.heap[s])


@small
def _idle_row(s: int, replica: Any, memory: KernelMemory) -> int:
    """The heap of idle replicas that a replica belongs to: of the configured variant, or of others."""
    stage = memory.stages[s]
    # The first comparison often settles it, and saves looking up the options.
    if replica.option == stage.option or memory.options[replica.option].variant == stage.variant:
        return IDLE
    return IDLE_OTHERS


@inner
def _sort_idle(s: int, memory: KernelMemory) -> None:
    """Rebuild the heaps of idle replicas and count the ready ones. Ascending numbers already form a heap."""
    existing = memory.numbers[s, EXISTING]
    memory.numbers[s, IDLE, 0] = 0
    memory.numbers[s, IDLE_OTHERS, 0] = 0
    memory.stages[s].ready = 0
    for i in range(existing[0]):
        replica = memory.replicas[s, existing[1 + i]]
        memory.stages[s].ready += replica.ready_s < NEVER
        if replica.batch < 0 and replica.ready_s < NEVER:
            append(memory.numbers[s, _idle_row(s, replica, memory)], existing[1 + i])


@inner
def put_idle(s: int, number: int, memory: KernelMemory) -> None:
    """Make a replica idle again after a batch, unless it has been removed."""
    replica = memory.replicas[s, number]
    if replica.removed_s == NEVER:
        push_number(memory.numbers[s, _idle_row(s, replica, memory)], number)


@inner
def count_replicas(memory: KernelMemory) -> None:
    """Count the replicas of every stage by variant and state."""
    run, tally, options = memory.run[0], memory.tally, memory.options
    for variant in range(len(tally)):
        for state in range(3):
            tally[variant, state] = 0
    for s in range(len(memory.stages)):
        existing = memory.numbers[s, EXISTING]
        for i in range(existing[0]):
            replica = memory.replicas[s, existing[1 + i]]
            tally[options[replica.option].variant, STARTING if replica.ready_s == NEVER else READY] += 1
        draining = memory.numbers[s, DRAINING]
        count = draining[0]
        draining[0] = 0
        for i in range(count):
            replica = memory.replicas[s, draining[1 + i]]
            if _gone_s(replica.removed_s, replica.finish_s, run.stop_s) > run.now_s:
                tally[options[replica.option].variant, DRAINED] += 1
                append(memory.numbers[s, DRAINING], draining[1 + i])
