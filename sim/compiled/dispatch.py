"""Dispatch in the kernel: the counterpart of `sim.stage` and `sim.eager`, function by function."""

from __future__ import annotations

from math import exp
from typing import Any

import numpy.typing as npt

from sim import rules
from sim.compiled.heaps import pop_number, push_event
from sim.compiled.jit import inner
from sim.compiled.memory import EXISTING, IDLE, IDLE_OTHERS, Records
from sim.compiled.rollout import ORDER_BITS
from sim.rules import COMPLETION, NEVER
from sim.streams import BLOCK

Array = npt.NDArray[Any]

_dispatch_size = inner(rules.dispatch_size)
_due_s = inner(rules.due_s)
_finish_s = inner(rules.finish_s)
_is_expired = inner(rules.is_expired)
_must_wait = inner(rules.must_wait)


@inner
def attempt(
    s: int, run: Any, stages: Records, options: Records, service: Records, arrivals_s: Array, normals: Array,
    queue: Array, enqueued_s: Array, served: Array, batches: Records, drops: Records,
    replicas: Records, numbers: Array, heap: Records,
) -> bool:
    """Start every batch that can start now, by central dispatch; else set the timer. False: out of random draws."""
    stage = stages[s]
    stage.timer_s = NEVER
    while stage.idle + stage.idle_others > 0:
        ready_s = _next_batch_s(s, run, stage, arrivals_s, queue, enqueued_s, drops)
        if ready_s > run.now_s:
            stage.timer_s = ready_s
            return True
        row = IDLE if stage.idle > 0 else IDLE_OTHERS
        number = numbers[s, row, 0]
        option = options[replicas[s, number].option]
        if option.is_sampled and stage.draw == BLOCK:
            return False
        most = _dispatch_size(stage.batch, option.max_batch)
        size = _take(s, most, run, stage, arrivals_s, queue, enqueued_s, served, drops)
        if size > 0:
            if row == IDLE:
                pop_number(numbers, s, IDLE, stage.idle)
                stage.idle -= 1
            else:
                pop_number(numbers, s, IDLE_OTHERS, stage.idle_others)
                stage.idle_others -= 1
            _start(s, number, size, run, stages, options, service, normals, batches, replicas, heap)
    return True


@inner
def _next_batch_s(
    s: int, run: Any, stage: Any, arrivals_s: Array, queue: Array, enqueued_s: Array, drops: Records
) -> float:
    """Drop what has expired at the head, then say when the next batch may start: now, later, or never."""
    now_s = run.now_s
    total = stage.tail
    while True:
        head = stage.head
        if head == total:
            return NEVER
        oldest_s = arrivals_s[queue[s, head]]
        if not (run.drops_singly and _is_expired(now_s, oldest_s, stage.limit_s)):
            break
        _drop(s, queue[s, head], run, stage, drops)
        stage.head = head + 1
    last = head + stage.batch - 1
    full_s = enqueued_s[s, last] if last < total else NEVER
    due_s = _due_s(enqueued_s[s, head], stage.batch_timeout_s)
    if not _must_wait(full_s <= now_s, now_s, due_s):
        return now_s
    wake_s = full_s if full_s < due_s else due_s
    if run.drops_singly:
        expiry_s = oldest_s + stage.limit_s
        if expiry_s < wake_s:
            finder = head
            while finder < total and enqueued_s[s, finder] <= expiry_s:
                finder += 1
            if finder < total and enqueued_s[s, finder] < wake_s:
                wake_s = enqueued_s[s, finder]
    return wake_s


@inner
def _take(
    s: int, size: int, run: Any, stage: Any, arrivals_s: Array, queue: Array, enqueued_s: Array, served: Array,
    drops: Records,
) -> int:
    """Take up to `size` requests from the head of the queue to the end of `served`; how many.

    Those expired are dropped, not taken; in batch dropping the whole batch where its oldest request is.
    """
    now_s = run.now_s
    head, total, end = stage.head, stage.tail, stage.served
    taken = 0
    while head < total and taken < size and enqueued_s[s, head] <= now_s:
        request = queue[s, head]
        head += 1
        if run.drops_singly and _is_expired(now_s, arrivals_s[request], stage.limit_s):
            _drop(s, request, run, stage, drops)
        else:
            served[s, end + taken] = request
            taken += 1
    stage.head = head
    if run.drops_singly:
        return taken
    oldest = served[s, end]
    for i in range(1, taken):
        oldest = min(oldest, served[s, end + i])
    if not _is_expired(now_s, arrivals_s[oldest], stage.limit_s):
        return taken
    for i in range(taken):
        _drop(s, served[s, end + i], run, stage, drops)
    return 0


@inner
def _drop(s: int, request: int, run: Any, stage: Any, drops: Records) -> None:
    drop = drops[s, stage.drops]
    drop.request = request
    drop.dropped_s = run.now_s
    stage.drops += 1
    stage.left_sum_s += run.now_s
    run.open -= 1


