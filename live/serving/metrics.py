"""Every metric of live mode in one table, by Prometheus's conventions: base units, `_total`, few labels.

Gateway and controller create theirs from it; `dashboard.json` is Grafana's view of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from socket import socket
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from ipa.live.plane import open_port

if TYPE_CHECKING:
    from aiohttp import web

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


SLOTS = 64
"""How many whole seconds of load are reported: more than the longest usual interval between scrapes, a minute."""

_METRICS: tuple[Metric, ...] = (
    Metric("ipa_requests_received_total", "counter", GATEWAY, (), "Requests that came to the pipeline."),
    Metric("ipa_requests_total", "counter", GATEWAY, ("outcome",), "Requests that ended, by outcome."),
    Metric(
        "ipa_requests_refused_total", "counter", GATEWAY, ("reason",),
        "Requests refused before they were let in, by reason.",
    ),
    Metric("ipa_sla_violations_total", "counter", GATEWAY, (), "Requests late, dropped, failed or unfinished."),
    Metric("ipa_requests_inside", "gauge", GATEWAY, (), "Requests that have come and not ended."),
    Metric("ipa_request_duration_seconds", "histogram", GATEWAY, (), "Arrival to completion, of completed requests."),
    Metric("ipa_sla_seconds", "gauge", GATEWAY, (), "The end-to-end latency target."),
    Metric("ipa_stage_arrivals_total", "counter", GATEWAY, ("stage",), "Requests that came to the stage."),
    Metric("ipa_stage_completions_total", "counter", GATEWAY, ("stage",), "Requests that the stage served."),
    Metric("ipa_stage_drops_total", "counter", GATEWAY, ("stage",), "Requests that expired in the stage's queue."),
    Metric("ipa_stage_failures_total", "counter", GATEWAY, ("stage",), "Requests given up after failed batches."),
    Metric(
        "ipa_wrong_rows_total", "counter", GATEWAY, ("stage", "variant"),
        "Batches refused because an output had other rows than declared.",
    ),
    Metric("ipa_stage_duration_seconds", "histogram", GATEWAY, ("stage",), "Queue and service of one stage."),
    Metric("ipa_service_seconds", "histogram", GATEWAY, ("stage", "variant"), "One batch, sent to answered."),
    Metric("ipa_queue_length", "gauge", GATEWAY, ("stage",), "Requests waiting in the stage's queue."),
    Metric("ipa_in_service", "gauge", GATEWAY, ("stage",), "Requests in batches being served."),
    Metric(
        "ipa_stage_request_seconds_total", "counter", GATEWAY, ("stage",),
        "Seconds x requests at the stage, waiting or in service.",
    ),
    Metric("ipa_busy_seconds_total", "counter", GATEWAY, ("stage",), "Seconds x replicas spent on batches."),
    Metric("ipa_batch_size", "histogram", GATEWAY, ("stage", "variant"), "Requests in a batch, as started."),
    Metric("ipa_batch_size_limit", "gauge", GATEWAY, ("stage",), "The configured batch size."),
    Metric(
        "ipa_batch_timeout_seconds", "gauge", GATEWAY, ("stage",),
        "The configured batch timeout.",
    ),
    Metric(
        "ipa_counted_since_timestamp_seconds", "gauge", GATEWAY, (), "When the gateway began to count from zero.",
    ),
    Metric("ipa_whole_seconds", "gauge", GATEWAY, (), "Whole seconds that have passed on the run's clock."),
    Metric(
        "ipa_whole_second_requests", "gauge", GATEWAY, ("slot",),
        f"Requests in the newest whole second whose number is k modulo {SLOTS}, for the slot k/{SLOTS}.",
    ),
    Metric(
        "ipa_replicas", "gauge", (*GATEWAY, *CONTROLLER), ("stage", "variant", "state"),
        "Existing replicas: ready, draining, suspended (gateway); starting (controller).",
    ),
    Metric(
        "ipa_stage_outage_seconds", "gauge", GATEWAY, ("stage",),
        "For how long no replica could take batches; 0: one can.",
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

STAGE_STATE = {
    "arrivals": "ipa_stage_arrivals_total",
    "completions": "ipa_stage_completions_total",
    "drops": "ipa_stage_drops_total",
    "failures": "ipa_stage_failures_total",
    "queue_length": "ipa_queue_length",
    "in_service": "ipa_in_service",
    "busy_s": "ipa_busy_seconds_total",
    "request_s": "ipa_stage_request_seconds_total",
}
"""The metric of each field of a stage's state; each is also reported as of the end of the last whole second."""


def at_whole_second(name: str) -> str:
    """The name of a metric of `STAGE_STATE` as of the end of the last whole second."""
    return name.replace("ipa_", "ipa_whole_second_", 1)


TABLE = (
    *_METRICS,
    *(
        replace(metric, name=at_whole_second(metric.name), help=f"{metric.name} as the last whole second ended.")
        for metric in _METRICS
        if metric.name in STAGE_STATE.values()
    ),
)

BY_NAME = {metric.name: metric for metric in TABLE}


class ProcessMetrics:
    """The metrics of one process, by name, each with the pipeline as a label."""

    def __init__(self, process: Process, pipeline: str, sla_s: float, without: Iterable[str] = ()) -> None:
        """`without` names metrics that another collector provides."""
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
        return generate_latest(self.registry)

    async def answer(self, _: web.Request) -> web.Response:
        from aiohttp import web

        return web.Response(body=self.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def served(self, host: str, port: int) -> AbstractContextManager[None]:
        """Answers at /metrics from a thread of its own, until the block ends. Raises OSError for a taken port."""
        return self._served(open_port(host, port))

    @contextmanager
    def _served(self, listening: socket) -> Iterator[None]:
        from ipa.live.serving.web import application, listen

        app, loop = application(), asyncio.new_event_loop()
        app.router.add_get("/metrics", self.answer)
        thread = Thread(target=loop.run_forever, daemon=True)
        thread.start()
        runner, _ = asyncio.run_coroutine_threadsafe(listen(app, listening), loop).result()
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


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
