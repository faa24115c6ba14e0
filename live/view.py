"""What a person sees of a live run, every second."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ipa.live.backend import LiveBackend
from ipa.live.collect import Collector
from ipa.live.control_way import RefusedError
from ipa.live.errors import RunError
from ipa.live.monitoring import GatewaySource, Reading, SourceError, quantiles
from ipa.policies import Entry, Journal, LatencyQuantiles, ReplicaCounts, StageConfiguration

SHOWN_EVERY_S = 1.0
RECENT_S = 10.0
"""How far back the latencies shown reach."""


@dataclass(frozen=True)
class StageView:
    """One stage at a moment; `failures` counts replicas that died, by variant."""

    configuration: StageConfiguration
    replicas: Mapping[str, ReplicaCounts]
    queue_length: int
    in_service: int
    latency: LatencyQuantiles
    failed_variants: tuple[str, ...]
    failures: Mapping[str, int]


@dataclass(frozen=True)
class View:
    """A run at a moment.

    `load_rps` is that of the last whole second (NaN: none yet), `latency` that of requests completed in the last 10 s.
    `ended` and `violations` count requests since the start; `cores` are those of all existing replicas, `mean_cores`
    their mean since the start. `entry` is the latest control step.
    """

    time_s: float
    duration_s: float
    load_rps: float
    entry: Entry | None
    stages: Mapping[str, StageView]
    latency: LatencyQuantiles
    sla_s: float
    ended: int
    violations: int
    cores: int
    mean_cores: float
    url: str


class Watch:
    """Collects the records of a run as they come, and shows the run, every second of its clock."""

    def __init__(
        self,
        backend: LiveBackend,
        collector: Collector,
        journal: Journal,
        duration_s: float,
        on_view: Callable[[View], object],
    ) -> None:
        self._backend = backend
        self._collector = collector
        self._journal = journal
        self._duration_s = duration_s
        self._on_view = on_view
        self._eyes = GatewaySource(backend.client, 1)
        self._recent: deque[tuple[float, float]] = deque()  # when a request completed, and its latency
        self._ended = self._violations = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(SHOWN_EVERY_S - self._backend.now_s % SHOWN_EVERY_S)
            try:
                self._count(await self._collector.fetch())
                reading = await self._eyes.read(self._backend.now_s)
            except (RunError, RefusedError, SourceError):
                continue  # a gateway that has died ends the run by its exit
            self._on_view(self._view(reading))

    def _count(self, records: list[dict[str, Any]]) -> None:
        sla_s = self._backend.plane.pipeline.sla_s
        for record in records:
            latency_s = record["end_s"] - record["arrival_s"]
            is_completed = record["outcome"] == "completed"
            self._ended += 1
            self._violations += not (is_completed and latency_s <= sla_s)
            if is_completed:
                self._recent.append((record["end_s"], latency_s))
        while self._recent and self._recent[0][0] < self._backend.now_s - RECENT_S:
            self._recent.popleft()

    def _view(self, reading: Reading) -> View:
        backend, now_s = self._backend, reading.time_s
        entries = self._journal.entries
        return View(
            time_s=now_s,
            duration_s=self._duration_s,
            load_rps=reading.load_rps[-1] if reading.load_rps else float("nan"),
            entry=entries[-1] if entries else None,
            stages={
                name: StageView(
                    configuration=stage.configuration,
                    replicas=stage.counts(),
                    queue_length=reading.stages[name].queue_length,
                    in_service=reading.stages[name].in_service,
                    latency=reading.stages[name].latency,
                    failed_variants=stage.failed_variants,
                    failures=dict(stage.deaths),
                )
                for name, stage in backend.stages.items()
            },
            latency=quantiles([latency_s for _, latency_s in self._recent]),
            sla_s=backend.plane.pipeline.sla_s,
            ended=self._ended,
            violations=self._violations,
            cores=sum(stage.cores for stage in backend.stages.values()),
            mean_cores=sum(stage.core_s(now_s) for stage in backend.stages.values()) / max(now_s, 1e-9),
            url=backend.url,
        )
