"""The lanes of a stage in the kernel: each is a row of `Memory`, row stage x most + lane.

Without mixes, a stage has one lane, `lanes` is None, and numba compiles these functions to nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ipa.sim import streams
from ipa.sim.compiled.jit import inner, small
from ipa.sim.compiled.memory import FIRST, Memory, RecordArray, record

LANES = record(
    sent="i8",  # how many requests have been put in the queues of the first stage's lanes
    row="i8",  # of the lane whose replicas have just all become ready
)
ROW = record(
    is_cold="?",  # whether its replicas have never all been ready
    closes="?",  # whether it becomes free once it has no more requests
)
ROUTE = record(row="i8", until="f8")


class LaneMemory(NamedTuple):
    """What lanes need besides their rows in `Memory`: S stages of L lanes, N requests."""

    lanes: RecordArray  # LANES (1,)
    rows: RecordArray  # ROW (S x L,)
    routes: RecordArray  # ROUTE (S, L): the row for draws below `until`, ascending; infinity for the last one used
    draws: npt.NDArray[np.float64]  # (S, N): the draw of each request
    finished: npt.NDArray[np.uint32]  # (S, N): the row of each batch in `Memory.finished`


def lane_memory(seed: int, stages: int, most: int, requests: int) -> LaneMemory:
    """The memory of a run with this seed."""
    return LaneMemory(
        lanes=np.zeros(1, LANES),
        rows=np.zeros(stages * most, ROW),
        routes=np.zeros((stages, most), ROUTE),
        draws=np.array([streams.stream(seed, "mix", position).random(requests) for position in range(stages)]),
        finished=np.empty((stages, requests), np.uint32),
    )


@small
def most_lanes(lanes: LaneMemory | None) -> int:
    """How many rows a stage has."""
    if lanes is None:
        return 1
    return lanes.routes.shape[1]


@inner
def row_of(s: int, request: int, lanes: LaneMemory) -> int:
    """The row of the lane to which a request goes at stage s."""
    draw, i = lanes.draws[s, request], 0
    while draw >= lanes.routes[s, i].until:
        i += 1
    row: int = lanes.routes[s, i].row
    return row


@inner
def send_ahead(until_s: float, memory: Memory, lanes: LaneMemory) -> None:
    """Put the requests that arrive up to `until_s` in the queues of the first stage's lanes."""
    state = lanes.lanes[0]
    while state.sent < len(memory.arrivals_s) and memory.arrivals_s[state.sent] <= until_s:
        row = row_of(FIRST, state.sent, lanes)
        stage = memory.stages[row]
        memory.queue[row, stage.tail] = state.sent
        memory.enqueued_s[row, stage.tail] = memory.arrivals_s[state.sent]
        stage.tail += 1
        stage.present += 1
        state.sent += 1
        memory.run[0].extended = True


@inner
def recall(now_s: float, memory: Memory, lanes: LaneMemory) -> None:
    """Take the requests that have not arrived yet out of these queues: other lanes may get them."""
    for row in range(most_lanes(lanes)):
        stage = memory.stages[row]
        while stage.tail > stage.head and memory.enqueued_s[row, stage.tail - 1] > now_s:
            stage.tail -= 1
            stage.present -= 1
            lanes.lanes[0].sent -= 1
