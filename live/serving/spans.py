"""Each request as a trace of OpenTelemetry: the request, and at each stage its queue, its batch and its service.

Spans are made as requests end, from times that are recorded anyway. There are none, and nothing is imported, unless
OpenTelemetry's variables name an OTLP endpoint over HTTP and the extra `otel` is installed. The variables
(OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_BSP_..., OTEL_EXPORTER_OTLP_...) have their standard meaning.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ipa.live.serving.request import Request, Visit, WholeRequest

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
SERVICE = "ipa-gateway"
"""The gateway's service name unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say otherwise."""

log = logging.getLogger("live.gateway")


def configured_provider() -> TracerProvider | None:
    """The provider that exports spans as the variables say; None if they name no endpoint, or the extra is not
    installed."""
    named = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if named is None or is_off or os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        log.warning("no spans are exported", extra={"problem": f"{named} is set, without the extra otel: {error}"})
        return None
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # `Spans.close` does that
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


ENDS_WITHIN_S = 2.0
"""How long the last spans may take to be exported."""


class RequestTrace(NamedTuple):
    """The span of a request that is inside, and the moment that is 0 on the run's clock [ns since 1970]."""

    span: Span
    origin_ns: int

    def at_ns(self, moment_s: float) -> int:
        """A moment of the run's clock [ns since 1970]."""
        return self.origin_ns + round(1e9 * moment_s)


class Spans:
    """Makes the spans of a pipeline's requests; `stages` are the names of its stages, in order."""

    def __init__(self, provider: TracerProvider, pipeline: str, stages: Sequence[str], now_s: Callable[[], float]):
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("ipa.live.serving")
        self._pipeline = pipeline
        self._stages = tuple(stages)
        self._now_s = now_s
        self._extract = TraceContextTextMapPropagator().extract
        self._server, self._client, self._internal = SpanKind.SERVER, SpanKind.CLIENT, SpanKind.INTERNAL
        self._failed: Callable[[str], Status] = lambda why: Status(StatusCode.ERROR, why)

    def close(self) -> None:
        """Export what has not been, for at most `ENDS_WITHIN_S`: an endpoint that is silent holds up nobody's end."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(ENDS_WITHIN_S)
        if ending.is_alive():
            log.warning("the latest spans are lost", extra={"problem": f"not taken within {ENDS_WITHIN_S:g} s"})

    def begin(self, arrival_s: float, request_id: str, traceparent: str) -> tuple[RequestTrace, str]:
        """The trace of an arriving request, as part of its client's if that has one, and the `traceparent` for
        replicas."""
        origin_ns = time.time_ns() - round(1e9 * self._now_s())
        span = self._tracer.start_span(
            f"infer {self._pipeline}",
            self._extract({"traceparent": traceparent}),
            self._server,
            {"ipa.pipeline": self._pipeline, "ipa.request_id": request_id},
            start_time=origin_ns + round(1e9 * arrival_s),
        )
        context = span.get_span_context()
        return RequestTrace(
            span, origin_ns
        ), f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def end(self, trace: RequestTrace, request: Request) -> None:
        from opentelemetry.trace import set_span_in_context

        if trace.span.is_recording():
            inside = set_span_in_context(trace.span)
            for stage, visit in self._visits(request):
                self._visit(trace, inside, stage, visit, request.end_s)
            trace.span.set_attribute("ipa.outcome", str(request.outcome))
            if request.outcome != "completed":
                trace.span.set_status(self._failed(request.problem or str(request.outcome)))
        trace.span.end(trace.at_ns(request.end_s))

    def _visits(self, request: Request) -> Iterable[tuple[str, Visit]]:
        if isinstance(request, WholeRequest):
            return [(self._stages[item.stage], visit) for item in request.items for visit in item.visits]
        return zip(self._stages, request.visits, strict=False)

    def _visit(self, trace: RequestTrace, inside: Any, stage: str, visit: Visit, end_s: float) -> None:
        """The spans of a request at one stage, up to the request's end at the latest."""

        def span(what: str, since_s: float, until_s: float | None, within: Any, **details: Any) -> Any:
            attributes = {f"ipa.{key}": value for key, value in {"stage": stage, **details}.items()}
            kind = self._client if what == "service" else self._internal
            began_ns = trace.at_ns(since_s)
            opened = self._tracer.start_span(f"{what} {stage}", within, kind, attributes, start_time=began_ns)
            opened.end(trace.at_ns(end_s if until_s is None else until_s))
            return opened

        from opentelemetry.trace import set_span_in_context

        batch = visit.batch
        span("queue", visit.enqueue_s, None if batch is None else batch.start_s, inside, retried=visit.is_retried)
        if batch is None:
            return
        replica = {"variant": batch.replica.variant, "replica": batch.replica.number}
        details = {**replica, "batch": batch.number, "batch_size": batch.size}
        whole = span("batch", batch.start_s, visit.finish_s, inside, **details)
        if batch.sent_s is not None:
            span("service", batch.sent_s, batch.answered_s, set_span_in_context(whole), **replica)
