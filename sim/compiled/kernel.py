"""The event loop of the compiled engine. It allocates nothing, and stops wherever Python has something to do.

A stage depends only on the stages before it and on control. Between two control steps, each stage therefore runs alone
up to the next step, first to last, on the batches that the stage before has finished. It still sees its own events in
the order of the whole pipeline, provided that nothing ends at the instant at which it begins: such an instant could
lead through several stages and back in rank. Where that can happen, where stages depend on each other's state, and for
the events left when all requests have ended, the stages advance event by event in the pipeline's order.

A stage has one lane or, where variants may be mixed, several. Each lane is a row of the memory; the stage takes the
next event of all its rows.
"""

from __future__ import annotations

from ipa.sim.compiled.dispatch import attempt, change_busy, later, size_of, wake_s
from ipa.sim.compiled.eager import attempt_eager, lose, next_in_turn, take_back
from ipa.sim.compiled.heaps import RANK_SHIFT, pop_event
from ipa.sim.compiled.jit import entry, hot, inner, small
from ipa.sim.compiled.lanes import LaneMemory, most_lanes, recall, row_of, send_ahead
from ipa.sim.compiled.memory import DRAINING, FIRST, IDLE, IDLE_OTHERS, Memory, RecordArray
from ipa.sim.compiled.rollout import count_replicas, has_room, put_idle, roll_out
from ipa.sim.rules import CLOSING, COMPLETION, DELIVERY, NEVER, TIMER

REACHED, ENDED, OUT_OF_DRAWS, OUT_OF_ROOM, SETTLES = range(5)
"""Why the kernel stops: it has reached its target; all requests have ended, after the run's duration; a lane needs more
random draws; a lane needs room for more replicas; a cold lane (`LANES.row`) has all its replicas ready, so a decision
may take effect as a whole. After the last three it continues as if it had not stopped."""

_HANDOVER = COMPLETION - 1
"""The rank of a delivery without a hop: it is part of a completion that the stage before has already handled."""


@entry
def advance(
    until_s: float,
    until_rank: int,
    memory: Memory,
    waiting: RecordArray | None,
    deadlines: RecordArray | None,
    lanes: LaneMemory | None,
) -> int:
    """Run up to (time, rank) and return why it stopped, one of the above.

    `waiting` None: central dispatch. `deadlines` None: no dropping by deadline; else a record for each row. `lanes`
    None: one lane for each stage. Code for an argument that is None is not compiled.
    """
    run, rows = memory.run[0], memory.stages
    count = len(rows) // most_lanes(lanes)
    if lanes is not None:
        if run.applies_to > 0 and run.applies_from == 0:
            recall(run.now_s, memory, lanes)
        send_ahead(until_s, memory, lanes)
    if run.extended:
        _set_first_timers(memory, waiting, deadlines, lanes)
        run.extended = False
    if run.applies_to > 0:
        for row in range(run.applies_from, run.applies_to):
            if not has_room(row, memory):
                return OUT_OF_ROOM
        for row in range(run.applies_from, run.applies_to):
            rows[row].now_s = run.now_s
            _roll_out(row, memory, waiting)
            rows[row].attempts = True
        run.applies_to = 0
    is_closing = until_s > run.duration_s
    alone_s, alone_rank = (until_s, until_rank) if until_s <= run.instant_s else (run.instant_s, COMPLETION)
    # No stage runs alone: the latency of a batch, or which request is dropped, depends on all of them.
    turn = 0
    if deadlines is not None or run.interferes:
        turn = count
    while True:
        is_alone = turn < count
        if is_alone:
            s, to_s, to_rank = turn, alone_s, alone_rank
        else:
            if is_closing and run.open == 0 and run.ended_s < until_s:
                until_s, until_rank = run.ended_s, CLOSING + 1
            s, to_s, to_rank = _first_stage(count, until_s, until_rank, memory, lanes), until_s, until_rank
            if s < 0:
                break
        status = _go_on(s, to_s, to_rank, is_closing, is_alone, memory, waiting, deadlines, lanes)
        if status != REACHED:
            return status
        turn += 1
    run.now_s = until_s
    if until_rank > CLOSING:
        return ENDED
    count_replicas(memory)
    count_requests(count, memory, lanes)
    return REACHED


@small
def count_requests(stages: int, memory: Memory, lanes: LaneMemory | None) -> None:
    """Copy each stage's counts into one row, which Python reads faster than the fields of a record."""
    most = most_lanes(lanes)
    for s in range(stages):
        counts = memory.counts[s]
        counts[:] = 0
        for row in range(s * most, (s + 1) * most):
            stage = memory.stages[row]
            counts[0] += stage.tail
            counts[2] += stage.served
            counts[3] += stage.completions
            counts[4] += stage.drops
            counts[5] += stage.failed
            counts[6] += stage.interrupted
        counts[1] = counts[0]
    # The first stage's queue also holds future requests.
    counts, now_s, known = memory.counts[FIRST], memory.run[0].now_s, memory.run[0].known
    counts[0] = _come_before(now_s, known, memory)
    by_now = counts[0]
    while by_now < known and memory.arrivals_s[by_now] == now_s:
        by_now += 1
    counts[1] = by_now


