"""The event loop for stages of several lanes: each is a row of the memory, as a stage of one variant is.

Row stage x most + lane. Events happen one by one in the pipeline's order; arrivals are events, before all others of
their instant. Python takes over where a decision may take effect as a whole (`SETTLES`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipa.sim.compiled.dispatch import attempt, change_busy, later, size_of
from ipa.sim.compiled.eager import attempt_eager, lose, take_back
from ipa.sim.compiled.heaps import pop_event, rank_of
from ipa.sim.compiled.jit import entry, inner, small
from ipa.sim.compiled.kernel import ENDED, OUT_OF_DRAWS, OUT_OF_ROOM, REACHED
from ipa.sim.compiled.memory import DRAINING, EXISTING, Memory, RecordArray, record
from ipa.sim.compiled.rollout import count_replicas, has_room, put_idle, roll_out
from ipa.sim.rules import CLOSING, COMPLETION, DELIVERY, NEVER, TIMER

SETTLES = 4
"""Why the kernel stops, besides the reasons of `kernel`: a cold lane has all its replicas ready; see `LANES.row`."""

_ARRIVAL = COMPLETION - 1

LANES = record(
    most="i8",  # lanes of a stage
    next="i8",  # the next request to arrive
    row="i8",  # of a lane that may settle the stage, and how many of its replicas are ready
    ready="i8",
)
ROW = record(
    is_cold="?",  # whether it has not had all its replicas ready
    closes="?",  # whether it is free when it has no more requests
    rolls="?",  # whether a rollout step and an attempt have yet to follow
)
STAGE_OF_LANES = record(
    made="i8",  # events so far, which orders equal ones
    routes="i8",  # how many lanes get requests
    finished="i8",  # batches, and those of them that the next stage has got
    delivered="i8",
)
ROUTE = record(row="i8", until="f8")
FINISHED = record(row="i4", batch="u4")


class LaneMemory(NamedTuple):
    """What lanes need beside their rows in `Memory`: S stages of L lanes, N requests."""

    lanes: RecordArray  # LANES (1,)
    rows: RecordArray  # ROW (S x L,)
    stages: RecordArray  # STAGE_OF_LANES (S,)
    routes: RecordArray  # ROUTE (S, L): where requests go
    draws: npt.NDArray[np.float64]  # (S, N): of each request
    finished: RecordArray  # FINISHED (S, N): batches in order of completion


@entry
def advance_mixed(
    until_s: float,
    until_rank: int,
    memory: Memory,
    waiting: RecordArray | None,
    deadlines: RecordArray | None,
    lanes: LaneMemory,
) -> int:
    """Let everything happen that comes before (time, rank); returns why it stopped.

    `waiting` and `deadlines` are as in `kernel.advance`, the latter with a record for each row.
    """
    run, rows = memory.run[0], memory.stages
    stages, most = len(lanes.stages), lanes.lanes[0].most
    if run.applies_to > 0:
        for row in range(len(rows)):
            if lanes.rows[row].rolls and not has_room(row, memory):
                return OUT_OF_ROOM
        for row in range(len(rows)):
            if lanes.rows[row].rolls:
                lanes.rows[row].rolls = False
                rows[row].now_s = run.now_s
                _roll_out(row, memory, waiting, lanes)
                rows[row].attempts = True
        run.applies_to = 0
    is_closing = until_s > run.duration_s
    while True:
        # A stage that has just got a batch attempts before the one that finished it.
        for s in range(stages - 1, -1, -1):
            for row in range(s * most, (s + 1) * most):
                if rows[row].attempts and not _attempt(row, memory, waiting, deadlines, lanes):
                    return OUT_OF_DRAWS
        if is_closing and run.open == 0 and run.ended_s < until_s:
            until_s, until_rank = run.ended_s, CLOSING + 1
        time_s, rank, place = _next(until_s, until_rank, memory, lanes)
        if place < 0:
            break
        if rank == _ARRIVAL:
            _arrive(time_s, memory, lanes)
        elif rank == DELIVERY:
            _deliver(place, time_s, memory, lanes)
        else:
            stage = rows[place]
            if rank != COMPLETION and rank != TIMER and not has_room(place, memory):
                return OUT_OF_ROOM
            stage.now_s = time_s
            stage.attempts = True
            if rank == COMPLETION:
                _complete(place, memory, waiting, lanes)
            elif rank == TIMER:
                if deadlines is not None:
                    deadlines[place].looked_s = time_s
            elif _activate(place, memory, waiting, lanes):
                run.now_s = time_s
                return SETTLES
    run.now_s = until_s
    if until_rank > CLOSING:
        return ENDED
    count_replicas(memory)
    return REACHED


@inner
def _attempt(
    row: int, memory: Memory, waiting: RecordArray | None, deadlines: RecordArray | None, lanes: LaneMemory
) -> bool:
    """An attempt of a lane, which is free afterwards if it closes and has no more requests. False: out of draws."""
    stage, shared = memory.stages[row], lanes.stages[row // lanes.lanes[0].most]
    stage.made = shared.made
    if waiting is None:  # noqa: SIM108 - as a statement, so that numba leaves out the branch not taken
        has_draws = attempt(row, memory, deadlines)
    else:
        has_draws = attempt_eager(row, memory, waiting, deadlines)
    shared.made = stage.made
    if not has_draws:
        return False
    stage.attempts = False
    if stage.is_over:
        pop_event(stage, memory.heap[row])
    if lanes.rows[row].closes and stage.present == 0:
        lanes.rows[row].closes = False
        stage.desired = 0
        _roll_out(row, memory, waiting, lanes)
    return True


@inner
def _roll_out(row: int, memory: Memory, waiting: RecordArray | None, lanes: LaneMemory) -> None:
    stage, shared = memory.stages[row], lanes.stages[row // lanes.lanes[0].most]
    removed_before = memory.numbers[row, DRAINING, 0]
    stage.made = shared.made
    roll_out(row, memory)
    shared.made = stage.made
    if memory.run[0].loses:
        lose(row, removed_before, memory, waiting)
    elif waiting is not None:
        take_back(row, removed_before, memory, waiting)


@inner
def _next(until_s: float, until_rank: int, memory: Memory, lanes: LaneMemory) -> tuple[float, int, int]:
    """When the next event before (time, rank) happens, its rank, and its row (a delivery: the stage); -1: none.

    Equal ones go by stage, then in the order in which they were made, timers by lane.
    """
    most, hop_s = lanes.lanes[0].most, memory.run[0].hop_s
    time_s, rank, place, place_stage, place_order = until_s, until_rank, -1, 0, 0
    arriving = lanes.lanes[0].next
    if arriving < len(memory.arrivals_s):
        arrival_s = memory.arrivals_s[arriving]
        if arrival_s < time_s or (arrival_s == time_s and rank > _ARRIVAL):
            time_s, rank, place = arrival_s, _ARRIVAL, 0
    for s in range(len(lanes.stages)):
        if s > 0 and lanes.stages[s - 1].delivered < lanes.stages[s - 1].finished:
            first = lanes.finished[s - 1, lanes.stages[s - 1].delivered]
            due_s = memory.batches[first.row, first.batch].finish_s + hop_s
            if due_s < time_s or (due_s == time_s and rank > DELIVERY):
                time_s, rank, place, place_stage = due_s, DELIVERY, s, s
        for row in range(s * most, (s + 1) * most):
            stage = memory.stages[row]
            if stage.events > 0:
                event = memory.heap[row, 0]
                event_rank = rank_of(event)
                is_next = event.time_s < time_s or (event.time_s == time_s and event_rank < rank)
                if not is_next and event.time_s == time_s and event_rank == rank:
                    is_next = place >= 0 and place_stage == s and event.order < place_order
                if is_next:
                    time_s, rank, place, place_stage, place_order = event.time_s, event_rank, row, s, event.order
            if stage.timer_s < time_s or (stage.timer_s == time_s and rank > TIMER):
                time_s, rank, place, place_stage = stage.timer_s, TIMER, row, s
    return time_s, rank, place


@inner
def _route(s: int, request: int, lanes: LaneMemory) -> int:
    """The row of the lane of a request at stage s."""
    draw = lanes.draws[s, request]
    for i in range(lanes.stages[s].routes):
        if draw < lanes.routes[s, i].until:
            return int(lanes.routes[s, i].row)
    return -1


@small
def _enqueue(row: int, request: int, now_s: float, memory: Memory) -> None:
    stage = memory.stages[row]
    memory.queue[row, stage.tail] = request
    memory.enqueued_s[row, stage.tail] = now_s
    stage.tail += 1
    stage.present += 1


@inner
def _arrive(now_s: float, memory: Memory, lanes: LaneMemory) -> None:
    """The requests that arrive now; the attempts that follow rank with the timers."""
    state = lanes.lanes[0]
    while state.next < len(memory.arrivals_s) and memory.arrivals_s[state.next] == now_s:
        row = _route(0, state.next, lanes)
        _enqueue(row, state.next, now_s, memory)
        memory.stages[row].timer_s = now_s
        state.next += 1


@inner
def _deliver(s: int, now_s: float, memory: Memory, lanes: LaneMemory) -> None:
    """Put the batch that the stage before has finished next in the queues of stage s."""
    sender, most = lanes.stages[s - 1], lanes.lanes[0].most
    first = lanes.finished[s - 1, sender.delivered]
    sender.delivered += 1
    size = size_of(first.row, first.batch, memory)
    begin = memory.batches[first.row, first.batch].end - size
    for row in range(s * most, (s + 1) * most):
        stage = memory.stages[row]
        before = stage.present
        for i in range(size):
            request = memory.served[first.row, begin + i]
            if _route(s, request, lanes) == row:
                _enqueue(row, request, now_s, memory)
        came = stage.present - before
        if came > 0:
            stage.enqueued_sum_s += now_s * came
            stage.now_s = now_s
            stage.attempts = True


@inner
def _complete(row: int, memory: Memory, waiting: RecordArray | None, lanes: LaneMemory) -> None:
    """A replica finishes its batch, which goes to the next stage, at once or after the hop, or ends the requests."""
    run, stage = memory.run[0], memory.stages[row]
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
    s = row // lanes.lanes[0].most
    if s + 1 == len(lanes.stages):
        run.open -= size
        run.ended_s = later(run.ended_s, stage.now_s)
    else:
        finished = lanes.finished[s, lanes.stages[s].finished]
        finished.row = row
        finished.batch = k
        lanes.stages[s].finished += 1
        if run.hop_s == 0.0:
            _deliver(s + 1, stage.now_s, memory, lanes)


@inner
def _activate(row: int, memory: Memory, waiting: RecordArray | None, lanes: LaneMemory) -> bool:
    """A replica's start-up time is over; whether its lane was cold and now has all its replicas ready."""
    stage = memory.stages[row]
    replica = memory.replicas[row, memory.heap[row, 0].replica]
    pop_event(stage, memory.heap[row])
    if replica.removed_s < NEVER:
        stage.attempts = False
        return False
    replica.ready_s = stage.now_s
    _roll_out(row, memory, waiting, lanes)
    ready = count_ready(row, memory)
    lanes.lanes[0].row = row
    lanes.lanes[0].ready = ready
    return bool(lanes.rows[row].is_cold and ready >= stage.desired)


@inner
def count_ready(row: int, memory: Memory) -> int:
    """How many replicas of a lane are ready."""
    existing, ready = memory.numbers[row, EXISTING], 0
    for i in range(existing[0]):
        ready += memory.replicas[row, existing[1 + i]].ready_s < NEVER
    return ready
