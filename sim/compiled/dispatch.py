"""Dispatch in the kernel, function by function as in `ipa.sim.events.stage`."""

from __future__ import annotations

from math import exp, nan
from typing import Any

import numpy as np

from ipa.sim import rules
from ipa.sim.compiled.graph_memory import GraphMemory
from ipa.sim.compiled.heaps import pop_number, push_event
from ipa.sim.compiled.jit import hot, inner, small
from ipa.sim.compiled.memory import COMPLETES, IDLE, IDLE_OTHERS, KernelMemory, RecordArray
from ipa.sim.compiled.routing import arrival_of, lose_item
from ipa.sim.rules import NEVER
from ipa.sim.streams import BLOCK

dispatch_size = small(rules.dispatch_size)
_deadline_limit_s = small(rules.deadline_limit_s)
_due_s = small(rules.due_s)
_finish_s = small(rules.finish_s)
_is_expired = small(rules.is_expired)
_must_wait = small(rules.must_wait)
_stay_s = small(rules.stay_s)


@hot
def attempt(s: int, memory: KernelMemory, deadlines: RecordArray | None, graph: GraphMemory | None) -> bool:
    """Central dispatch: start every batch that can start now; if the next must wait, set the timer. False: no draws."""
    stage, numbers = memory.stages[s], memory.numbers
    stage.timer_s = NEVER
    while numbers[s, IDLE, 0] + numbers[s, IDLE_OTHERS, 0] > 0:
        if waits(s, memory, deadlines, graph):
            return True
        row = IDLE if numbers[s, IDLE, 0] > 0 else IDLE_OTHERS
        number = numbers[s, row, 1]
        if lacks_draw(s, number, memory):
            return False
        most = dispatch_size(stage.batch, memory.options[memory.replicas[s, number].option].max_batch)
        size = take(s, most, memory, graph)
        if size > 0:
            pop_number(numbers[s, row])
            start(s, number, size, memory)
    return True


@small
def waits(s: int, memory: KernelMemory, deadlines: RecordArray | None, graph: GraphMemory | None) -> bool:
    """Whether the next batch of stage s must wait; if so, set the timer to the end of its wait."""
    stage = memory.stages[s]
    ready_s = next_batch_s(s, memory, deadlines, graph)
    if ready_s <= stage.now_s:
        return False
    stage.timer_s = ready_s
    if deadlines is not None:
        look_again(s, memory, deadlines, graph)
    return True


@small
def lacks_draw(s: int, number: int, memory: KernelMemory) -> bool:
    """Whether a batch at this replica of stage s needs a random draw and none is left."""
    return memory.stages[s].draw == BLOCK and memory.options[memory.replicas[s, number].option].is_sampled


@inner
def look_again(s: int, memory: KernelMemory, deadlines: RecordArray, graph: GraphMemory | None) -> None:
    """By deadline: set the timer to now if requests that arrive now have not made an attempt yet."""
    stage = memory.stages[s]
    if not stage.is_entry or deadlines[s].looked_s == stage.now_s:
        return
    arrival = stage.head
    while arrival < stage.tail and memory.enqueued_s[s, arrival] < stage.now_s:
        arrival += 1
    if arrival < stage.tail and memory.enqueued_s[s, arrival] == stage.now_s:
        stage.timer_s = stage.now_s


@small
def next_batch_s(s: int, memory: KernelMemory, deadlines: RecordArray | None, graph: GraphMemory | None) -> float:
    """Drop expired requests at the head, then say when the next batch may start: now, later, or never."""
    run, stage, enqueued_s = memory.run[0], memory.stages[s], memory.enqueued_s
    now_s, total = stage.now_s, stage.tail
    if deadlines is not None:
        _look_ahead(s, memory, deadlines, graph)
    while True:
        head = stage.head
        if head == total:
            return NEVER
        oldest_s = arrival_of(s, memory.queue[s, head], memory, graph)
        if not (run.drops_singly and _is_expired(now_s, oldest_s, stage.limit_s)):
            break
        if deadlines is not None and enqueued_s[s, head] > now_s:
            break
        drop(s, memory.queue[s, head], nan, memory, graph)
        stage.head = head + 1
    full_s = _full_s(s, memory)
    due_s = _due_s(enqueued_s[s, head], stage.batch_timeout_s)
    if not _must_wait(full_s <= now_s, now_s, due_s):
        return now_s
    return wake_s(s, memory, deadlines, graph)


@inner
def _look_ahead(s: int, memory: KernelMemory, deadlines: RecordArray, graph: GraphMemory | None) -> None:
    """By deadline: set the age limit of stage s from the time that an item has ahead of it by the slowest way."""
    run, stage = memory.run[0], memory.stages[s]
    ahead_s = _stay_s(stage.at_replicas, stage.ready, deadlines[s].full, deadlines[s].latency_s)
    deadlines[s].ahead_s = ahead_s
    for j in range(s + 1, len(memory.stages)):
        way_s = _way_s(s, j, deadlines, graph)
        following = memory.stages[j]
        waiting: Any = np.int64(following.tail) - np.int64(following.head) + following.at_replicas
        way_s = way_s + run.hop_s
        if graph is not None:
            way_s += graph.into[j].wait_s
        way_s = way_s + _stay_s(waiting, following.ready, deadlines[j].full, deadlines[j].latency_s)
        deadlines[j].ahead_s = way_s
        ahead_s = later(ahead_s, way_s)
    stage.limit_s = _deadline_limit_s(deadlines[s].limit_s, deadlines[s].sla_s, ahead_s)


