"""The event loop of the compiled engine. It allocates nothing, and stops where Python has to do something."""

from __future__ import annotations

from sim.compiled.dispatch import attempt, wake_s
from sim.compiled.eager import attempt_eager, next_in_turn, take_back
from sim.compiled.heaps import pop_event
from sim.compiled.jit import entry, hot, inner, small
from sim.compiled.memory import DRAINING, IDLE, IDLE_OTHERS, Memory, Records
from sim.compiled.rollout import count_replicas, has_room, put_idle, roll_out
from sim.rules import COMPLETION, DELIVERY, NEVER, TIMER

REACHED, ENDED, OUT_OF_DRAWS, OUT_OF_ROOM = range(4)
"""Why the kernel stops: it is where it should go; every request has ended after the run's duration; a stage needs more
random draws; a stage needs room for more replicas. After the latter two it goes on as if nothing had been."""


@entry
def advance(until_s: float, until_rank: int, memory: Memory, waiting: Records | None) -> int:
    """Let everything happen that comes before the moment (time, rank); why it stopped, as one of the above.

    `waiting` None: central dispatch, and what only eager dispatch needs is not even compiled.
    """
    run, stages = memory.run[0], memory.stages
    count = len(stages)
    if run.extended:
        _set_first_timer(memory, waiting)
        run.extended = False
    if run.applies:
        for s in range(count):
            if not has_room(s, memory):
                return OUT_OF_ROOM
        for s in range(count):
            _roll_out(s, memory, waiting)
        run.applies = False
        run.first, run.last = 0, count
    while True:
        while run.first < run.last:
            if waiting is None:  # noqa: SIM108 - as a statement, so that numba leaves out the branch not taken
                has_draws = attempt(run.first, memory)
            else:
                has_draws = attempt_eager(run.first, memory, waiting)
            if not has_draws:
                return OUT_OF_DRAWS
            run.first += 1

        time_s, rank, s = NEVER, TIMER, 0
        if run.events > 0:
            time_s, rank, s = memory.heap[0].time_s, memory.heap[0].rank, memory.heap[0].stage
        if run.hop_s > 0.0:
            for receiver in range(1, count):
                sender = stages[receiver - 1]
                if sender.delivered < sender.finished:
                    k = memory.finished[receiver - 1, sender.delivered]
                    due_s = memory.batches[receiver - 1, k].finish_s + run.hop_s
                    if due_s < time_s or (due_s == time_s and rank > DELIVERY):
                        time_s, rank, s = due_s, DELIVERY, receiver
        for timed in range(count):
            if stages[timed].timer_s < time_s:
                time_s, rank, s = stages[timed].timer_s, TIMER, timed

        next_s = time_s if time_s < until_s else until_s
        if run.open == 0 and run.now_s > run.duration_s and next_s > run.now_s:
            return ENDED
        if time_s > until_s or (time_s == until_s and rank >= until_rank):
            run.now_s = until_s
            count_replicas(memory)
            return REACHED

        run.now_s = time_s
        run.first, run.last = s, s + 1
        if rank == COMPLETION:
            _complete(s, memory, waiting)
        elif rank == DELIVERY:
            sender = stages[s - 1]
            sender.delivered += 1
            _enqueue(s, memory.finished[s - 1, sender.delivered - 1], memory)
        elif rank != TIMER:
            if not has_room(s, memory):
                run.last = s
                return OUT_OF_ROOM
            _activate(s, memory, waiting)


@inner
def _set_first_timer(memory: Memory, waiting: Records | None) -> None:
    """Set the first stage's timer to what it would be had the latest attempt known all arrivals known now.

    No attempt: that would drop, and heads are dropped only when something happens at the stage. Arrivals that the
    attempt did not know lie after the present moment, so what it did and that it had to wait stand.
    """
    if waiting is None:
        waits = memory.numbers[0, IDLE, 0] + memory.numbers[0, IDLE_OTHERS, 0] > 0
    else:
        waits = next_in_turn(0, memory) >= 0
    if waits:
        memory.stages[0].timer_s = wake_s(0, memory)


@hot
def _complete(s: int, memory: Memory, waiting: Records | None) -> None:
    """A replica finishes its batch: the next stage gets it, or will after the hop, or its requests have ended."""
    run, stage = memory.run[0], memory.stages[s]
    number = memory.heap[0].replica
    pop_event(memory)
    replica = memory.replicas[s, number]
    k = replica.batch
    replica.batch = -1
    if waiting is None:
        put_idle(s, number, memory)
    else:
        stage.freed = number
    size = _size(s, k, memory)
    stage.completions += size
    stage.left_sum_s += run.now_s * size
    if s + 1 == len(memory.stages):
        run.open -= size
    elif run.hop_s == 0.0:
        _enqueue(s + 1, k, memory)
        run.last = s + 2
    else:
        memory.finished[s, stage.finished] = k
        stage.finished += 1


@small
def _activate(s: int, memory: Memory, waiting: Records | None) -> None:
    """A replica's start-up time is over; nothing more happens where it has been removed meanwhile."""
    run = memory.run[0]
    replica = memory.replicas[s, memory.heap[0].replica]
    pop_event(memory)
    if replica.removed_s < NEVER:
        run.last = s
    else:
        replica.ready_s = run.now_s
        _roll_out(s, memory, waiting)


@inner
def _roll_out(s: int, memory: Memory, waiting: Records | None) -> None:
    removed_before = memory.numbers[s, DRAINING, 0]
    roll_out(s, memory)
    if waiting is not None:
        take_back(s, removed_before, memory, waiting)


@inner
def _size(s: int, k: int, memory: Memory) -> int:
    """The size of the k-th batch started at stage s."""
    return memory.batches[s, k].end - (memory.batches[s, k - 1].end if k > 0 else 0)


@inner
def _enqueue(s: int, k: int, memory: Memory) -> None:
    """Put the k-th batch of the stage before in the queue of stage s."""
    stage, now_s = memory.stages[s], memory.run[0].now_s
    size = _size(s - 1, k, memory)
    begin = memory.batches[s - 1, k].end - size
    for i in range(size):
        memory.queue[s, stage.tail + i] = memory.served[s - 1, begin + i]
        memory.enqueued_s[s, stage.tail + i] = now_s
    stage.tail += size
    stage.enqueued_sum_s += now_s * size
