"""Heaps in arrays: of the events to come, and of the numbers of idle replicas."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from sim.compiled.jit import inner
from sim.compiled.memory import Records


@inner
def is_before(one: Any, time_s: float, order: int) -> bool:
    """Whether an event comes before the moment (time, order)."""
    return one.time_s < time_s or (one.time_s == time_s and one.order < order)


@inner
def push_event(heap: Records, run: Any, time_s: float, order: int, replica: int) -> None:
    """Add an event."""
    hole = run.events
    run.events += 1
    while hole > 0:
        parent = (hole - 1) >> 1
        if is_before(heap[parent], time_s, order):
            break
        heap[hole] = heap[parent]
        hole = parent
    heap[hole].time_s = time_s
    heap[hole].order = order
    heap[hole].replica = replica


@inner
def pop_event(heap: Records, run: Any) -> None:
    """Remove the first event, which is heap[0]."""
    run.events -= 1
    size = run.events
    time_s, order, replica = heap[size].time_s, heap[size].order, heap[size].replica
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= size:
            break
        if child + 1 < size and is_before(heap[child + 1], heap[child].time_s, heap[child].order):
            child += 1
        if not is_before(heap[child], time_s, order):
            break
        heap[hole] = heap[child]
        hole = child
    heap[hole].time_s = time_s
    heap[hole].order = order
    heap[hole].replica = replica


@inner
def push_number(numbers: npt.NDArray[Any], s: int, row: int, size: int, number: int) -> None:
    """Add a number to a heap of `size` numbers in a row of stage s."""
    hole = size
    while hole > 0:
        parent = (hole - 1) >> 1
        if numbers[s, row, parent] < number:
            break
        numbers[s, row, hole] = numbers[s, row, parent]
        hole = parent
    numbers[s, row, hole] = number


@inner
def pop_number(numbers: npt.NDArray[Any], s: int, row: int, size: int) -> None:
    """Remove the least of the `size` numbers, which is the first."""
    last = numbers[s, row, size - 1]
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= size - 1:
            break
        if child + 1 < size - 1 and numbers[s, row, child + 1] < numbers[s, row, child]:
            child += 1
        if last < numbers[s, row, child]:
            break
        numbers[s, row, hole] = numbers[s, row, child]
        hole = child
    numbers[s, row, hole] = last
