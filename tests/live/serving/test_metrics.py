"""Metrics come from one table, by Prometheus's conventions, and the dashboard shows them; logs are JSON lines."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ipa import live
from ipa.live.controller_metrics import ControllerMetrics
from ipa.live.logs import JsonLines
from ipa.live.serving.counts import ArrivalCounts, RunClock
from ipa.live.serving.gateway_metrics import GatewayMetrics
from ipa.live.serving.metrics import OF_SLA, STAGE_STATE, TABLE, ProcessMetrics, at_whole_second
from ipa.live.serving.request import Batch, Request, RoutedReplica
from ipa.live.serving.router import Router
from ipa.policies import Applied, Decision, Entry, StageConfiguration
from tests.live.world import metric_values
from tests.tiny import SMALL_ONES, observation, two_by_two

SUFFIXES = ("_bucket", "_sum", "_count")


def series_of(name: str) -> set[str]:
    """What a metric is called in the text format."""
    kind = next(metric.kind for metric in TABLE if metric.name == name)
    return {name + suffix for suffix in SUFFIXES} if kind == "histogram" else {name}


def test_names_follow_the_conventions() -> None:
    for metric in TABLE:
        assert re.fullmatch(r"ipa_[a-z][a-z_]*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert not re.search(r"_(ms|millis|minutes|s)$", metric.name), metric.name
        assert set(metric.labels) <= {"stage", "variant", "state", "outcome", "rung", "kind", "slot", "reason"}, (
            metric.name
        )
        assert metric.help.endswith("."), metric.name


def test_names_are_unique() -> None:
    names = [metric.name for metric in TABLE]
    assert sorted(set(names)) == sorted(names)


def test_the_sla_is_a_bucket_of_durations() -> None:
    metrics = ProcessMetrics("gateway", "video", 6.89)
    metrics.of("ipa_request_duration_seconds").observe(6.89)
    (family,) = [
        family
        for family in text_string_to_metric_families(metrics.text().decode())
        if family.name == "ipa_request_duration_seconds"
    ]
    counts = {sample.labels.get("le"): sample.value for sample in family.samples}
    assert counts["6.89"] == 1.0
    assert counts["6.201"] == 0.0  # 0.9 x
    assert len(counts) == len(OF_SLA) + 2  # and infinity, and what has no `le`


def test_the_controller_has_its_own_metrics_of_the_table() -> None:
    metrics = ProcessMetrics("controller", "video", 6.89)
    metrics.of("ipa_desired_replicas", stage="object-detection", variant="yolov5n").set(3)
    metrics.of("ipa_replicas", stage="object-detection", variant="yolov5n", state="starting").set(1)
    metrics.of("ipa_decisions_total", rung="optimal").inc()
    text = metrics.text().decode()
    assert 'ipa_desired_replicas{pipeline="video",stage="object-detection",variant="yolov5n"} 3.0' in text
    assert 'ipa_decisions_total{pipeline="video",rung="optimal"} 1.0' in text
    with pytest.raises(KeyError, match="ipa_queue_length"):
        metrics.of("ipa_queue_length", stage="object-detection")


def test_a_stage_s_duration_is_of_all_requests_of_a_finished_batch() -> None:
    """As in an observation of the gateway: whichever of the two a policy reads, it reads the same."""
    pipeline = two_by_two()
    router = Router(("a", "b"), pipeline.drop_limits_s, SMALL_ONES, mock.Mock())
    metrics = GatewayMetrics(pipeline, router, ArrivalCounts(0.0), RunClock())
    requests = Request("served", 0.0), Request("given up meanwhile", 0.0)
    router.stages[0].enqueue(requests, 0.0)
    requests[1].outcome = "unfinished"
    metrics.finished(Batch(0, 0, RoutedReplica(0, "small", 2), requests, 0.0), 1.0)
    assert metric_values(metrics.text().decode())["ipa_stage_duration_seconds_count", "a"] == 2.0


def test_the_duration_of_requests_is_there_by_kserve_s_name_too() -> None:
    pipeline = two_by_two()
    router = Router(("a", "b"), pipeline.drop_limits_s, SMALL_ONES, mock.Mock())
    metrics = GatewayMetrics(pipeline, router, ArrivalCounts(0.0), RunClock())
    request = Request("served", 0.0)
    request.outcome, request.end_s = "completed", 0.5
    metrics.ended(request)
    values = [
        [line.partition(name)[2] for line in metrics.text().decode().splitlines() if line.startswith(name)]
        for name in ("ipa_request_duration_seconds", "request_predict_seconds")
    ]
    ours, theirs = ([re.sub(r"pipeline=|model_name=", "", line) for line in each] for each in values)
    assert sorted(",".join(sorted(re.split("[{,}]", line))) for line in ours) == sorted(
        ",".join(sorted(re.split("[{,}]", line))) for line in theirs
    )
    assert len(theirs) == len(OF_SLA) + 3


def test_a_step_tells_of_what_it_saw_and_whether_it_was_put_in_force() -> None:
    metrics = ControllerMetrics(two_by_two())
    seen = replace(observation(), load_rps=(3.0,), limit_cores=7, sample_age_s=3.5)
    for step, accepted in enumerate((True, False, False)):
        metrics.step(Entry(replace(seen, step=step), Decision(SMALL_ONES, {}), Applied(accepted)), 0.01)
    text = metrics.of_process.text().decode()
    said = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    assert said["ipa_refusals_total"] == 2.0
    assert (said["ipa_limit_cores"], said["ipa_sample_age_seconds"]) == (7.0, 3.5)


def test_the_desired_replicas_are_those_of_the_decided_variant() -> None:
    metrics = ControllerMetrics(two_by_two())
    wanted = {**SMALL_ONES, "a": StageConfiguration("large", 1, 3, 0.0, 2)}
    metrics.step(Entry(observation((3.0,)), Decision(wanted, {}), Applied(True)), 0.01)
    values = metric_values(metrics.of_process.text().decode())
    assert [values["ipa_desired_replicas", "a", each] for each in ("small", "large")] == [0.0, 3.0]


# ---- the dashboard ----

SERIES = {series for metric in TABLE for series in series_of(metric.name)}
DASHBOARD = json.loads((Path(live.__file__).parent / "serving" / "dashboard.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def metrics_of(expression: str) -> list[str]:
    """The names of the series that a PromQL expression reads."""
    return re.findall(r"\bipa_[a-z_]+", expression)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_expression_reads_metrics_of_the_table_alone(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expression, legend = target["expr"], target["legendFormat"]
        names = metrics_of(expression)
        assert names
        assert set(names) <= SERIES, expression
        labels = {label for metric in TABLE if series_of(metric.name) & set(names) for label in metric.labels}
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= labels, legend
        assert set(re.findall(r"by \(([^)]*)\)", expression)) <= {
            *labels, "le", "stage, variant", "stage, variant, state", "le, stage", "le, stage, variant",
        }  # fmt: skip
        assert expression.count("(") == expression.count(")")


def test_every_metric_is_on_the_dashboard_or_said_not_to_be() -> None:
    """Those left out say the same as one that is shown, or serve alerts or the controller."""
    shown = {name for panel in PANELS for target in panel["targets"] for name in metrics_of(target["expr"])}
    left_out = {metric.name for metric in TABLE if not series_of(metric.name) & shown}
    assert left_out == {
        "ipa_requests_inside", "ipa_stage_arrivals_total", "ipa_stage_completions_total", "ipa_in_service",
        "ipa_batch_timeout_seconds", "ipa_observed_load_rps", "ipa_sample_age_seconds",
        "ipa_counted_since_timestamp_seconds", "ipa_whole_seconds", "ipa_whole_second_requests",
        *map(at_whole_second, STAGE_STATE.values()),
    }  # fmt: skip


def test_the_dashboard_is_a_document_that_grafana_imports() -> None:
    assert [panel["id"] for panel in PANELS] == list(range(1, len(PANELS) + 1))
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in PANELS}
    assert len(places) == len(PANELS)
    assert {variable["name"] for variable in DASHBOARD["templating"]["list"]} == {"source", "pipeline"}


# ---- logs ----


def test_a_log_line_is_json_with_what_it_is_about(tmp_path: Path) -> None:
    record = logging.makeLogRecord(
        {
            "msg": "batch %s",
            "args": ("failed",),
            "levelname": "WARNING",
            "stage": "a",
            "where": tmp_path,
            "created": 0.5,
        }
    )
    assert json.loads(JsonLines("gateway").format(record)) == {
        "time": "1970-01-01T00:00:00.500+00:00",
        "level": "warning",
        "process": "gateway",
        "event": "batch failed",
        "stage": "a",
        "where": str(tmp_path),
    }
