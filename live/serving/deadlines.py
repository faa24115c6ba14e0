"""Dropping by deadline: how old a request may be at a stage, given what is expected to be ahead of it (rule 4).

The figures are those of the model at the same instant, and the arithmetic is that of `ipa.sim.rules`, so the gateway
drops whom the simulator drops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Protocol

from ipa.policies import StageConfiguration
from ipa.sim import rules

LatencyTable = Callable[[int, str, int], Sequence[float]]
"""Of a stage (its position), a variant and cores: the seconds for a batch of each size; index 0 is unused."""


class DeadlineQueue(Protocol):
    """What is to be known of a lane: who waits there, and how many replicas may take batches."""

    @property
    def lane(self) -> int: ...

    @property
    def waiting(self) -> Sized: ...

    @property
    def ready(self) -> int: ...


class DeadlineStage(Protocol):
    """The queues of a stage, in order of the lanes, and those of the lanes that get requests."""

    @property
    def queues(self) -> Sequence[DeadlineQueue]: ...

    @property
    def open(self) -> Sequence[DeadlineQueue]: ...


class Deadlines:
    """What is expected at every stage of a pipeline with this SLA; a hop between stages takes `hop_s`."""

    def __init__(self, sla_s: float, latency_s: LatencyTable, hop_s: float = 0.0) -> None:
        self.sla_s = sla_s
        self._latency_s = latency_s
        self._hop_s = hop_s
        self._batches: dict[tuple[int, int], tuple[int, float]] = {}

    def configure(self, stage: int, lane: int, wanted: StageConfiguration) -> None:
        """Another configuration is in force in a lane of a stage."""
        latency_s = self._latency_s(stage, wanted.variant, wanted.cores)
        full = rules.dispatch_size(wanted.batch, len(latency_s) - 1)
        self._batches[stage, lane] = full, latency_s[full]

    def limit_s(self, stage: int, lane: int, limit_s: float, stages: Sequence[DeadlineStage]) -> float:
        """The oldest that a request may be that is about to be served in a lane of a stage whose drop limit is
        `limit_s`. At later stages it is expected in the lane where the stay is shortest now (rule 11)."""
        ahead_s = self._stay_s(stage, lane, 0, stages[stage].queues[lane].ready)
        for following in range(stage + 1, len(stages)):
            ahead_s = ahead_s + self._hop_s + self._shortest_s(following, stages[following].open)
        return rules.deadline_limit_s(limit_s, self.sla_s, ahead_s)

    def _shortest_s(self, stage: int, queues: Sequence[DeadlineQueue]) -> float:
        if len(queues) == 1:
            return self._stay_s(stage, queues[0].lane, len(queues[0].waiting), queues[0].ready)
        return min(self._stay_s(stage, each.lane, len(each.waiting), each.ready) for each in queues)

    def _stay_s(self, stage: int, lane: int, waiting: int, ready: int) -> float:
        full, latency_s = self._batches[stage, lane]
        return rules.stay_s(waiting, ready, full, latency_s)