@inner
def _start(
    s: int, number: int, size: int, run: Any, stages: Records, options: Records, service: Records, normals: Array,
    batches: Records, replicas: Records, heap: Records,
) -> None:
    """Start a batch of the `size` requests at the end of `served` on a replica."""
    stage = stages[s]
    replica = replicas[s, number]
    figures = service[replica.option, size]
    factor = 1.0
    if options[replica.option].is_sampled:
        factor = exp(figures.sigma * normals[s, stage.draw] - 0.5 * figures.sigma * figures.sigma)
        stage.draw += 1
    finish_s = _finish_s(run.now_s, figures.latency_s, factor)
    replica.batch = stage.batches
    replica.finish_s = finish_s
    stage.served += size
    batch = batches[s, stage.batches]
    batch.start_s = run.now_s
    batch.finish_s = finish_s
    batch.end = stage.served
    batch.replica = number
    stage.batches += 1
    order = ((COMPLETION * len(stages) + s) << ORDER_BITS) + run.made
    run.made += 1
    push_event(heap, run, finish_s, order, number)


# ---- eager dispatch: a batch leaves the queue when it is formed, and waits at a replica in a list of requests ----


@inner
def attempt_eager(
    s: int, run: Any, stages: Records, options: Records, service: Records, arrivals_s: Array, normals: Array,
    queue: Array, enqueued_s: Array, served: Array, batches: Records, drops: Records, waiting: Records,
    replicas: Records, numbers: Array, heap: Records,
) -> bool:
    """Serve on where a replica has finished, then form every batch that can be formed. False: out of random draws."""
    stage = stages[s]
    stage.timer_s = NEVER
    if stage.freed >= 0:
        if replicas[s, stage.freed].first >= 0:
            if options[replicas[s, stage.freed].option].is_sampled and stage.draw == BLOCK:
                return False
            size = _take_waiting(s, stage, replicas[s, stage.freed], served, waiting)
            _start(s, stage.freed, size, run, stages, options, service, normals, batches, replicas, heap)
        stage.freed = -1
    while True:
        number = _next_in_turn(s, stage, replicas, numbers)
        if number < 0:
            return True
        ready_s = _next_batch_s(s, run, stage, arrivals_s, queue, enqueued_s, drops)
        if ready_s > run.now_s:
            stage.timer_s = ready_s
            return True
        replica = replicas[s, number]
        option = options[replica.option]
        if replica.batch < 0 and option.is_sampled and stage.draw == BLOCK:
            return False
        head = stage.head
        most = _dispatch_size(stage.batch, option.max_batch)
        size = _take(s, most, run, stage, arrivals_s, queue, enqueued_s, served, drops)
        if size == 0:
            continue
        stage.chosen = number
        stage.formed += 1
        if replica.batch < 0:
            _start(s, number, size, run, stages, options, service, normals, batches, replicas, heap)
        else:
            _put_waiting(s, head, size, stage, replica, queue, enqueued_s, served, waiting)


@inner
def _next_in_turn(s: int, stage: Any, replicas: Records, numbers: Array) -> int:
    """The ready replica with the next higher number than the one chosen last, else the lowest, else -1."""
    lowest = -1
    for i in range(stage.existing):
        number = numbers[s, EXISTING, i]
        if replicas[s, number].ready_s < NEVER:
            if number > stage.chosen:
                return number
            if lowest < 0:
                lowest = number
    return lowest


@inner
def _put_waiting(
    s: int, head: int, size: int, stage: Any, replica: Any, queue: Array, enqueued_s: Array, served: Array,
    waiting: Records,
) -> None:
    """Let a batch just taken from position `head` on, dropped requests between its own, wait at a replica."""
    first = served[s, stage.served]
    for i in range(size):
        request = served[s, stage.served + i]
        while queue[s, head] != request:
            head += 1
        waiting[s, request].enqueued_s = enqueued_s[s, head]
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
def _take_waiting(s: int, stage: Any, replica: Any, served: Array, waiting: Records) -> int:
    """Move the first batch that waits at a replica to the end of `served`; its size."""
    request = replica.first
    size = waiting[s, request].size
    replica.first = waiting[s, request].next
    for i in range(size):
        served[s, stage.served + i] = request
        request = waiting[s, request].behind
    return size


@inner
def take_back(
    s: int, stage: Any, replicas: Records, numbers: Array, row: int, since: int, queue: Array, enqueued_s: Array,
    waiting: Records,
) -> None:
    """The batches at the replicas in a row from `since` on return to the head of the queue, as they were formed."""
    for i in range(since, stage.draining):
        batch = replicas[s, numbers[s, row, i]].first
        while batch >= 0:
            stage.head -= waiting[s, batch].size
            batch = waiting[s, batch].next
    position = stage.head
    while True:
        earliest = -1
        for i in range(since, stage.draining):
            batch = replicas[s, numbers[s, row, i]].first
            if batch >= 0 and (
                earliest < 0
                or waiting[s, batch].formed < waiting[s, replicas[s, numbers[s, row, earliest]].first].formed
            ):
                earliest = i
        if earliest < 0:
            return
        replica = replicas[s, numbers[s, row, earliest]]
        request = replica.first
        replica.first = waiting[s, request].next
        while request >= 0:
            queue[s, position] = request
            enqueued_s[s, position] = waiting[s, request].enqueued_s
            position += 1
            request = waiting[s, request].behind
