"""The values of a gateway's metrics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from math import nan
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from ipa.live.serving.counts import ArrivalCounts, RunClock
from ipa.live.serving.metrics import BY_NAME, SLOTS, STAGE_STATE, ProcessMetrics, at_whole_second
from ipa.live.serving.request import Batch, Request
from ipa.live.serving.router import Router, StageNow
from ipa.profiles import Pipeline
from ipa.sim import OUTCOMES

FROM_ROUTER = (
    "ipa_requests_received_total", "ipa_requests_inside", "ipa_sla_seconds", "ipa_batch_size_limit",
    "ipa_batch_timeout_seconds", "ipa_replicas", "ipa_stage_outage_seconds", "ipa_whole_seconds",
    "ipa_whole_second_requests",
    *STAGE_STATE.values(), *map(at_whole_second, STAGE_STATE.values()),
)  # fmt: skip
"""Metrics whose values are in the router's counts and queues, read when Prometheus asks."""


KSERVE_DURATION = "request_predict_seconds"


class GatewayMetrics(ProcessMetrics):
    """A few histograms and counters kept as things happen; all else is read from the router when Prometheus asks."""

    def __init__(self, pipeline: Pipeline, router: Router, arrivals: ArrivalCounts, clock: RunClock) -> None:
        super().__init__("gateway", pipeline.name, pipeline.sla_s, without=FROM_ROUTER)
        self.registry.register(
            _RouterMetrics(pipeline, router, arrivals, clock, self.of("ipa_request_duration_seconds"))
        )
        self._names = router.names
        self._outcomes = {outcome: self.of("ipa_requests_total", outcome=outcome) for outcome in OUTCOMES}
        self._violations = self.of("ipa_sla_violations_total")
        self._sla_s = pipeline.sla_s
        self._duration = self.of("ipa_request_duration_seconds")
        self._of_stage = [self.of("ipa_stage_duration_seconds", stage=name) for name in self._names]
        self._of_variant: dict[tuple[int, str], tuple[Any, Any]] = {}
        self.restart()

    def restart(self) -> None:
        """The gateway counts from zero from now on."""
        self.of("ipa_counted_since_timestamp_seconds").set(time.time())

    def ended(self, request: Request) -> None:
        self._outcomes[str(request.outcome)].inc()
        latency_s = request.end_s - request.arrival_s
        if request.outcome == "completed":
            self._duration.observe(latency_s)
        if request.outcome != "completed" or latency_s > self._sla_s:
            self._violations.inc()

    def started(self, batch: Batch) -> None:
        self._batch(batch)[0].observe(batch.size)

    def finished(self, batch: Batch, now_s: float) -> None:
        self._batch(batch)[1].observe(now_s - batch.start_s)
        duration = self._of_stage[batch.stage]
        for request in batch.requests:
            duration.observe(now_s - request.enqueue_s)

    def wrong_rows(self, batch: Batch) -> None:
        """An output of a batch had other rows than it should have."""
        labels = {"stage": self._names[batch.stage], "variant": batch.replica.variant}
        self.of("ipa_wrong_rows_total", **labels).inc()

    def _batch(self, batch: Batch) -> tuple[Any, Any]:
        key = batch.stage, batch.replica.variant
        if key not in self._of_variant:
            labels = {"stage": self._names[batch.stage], "variant": batch.replica.variant}
            self._of_variant[key] = self.of("ipa_batch_size", **labels), self.of("ipa_service_seconds", **labels)
        return self._of_variant[key]


class _RouterMetrics(Collector):
    """Reads the metrics that are in the router's counts and queues."""

    def __init__(
        self, pipeline: Pipeline, router: Router, arrivals: ArrivalCounts, clock: RunClock, duration: Any
    ) -> None:
        self._duration = duration
        self._pipeline = pipeline
        self._router = router
        self._arrivals = arrivals
        self._clock = clock

    def describe(self) -> Iterable[Family]:
        return [self._family(name, []) for name in FROM_ROUTER]

    def collect(self) -> Iterable[Family]:
        yield from self._from_router()
        yield self._kserve()

    def _kserve(self) -> Family:
        """The duration of requests under the name that KServe's servers have for it."""
        family = HistogramMetricFamily(
            KSERVE_DURATION, "ipa_request_duration_seconds by KServe's name.", labels=("model_name",)
        )
        (duration,) = self._duration.collect()
        samples = duration.samples
        buckets = [(sample.labels["le"], sample.value) for sample in samples if sample.name.endswith("_bucket")]
        total = next((sample.value for sample in samples if sample.name.endswith("_sum")), 0.0)
        if buckets:
            family.add_metric((self._pipeline.name,), buckets, total)
        return family

    def _from_router(self) -> Iterable[Family]:
        router, now_s = self._router, self._clock.now_s()
        router.pass_seconds(now_s)
        values: dict[str, list[tuple[tuple[str, ...], float]]] = {
            "ipa_requests_received_total": [((), router.counts[0].arrivals)],
            "ipa_requests_inside": [((), router.inside)],
            "ipa_sla_seconds": [((), self._pipeline.sla_s)],
            **self._of_states([router.state(position, now_s) for position in range(len(router.stages))]),
            **{at_whole_second(name): series for name, series in self._of_states(router.at_whole_second).items()},
            "ipa_batch_size_limit": [
                ((name,), stage.configuration.batch) for name, stage in zip(router.names, router.stages, strict=True)
            ],
            "ipa_batch_timeout_seconds": [
                ((name,), stage.batch_timeout_s) for name, stage in zip(router.names, router.stages, strict=True)
            ],
            "ipa_replicas": self._replicas(),
            "ipa_whole_seconds": [((), router.whole_second)],
            "ipa_whole_second_requests": self._by_slot(router.whole_second),
            "ipa_stage_outage_seconds": [
                ((name,), stage.outage_s(now_s)) for name, stage in zip(router.names, router.stages, strict=True)
            ],
        }
        return [self._family(name, values[name]) for name in FROM_ROUTER]

    def _of_states(self, states: Iterable[StageNow]) -> Mapping[str, list[tuple[tuple[str, ...], float]]]:
        """The values of the metrics of `STAGE_STATE` for these states of the stages."""
        named = list(zip(self._router.names, states, strict=True))
        return {
            name: [((stage,), getattr(state, field)) for stage, state in named] for field, name in STAGE_STATE.items()
        }

    def _by_slot(self, second: int) -> list[tuple[tuple[str, ...], float]]:
        """The load of the last whole seconds by their slots; NaN for those before the gateway began to count."""
        counts: list[float] = [*self._arrivals.before(second, SLOTS)]
        loads = [nan] * (SLOTS - len(counts)) + counts
        return [((f"{(second - SLOTS + place) % SLOTS}/{SLOTS}",), count) for place, count in enumerate(loads)]

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
