"""What a run leaves behind, as arrays: every request at every stage, and every replica."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.engine import Engine
from sim.model import FloatArray, IntArray
from sim.stage import Stage

COMPLETED, DROPPED, FAILED, UNFINISHED = range(4)
OUTCOMES = ("completed", "dropped", "failed", "unfinished")
"""How a request ends, by code."""


@dataclass(frozen=True)
class Records:
    """One run: S stages, N requests. Times in seconds, NaN where it did not come to that; numbers -1 likewise.

    `enqueue_s`, `start_s`, `finish_s`, `replica`, `batch` (k: the k-th batch started at the stage) and `batch_size`
    have shape (S, N); `arrival_s`, `end_s`, `outcome` (codes of `OUTCOMES`) and `dropped_stage` shape (N,).
    `integral_s` is the engine's own integral over time of the requests present at each stage, shape (S,);
    `configured` the batch sizes in force at each stage, as (since when, size).
    """

    stages: tuple[str, ...]
    run_end_s: float
    duration_s: float
    arrival_s: FloatArray
    outcome: IntArray
    dropped_stage: IntArray
    end_s: FloatArray
    enqueue_s: FloatArray
    start_s: FloatArray
    finish_s: FloatArray
    replica: IntArray
    batch: IntArray
    batch_size: IntArray
    replicas: tuple[ReplicaRecords, ...]
    integral_s: FloatArray
    configured: tuple[tuple[tuple[float, int], ...], ...]


@dataclass(frozen=True)
class ReplicaRecords:
    """The replicas of one stage in order of creation; NaN where a moment never came within the run."""

    variant: tuple[str, ...]
    cores: IntArray
    created_s: FloatArray
    ready_s: FloatArray
    removed_s: FloatArray
    gone_s: FloatArray


def collect(engine: Engine) -> Records:
    """The records of a run that has ended."""
    count = len(engine.arrivals_s)
    shape = (len(engine.stages), count)
    end_s = engine.end_s
    enqueue_s, start_s, finish_s = (np.full(shape, np.nan) for _ in range(3))
    replica, batch, batch_size = (np.full(shape, -1, dtype=np.int64) for _ in range(3))
    outcome = np.full(count, UNFINISHED, dtype=np.int64)
    dropped_stage = np.full(count, -1, dtype=np.int64)
    request_end_s = np.full(count, np.nan)
    integral_s = np.zeros(shape[0])
    hop_s = engine.world.hop_s
    for position, stage in enumerate(engine.stages):
        if position == 0:
            enqueue_s[0] = engine.arrivals_s
        else:
            delivered_s = finish_s[position - 1] + hop_s
            enqueue_s[position] = np.where(delivered_s <= end_s, delivered_s, np.nan)
        log = stage.batches
        members = np.array(log.requests, dtype=np.int64)
        sizes = np.array(log.size, dtype=np.int64)
        batch_finish_s = np.array(log.finish_s)
        batch_finish_s[batch_finish_s > end_s] = np.nan
        start_s[position, members] = np.repeat(log.start_s, sizes)
        finish_s[position, members] = np.repeat(batch_finish_s, sizes)
        replica[position, members] = np.repeat(np.array(log.replica, dtype=np.int64), sizes)
        batch[position, members] = np.repeat(np.arange(len(sizes)), sizes)
        batch_size[position, members] = np.repeat(sizes, sizes)
        dropped = np.array(stage.drops.requests, dtype=np.int64)
        outcome[dropped] = DROPPED
        dropped_stage[dropped] = position
        request_end_s[dropped] = stage.drops.dropped_s
        integral_s[position] = _integral_s(stage, end_s)
    completed = np.isfinite(finish_s[-1])
    outcome[completed] = COMPLETED
    request_end_s[completed] = finish_s[-1, completed]
    return Records(
        stages=tuple(stage.model.name for stage in engine.stages),
        run_end_s=end_s,
        duration_s=engine.world.duration_s,
        arrival_s=engine.arrivals_s,
        outcome=outcome,
        dropped_stage=dropped_stage,
        end_s=request_end_s,
        enqueue_s=enqueue_s,
        start_s=start_s,
        finish_s=finish_s,
        replica=replica,
        batch=batch,
        batch_size=batch_size,
        replicas=tuple(_replica_records(stage, end_s, engine.world.stop_s) for stage in engine.stages),
        integral_s=integral_s,
        configured=tuple(tuple(stage.configured) for stage in engine.stages),
    )


def _integral_s(stage: Stage, end_s: float) -> float:
    """Requests present at the stage, integrated over the run: the sum of leaving minus that of coming."""
    came = len(stage.enqueued_s)
    left = stage.completions + len(stage.drops.requests)
    return stage.left_sum_s + (came - left) * end_s - stage.enqueued_sum_s


def _replica_records(stage: Stage, end_s: float, stop_s: float) -> ReplicaRecords:
    replicas = stage.replicas.all

    def moments(values: list[float]) -> FloatArray:
        array = np.array(values, dtype=np.float64)
        array[array > end_s] = np.nan
        return array

    return ReplicaRecords(
        variant=tuple(replica.variant for replica in replicas),
        cores=np.array([replica.cores for replica in replicas], dtype=np.int64),
        created_s=moments([replica.created_s for replica in replicas]),
        ready_s=moments([replica.ready_s for replica in replicas]),
        removed_s=moments([replica.removed_s for replica in replicas]),
        gone_s=moments([replica.gone_s(stop_s) for replica in replicas]),
    )
