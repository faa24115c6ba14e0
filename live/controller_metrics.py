"""The controller's own metrics for Prometheus: what was observed, forecast, decided, and how long deciding took."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan, nan

from ipa.live.errors import LiveError
from ipa.live.live_backend import TROUBLES, LiveBackend
from ipa.live.plane import LOOPBACK
from ipa.live.serving import ProcessMetrics
from ipa.policies import Entry
from ipa.profiles import Pipeline
from ipa.sim import configured_accuracy

STATES = ("starting", "ready", "draining")
FOLLOWED_EVERY_S = 1.0


class ControllerMetrics:
    """The metrics, updated from the journal's entries and from the backend."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.of_process = ProcessMetrics("controller", pipeline.name, pipeline.sla_s)
        self._latest_step: int | None = None
        self._counted: dict[tuple[str, ...], int] = {}

    def step(self, entry: Entry, decision_s: float) -> None:
        metrics, decision, observation = self.of_process, entry.decision, entry.observation
        metrics.of("ipa_decision_seconds").observe(decision_s)
        metrics.of("ipa_decisions_total", rung=decision.rung).inc()
        if self._latest_step is not None:
            metrics.of("ipa_steps_skipped_total").inc(observation.step - self._latest_step - 1)
        self._latest_step = observation.step
        samples = [count for count in observation.load_rps if not isnan(count)]
        if not samples:
            metrics.of("ipa_holds_total").inc()
        metrics.of("ipa_observed_load_rps").set(observation.load_rps[-1])
        for name, value in (("forecast", decision.forecast_rps), ("planned", decision.planned_load_rps)):
            metrics.of(f"ipa_{name}_load_rps").set(nan if value is None else value)
        metrics.of("ipa_sample_age_seconds").set(observation.sample_age_s)
        metrics.of("ipa_limit_cores").set(nan if observation.limit_cores is None else observation.limit_cores)
        metrics.of("ipa_refusals_total").inc(entry.is_refused)
        wanted = decision.configuration
        for stage in self._pipeline.stages:
            desired = wanted[stage.name]
            for variant in stage.variants:
                replicas = desired.replicas if variant.name == desired.variant else 0
                metrics.of("ipa_desired_replicas", stage=stage.name, variant=variant.name).set(replicas)
        metrics.of("ipa_desired_cores").set(sum(each.total_cores for each in wanted.values()))
        metrics.of("ipa_planned_accuracy_ratio").set(configured_accuracy(self._pipeline, wanted))

    def look(self, backend: LiveBackend) -> None:
        """Record the backend's present state."""
        gauges = self.of_process.of
        stages = backend.stages
        gauges("ipa_existing_cores").set(sum(stage.cores for stage in stages.values()))
        troubles = backend.troubles()
        for kind in TROUBLES:
            gauges("ipa_trouble", kind=kind).set(kind in troubles)
        self._count("ipa_look_failures_total", backend.look_failures)
        for (stage, variant), rollbacks in backend.rollbacks.items():
            self._count("ipa_rollbacks_total", rollbacks, stage=stage, variant=variant)
        for of in self._pipeline.stages:
            if of.name not in stages:
                continue
            counts = stages[of.name].counts()
            for each in of.variants:
                for state in STATES:
                    count = getattr(counts[each.name], state) if each.name in counts else 0
                    gauges("ipa_replicas", stage=of.name, variant=each.name, state=state).set(count)
            for variant, deaths in stages[of.name].deaths.items():
                self._count("ipa_replica_failures_total", deaths, stage=of.name, variant=variant)

    def _count(self, name: str, total: int, **labels: str) -> None:
        key = (name, *labels.values())
        self.of_process.of(name, **labels).inc(total - self._counted.get(key, 0))
        self._counted[key] = total

    def follow(self, backend: LiveBackend) -> None:
        backend.spawn(self._following(backend))

    async def _following(self, backend: LiveBackend) -> None:
        while True:
            self.look(backend)
            await asyncio.sleep(FOLLOWED_EVERY_S)


@contextmanager
def serving(port: int | None, pipeline: Pipeline, host: str = LOOPBACK) -> Iterator[ControllerMetrics | None]:
    """Serve a controller's metrics within a `with` block; port None: there are none.

    Raises LiveError for a taken port, or a host that is not this machine's.
    """
    if port is None:
        yield None
        return
    metrics = ControllerMetrics(pipeline)
    try:
        served = metrics.of_process.served(host, port)
    except OSError as error:
        raise LiveError(f"controller.metrics_port: {error.strerror}") from None
    with served:
        yield metrics