@small
def _come_before(now_s: float, known: int, memory: Memory) -> int:
    """How many of the requests in memory arrive before now."""
    first, end = 0, known
    while first < end:
        middle = (first + end) // 2
        if memory.arrivals_s[middle] < now_s:
            first = middle + 1
        else:
            end = middle
    return first


@small
def _go_on(
    s: int,
    until_s: float,
    until_rank: int,
    is_closing: bool,
    is_alone: bool,
    memory: Memory,
    waiting: RecordArray | None,
    deadlines: RecordArray | None,
    lanes: LaneMemory | None,
) -> int:
    """Advance stage s up to (time, rank). If it does not run alone, only by one step, its attempts or else one event,
    as an event of another stage may come before its next one.

    When the run is closing, a stage that runs alone stops once it expects no more requests: the run may end before its
    other events.
    """
    most = most_lanes(lanes)
    while True:
        goes_on = True
        for row in range(s * most, (s + 1) * most):
            stage = memory.stages[row]
            if stage.attempts:
                goes_on = is_alone
                if waiting is None:  # as a statement, so that numba leaves out the branch not taken
                    has_draws = attempt(row, memory, deadlines)
                else:
                    has_draws = attempt_eager(row, memory, waiting, deadlines)
                if not has_draws:
                    return OUT_OF_DRAWS
                stage.attempts = False
                if stage.is_over:
                    pop_event(stage, memory.heap[row])
                if lanes is not None:
                    _close(row, memory, waiting, lanes)
        if not goes_on:
            return REACHED
        time_s, rank, row = _next(s, memory, lanes)
        if time_s > until_s or (time_s == until_s and rank >= until_rank):
            return REACHED
        if is_alone and is_closing and not _expects_requests(s, memory, lanes):
            return REACHED
        stage = memory.stages[row]
        if rank == COMPLETION:
            stage.now_s = time_s
            stage.attempts = True
            _complete(s, row, is_alone, memory, waiting, lanes)
        elif rank <= DELIVERY:
            _deliver(s, time_s, memory, lanes)
        elif rank == TIMER:
            stage.now_s = time_s
            stage.attempts = True
            if deadlines is not None:
                deadlines[row].looked_s = time_s
        else:
            if not has_room(row, memory):
                return OUT_OF_ROOM
            stage.now_s = time_s
            stage.attempts = True
            _activate(row, memory, waiting)
            if lanes is not None and lanes.rows[row].is_cold and stage.attempts and stage.ready >= stage.desired:
                lanes.lanes[0].row = row
                memory.run[0].now_s = time_s
                return SETTLES
        if not is_alone:
            return REACHED


@hot
def _next(s: int, memory: Memory, lanes: LaneMemory | None) -> tuple[float, int, int]:
    """The time, rank and row of the next event of stage s. Ties go by the order in which events were created, timers
    by lane."""
    most = most_lanes(lanes)
    first, end = s * most, (s + 1) * most
    time_s, order, row = NEVER, TIMER << RANK_SHIFT, first
    for each in range(first, end):
        if memory.stages[each].events > 0:
            event = memory.heap[each, 0]
            is_next = (event.time_s < time_s) | ((event.time_s == time_s) & (event.order < order))
            row = each if is_next else row
            order = event.order if is_next else order
            time_s = event.time_s if is_next else time_s
    rank = order >> RANK_SHIFT
    if _expects_delivery(s, memory, lanes):
        due_s = _delivered_s(s, memory, lanes)
        due_rank = DELIVERY if memory.run[0].hop_s > 0.0 else _HANDOVER
        is_next = (due_s < time_s) | ((due_s == time_s) & (due_rank < rank))
        rank = due_rank if is_next else rank
        time_s = due_s if is_next else time_s
    for each in range(first, end):
        if memory.stages[each].timer_s < time_s:
            time_s, rank, row = memory.stages[each].timer_s, TIMER, each
    return time_s, rank, row


@inner
def _first_stage(count: int, until_s: float, until_rank: int, memory: Memory, lanes: LaneMemory | None) -> int:
    """The stage of the pipeline's next event, if that is before (time, rank), else -1.

    A stage that has just received a batch attempts before the one that finished it.
    """
    most = most_lanes(lanes)
    for row in range(len(memory.stages) - 1, -1, -1):
        if memory.stages[row].attempts:
            return row // most
    first = -1
    for s in range(count):
        time_s, rank, _ = _next(s, memory, lanes)
        if time_s < until_s or (time_s == until_s and rank < until_rank):
            first, until_s, until_rank = s, time_s, rank
    return first


@inner
def _set_first_timers(
    memory: Memory, waiting: RecordArray | None, deadlines: RecordArray | None, lanes: LaneMemory | None
) -> None:
    """Set the first stage's timers as if the latest attempts had known all arrivals known now.

    This is not a new attempt, which could drop requests: requests are dropped only when something happens at the stage.
    The new arrivals are in the future, so what the attempt did and its decision to wait still hold, as does a timer for
    the same instant.
    """
    for row in range(most_lanes(lanes)):
        if waiting is None:
            waits = memory.numbers[row, IDLE, 0] + memory.numbers[row, IDLE_OTHERS, 0] > 0
        else:
            waits = next_in_turn(row, memory) >= 0
        if waits and memory.stages[row].timer_s > memory.stages[row].now_s:
            memory.stages[row].timer_s = wake_s(row, memory, deadlines)


