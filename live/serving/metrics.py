"""Every metric of live mode in one table, by Prometheus's conventions: base units, `_total`, few labels.

The gateway and the controller make theirs from it, the dashboard is generated from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from ipa.live.serving.stage_queue import Batch, Request
from ipa.sim import OUTCOMES

if TYPE_CHECKING:
    from ipa.live.serving.gateway import Gateway

Kind = Literal["counter", "gauge", "histogram"]
Process = Literal["gateway", "controller"]

GATEWAY: tuple[Process, ...] = ("gateway",)
CONTROLLER: tuple[Process, ...] = ("controller",)

OF_SLA = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Buckets of durations as shares of the pipeline's SLA."""
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
DECISION_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(frozen=True)
class Metric:
    """One metric: counters have `_total` in their name; every one has the label `pipeline`, then `labels`."""

    name: str
    kind: Kind
    processes: tuple[Process, ...]
    labels: tuple[str, ...]
    help: str


TABLE: tuple[Metric, ...] = (
    Metric("ipa_requests_received_total", "counter", GATEWAY, (), "Requests that came to the pipeline."),
    Metric("ipa_requests_total", "counter", GATEWAY, ("outcome",), "Requests that ended, by outcome."),
    Metric("ipa_sla_violations_total", "counter", GATEWAY, (), "Requests late, dropped, failed or unfinished."),
    Metric("ipa_requests_inside", "gauge", GATEWAY, (), "Requests that have come and not ended."),
    Metric("ipa_request_duration_seconds", "histogram", GATEWAY, (), "Arrival to completion, of completed requests."),
    Metric("ipa_sla_seconds", "gauge", GATEWAY, (), "The end-to-end latency target."),
    Metric("ipa_stage_arrivals_total", "counter", GATEWAY, ("stage",), "Requests that came to the stage."),
    Metric("ipa_stage_completions_total", "counter", GATEWAY, ("stage",), "Requests that the stage served."),
    Metric("ipa_stage_drops_total", "counter", GATEWAY, ("stage",), "Requests that expired in the stage's queue."),
    Metric("ipa_stage_failures_total", "counter", GATEWAY, ("stage",), "Requests given up after failed batches."),
    Metric("ipa_stage_duration_seconds", "histogram", GATEWAY, ("stage",), "Queue and service of one stage."),
    Metric("ipa_service_seconds", "histogram", GATEWAY, ("stage", "variant"), "One batch, sent to answered."),
    Metric("ipa_queue_length", "gauge", GATEWAY, ("stage",), "Requests waiting in the stage's queue."),
    Metric("ipa_in_service", "gauge", GATEWAY, ("stage",), "Requests in batches being served."),
    Metric("ipa_busy_seconds_total", "counter", GATEWAY, ("stage",), "Seconds x replicas spent on batches."),
    Metric("ipa_batch_size", "histogram", GATEWAY, ("stage", "variant"), "Requests in a batch, as started."),
    Metric("ipa_batch_size_limit", "gauge", GATEWAY, ("stage",), "The configured batch size."),
    Metric("ipa_batch_timeout_seconds", "gauge", GATEWAY, ("stage",), "The configured batch timeout."),
    Metric(
        "ipa_replicas", "gauge", (*GATEWAY, *CONTROLLER), ("stage", "variant", "state"),
        "Existing replicas: ready, draining, suspended (gateway); starting (controller).",
    ),
    Metric("ipa_desired_replicas", "gauge", CONTROLLER, ("stage", "variant"), "Replicas that were decided."),
    Metric("ipa_desired_cores", "gauge", CONTROLLER, (), "Cores of all decided replicas."),
    Metric("ipa_existing_cores", "gauge", CONTROLLER, (), "Cores of all replicas that exist: the cost."),
    Metric("ipa_planned_accuracy_ratio", "gauge", CONTROLLER, (), "PAS of the decided variants, 0 to 1."),
    Metric("ipa_observed_load_rps", "gauge", CONTROLLER, (), "The newest second of load that a decision saw."),
    Metric("ipa_forecast_load_rps", "gauge", CONTROLLER, (), "The load forecast by the last decision."),
    Metric("ipa_planned_load_rps", "gauge", CONTROLLER, (), "The load that the last decision planned for."),
    Metric("ipa_decision_seconds", "histogram", CONTROLLER, (), "Time to decide."),
    Metric("ipa_decisions_total", "counter", CONTROLLER, ("rung",), "Decisions; rung: optimal, or which fallback."),
    Metric("ipa_steps_skipped_total", "counter", CONTROLLER, (), "Control steps skipped for being late."),
    Metric("ipa_holds_total", "counter", CONTROLLER, (), "Control steps without a usable sample of load."),
    Metric("ipa_sample_age_seconds", "gauge", CONTROLLER, (), "Age of the newest sample that the last decision saw."),
    Metric("ipa_limit_cores", "gauge", CONTROLLER, (), "Cores that the last decision might take; NaN: no limit."),
    Metric("ipa_refusals_total", "counter", CONTROLLER, (), "Decisions that were not put in force."),
    Metric("ipa_trouble", "gauge", CONTROLLER, ("kind",), "1 while this keeps the controller from its work."),
    Metric("ipa_look_failures_total", "counter", CONTROLLER, (), "Looks at the cluster that failed."),
    Metric("ipa_rollbacks_total", "counter", CONTROLLER, ("stage", "variant"), "Rollouts of a variant taken back."),
    Metric("ipa_replica_failures_total", "counter", CONTROLLER, ("stage", "variant"), "Replicas that died."),
)  # fmt: skip

