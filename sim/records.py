"""What a run leaves behind, as arrays: every request at every stage, and every replica."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ipa.sim import rules
from ipa.sim.interface import Batches, BoolArray, Drops, Engine, EngineStage, RoomLack, StepLog, TokenLog
from ipa.sim.model import CORES, FloatArray, IntArray
from ipa.sim.rules import NEVER

COMPLETED, DROPPED, FAILED, UNFINISHED = range(4)
OUTCOMES = ("completed", "dropped", "failed", "unfinished")
"""How a request ends; the index is its code."""


@dataclass(frozen=True)
class Records:
    """All requests of a run, or a sample of them: S stages, N requests.

    Times are in seconds. An event that never happened has the time NaN and the number -1.

    `request` holds the requests' numbers in order of arrival, shape (N,).

    `enqueue_s`, `start_s`, `finish_s`, `replica`, `batch` (k: the k-th batch started at the stage) and `batch_size`
    have shape (S, N); `arrival_s`, `end_s`, `outcome` (codes of `OUTCOMES`) and `dropped_stage` (where it was dropped,
    or failed with a removed replica) have shape (N,).
    `integral_s` is the engine's own integral over time of the number of requests at each stage, shape (S,).
    `configured` holds the batch sizes in force at each stage, as (since when, size). `limits`: the most that may exist,
    by resource; `room_lack`: how often and how long each stage lacked room within them. `gpus`: by stage, those of a
    replica of each variant. `tokens` and `steps`: by stage, None for one that is not of language models; empty if none
    is. At one that is, each request is a batch by itself. `reason`: of a live run, why each request was not completed,
    as its client was told, shape (N,).

    In a graph, `items` holds the records of each stage as those of a chain of one stage: its requests are the items, in
    order of coming, and `request` is the request of each item. The arrays of shape (S, N) are then empty, (S, 0).
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
    limits: Mapping[str, int] = field(default_factory=dict)
    gpus: tuple[Mapping[str, int], ...] = ()
    room_lack: tuple[RoomLack, ...] = ()
    tokens: tuple[TokenLog | None, ...] = ()
    steps: tuple[StepLog | None, ...] = ()
    items: tuple[Records, ...] = ()
    reason: npt.NDArray[Any] | None = None

    def taken(self, resource: str) -> list[IntArray]:
        """What each replica takes of a resource, stage by stage."""
        if resource == CORES:
            return [replicas.cores for replicas in self.replicas]
        return [
            np.array([gpus.get(variant, 0) for variant in replicas.variant], dtype=np.int64)
            for gpus, replicas in zip(self.gpus, self.replicas, strict=True)
        ]

    def places(self, part: Records) -> IntArray:
        """The place of the request of each of a stage's items in these records, which may leave out requests."""
        return np.searchsorted(self.request, part.request)


@dataclass(frozen=True)
class ReplicaRecords:
    """The replicas of one stage in order of creation; NaN for events that did not happen within the run."""

    variant: tuple[str, ...]
    cores: IntArray
    created_s: FloatArray
    ready_s: FloatArray
    removed_s: FloatArray
    gone_s: FloatArray


class Visits(NamedTuple):
    """What happened to N requests at S stages, as in `Records`: five arrays of shape (S, N), three of shape (N,).

    `failed`: whether the request failed with a removed replica, at `dropped_stage`.
    """

    start_s: FloatArray
    finish_s: FloatArray
    replica: IntArray
    batch: IntArray
    batch_size: IntArray
    dropped_stage: IntArray
    end_s: FloatArray
    failed: BoolArray

    @classmethod
    def none_yet(cls, stages: int, requests: int) -> Self:
        """The visits of requests to which nothing has happened yet."""
        start_s, finish_s = np.full((2, stages, requests), np.nan)
        replica, batch, batch_size = np.full((3, stages, requests), -1, dtype=np.int64)
        dropped_stage, end_s = np.full(requests, -1, dtype=np.int64), np.full(requests, np.nan)
        return cls(start_s, finish_s, replica, batch, batch_size, dropped_stage, end_s, np.zeros(requests, dtype=bool))

    def enter(self, position: int, batches: Batches, drops: Drops, first_batch: int, first_request: int = 0) -> None:
        """Fill in batches and drops of a stage, the batches numbered from `first_batch` on.

        `first_request`: the number of the first request here.
        """
        # Index each array by stage first: indexing stage and request at once takes three times as long.
        members, size = batches.requests - first_request, batches.size
        number = np.repeat(np.arange(len(size)), size)
        self.start_s[position][members] = batches.start_s[number]
        self.finish_s[position][members] = batches.finish_s[number]
        self.replica[position][members] = batches.replica[number]
        self.batch[position][members] = number + first_batch
        self.batch_size[position][members] = size[number]
        ended = drops.requests - first_request
        self.dropped_stage[ended] = position
        self.end_s[ended] = drops.dropped_s
        lost = ended[drops.failed]
        self.failed[lost] = True
        self.finish_s[position][lost] = np.nan

    def where(self, chosen: IntArray | slice) -> Visits:
        """The visits of the chosen requests."""
        columns: list[Any] = [column[..., chosen] for column in self]
        return Visits(*columns)

    def followed_by(self, others: Visits) -> Visits:
        """The visits of these requests, then those of the others."""
        columns: list[Any] = [
            np.concatenate(columns_of_both, axis=-1) for columns_of_both in zip(self, others, strict=True)
        ]
        return Visits(*columns)


