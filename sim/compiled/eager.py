"""Eager dispatch in the kernel, as in `ipa.sim.events.eager`. Waiting batches are linked lists of requests."""

from __future__ import annotations

from typing import Any

from ipa.sim.compiled.dispatch import (
    begin_of,
    dispatch_size,
    drop,
    lacks_draw,
    size_of,
    start,
    take,
    waits,
)
from ipa.sim.compiled.graph_memory import GraphMemory
from ipa.sim.compiled.jit import hot, inner
from ipa.sim.compiled.memory import DRAINING, EXISTING, KernelMemory, RecordArray
from ipa.sim.rules import NEVER


@hot
def attempt_eager(
    s: int, memory: KernelMemory, waiting: RecordArray, deadlines: RecordArray | None, graph: GraphMemory | None
) -> bool:
    """Start the next batch at a replica that has just finished one, then form batches. False: out of random draws."""
    stage = memory.stages[s]
    stage.timer_s = NEVER
    if stage.freed >= 0:
        if memory.replicas[s, stage.freed].first >= 0:
            if lacks_draw(s, stage.freed, memory):
                return False
            start(s, stage.freed, _take_waiting(s, stage.freed, memory, waiting), memory)
        stage.freed = -1
    while True:
        number = next_in_turn(s, memory)
        if number < 0 or waits(s, memory, deadlines, graph):
            return True
        replica = memory.replicas[s, number]
        is_idle = replica.batch < 0
        if is_idle and lacks_draw(s, number, memory):
            return False
        head = stage.head
        size = take(s, dispatch_size(stage.batch, memory.options[replica.option].max_batch), memory, graph)
        if size == 0:
            continue
        stage.chosen = number
        stage.formed += 1
        if is_idle:
            start(s, number, size, memory)
        else:
            _put_waiting(s, number, head, size, memory, waiting)


@inner
def next_in_turn(s: int, memory: KernelMemory) -> int:
    """The next ready replica, round-robin: the next number after the one chosen last, else the lowest; -1: none."""
    existing = memory.numbers[s, EXISTING]
    lowest = -1
    for i in range(existing[0]):
        number = existing[1 + i]
        if memory.replicas[s, number].ready_s < NEVER:
            if number > memory.stages[s].chosen:
                return int(number)
            if lowest < 0:
                lowest = number
    return lowest


@inner
def _put_waiting(s: int, number: int, head: int, size: int, memory: KernelMemory, waiting: RecordArray) -> None:
    """Queue at a replica the batch just taken from position `head` on; dropped requests may lie in between."""
    stage, replica, served = memory.stages[s], memory.replicas[s, number], memory.served
    first = served[s, stage.served]
    stage.at_replicas += size
    for i in range(size):
        request = served[s, stage.served + i]
        while memory.queue[s, head] != request:
            head += 1
        waiting[s, request].enqueued_s = memory.enqueued_s[s, head]
        waiting[s, request].behind = served[s, stage.served + i + 1] if i + 1 < size else -1
    waiting[s, first].formed = stage.formed
    waiting[s, first].size = size
    waiting[s, first].next = -1
    if replica.first < 0:
        replica.first = first
    else:
        waiting[s, replica.last].next = first
    replica.last = first


@inner
def _take_waiting(s: int, number: int, memory: KernelMemory, waiting: RecordArray) -> int:
    """Move the first batch that waits at a replica to the end of `served`; returns its size."""
    replica, end = memory.replicas[s, number], memory.stages[s].served
    request = replica.first
    size: int = waiting[s, request].size
    replica.first = waiting[s, request].next
    memory.stages[s].at_replicas -= size
    for i in range(size):
        memory.served[s, end + i] = request
        request = waiting[s, request].behind
    return size


@inner
def lose(s: int, since: int, memory: KernelMemory, waiting: RecordArray | None, graph: GraphMemory | None) -> None:
    """Fail the batches of removed replicas, from the `since`-th on: those that wait there, then the one in service."""
    stage, removed = memory.stages[s], memory.numbers[s, DRAINING]
    for i in range(since, removed[0]):
        replica = memory.replicas[s, removed[1 + i]]
        if waiting is not None:
            while replica.first >= 0:
                batch = replica.first
                replica.first = waiting[s, batch].next
                stage.at_replicas -= waiting[s, batch].size
                request = batch
                while request >= 0:
                    stage.failed += 1
                    drop(s, request, NEVER, memory, graph)
                    request = waiting[s, request].behind
        if replica.batch >= 0:
            begin = begin_of(s, replica.batch, memory)
            for place in range(begin, begin + size_of(s, replica.batch, memory)):
                stage.failed += 1
                stage.interrupted += 1
                drop(s, memory.served[s, place], replica.finish_s, memory, graph)
            replica.batch = -1
            replica.finish_s = stage.now_s


@inner
def take_back(s: int, since: int, memory: KernelMemory, waiting: RecordArray) -> None:
    """Return the waiting batches of removed replicas, from the `since`-th on, to the queue's head, oldest first."""
    stage, replicas, removed = memory.stages[s], memory.replicas, memory.numbers[s, DRAINING]
    for i in range(since, removed[0]):
        batch = replicas[s, removed[1 + i]].first
        while batch >= 0:
            stage.head -= waiting[s, batch].size
            stage.at_replicas -= waiting[s, batch].size
            batch = waiting[s, batch].next
    # These requests were taken from before the head, so there is room for them.
    position = stage.head
    while True:
        earliest: Any = -1
        for i in range(since, removed[0]):
            number = removed[1 + i]
            batch = replicas[s, number].first
            if batch >= 0 and (
                earliest < 0 or waiting[s, batch].formed < waiting[s, replicas[s, earliest].first].formed
            ):
                earliest = number
        if earliest < 0:
            return
        request = replicas[s, earliest].first
        replicas[s, earliest].first = waiting[s, request].next
        while request >= 0:
            memory.queue[s, position] = request
            memory.enqueued_s[s, position] = waiting[s, request].enqueued_s
            position += 1
            request = waiting[s, request].behind
