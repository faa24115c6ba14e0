"""Heaps in the kernel's memory: a stage's future events, and the numbers of its idle replicas."""

from __future__ import annotations

from typing import Any

from ipa.sim.compiled.jit import inner, small
from ipa.sim.compiled.memory import RecordArray

RANK_SHIFT = 40
"""An event's order is its rank, shifted by this many bits, plus a number that grows from event to event."""


@small
def _is_before(a: Any, b: Any) -> bool:
    return (a.time_s < b.time_s) | ((a.time_s == b.time_s) & (a.order < b.order))


@small
def _put(event: Any, time_s: float, order: int, replica: int) -> None:
    # Field by field, since records would be copied byte by byte.
    event.time_s = time_s
    event.order = order
    event.replica = replica


@inner
def push_event(time_s: float, rank: int, replica: int, run: Any, stage: Any, heap: RecordArray) -> None:
    """Add an event to the heap of a stage; it replaces the first one if that is over."""
    order = (rank << RANK_SHIFT) + run.made
    run.made += 1
    if stage.is_over:
        stage.is_over = False
        _sift(time_s, order, replica, stage.events, heap)
        return
    hole = stage.events
    stage.events += 1
    while hole > 0:
        parent = heap[(hole - 1) >> 1]
        if parent.time_s < time_s or (parent.time_s == time_s and parent.order < order):
            break
        _put(heap[hole], parent.time_s, parent.order, parent.replica)
        hole = (hole - 1) >> 1
    _put(heap[hole], time_s, order, replica)


@inner
def pop_event(stage: Any, heap: RecordArray) -> None:
    """Remove the first event of a stage, which is heap[0]."""
    stage.is_over = False
    stage.events -= 1
    last = heap[stage.events]
    _sift(last.time_s, last.order, last.replica, stage.events, heap)


@inner
def _sift(time_s: float, order: int, replica: int, size: int, heap: RecordArray) -> None:
    """Replace the first event of a heap."""
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size:
            child += _is_before(heap[child + 1], heap[child])
        below = heap[child]
        if time_s < below.time_s or (time_s == below.time_s and order < below.order):
            break
        _put(heap[hole], below.time_s, below.order, below.replica)
        hole = child
    _put(heap[hole], time_s, order, replica)


@inner
def push_number(numbers: RecordArray, number: int) -> None:
    """Add a number to a heap, which begins at index 1."""
    numbers[0] += 1
    hole = numbers[0]
    while hole > 1:
        parent = hole >> 1
        if numbers[parent] < number:
            break
        numbers[hole] = numbers[parent]
        hole = parent
    numbers[hole] = number


@inner
def pop_number(numbers: RecordArray) -> None:
    """Remove the least number of a heap, which is at index 1."""
    size = numbers[0] - 1
    numbers[0] = size
    last = numbers[size + 1]
    hole = 1
    while True:
        child = 2 * hole
        if child > size:
            break
        if child < size and numbers[child + 1] < numbers[child]:
            child += 1
        if last < numbers[child]:
            break
        numbers[hole] = numbers[child]
        hole = child
    numbers[hole] = last


@small
def append(numbers: RecordArray, number: int) -> None:
    """Add a number at the end of a row."""
    numbers[0] += 1
    numbers[numbers[0]] = number