@hot
def _complete(
    s: int, row: int, is_alone: bool, memory: Memory, waiting: RecordArray | None, lanes: LaneMemory | None
) -> None:
    """Finish a replica's batch: its requests go to the next stage, at once or after the hop, or end."""
    run, stage, first = memory.run[0], memory.stages[row], s * most_lanes(lanes)
    number = memory.heap[row, 0].replica
    stage.is_over = True
    replica = memory.replicas[row, number]
    k = replica.batch
    if k < 0:  # removed with its batch
        pop_event(stage, memory.heap[row])
        stage.attempts = False
        return
    replica.batch = -1
    if run.interferes:
        change_busy(-replica.busy_cores, stage.now_s, memory)
    if waiting is None:
        put_idle(row, number, memory)
    else:
        stage.freed = number
    size = size_of(row, k, memory)
    stage.present -= size
    stage.completions += size
    stage.left_sum_s += stage.now_s * size
    if first + most_lanes(lanes) == len(memory.stages):
        run.open -= size
        run.ended_s = later(run.ended_s, stage.now_s)
    else:
        sender = memory.stages[first]
        memory.finished[first, sender.finished] = k
        if lanes is not None:
            lanes.finished[s, sender.finished] = row
        sender.finished += 1
        if not is_alone and run.hop_s == 0.0:
            _deliver(s + 1, stage.now_s, memory, lanes)


@small
def _activate(row: int, memory: Memory, waiting: RecordArray | None) -> None:
    """Make a replica ready at the end of its start-up, unless it has been removed in the meantime."""
    stage = memory.stages[row]
    replica = memory.replicas[row, memory.heap[row, 0].replica]
    pop_event(stage, memory.heap[row])
    if replica.removed_s < NEVER:
        stage.attempts = False
    else:
        replica.ready_s = stage.now_s
        _roll_out(row, memory, waiting)


@inner
def _close(row: int, memory: Memory, waiting: RecordArray | None, lanes: LaneMemory) -> None:
    """Free a closing lane that has no more requests."""
    stage = memory.stages[row]
    if lanes.rows[row].closes and stage.present == 0:
        lanes.rows[row].closes = False
        stage.desired = 0
        _roll_out(row, memory, waiting)


@inner
def _roll_out(row: int, memory: Memory, waiting: RecordArray | None) -> None:
    removed_before = memory.numbers[row, DRAINING, 0]
    roll_out(row, memory)
    if memory.run[0].loses:
        lose(row, removed_before, memory, waiting)
    elif waiting is not None:
        take_back(row, removed_before, memory, waiting)


# ---- between stages; a stage's first lane holds the records of the batches to be delivered ----


@small
def _expects_requests(s: int, memory: Memory, lanes: LaneMemory | None) -> bool:
    """Whether stage s has requests or will get some from the stage before."""
    most = most_lanes(lanes)
    for row in range(s * most, (s + 1) * most):
        if memory.stages[row].present > 0:
            return True
    return _expects_delivery(s, memory, lanes)


@small
def _expects_delivery(s: int, memory: Memory, lanes: LaneMemory | None) -> bool:
    """Whether the stage before has finished a batch that stage s has not received yet."""
    sender = (s - 1) * most_lanes(lanes)
    return s > 0 and memory.stages[sender].delivered < memory.stages[sender].finished


@small
def _delivered_s(s: int, memory: Memory, lanes: LaneMemory | None) -> float:
    """When stage s receives the next batch that the stage before has finished."""
    row = first = (s - 1) * most_lanes(lanes)
    number = memory.stages[first].delivered
    if lanes is not None:
        row = lanes.finished[s - 1, number]
    moment_s: float = memory.batches[row, memory.finished[first, number]].finish_s + memory.run[0].hop_s
    return moment_s


@inner
def _deliver(s: int, now_s: float, memory: Memory, lanes: LaneMemory | None) -> None:
    """Put that batch in the queues of stage s; the lanes that get requests of it will attempt."""
    most = most_lanes(lanes)
    row = first = (s - 1) * most
    sender = memory.stages[first]
    if lanes is not None:
        row = lanes.finished[s - 1, sender.delivered]
    k = memory.finished[first, sender.delivered]
    sender.delivered += 1
    size = size_of(row, k, memory)
    begin = memory.batches[row, k].end - size
    for each in range(s * most, (s + 1) * most):
        stage, came = memory.stages[each], 0
        for i in range(size):
            request = memory.served[row, begin + i]
            if lanes is None or row_of(s, request, lanes) == each:
                memory.queue[each, stage.tail + came] = request
                memory.enqueued_s[each, stage.tail + came] = now_s
                came += 1
        if came > 0:
            stage.now_s = now_s
            stage.attempts = True
            stage.tail += came
            stage.present += came
            stage.enqueued_sum_s += now_s * came
