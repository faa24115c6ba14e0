"""Heaps in the kernel's memory: of the events to come, and of the numbers of idle replicas."""

from __future__ import annotations

from typing import Any

from sim.compiled.jit import inner
from sim.compiled.memory import Memory

_MADE_BITS = 40


@inner
def _is_before(one: Any, time_s: float, order: int) -> bool:
    return one.time_s < time_s or (one.time_s == time_s and one.order < order)


@inner
def push_event(time_s: float, rank: int, s: int, replica: int, memory: Memory) -> None:
    """Add an event; within an instant they are ordered by rank, then stage, then as they were made."""
    run, heap = memory.run[0], memory.heap
    order = ((rank * len(memory.stages) + s) << _MADE_BITS) + run.made
    run.made += 1
    hole = run.events
    run.events += 1
    while hole > 0:
        parent = (hole - 1) >> 1
        if _is_before(heap[parent], time_s, order):
            break
        heap[hole] = heap[parent]
        hole = parent
    event = heap[hole]
    event.time_s = time_s
    event.order = order
    event.rank = rank
    event.stage = s
    event.replica = replica


@inner
def pop_event(memory: Memory) -> None:
    """Remove the first event, which is heap[0]."""
    run, heap = memory.run[0], memory.heap
    run.events -= 1
    size = run.events
    last = heap[size]
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size and _is_before(heap[child + 1], heap[child].time_s, heap[child].order):
            child += 1
        if not _is_before(heap[child], last.time_s, last.order):
            break
        heap[hole] = heap[child]
        hole = child
    heap[hole] = last


@inner
def push_number(s: int, row: int, number: int, memory: Memory) -> None:
    """Add a number to a heap: a row of stage s, from place 1 on."""
    numbers = memory.numbers
    numbers[s, row, 0] += 1
    hole = numbers[s, row, 0]
    while hole > 1:
        parent = hole >> 1
        if numbers[s, row, parent] < number:
            break
        numbers[s, row, hole] = numbers[s, row, parent]
        hole = parent
    numbers[s, row, hole] = number


@inner
def pop_number(s: int, row: int, memory: Memory) -> None:
    """Remove the least number of a heap, which is at place 1."""
    numbers = memory.numbers
    size = numbers[s, row, 0] - 1
    numbers[s, row, 0] = size
    last = numbers[s, row, size + 1]
    hole = 1
    while True:
        child = 2 * hole
        if child > size:
            break
        if child < size and numbers[s, row, child + 1] < numbers[s, row, child]:
            child += 1
        if last < numbers[s, row, child]:
            break
        numbers[s, row, hole] = numbers[s, row, child]
        hole = child
    numbers[s, row, hole] = last


@inner
def append(s: int, row: int, number: int, memory: Memory) -> None:
    """Add a number at the end of a row."""
    numbers = memory.numbers
    numbers[s, row, 0] += 1
    numbers[s, row, numbers[s, row, 0]] = number
