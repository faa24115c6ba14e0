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
    IDLE,
    IDLE_OTHERS,
    IS_READY,
    READY,
    STARTING,
    Memory,
)
from ipa.sim.rules import NEVER

_default_max_surge = small(rules.default_max_surge)
_gone_s = small(rules.gone_s)
_removal_order = small(rules.removal_order)
_rollout = small(rules.rollout)


@small
def _max_surge(s: int, memory: Memory) -> int:
    given: int = memory.run[0].max_surge
    return _default_max_surge(memory.stages[s].desired) if given < 0 else given


@small
def has_room(s: int, memory: Memory) -> bool:
    """Whether there is room for all replicas that a rollout step of stage s may create."""
    stage = memory.stages[s]
    return stage.replicas + stage.desired + _max_surge(s, memory) <= memory.replicas.shape[1]


@inner
def roll_out(s: int, memory: Memory) -> None:
    """One rollout step of stage s towards its configuration."""
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
    )
    # Starting replicas are removed first, so the sum determines which obsolete ones are.
    obsolete = step.remove_starting_obsolete + step.remove_ready_obsolete
    if step.remove_current + obsolete > 0:
        _remove(s, step.remove_current, obsolete, memory)
    for _ in range(step.create):
        _create(s, memory)
    _sort_idle(s, memory)


@inner
def _remove(s: int, current: int, obsolete: int, memory: Memory) -> None:
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
def _create(s: int, memory: Memory) -> None:
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
    start_up_s = memory.options[stage.option].start_up_s * replica.start_up_factor
    push_event(now_s + start_up_s, IS_READY, number, memory.run[0], stage, memory.heap[s])


@small
def _idle_row(s: int, replica: Any, memory: Memory) -> int:
    """The heap of idle replicas that a replica belongs to: of the configured variant, or of others."""
    stage = memory.stages[s]
    # The first comparison often settles it, and saves looking up the options.
    if replica.option == stage.option or memory.options[replica.option].variant == stage.variant:
        return IDLE
    return IDLE_OTHERS


@inner
def _sort_idle(s: int, memory: Memory) -> None:
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
def put_idle(s: int, number: int, memory: Memory) -> None:
    """Make a replica idle again after a batch, unless it has been removed."""
    replica = memory.replicas[s, number]
    if replica.removed_s == NEVER:
        push_number(memory.numbers[s, _idle_row(s, replica, memory)], number)


@inner
def count_replicas(memory: Memory) -> None:
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
