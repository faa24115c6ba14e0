"""The values of a gateway's metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from ipa.live.serving.clock import RunClock
from ipa.live.serving.metrics import BY_NAME, ProcessMetrics
from ipa.live.serving.request import Batch, Request
from ipa.live.serving.router import Router
from ipa.profiles import Pipeline
from ipa.sim import OUTCOMES

_STANDING = (
    "ipa_requests_received_total", "ipa_requests_inside", "ipa_sla_seconds", "ipa_stage_arrivals_total",
    "ipa_stage_completions_total", "ipa_stage_drops_total", "ipa_stage_failures_total", "ipa_queue_length",
    "ipa_in_service", "ipa_stage_request_seconds_total", "ipa_busy_seconds_total", "ipa_batch_size_limit",
    "ipa_batch_timeout_seconds", "ipa_replicas",
)  # fmt: skip
"""Metrics whose values are in the router's counts and queues, read when Prometheus asks."""


class GatewayMetrics(ProcessMetrics):
    """A few histograms and counters kept as things happen; all else is read from the router when Prometheus asks."""

    def __init__(self, pipeline: Pipeline, router: Router, clock: RunClock) -> None:
        super().__init__("gateway", pipeline.name, pipeline.sla_s, without=_STANDING)
        self.registry.register(_Standing(pipeline, router, clock))
        self._names = router.names
        self._outcomes = {outcome: self.of("ipa_requests_total", outcome=outcome) for outcome in OUTCOMES}
        self._violations = self.of("ipa_sla_violations_total")
        self._sla_s = pipeline.sla_s
        self._duration = self.of("ipa_request_duration_seconds")
        self._of_stage = [self.of("ipa_stage_duration_seconds", stage=name) for name in self._names]
        self._of_variant: dict[tuple[int, str], tuple[Any, Any]] = {}

    def ended(self, request: Request) -> None:
        """A request has its outcome."""
        self._outcomes[str(request.outcome)].inc()
        latency_s = request.end_s - request.arrival_s
        if request.outcome == "completed":
            self._duration.observe(latency_s)
        if request.outcome != "completed" or latency_s > self._sla_s:
            self._violations.inc()

    def started(self, batch: Batch) -> None:
        """A batch has been sent to its replica."""
        self._batch(batch)[0].observe(batch.size)

    def finished(self, batch: Batch, now_s: float) -> None:
        """A batch has been answered."""
        self._batch(batch)[1].observe(now_s - batch.start_s)
        duration = self._of_stage[batch.stage]
        for request in batch.requests:
            if request.outcome is None:
                duration.observe(now_s - request.enqueue_s)

    def _batch(self, batch: Batch) -> tuple[Any, Any]:
        key = batch.stage, batch.replica.variant
        if key not in self._of_variant:
            labels = {"stage": self._names[batch.stage], "variant": batch.replica.variant}
            self._of_variant[key] = self.of("ipa_batch_size", **labels), self.of("ipa_service_seconds", **labels)
        return self._of_variant[key]


class _Standing(Collector):
    """Reads the metrics that are in the router's counts and queues."""

    def __init__(self, pipeline: Pipeline, router: Router, clock: RunClock) -> None:
        self._pipeline = pipeline
        self._router = router
        self._clock = clock

    def describe(self) -> Iterable[Family]:
        return [self._family(name, []) for name in _STANDING]

    def collect(self) -> Iterable[Family]:
        router, now_s = self._router, self._clock.now_s()
        stages = list(zip(router.names, router.stages, router.counts, strict=True))
        values: dict[str, list[tuple[tuple[str, ...], float]]] = {
            "ipa_requests_received_total": [((), router.counts[0].arrivals)],
            "ipa_requests_inside": [((), router.inside)],
            "ipa_sla_seconds": [((), self._pipeline.sla_s)],
            "ipa_stage_arrivals_total": [((name,), counts.arrivals) for name, _, counts in stages],
            "ipa_stage_completions_total": [((name,), counts.completions) for name, _, counts in stages],
            "ipa_stage_drops_total": [((name,), counts.drops) for name, _, counts in stages],
            "ipa_stage_failures_total": [((name,), counts.failures) for name, _, counts in stages],
            "ipa_queue_length": [((name,), len(stage.waiting)) for name, stage, _ in stages],
            "ipa_in_service": [((name,), stage.in_service) for name, stage, _ in stages],
            "ipa_stage_request_seconds_total": [((name,), stage.request_s(now_s)) for name, stage, _ in stages],
            "ipa_busy_seconds_total": [
                ((name,), counts.busy_s + stage.running_s(now_s)) for name, stage, counts in stages
            ],
            "ipa_batch_size_limit": [((name,), stage.batch) for name, stage, _ in stages],
            "ipa_batch_timeout_seconds": [((name,), stage.batch_timeout_s) for name, stage, _ in stages],
            "ipa_replicas": self._replicas(),
        }
        return [self._family(name, values[name]) for name in _STANDING]

    def _replicas(self) -> list[tuple[tuple[str, ...], float]]:
        """Every variant of the pipeline in every state, so that a series that ends goes to zero."""
        tally: dict[tuple[str, ...], float] = {
            (stage.name, variant.name, state): 0
            for stage in self._pipeline.stages
            for variant in stage.variants
            for state in ("ready", "draining", "suspended")
        }
        for name, stage in zip(self._router.names, self._router.stages, strict=True):
            for replica in stage.replicas:
                state = "draining" if not replica.is_listed else "suspended" if replica.is_suspended else "ready"
                tally[name, replica.variant, state] += 1
        return list(tally.items())

    def _family(self, name: str, values: Iterable[tuple[tuple[str, ...], float]]) -> Family:
        metric = BY_NAME[name]
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(metric.name, metric.help, labels=("pipeline", *metric.labels))
        for labels, value in values:
            family.add_metric((self._pipeline.name, *labels), value)
        return family
