"""The age limit of a request or item at a stage, from the time that is expected ahead of it (rule 4, `drop: deadline`).

The figures are those of the model at the same instant, and the arithmetic is that of `ipa.sim.rules`, so the gateway
drops the requests that the simulator drops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipa.live.serving.stage_queue import StageQueue
from ipa.policies import StageConfiguration
from ipa.sim import StageAfter, rules, ways_after

LatencyTable = Callable[[int, str, int], Sequence[float]]
"""Of a stage (its position), a variant and cores: the seconds for a batch of each size; index 0 is unused."""


class Deadlines:
    """The stays expected at every stage of a pipeline with this SLA; a hop between stages takes `network_delay_s`."""

    def __init__(self, sla_s: float, latency_s: LatencyTable, network_delay_s: float = 0.0) -> None:
        self.sla_s = sla_s
        self._latency_s = latency_s
        self._network_delay_s = network_delay_s
        self._batches: dict[int, tuple[int, float]] = {}
        self._after: list[list[StageAfter]] = []

    def connect(self, parents: Sequence[Sequence[int]], waits_s: Sequence[float]) -> None:
        """Begin with stages of which these lead to each, and whose joins wait so long."""
        self._after = [ways_after(stage, parents, waits_s) for stage in range(len(parents))]

    def configure(self, stage: int, wanted: StageConfiguration) -> None:
        """Another configuration is in force at a stage."""
        latency_s = self._latency_s(stage, wanted.variant, wanted.cores)
        full = rules.dispatch_size(wanted.batch, len(latency_s) - 1)
        self._batches[stage] = full, latency_s[full]

    def limit_s(self, stage: int, limit_s: float, stages: Sequence[StageQueue]) -> float:
        """The age limit [s] of a request about to be served at a stage whose drop limit is `limit_s`."""
        ahead_s = [self._stay_s(stage, 0, stages[stage].ready)]  # up to the end of this stage, and of each after it
        for after in self._after[stage]:
            queue, way_s = stages[after.stage], ahead_s[after.before]
            for place in after.besides:
                way_s = max(way_s, ahead_s[place])
            stay_s = self._stay_s(after.stage, len(queue.waiting), queue.ready)
            ahead_s.append(way_s + self._network_delay_s + after.wait_s + stay_s)
        return rules.deadline_limit_s(limit_s, self.sla_s, max(ahead_s))

    def _stay_s(self, stage: int, waiting: int, ready: int) -> float:
        full, latency_s = self._batches[stage]
        return rules.stay_s(waiting, ready, full, latency_s)
