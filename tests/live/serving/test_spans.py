"""Each request is a trace of OpenTelemetry, whose spans have the times that are in the records."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from ipa import profiles
from ipa.live.serving import spans
from ipa.live.serving.control_api import control_application
from ipa.live.serving.host import Gateway
from ipa.live.serving.spans import configured_provider
from ipa.live.serving.web import add_protocol_routes, application
from ipa.live.tokens import TokenFile, create_token_file
from ipa.policies import StageConfiguration
from tests.live.serving.serving_plane import Plane, Process, ask, plane, until
from tests.live.serving.video_plane import CLASSIFICATION, DETECTION, STAGES, configured, infer, listed

pytest.importorskip("opentelemetry.sdk")
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def told(span: Any) -> tuple[str, str, int | None, int, int]:
    """Name, id, its parent's id, start and end [ns]."""
    parent = None if span.parent is None else span.parent.span_id
    return span.name, span.context.span_id, parent, span.start_time, span.end_time


def test_a_request_has_a_span_and_at_each_stage_its_queue_batch_and_service(
    video: tuple[Plane, Process], tmp_path: Path
) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    create_token_file(tmp_path / "token")
    tokens = TokenFile(tmp_path / "token")

    async def served() -> dict[str, Any]:
        gateway = Gateway(profiles.load("video"), provider=provider)
        data = application()
        whole = {"metadata": gateway.metadata, "infer": gateway.infer, "unready": gateway.unready}
        add_protocol_routes(data, server="ipa-gateway", model="video", **whole)  # type: ignore[arg-type]
        gateway.router.configure({name: StageConfiguration(each, 1, 1, 0.0, 1) for name, each in STAGES}, 0.0)
        async with (
            TestClient(TestServer(data)) as client,
            TestClient(TestServer(control_application(gateway, tokens))) as control,
        ):
            await control.put("/control/replicas", json=video[0].listed, headers=tokens.headers())
            headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-Id": "mine"}
            async with client.post("/v2/models/video/infer", json=ask(), headers=headers) as answer:
                assert answer.status == 200
            async with client.post("/v2/models/video/infer", json=ask()) as answer:
                assert answer.status == 200
            records = await (await control.get("/control/records", headers=tokens.headers())).json()
        await gateway.close()
        first: dict[str, Any] = records["records"][0]
        return first

    record = asyncio.run(served())
    spans = [each for each in kept.get_finished_spans() if f"{each.context.trace_id:032x}" == TRACE]
    by_name: dict[str, list[Any]] = {name: rest for name, *rest in map(told, spans)}
    stage_spans = [f"{what} {stage}" for stage in (DETECTION, CLASSIFICATION) for what in ("queue", "batch", "service")]
    assert sorted(by_name) == sorted(["infer video", *stage_spans])
    assert len(kept.get_finished_spans()) == 2 * len(spans)  # the other request is a trace of its own

    whole, caller, since_ns, until_ns = by_name["infer video"]
    assert caller == int(CALLER, 16)
    assert until_ns - since_ns == pytest.approx(1e9 * (record["end_s"] - record["arrival_s"]), abs=2)
    zero_ns = since_ns - 1e9 * record["arrival_s"]
    for stage, visit in zip((DETECTION, CLASSIFICATION), record["stages"], strict=True):
        (_, *queue), (batch_id, *batch) = by_name[f"queue {stage}"], by_name[f"batch {stage}"]
        moments_ns = [zero_ns + 1e9 * visit[key] for key in ("enqueue_s", "start_s", "finish_s")]
        assert queue[0] == batch[0] == whole
        assert (*queue[1:], batch[2]) == pytest.approx(tuple(moments_ns), abs=300)  # of a float of 1.8e18
        assert queue[2] == batch[1]
        _, parent, sent_ns, answered_ns = by_name[f"service {stage}"]
        assert parent == batch_id
        assert batch[1] <= sent_ns < answered_ns <= batch[2]
    about = {each.name: dict(each.attributes or {}) for each in spans}
    assert about["infer video"] == {"ipa.pipeline": "video", "ipa.request_id": "mine", "ipa.outcome": "completed"}
    replica = {"ipa.stage": DETECTION, "ipa.variant": "yolov5n", "ipa.replica": 0}
    assert about[f"batch {DETECTION}"] == {**replica, "ipa.batch": 0, "ipa.batch_size": 1}


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """A collector of OTLP over HTTP: its address, and the messages that have come."""
    come: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            come.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", come
        server.shutdown()


def test_a_gateway_exports_where_the_standard_variables_say(
    video: tuple[Plane, Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that nobody could serve is an error; what is left is exported at the gateway's end."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    with collector() as (url, come), plane(tmp_path, is_fresh=True) as up:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
        gateway = up.gateway("--pipeline", "video", "--drop-limit", f"{DETECTION}=0.1")
        configured(gateway)
        listed(gateway, {})
        assert infer(gateway)[0] == 503
        assert gateway.terminate() == 0
    (resource,) = ExportTraceServiceRequest.FromString(until(lambda: come, "spans")[0]).resource_spans
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "ipa-gateway"
    spans = {each.name: each for each in resource.scope_spans[0].spans}
    assert sorted(spans) == ["infer video", f"queue {DETECTION}"]
    assert (spans["infer video"].status.code, spans["infer video"].status.message) == (2, "dropped")


def test_an_endpoint_that_is_silent_holds_up_no_gateway_s_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The exporter waits for it, here for ever."""
    waits = Event()
    provider: Any = SimpleNamespace(shutdown=waits.wait, get_tracer=lambda _: None)
    monkeypatch.setattr(spans, "ENDS_WITHIN_S", 0.01)
    spans.Spans(provider, "video", ("detect",), lambda: 0.0).close()
    assert not waits.is_set()
    assert [record.message for record in caplog.records] == ["the latest spans are lost"]
    waits.set()


@pytest.mark.parametrize(
    "variables",
    [{}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}],
)
def test_no_spans_are_made_unless_they_are_asked_for(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if variables:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert configured_provider() is None


def test_an_endpoint_without_the_extra_is_said_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    assert configured_provider() is None
    (record,) = caplog.records
    assert record.problem.startswith("OTEL_EXPORTER_OTLP_ENDPOINT is set, without the extra otel: ")  # type: ignore[attr-defined]
