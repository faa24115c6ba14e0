"""The event loop of the compiled engine. It allocates nothing, and stops where Python has to do something."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from sim.compiled.dispatch import attempt, attempt_eager, take_back
from sim.compiled.heaps import pop_event
from sim.compiled.jit import entry, inner
from sim.compiled.memory import DRAINING, Records
from sim.compiled.rollout import ORDER_BITS, count_replicas, has_room, put_idle, roll_out
from sim.rules import COMPLETION, DELIVERY, NEVER, TIMER

Array = npt.NDArray[Any]

REACHED, ENDED, OUT_OF_DRAWS, OUT_OF_ROOM = range(4)
"""Why the kernel stops: it is where it should go; every request has ended after the run's duration; a stage needs more
random draws; a stage needs room for more replicas. After the latter two it goes on as if nothing had been."""


@entry
def advance(
    until_s: float, until_rank: int,
    run_: Records, stages: Records, options: Records, service: Records, arrivals_s: Array, normals: Array, tally: Array,
    queue: Array, enqueued_s: Array, served: Array, batches: Records, drops: Records, finished: Array, waiting: Any,
    replicas: Records, numbers: Array, heap: Records,
) -> int:
    """Let everything happen that comes before the moment (time, rank); why it stopped, as one of the above."""
    run = run_[0]
    count = len(stages)
    room = replicas.shape[1]
    if run.applies:
        for s in range(count):
            if not has_room(run, stages[s], room):
                return OUT_OF_ROOM
        for s in range(count):
            _roll_out(s, run, stages, options, queue, enqueued_s, waiting, replicas, numbers, heap)
        run.applies = False
        run.first, run.last = 0, count
    while True:
        while run.first < run.last:
            s = run.first
            if waiting is None:
                has_draws = attempt(s, run, stages, options, service, arrivals_s, normals, queue, enqueued_s, served,
                                    batches, drops, replicas, numbers, heap)
            else:
                has_draws = attempt_eager(s, run, stages, options, service, arrivals_s, normals, queue, enqueued_s,
                                          served, batches, drops, waiting, replicas, numbers, heap)
            if not has_draws:
                return OUT_OF_DRAWS
            run.first += 1

        time_s, rank, s = NEVER, TIMER, 0
        if run.events > 0:
            time_s = heap[0].time_s
            rank, s = divmod(heap[0].order >> ORDER_BITS, count)
        if run.hop_s > 0.0:
            for receiver in range(1, count):
                sender = stages[receiver - 1]
                if sender.delivered < sender.finished:
                    batch = batches[receiver - 1, finished[receiver - 1, sender.delivered]]
                    due_s = batch.finish_s + run.hop_s
                    if due_s < time_s or (due_s == time_s and rank > DELIVERY):
                        time_s, rank, s = due_s, DELIVERY, receiver
        for timed in range(count):
            if stages[timed].timer_s < time_s:
                time_s, rank, s = stages[timed].timer_s, TIMER, timed

        next_s = min(time_s, until_s)
        if run.open == 0 and run.now_s > run.duration_s and next_s > run.now_s:
            return ENDED
        if time_s > until_s or (time_s == until_s and rank >= until_rank):
            run.now_s = until_s
            count_replicas(run, stages, options, replicas, numbers, tally)
            return REACHED

        stage = stages[s]
        run.now_s = time_s
        run.first, run.last = s, s + 1
        if rank == COMPLETION:
            number = heap[0].replica
            pop_event(heap, run)
            k = replicas[s, number].batch
            replicas[s, number].batch = -1
            size = _size(s, k, batches)
            stage.completions += size
            stage.left_sum_s += time_s * size
            if waiting is None:
                put_idle(s, number, stage, options, replicas, numbers)
            else:
                stage.freed = number
            if s + 1 == count:
                run.open -= size
            elif run.hop_s == 0.0:
                _enqueue(s + 1, k, size, time_s, stages, queue, enqueued_s, served, batches)
                run.last = s + 2
            else:
                finished[s, stage.finished] = k
                stage.finished += 1
        elif rank == DELIVERY:
            sender = stages[s - 1]
            k = finished[s - 1, sender.delivered]
            sender.delivered += 1
            _enqueue(s, k, _size(s - 1, k, batches), time_s, stages, queue, enqueued_s, served, batches)
        elif rank != TIMER:
            if not has_room(run, stage, room):
                run.first = run.last
                return OUT_OF_ROOM
            number = heap[0].replica
            pop_event(heap, run)
            if replicas[s, number].removed_s < NEVER:
                run.first = run.last
            else:
                replicas[s, number].ready_s = time_s
                _roll_out(s, run, stages, options, queue, enqueued_s, waiting, replicas, numbers, heap)


@inner
def _roll_out(
    s: int, run: Any, stages: Records, options: Records, queue: Array, enqueued_s: Array, waiting: Any,
    replicas: Records, numbers: Array, heap: Records,
) -> None:
    before = stages[s].draining
    roll_out(s, run, stages, options, replicas, numbers, heap)
    if waiting is not None:
        take_back(s, stages[s], replicas, numbers, DRAINING, before, queue, enqueued_s, waiting)


@inner
def _size(s: int, k: int, batches: Records) -> int:
    """The size of the k-th batch started at stage s."""
    return batches[s, k].end - (batches[s, k - 1].end if k > 0 else 0)


@inner
def _enqueue(
    s: int, k: int, size: int, time_s: float, stages: Records, queue: Array, enqueued_s: Array, served: Array,
    batches: Records,
) -> None:
    """Put the k-th batch of the stage before in the queue of stage s."""
    stage = stages[s]
    begin = batches[s - 1, k].end - size
    tail = stage.tail
    for i in range(size):
        queue[s, tail + i] = served[s - 1, begin + i]
        enqueued_s[s, tail + i] = time_s
    stage.tail = tail + size
    stage.enqueued_sum_s += time_s * size