@inner
def _way_s(s: int, j: int, deadlines: RecordArray, graph: GraphMemory | None) -> float:
    """The time from stage s up to where stage j begins, by the slowest way; -infinity if no way leads there."""
    if graph is None:
        slowest_s: float = deadlines[j - 1].ahead_s
    else:
        slowest_s = -NEVER
        for parent in range(s, j):
            if graph.leads[parent, j]:
                slowest_s = later(slowest_s, deadlines[parent].ahead_s)
    return slowest_s


@small
def _full_s(s: int, memory: KernelMemory) -> float:
    """When the batch at the head is full; NEVER if too few requests are in memory."""
    stage = memory.stages[s]
    last = stage.head + stage.batch - 1
    moment_s: float = memory.enqueued_s[s, last] if last < stage.tail else NEVER
    return moment_s


@inner
def wake_s(s: int, memory: KernelMemory, deadlines: RecordArray | None, graph: GraphMemory | None) -> float:
    """When a waiting batch may start, or the first arrival that finds its head expired, if that is earlier."""
    stage, enqueued_s = memory.stages[s], memory.enqueued_s
    head, total = stage.head, stage.tail
    if head == total:
        return NEVER
    full_s = _full_s(s, memory)
    due_s = _due_s(enqueued_s[s, head], stage.batch_timeout_s)
    first_s = full_s if full_s < due_s else due_s
    if deadlines is not None:
        # By deadline, any arrival may find that the head cannot finish in time.
        finder = head
        while finder < total and enqueued_s[s, finder] <= stage.now_s:
            finder += 1
        if finder < total and enqueued_s[s, finder] < first_s:
            first_s = enqueued_s[s, finder]
    elif memory.run[0].drops_singly:
        expiry_s = arrival_of(s, memory.queue[s, head], memory, graph) + stage.limit_s
        if expiry_s < first_s:
            finder = head
            while finder < total and enqueued_s[s, finder] <= expiry_s:
                finder += 1
            if finder < total and enqueued_s[s, finder] < first_s:
                first_s = enqueued_s[s, finder]
    return first_s


@small
def take(s: int, size: int, memory: KernelMemory, graph: GraphMemory | None) -> int:
    """Move up to `size` requests from the head of the queue to the end of `served` and return their number.

    Expired requests are dropped instead. With batch dropping, the whole batch is dropped if its oldest has expired.
    """
    run, stage, served = memory.run[0], memory.stages[s], memory.served
    now_s, head, end = stage.now_s, stage.head, stage.served
    count = 0
    while head < stage.tail and count < size and memory.enqueued_s[s, head] <= now_s:
        request = memory.queue[s, head]
        head += 1
        if run.drops_singly and _is_expired(now_s, arrival_of(s, request, memory, graph), stage.limit_s):
            drop(s, request, nan, memory, graph)
        else:
            served[s, end + count] = request
            count += 1
    stage.head = head
    if run.drops_singly:
        return count
    oldest_s = NEVER
    for i in range(count):
        arrival_s = arrival_of(s, served[s, end + i], memory, graph)
        oldest_s = arrival_s if arrival_s < oldest_s else oldest_s
    if not _is_expired(now_s, oldest_s, stage.limit_s):
        return count
    for i in range(count):
        drop(s, served[s, end + i], nan, memory, graph)
    return 0


@small
def later(one_s: float, other_s: float) -> float:
    """The later of two times; takes less time to compile than `max`."""
    return one_s if one_s > other_s else other_s


@inner
def drop(s: int, request: int, finish_s: float, memory: KernelMemory, graph: GraphMemory | None) -> None:
    """Drop or fail a request or item, which leaves unserved; `finish_s` is as in `Drops`."""
    run, stage = memory.run[0], memory.stages[s]
    dropped = memory.drops[s, stage.drops]
    dropped.request = request
    dropped.dropped_s = stage.now_s
    dropped.finish_s = finish_s
    stage.drops += 1
    stage.left_sum_s += stage.now_s
    stage.present -= 1
    run.open -= 1
    if graph is not None:
        run.open += lose_item(s, request, stage.now_s, run.hop_s, graph)
    run.ended_s = later(run.ended_s, stage.now_s)


@small
def begin_of(s: int, k: int, memory: KernelMemory) -> int:
    """Where the members of the k-th batch started at stage s begin in `served`."""
    begin: Any = np.int64(0)  # typed, as numba may join a literal and an unsigned number to a float
    if k > 0:
        begin = np.int64(memory.batches[s, k - 1].end)
    return begin


@small
def size_of(s: int, k: int, memory: KernelMemory) -> int:
    """The size of the k-th batch started at stage s."""
    end: Any = np.int64(memory.batches[s, k].end)
    return end - begin_of(s, k, memory)


@small
def start(s: int, number: int, size: int, memory: KernelMemory) -> None:
    """Start the `size` requests at the end of `served` as a batch on a replica."""
    stage, replica, now_s = memory.stages[s], memory.replicas[s, number], memory.stages[s].now_s
    figures = memory.service[replica.option, size]
    factor = 1.0
    if memory.options[replica.option].is_sampled:
        factor = exp(figures.sigma * memory.normals[s, stage.draw] - 0.5 * figures.sigma * figures.sigma)
        stage.draw += 1
    finish_s = _finish_s(now_s, figures.latency_s, factor)
    replica.batch = stage.batches
    replica.finish_s = finish_s
    stage.batches += 1
    stage.served += size
    batch = memory.batches[s, replica.batch]
    batch.start_s = now_s
    batch.finish_s = finish_s
    batch.end = stage.served
    batch.replica = number
    push_event(finish_s, COMPLETES, number, memory.run[0], stage, memory.heap[s])