class Recorder:
    """Fills in the records of all requests from pieces of the stages' logs; the pieces of a stage come in order."""

    def __init__(self, arrivals_s: FloatArray, stages: int) -> None:
        self._visits = Visits.none_yet(stages, len(arrivals_s))
        self._batches = [0] * stages

    def take(self, position: int, batches: Batches, drops: Drops) -> None:
        """Add the next batches and drops of a stage."""
        self._visits.enter(position, batches, drops, self._batches[position])
        self._batches[position] += len(batches.size)

    def records(self, engine: Engine) -> Records:
        """The records of a finished run."""
        return records_of(engine, np.arange(len(engine.arrivals_s)), self._visits)


def collect_records(engine: Engine) -> Records:
    """The records of a finished run whose engine has kept everything."""
    recorder = Recorder(engine.arrivals_s, len(engine.stages))
    for position, stage in enumerate(engine.stages):
        recorder.take(position, stage.batch_log(), stage.drop_log())
    return recorder.records(engine)


def records_of_none(engine: Engine) -> Records:
    """The records of a finished run's replicas, without those of any request."""
    return records_of(engine, np.zeros(0, dtype=np.int64), Visits.none_yet(len(engine.stages), 0))


def records_of(engine: Engine, request: IntArray, visits: Visits) -> Records:
    """The records of a finished run with the visits of these requests, in ascending order; shape of `request`: (N,)."""
    end_s, finish_s = engine.end_s, visits.finish_s
    finish_s[finish_s > end_s] = np.nan
    enqueue_s = np.empty_like(finish_s)
    enqueue_s[0] = arrival_s = engine.arrivals_s[request]
    enqueue_s[1:] = finish_s[:-1] + engine.world.hop_s
    enqueue_s[enqueue_s > end_s] = np.nan
    outcome = np.where(visits.failed, FAILED, np.where(visits.dropped_stage >= 0, DROPPED, UNFINISHED))
    completed = np.isfinite(finish_s[-1])
    outcome[completed] = COMPLETED
    visits.end_s[completed] = finish_s[-1, completed]
    return Records(
        stages=tuple(stage.model.name for stage in engine.stages),
        run_end_s=end_s,
        duration_s=engine.world.duration_s,
        request=request,
        arrival_s=arrival_s,
        outcome=outcome,
        dropped_stage=visits.dropped_stage,
        end_s=visits.end_s,
        enqueue_s=enqueue_s,
        start_s=visits.start_s,
        finish_s=finish_s,
        replica=visits.replica,
        batch=visits.batch,
        batch_size=visits.batch_size,
        replicas=tuple(replica_records(stage, end_s, engine.world.stop_s) for stage in engine.stages),
        integral_s=np.array([integral_s(stage, end_s) for stage in engine.stages]),
        configured=tuple(tuple(stage.configured) for stage in engine.stages),
        **tokens_of(engine.stages, end_s, request),
        **limit_of(engine),
    )


def tokens_of(stages: Sequence[EngineStage], end_s: float, chosen: IntArray | slice = slice(None)) -> dict[str, Any]:
    """The tokens of the chosen requests at stages of a finished run, and the steps, as fields of its records."""
    if not any(stage.model.language for stage in stages):
        return {}
    logs = [stage.token_log() for stage in stages]
    return {
        "tokens": tuple(log and log.where(chosen) for log in logs),
        "steps": tuple(stage.step_log(end_s) for stage in stages),
    }


def limit_of(engine: Engine) -> dict[str, Any]:
    """The limits of a finished run, and what came of them, as fields of its records."""
    limits = engine.world.limits
    if not limits:
        return {}
    lack = tuple(stage.room_lack_until(engine.end_s) for stage in engine.stages)
    gpus = [{name: model.gpus for name, model in stage.model.language.items()} for stage in engine.stages]
    return {"limits": limits, "gpus": tuple(gpus), "room_lack": lack}


def integral_s(stage: EngineStage, end_s: float) -> float:
    """The integral over the run of the requests at the stage: the sum of exit times less that of enqueue times."""
    present = stage.enqueued - stage.completions - stage.dropped
    return stage.left_sum_s + present * end_s - stage.enqueued_sum_s


def replica_records(stage: EngineStage, end_s: float, stop_s: float) -> ReplicaRecords:
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
