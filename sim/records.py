"""What a run leaves behind, as arrays: every request at every stage, and every replica."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim import rules
from sim.engines import Engine, StageState
from sim.model import FloatArray, IntArray
from sim.rules import NEVER

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
    for position, stage in enumerate(engine.stages):
        if position == 0:
            enqueue_s[0] = engine.arrivals_s
        else:
            delivered_s = finish_s[position - 1] + engine.world.hop_s
            enqueue_s[position] = np.where(delivered_s <= end_s, delivered_s, np.nan)
        log = stage.batch_log()
        members, size = log.requests, log.size
        log.finish_s[log.finish_s > end_s] = np.nan
        start_s[position, members] = np.repeat(log.start_s, size)
        finish_s[position, members] = np.repeat(log.finish_s, size)
        replica[position, members] = np.repeat(log.replica, size)
        batch[position, members] = np.repeat(np.arange(len(size)), size)
        batch_size[position, members] = np.repeat(size, size)
        drops = stage.drop_log()
        outcome[drops.requests] = DROPPED
        dropped_stage[drops.requests] = position
        request_end_s[drops.requests] = drops.dropped_s
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
        integral_s=np.array([_integral_s(stage, end_s) for stage in engine.stages]),
        configured=tuple(tuple(stage.configured) for stage in engine.stages),
    )


def _integral_s(stage: StageState, end_s: float) -> float:
    """Requests present at the stage, integrated over the run: the sum of leaving minus that of coming."""
    present = stage.enqueued - stage.completions - stage.dropped
    return stage.left_sum_s + present * end_s - stage.enqueued_sum_s


def _replica_records(stage: StageState, end_s: float, stop_s: float) -> ReplicaRecords:
    log = stage.replica_log()
    gone_s = [
        NEVER if removed_s == NEVER else rules.gone_s(removed_s, finish_s, stop_s)
        for removed_s, finish_s in zip(log.removed_s.tolist(), log.finish_s.tolist(), strict=True)
    ]

    def within_run(moments_s: FloatArray) -> FloatArray:
        return np.where(moments_s > end_s, np.nan, moments_s)

    return ReplicaRecords(
        variant=log.variant,
        cores=log.cores,
        created_s=within_run(log.created_s),
        ready_s=within_run(log.ready_s),
        removed_s=within_run(log.removed_s),
        gone_s=within_run(np.array(gone_s, dtype=np.float64)),
    )
