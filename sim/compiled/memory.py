"""The memory of a run of the compiled engine: arrays of records, which the kernel and the engine both read and write.

The records' fields are the state of the model: what the SimPy engine keeps in objects. Index s is the stage's position;
replicas, requests and batches go by number; `NEVER` is a moment that has not come, -1 a number that is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.streams import BLOCK

Records = npt.NDArray[Any]

EXISTING, DRAINING, IDLE, IDLE_OTHERS = range(4)
"""The rows of `numbers`: starting and ready replicas by rising number; removed ones; heaps of idle ones."""

STARTING, READY, DRAINED = range(3)
"""The columns of `tally`."""


def _record(**fields: str) -> np.dtype[np.void]:
    return np.dtype(list(fields.items()), align=True)


RUN = _record(
    now_s="f8",
    duration_s="f8",
    hop_s="f8",
    stop_s="f8",
    max_surge="i8",  # -1: the default of the rules
    max_unavailable="i8",
    drops_singly="?",
    applies="?",  # whether the stages' new configurations still have to take effect
    first="i8",  # stages first <= s < last have yet to attempt dispatch at this moment
    last="i8",
    open="i8",  # requests that have not ended
    events="i8",  # on the heap
    made="i8",  # events so far, which orders equal ones
)
STAGE = _record(
    limit_s="f8",
    variant="i8",
    option="i8",
    batch="i8",
    desired="i8",
    batch_timeout_s="f8",
    timer_s="f8",
    head="i8",  # of the queue, and its end
    tail="i8",
    batches="i8",  # started, and the requests in them
    served="i8",
    finished="i8",  # batches, and those of them that the next stage has got
    delivered="i8",
    completions="i8",
    drops="i8",
    enqueued_sum_s="f8",
    left_sum_s="f8",
    draw="i8",  # the next one in the block of `normals`
    replicas="i8",  # ever created
    existing="i8",  # lengths of the rows of `numbers`
    draining="i8",
    idle="i8",
    idle_others="i8",
    formed="i8",  # eager dispatch: batches formed, the replica that got the last one, the one that has just finished
    chosen="i8",
    freed="i8",
)
OPTION = _record(start_up_s="f8", variant="i8", max_batch="i8", is_sampled="?")
SERVICE = _record(latency_s="f8", sigma="f8")
REPLICA = _record(
    created_s="f8",
    ready_s="f8",
    removed_s="f8",
    finish_s="f8",
    start_up_factor="f8",
    option="i8",
    batch="i8",  # being served
    first="i8",  # eager dispatch: the batches waiting, each by its first request
    last="i8",
)
EVENT = _record(time_s="f8", order="i8", replica="i8")
BATCH = _record(start_s="f8", finish_s="f8", end="i4", replica="i4")
DROP = _record(dropped_s="f8", request="i4")
WAITING = _record(enqueued_s="f8", formed="i8", size="i4", behind="i4", next="i4")


@dataclass
class Memory:
    """The arrays, in the order in which the kernel takes them; S stages, N requests, R replicas at most."""

    run: Records  # RUN (1,)
    stages: Records  # STAGE (S,)
    options: Records  # OPTION: the (variant, cores) of all stages
    service: Records  # SERVICE (options, largest batch + 1)
    arrivals_s: npt.NDArray[np.float64]  # (N,)
    normals: npt.NDArray[np.float64]  # (S, BLOCK)
    tally: npt.NDArray[np.int64]  # (variants of all stages, 3), as of the latest stop
    queue: npt.NDArray[np.int32]  # (S, N): requests in order of enqueue
    enqueued_s: npt.NDArray[np.float64]  # (S, N): of the same
    served: npt.NDArray[np.int32]  # (S, N): the members of the batches started, one batch after the other
    batches: Records  # BATCH (S, N), in order of start; `end` is that of its members in `served`
    drops: Records  # DROP (S, N)
    finished: npt.NDArray[np.int32]  # (S, N): batches in order of completion, where there is a hop
    waiting: Records | None  # WAITING (S, N): requests in batches that wait at a replica; None: central dispatch
    replicas: Records  # REPLICA (S, R)
    numbers: npt.NDArray[np.int32]  # (S, 4, R): replicas by state
    heap: Records  # EVENT (S x R,): each replica has at most one event to come

    @property
    def room(self) -> int:
        """The most replicas that a stage can have had."""
        return self.replicas.shape[1]

    def make_room(self, room: int) -> None:
        """Give every stage room for `room` replicas."""
        stages, before = self.replicas.shape
        replicas = np.zeros((stages, room), REPLICA)
        replicas[:, :before] = self.replicas
        numbers = np.zeros((stages, 4, room), np.int32)
        numbers[:, :, :before] = self.numbers
        heap = np.zeros(stages * room, EVENT)
        heap[: len(self.heap)] = self.heap
        self.replicas, self.numbers, self.heap = replicas, numbers, heap


def allocate(arrivals_s: npt.NDArray[np.float64], stages: int, options: int, variants: int, largest_batch: int, *,
             hop: bool, eager: bool) -> Memory:
    """Fresh memory for a run."""
    requests = len(arrivals_s)
    shape = (stages, requests)
    return Memory(
        run=np.zeros(1, RUN),
        stages=np.zeros(stages, STAGE),
        options=np.zeros(options, OPTION),
        service=np.zeros((options, largest_batch + 1), SERVICE),
        arrivals_s=arrivals_s,
        normals=np.empty((stages, BLOCK)),
        tally=np.zeros((variants, 3), np.int64),
        queue=np.empty(shape, np.int32),
        enqueued_s=np.empty(shape),
        served=np.empty(shape, np.int32),
        batches=np.empty(shape, BATCH),
        drops=np.empty(shape, DROP),
        finished=np.empty(shape if hop else (stages, 0), np.int32),
        waiting=np.empty(shape, WAITING) if eager else None,
        replicas=np.zeros((stages, 0), REPLICA),
        numbers=np.zeros((stages, 4, 0), np.int32),
        heap=np.zeros(0, EVENT),
    )
