"""A stage of several lanes as control steps and records read it: the logs of its lanes as one.

Batches are numbered by start and replicas by creation; of equal ones, those of the lower lane come first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from ipa.policies import ReplicaCounts, StageConfiguration
from ipa.sim import rules
from ipa.sim.interface import Batches, Drops, Handover, Replicas, Seen, arrived
from ipa.sim.lanes import Lanes
from ipa.sim.model import FloatArray, IntArray, StageModel
from ipa.sim.resizes import Resizes


class LaneLogs(NamedTuple):
    """Of which lane each replica of a stage is, by number, and the batch sizes in force at each lane."""

    lane: IntArray
    configured: tuple[tuple[tuple[float, int], ...], ...]


class EngineLane(Protocol):
    """What is read of a lane."""

    @property
    def configured(self) -> Sequence[tuple[float, int]]: ...

    @property
    def enqueued(self) -> int: ...

    @property
    def completions(self) -> int: ...

    @property
    def dropped(self) -> int: ...

    @property
    def failed(self) -> int: ...

    @property
    def interrupted(self) -> int: ...

    @property
    def served(self) -> int: ...

    @property
    def enqueued_sum_s(self) -> float: ...

    @property
    def left_sum_s(self) -> float: ...

    def batch_log(self, since: int = 0) -> Batches: ...

    def drop_log(self) -> Drops: ...

    def replica_log(self) -> Replicas: ...


class MergedStage:
    """An `EngineStage` made of lanes; the engines add what drives it."""

    def __init__(self, position: int, model: StageModel, arrivals_s: FloatArray, plan: Lanes) -> None:
        self.position = position
        self.model = model
        self.plan = plan
        self._arrivals_s = arrivals_s
        self._read: list[int] = []

    @property
    def rows(self) -> Sequence[EngineLane]:
        """The lanes in the engine."""
        raise NotImplementedError

    def replica_counts(self, now_s: float) -> Mapping[str, ReplicaCounts]:
        """How many replicas of each variant exist, by state."""
        raise NotImplementedError

    # ---- what control steps and records read: sim.interface.EngineStage ----

    @property
    def configuration(self) -> StageConfiguration:
        return self.plan.configuration

    @property
    def configured(self) -> Sequence[tuple[float, int]]:
        return self.rows[0].configured

    @property
    def enqueued(self) -> int:
        return len(self._arrivals_s) if self.position == 0 else sum(row.enqueued for row in self.rows)

    @property
    def completions(self) -> int:
        return sum(row.completions for row in self.rows)

    @property
    def dropped(self) -> int:
        return sum(row.dropped for row in self.rows)

    @property
    def enqueued_sum_s(self) -> float:
        if self.position == 0:
            return float(self._arrivals_s.sum())
        return sum(row.enqueued_sum_s for row in self.rows)

    @property
    def left_sum_s(self) -> float:
        return sum(row.left_sum_s for row in self.rows)

    def seen(self, now_s: float) -> Seen:
        before = by_now = sum(row.enqueued for row in self.rows)
        if self.position == 0:
            before, by_now = arrived(self._arrivals_s, now_s)
        served = sum(row.served - row.interrupted for row in self.rows)
        failed = sum(row.failed for row in self.rows)
        completions, dropped = self.completions, self.dropped
        waiting = rules.waiting(by_now, dropped, served)
        replicas = self.replica_counts(now_s)
        return Seen(before, completions, dropped - failed, waiting, served - completions, replicas, failed)

    def batch_log(self, since: int = 0) -> Batches:
        """All batches in order (since 0); else those that no earlier call has given, which come after it."""
        read = self._read if since else [0] * len(self.rows)
        logs = [row.batch_log(first) for row, first in zip(self.rows, read, strict=True)]
        self._read = [first + len(log.size) for first, log in zip(read, logs, strict=True)]
        numbers = self._numbers()
        return _by_start([log._replace(replica=of[log.replica]) for log, of in zip(logs, numbers, strict=True)])

    def drop_log(self) -> Drops:
        logs = [row.drop_log() for row in self.rows]
        order = np.argsort(np.concatenate([log.dropped_s for log in logs]), kind="stable")
        return Drops(*(np.concatenate(column)[order] for column in zip(*logs, strict=True)))

    def replica_log(self) -> Replicas:
        logs = [row.replica_log() for row in self.rows]
        order = _by_creation(logs)
        numbers = self._numbers()
        resizes = [
            (log.resizes.time_s, number, of[log.resizes.replica], log.resizes.cores_before, log.resizes.cores)
            for number, (log, of) in enumerate(zip(logs, numbers, strict=True))
        ]
        times_s, _, replicas, before, after = zip(*resizes, strict=True)
        in_time = np.argsort(np.concatenate(times_s), kind="stable")
        variants = [variant for log in logs for variant in log.variant]
        return Replicas(
            tuple(variants[place] for place in order.tolist()),
            np.concatenate([log.cores for log in logs])[order],
            np.concatenate([log.created_s for log in logs])[order],
            np.concatenate([log.ready_s for log in logs])[order],
            np.concatenate([log.removed_s for log in logs])[order],
            np.concatenate([log.finish_s for log in logs])[order],
            Resizes(*(np.concatenate(column)[in_time] for column in (replicas, times_s, before, after))),
        )

    def lane_logs(self) -> LaneLogs:
        """Which replica is of which lane, and what was in force there."""
        logs = [row.replica_log() for row in self.rows]
        lane = np.repeat(np.arange(len(logs)), [len(log.variant) for log in logs])
        return LaneLogs(lane[_by_creation(logs)], tuple(tuple(row.configured) for row in self.rows))

    def handover(self, end_s: float) -> Handover:
        """All that has happened in a run that is over."""
        batches, places = self.batch_log(), {name: place for place, name in enumerate(self.model.start_up_s)}
        of_replica = np.array([places[name] for name in self.replica_log().variant], dtype=np.int64)
        return Handover(self.position, end_s, batches, of_replica[batches.replica], self.drop_log())

    def _numbers(self) -> list[IntArray]:
        """For each lane, the number at the stage of each of its replicas."""
        logs = [row.replica_log() for row in self.rows]
        order = _by_creation(logs)
        number = np.empty(len(order), dtype=np.int64)
        number[order] = np.arange(len(order))
        return np.split(number, np.cumsum([len(log.variant) for log in logs])[:-1])


def _by_creation(logs: Sequence[Replicas]) -> IntArray:
    """The replicas of all lanes, lane after lane, in order of creation."""
    return np.argsort(np.concatenate([log.created_s for log in logs]), kind="stable")


def _by_start(logs: Sequence[Batches]) -> Batches:
    """The batches of all lanes in order of their start."""
    requests, size, start_s, finish_s, replica = (np.concatenate(column) for column in zip(*logs, strict=True))
    order = np.argsort(start_s, kind="stable")
    first = (np.cumsum(size) - size)[order]
    size = size[order]
    member = np.arange(len(requests)) + np.repeat(first - (np.cumsum(size) - size), size)
    return Batches(requests[member], size, start_s[order], finish_s[order], replica[order])
