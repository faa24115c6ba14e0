"""What a run leaves behind, as arrays: every request at every stage, and every replica."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.sim import rules
from ipa.sim.interface import Batches, BoolArray, Drops, Engine, EngineStage
from ipa.sim.model import FloatArray, IntArray
from ipa.sim.rules import NEVER

COMPLETED, DROPPED, FAILED, UNFINISHED = range(4)
OUTCOMES = ("completed", "dropped", "failed", "unfinished")
"""How a request ends; the index is its code."""


@dataclass(frozen=True)
class Records:
    """All requests of a run, or a sample of them: S stages, N requests.

    Times are in seconds. What never happened is NaN as a time and -1 as a number.

    `request` holds the requests' numbers in order of arrival, shape (N,).

    `enqueue_s`, `start_s`, `finish_s`, `replica`, `batch` (k: the k-th batch started at the stage) and `batch_size`
    have shape (S, N); `arrival_s`, `end_s`, `outcome` (codes of `OUTCOMES`) and `dropped_stage` have shape (N,).
    `integral_s` is the number of requests present at each stage, integrated over time by the engine itself, shape (S,).
    `configured` holds the batch sizes in force at each stage, as (since when, size).
    """

    stages: tuple[str, ...]
    run_end_s: float
    duration_s: float
    request: IntArray
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
    """The replicas of one stage in order of creation; NaN for what did not happen within the run."""

    variant: tuple[str, ...]
    cores: IntArray
    created_s: FloatArray
    ready_s: FloatArray
    removed_s: FloatArray
    gone_s: FloatArray


class Recorder:
    """Fills in records from the stages' logs as they come; those of one stage must come in order."""

    def __init__(self, arrivals_s: FloatArray, stages: int, request: IntArray | None = None) -> None:
        """`request`: the numbers of the requests to keep records of, rising, shape (N,); None: all of them."""
        self._is_whole = request is None
        self._request = np.arange(len(arrivals_s)) if request is None else request
        self._arrival_s = arrivals_s if request is None else arrivals_s[request]
        shape = (stages, len(self._request))
        self._start_s, self._finish_s = np.full(shape, np.nan), np.full(shape, np.nan)
        self._replica, self._batch, self._batch_size = (np.full(shape, -1, dtype=np.int64) for _ in range(3))
        self._batches = [0] * stages
        self._dropped_stage = np.full(shape[1], -1, dtype=np.int64)
        self._end_s = np.full(shape[1], np.nan)

    def take(self, position: int, batches: Batches, drops: Drops) -> None:
        """The next batches and drops of a stage."""
        first, size = self._batches[position], batches.size
        self._batches[position] += len(size)
        if len(self._request) == 0:
            return
        kept, members = self._kept(batches.requests)

        def each(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
            return np.repeat(values, size)[kept]

        self._start_s[position, members] = each(batches.start_s)
        self._finish_s[position, members] = each(batches.finish_s)
        self._replica[position, members] = each(batches.replica)
        self._batch[position, members] = each(np.arange(first, first + len(size)))
        self._batch_size[position, members] = each(size)
        kept, members = self._kept(drops.requests)
        self._dropped_stage[members] = position
        self._end_s[members] = drops.dropped_s[kept]

    def records(self, engine: Engine) -> Records:
        """The records of a run that has ended."""
        end_s, finish_s = engine.end_s, self._finish_s
        finish_s[finish_s > end_s] = np.nan
        enqueue_s = np.empty_like(finish_s)
        enqueue_s[0] = self._arrival_s
        enqueue_s[1:] = finish_s[:-1] + engine.world.hop_s
        enqueue_s[enqueue_s > end_s] = np.nan
        outcome = np.where(self._dropped_stage >= 0, DROPPED, UNFINISHED)
        completed = np.isfinite(finish_s[-1])
        outcome[completed] = COMPLETED
        self._end_s[completed] = finish_s[-1, completed]
        return Records(
            stages=tuple(stage.model.name for stage in engine.stages),
            run_end_s=end_s,
            duration_s=engine.world.duration_s,
            request=self._request,
            arrival_s=self._arrival_s,
            outcome=outcome,
            dropped_stage=self._dropped_stage,
            end_s=self._end_s,
            enqueue_s=enqueue_s,
            start_s=self._start_s,
            finish_s=finish_s,
            replica=self._replica,
            batch=self._batch,
            batch_size=self._batch_size,
            replicas=tuple(_replica_records(stage, end_s, engine.world.stop_s) for stage in engine.stages),
            integral_s=np.array([_integral_s(stage, end_s) for stage in engine.stages]),
            configured=tuple(tuple(stage.configured) for stage in engine.stages),
        )

    def _kept(self, requests: IntArray) -> tuple[slice | BoolArray, IntArray]:
        """Which of the requests have records, and in which places."""
        if self._is_whole:
            return slice(None), requests
        places = np.searchsorted(self._request, requests)
        kept = self._request[np.minimum(places, len(self._request) - 1)] == requests
        return kept, places[kept]


def collect_records(engine: Engine) -> Records:
    """The records of a finished run whose engine has kept everything."""
    recorder = Recorder(engine.arrivals_s, len(engine.stages))
    for position, stage in enumerate(engine.stages):
        recorder.take(position, stage.batch_log(), stage.drop_log())
    return recorder.records(engine)


def _integral_s(stage: EngineStage, end_s: float) -> float:
    """The requests present at the stage, integrated over the run: the sum of exit times less that of enqueue times."""
    present = stage.enqueued - stage.completions - stage.dropped
    return stage.left_sum_s + present * end_s - stage.enqueued_sum_s


def _replica_records(stage: EngineStage, end_s: float, stop_s: float) -> ReplicaRecords:
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
