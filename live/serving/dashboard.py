"""A Grafana dashboard, generated from the table of metrics: `python -m ipa.live.serving.dashboard > ipa.json`.

Import the file in Grafana and choose a Prometheus data source.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ipa.live.serving.metrics import BY_NAME

PERIOD = "$__rate_interval"
PIPELINE = 'pipeline="$pipeline"'


@dataclass(frozen=True)
class Panel:
    """One graph: `queries` are (PromQL, legend); `unit` is Grafana's name of it."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def _rate(name: str, by: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate({_metric(name)}{{{PIPELINE}}}[{PERIOD}]))"


def _now(name: str, by: str) -> str:
    return f"sum by ({by}) ({_metric(name)}{{{PIPELINE}}})"


def _value(name: str) -> str:
    return f"{_metric(name)}{{{PIPELINE}}}"


def _quantile(share: float, name: str, by: str = "") -> str:
    labels = ", ".join(filter(None, ["le", by]))
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({_metric(name)}_bucket{{{PIPELINE}}}[{PERIOD}])))"


def _mean(name: str, by: str) -> str:
    parts = (f"sum by ({by}) (rate({_metric(name)}_{part}{{{PIPELINE}}}[{PERIOD}]))" for part in ("sum", "count"))
    return " / ".join(parts)


def _metric(name: str) -> str:
    return BY_NAME[name].name


PANELS: tuple[Panel, ...] = (
    Panel(
        "Load",
        "reqps",
        (
            (_rate("ipa_requests_received_total"), "received"),
            (_value("ipa_forecast_load_rps"), "forecast"),
            (_value("ipa_planned_load_rps"), "planned for"),
        ),
    ),
    Panel(
        "Ended requests, by outcome, and refused ones",
        "reqps",
        (
            (_rate("ipa_requests_total", "outcome"), "{{outcome}}"),
            (_rate("ipa_requests_refused_total", "reason"), "refused: {{reason}}"),
        ),
    ),
    Panel(
        "End-to-end latency",
        "s",
        (
            (_quantile(0.5, "ipa_request_duration_seconds"), "p50"),
            (_quantile(0.99, "ipa_request_duration_seconds"), "p99"),
            (_value("ipa_sla_seconds"), "SLA"),
        ),
    ),
    Panel(
        "SLA violations",
        "percentunit",
        (
            (
                f"{_rate('ipa_sla_violations_total')} / {_rate('ipa_requests_total')}",
                "late, dropped, failed or unfinished",
            ),
        ),
    ),
    Panel(
        "Replicas",
        "short",
        (
            (_now("ipa_desired_replicas", "stage, variant"), "{{stage}} {{variant}} desired"),
            (f"{_now('ipa_replicas', 'stage, variant, state')} > 0", "{{stage}} {{variant}} {{state}}"),
        ),
    ),
    Panel(
        "Cost",
        "short",
        (
            (_value("ipa_desired_cores"), "desired cores"),
            (_value("ipa_existing_cores"), "existing cores"),
            (_value("ipa_limit_cores"), "limit"),
        ),
    ),
    Panel("Planned accuracy (PAS)", "percentunit", ((_value("ipa_planned_accuracy_ratio"), "PAS"),)),
    Panel(
        "Requests at a stage, waiting or in service: the mean",
        "short",
        ((_rate("ipa_stage_request_seconds_total", "stage"), "{{stage}}"),),
    ),
    Panel("Queue length", "short", ((_now("ipa_queue_length", "stage"), "{{stage}}"),)),
    Panel(
        "Batch size",
        "short",
        (
            (_mean("ipa_batch_size", "stage, variant"), "{{stage}} {{variant}} mean"),
            (_value("ipa_batch_size_limit"), "{{stage}} configured"),
        ),
    ),
    Panel(
        "Latency at a stage, queue and service",
        "s",
        (
            (_quantile(0.5, "ipa_stage_duration_seconds", "stage"), "{{stage}} p50"),
            (_quantile(0.99, "ipa_stage_duration_seconds", "stage"), "{{stage}} p99"),
        ),
    ),
    Panel(
        "Service time of a batch, p99",
        "s",
        ((_quantile(0.99, "ipa_service_seconds", "stage, variant"), "{{stage}} {{variant}}"),),
    ),
    Panel(
        "Busy replicas",
        "short",
        ((_rate("ipa_busy_seconds_total", "stage"), "{{stage}}"),),
    ),
    Panel(
        "Drops and failures, by stage",
        "reqps",
        (
            (_rate("ipa_stage_drops_total", "stage"), "{{stage}} dropped"),
            (_rate("ipa_stage_failures_total", "stage"), "{{stage}} failed"),
            (_rate("ipa_wrong_rows_total", "stage, variant"), "{{stage}} {{variant}} batches with wrong rows"),
        ),
    ),
    Panel("No replica that can take batches, for", "s", ((_now("ipa_stage_outage_seconds", "stage"), "{{stage}}"),)),
    Panel("Decisions", "short", ((_rate("ipa_decisions_total", "rung"), "{{rung}}"),)),
    Panel("Time to decide, p99", "s", ((_quantile(0.99, "ipa_decision_seconds"), "p99"),)),
    Panel(
        "Trouble",
        "short",
        (
            (_rate("ipa_steps_skipped_total"), "steps skipped"),
            (_rate("ipa_holds_total"), "held: no sample of load"),
            (_rate("ipa_refusals_total"), "decisions refused"),
            (_rate("ipa_look_failures_total"), "looks at the cluster failed"),
            (_rate("ipa_rollbacks_total", "stage, variant"), "{{stage}} {{variant}} rolled back"),
            (_rate("ipa_replica_failures_total", "stage, variant"), "{{stage}} {{variant}} died"),
        ),
    ),
    Panel("What keeps the controller from its work", "short", ((f"{_now('ipa_trouble', 'kind')} > 0", "{{kind}}"),)),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "title": "Inference pipeline adaptation",
        "uid": "ipa-pipelines",
        "tags": ["ipa", "inference"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": _variables()},
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }


def metrics_of(expression: str) -> Sequence[str]:
    """The names of the series that a PromQL expression reads."""
    return re.findall(r"\bipa_[a-z_]+", expression)


def _variables() -> list[dict[str, Any]]:
    source = {"type": "prometheus", "uid": "${source}"}
    pipelines = f"label_values({_metric('ipa_sla_seconds')}, pipeline)"
    return [
        {"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"},
        {
            "name": "pipeline",
            "label": "Pipeline",
            "type": "query",
            "datasource": source,
            "query": pipelines,
            "refresh": 2,
        },
    ]


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source,
        "gridPos": {"x": 12 * (number % 2), "y": 8 * (number // 2), "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 8}}, "overrides": []},
        "options": {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "mean"]}},
        "targets": [
            {"refId": chr(ord("A") + k), "datasource": source, "expr": expression, "legendFormat": legend}
            for k, (expression, legend) in enumerate(panel.queries)
        ],
    }


if __name__ == "__main__":
    print(json.dumps(dashboard(), indent=2))
