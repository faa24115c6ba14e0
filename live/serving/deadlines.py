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


class DeadlineStage(Protocol):
    """What is to be known of a stage: who waits there, and how many replicas may take batches."""

    @property
    def waiting(self) -> Sized: ...

    @property
    def ready(self) -> int: ...


class Deadlines:
    """What is expected at every stage of a pipeline with this SLA; a hop between stages takes `hop_s`."""

    def __init__(self, sla_s: float, latency_s: LatencyTable, hop_s: float = 0.0) -> None:
        self.sla_s = sla_s
        self._latency_s = latency_s
        self._hop_s = hop_s
        self._batches: dict[int, tuple[int, float]] = {}

    def configure(self, stage: int, wanted: StageConfiguration) -> None:
        """Another configuration is in force at a stage."""
        latency_s = self._latency_s(stage, wanted.variant, wanted.cores)
        full = rules.dispatch_size(wanted.batch, len(latency_s) - 1)
        self._batches[stage] = full, latency_s[full]

    def limit_s(self, stage: int, limit_s: float, stages: Sequence[DeadlineStage]) -> float:
        """The oldest that a request may be that is about to be served at a stage whose drop limit is `limit_s`."""
        ahead_s = self._stay_s(stage, 0, stages[stage].ready)
        for following in range(stage + 1, len(stages)):
            there = stages[following]
            ahead_s = ahead_s + self._hop_s + self._stay_s(following, len(there.waiting), there.ready)
        return rules.deadline_limit_s(limit_s, self.sla_s, ahead_s)

    def _stay_s(self, stage: int, waiting: int, ready: int) -> float:
        full, latency_s = self._batches[stage]
        return rules.stay_s(waiting, ready, full, latency_s)