BY_NAME = {metric.name: metric for metric in TABLE}


class ProcessMetrics:
    """The metrics of one process, by name, each with the pipeline's label set."""

    def __init__(self, process: Process, pipeline: str, sla_s: float, without: Iterable[str] = ()) -> None:
        """`without`: metrics that another collector gives."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._pipeline = pipeline
        left_out = set(without)
        self._made = {
            metric.name: _made(metric, sla_s, self.registry)
            for metric in TABLE
            if process in metric.processes and metric.name not in left_out
        }

    def of(self, name: str, **labels: str) -> Any:
        """The counter, gauge or histogram for these labels; KeyError for a name that is not in the table."""
        return self._made[name].labels(pipeline=self._pipeline, **labels)

    def text(self) -> bytes:
        """Prometheus's text format."""
        return generate_latest(self.registry)


def _made(metric: Metric, sla_s: float, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    labels = ("pipeline", *metric.labels)
    match metric.kind:
        case "counter":
            return Counter(metric.name, metric.help, labels, registry=registry)
        case "gauge":
            return Gauge(metric.name, metric.help, labels, registry=registry)
    return Histogram(metric.name, metric.help, labels, registry=registry, buckets=_buckets(metric.name, sla_s))


def _buckets(name: str, sla_s: float) -> Sequence[float]:
    if name == "ipa_batch_size":
        return SIZES
    return DECISION_S if name == "ipa_decision_seconds" else [round(share * sla_s, 9) for share in OF_SLA]


_STANDING = (
    "ipa_requests_received_total", "ipa_requests_inside", "ipa_sla_seconds", "ipa_stage_arrivals_total",
    "ipa_stage_completions_total", "ipa_stage_drops_total", "ipa_stage_failures_total", "ipa_queue_length",
    "ipa_in_service", "ipa_busy_seconds_total", "ipa_batch_size_limit", "ipa_batch_timeout_seconds", "ipa_replicas",
)  # fmt: skip
"""What the gateway's counts and queues say by themselves, read when Prometheus asks."""


class GatewayMetrics(ProcessMetrics):
    """What the gateway tells of itself: a few histograms as things happen, all else when it is asked."""

    def __init__(self, pipeline: str, sla_s: float, gateway: Gateway) -> None:
        super().__init__("gateway", pipeline, sla_s, without=_STANDING)
        self.registry.register(_Standing(pipeline, sla_s, gateway))
        self._names = gateway.names
        self._outcomes = {outcome: self.of("ipa_requests_total", outcome=outcome) for outcome in OUTCOMES}
        self._violations = self.of("ipa_sla_violations_total")
        self._sla_s = sla_s
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
    """The metrics that stand in the gateway's counts and queues."""

    def __init__(self, pipeline: str, sla_s: float, gateway: Gateway) -> None:
        self._pipeline = pipeline
        self._sla_s = sla_s
        self._gateway = gateway

    def describe(self) -> Iterable[Family]:
        return [self._family(name, []) for name in _STANDING]

    def collect(self) -> Iterable[Family]:
        router = self._gateway.router
        now_s = self._gateway.clock.now_s()
        stages = list(zip(router.names, router.stages, router.counts, strict=True))
        values: dict[str, list[tuple[tuple[str, ...], float]]] = {
            "ipa_requests_received_total": [((), router.counts[0].arrivals)],
            "ipa_requests_inside": [((), router.inside)],
            "ipa_sla_seconds": [((), self._sla_s)],
            "ipa_stage_arrivals_total": [((name,), counts.arrivals) for name, _, counts in stages],
            "ipa_stage_completions_total": [((name,), counts.completions) for name, _, counts in stages],
            "ipa_stage_drops_total": [((name,), counts.drops) for name, _, counts in stages],
            "ipa_stage_failures_total": [((name,), counts.failures) for name, _, counts in stages],
            "ipa_queue_length": [((name,), len(stage.waiting)) for name, stage, _ in stages],
            "ipa_in_service": [((name,), stage.in_service) for name, stage, _ in stages],
            "ipa_busy_seconds_total": [
                ((name,), counts.busy_s + stage.running_s(now_s)) for name, stage, counts in stages
            ],
            "ipa_batch_size_limit": [((name,), stage.batch) for name, stage, _ in stages],
            "ipa_batch_timeout_seconds": [((name,), stage.batch_timeout_s) for name, stage, _ in stages],
            "ipa_replicas": self._replicas(),
        }
        return [self._family(name, values[name]) for name in _STANDING]

    def _replicas(self) -> list[tuple[tuple[str, ...], float]]:
        """Every variant of the pipeline in every state, so that a series that ends does so with a zero."""
        pipeline, router = self._gateway.pipeline, self._gateway.router
        tally: dict[tuple[str, ...], float] = {
            (stage.name, variant.name, state): 0
            for stage in pipeline.stages
            for variant in stage.variants
            for state in ("ready", "draining", "suspended")
        }
        for name, stage in zip(router.names, router.stages, strict=True):
            for replica in stage.replicas:
                state = "draining" if not replica.is_listed else "suspended" if replica.is_suspended else "ready"
                tally[name, replica.variant, state] += 1
        return list(tally.items())

    def _family(self, name: str, values: Iterable[tuple[tuple[str, ...], float]]) -> Family:
        metric = BY_NAME[name]
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(metric.name, metric.help, labels=("pipeline", *metric.labels))
        for labels, value in values:
            family.add_metric((self._pipeline, *labels), value)
        return family
