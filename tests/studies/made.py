"""Finished runs made by hand, small enough to check every figure drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from ipa.policies import Entry
from ipa.studies import Comparison, Scenario
from ipa.studies.pages import Page, Plot, comparison
from ipa.studies.runs.run_data import DisplayedRun

SLA_S = 2.0


@dataclass(repr=False)
class Made(DisplayedRun):
    """A run made by hand."""

    summary: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    accuracies: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    loss: str = ""
    scenario: Scenario = field(default=Scenario(pipeline="video"))
    entries: Sequence[Entry] = ()
    starts_at: datetime | None = None


def requests_of(arrival_s: Sequence[float], latency_s: Sequence[float | str]) -> pd.DataFrame:
    """Requests with their latencies, or how else they ended."""
    ended = [entry if isinstance(entry, str) else "completed" for entry in latency_s]
    latencies = [np.nan if isinstance(entry, str) else entry for entry in latency_s]
    kinds = ["completed", "dropped", "failed", "unfinished"]
    return pd.DataFrame(
        {
            "request": np.arange(len(ended)),
            "arrival_s": np.array(arrival_s, dtype=float),
            "outcome": pd.Categorical(ended, categories=kinds),
            "latency_s": np.array(latencies, dtype=float),
            "end_s": np.array(arrival_s, dtype=float) + np.nan_to_num(latencies, nan=SLA_S),
            "dropped_stage": pd.Categorical(["detect" if how == "dropped" else None for how in ended]),
        }
    )


def stages_of(requests: pd.DataFrame) -> pd.DataFrame:
    """How these requests passed through the one stage `detect`: alone in a batch, half of their time in the queue."""
    answered = requests["outcome"] == "completed"
    half_s = (requests["arrival_s"] + requests["end_s"]) / 2
    return pd.DataFrame(
        {
            "request": requests["request"],
            "stage": "detect",
            "enqueue_s": requests["arrival_s"],
            "start_s": half_s.where(answered),
            "finish_s": requests["end_s"].where(answered),
            "batch": requests["request"].where(answered, -1),
            "batch_size": np.where(answered, 1, -1),
        }
    )


def decisions_of(*steps: tuple[float, str, int, int], stage: str = "detect", forecast: float = 5.0) -> pd.DataFrame:
    """Decisions for one stage of one-core variants: (time, variant, batch, replicas)."""
    rows = [
        {
            "step": step,
            "time_s": time_s,
            "stage": stage,
            "variant": variant,
            "batch": batch,
            "replicas": replicas,
            "cores": 1,
            "cost_cores": replicas,
            "accuracy": 0.5,
            "forecast_rps": forecast,
            "planned_load_rps": forecast,
        }
        for step, (time_s, variant, batch, replicas) in enumerate(steps)
    ]
    return pd.DataFrame(rows)


def replicas_of(*rows: tuple[int, float, float]) -> pd.DataFrame:
    """Replicas: (cores, created, gone)."""
    frame = pd.DataFrame(rows, columns=["cores", "created_s", "gone_s"])
    return frame.assign(stage="detect", variant="small", ready_s=frame["created_s"], removed_s=frame["gone_s"])


def made(policy: str = "ipa", seed: int = 1, *, requests: pd.DataFrame | None = None, **figures: Any) -> Made:
    """A run of 20 s: three requests of which one is late and one dropped, two decisions."""
    if requests is None:
        requests = requests_of([1.0, 11.0, 12.0], [0.5, 2.5, "dropped"])
    summary = {
        "pipeline": "video",
        "policy": policy,
        "trace": "bursty",
        "seed": seed,
        "duration_s": 20.0,
        "requests": len(requests),
        "completed": 2,
        "dropped": 1,
        "failed": 0,
        "unfinished": 0,
        "sla_s": SLA_S,
        "sla_violation_rate": 0.6667,
        "goodput_rps": 0.05,
        "latency_p50_s": 1.5,
        "latency_p99_s": 2.48,
        "cost_mean_cores": 2.5,
        "pas_mean": 33.0,
        "decisions": 2,
        "infeasible_decisions": 0,
        "changes": 1,
        "wall_s": np.random.default_rng().random(),  # no property of a run: it must not show
    }
    tables = {
        "requests": requests,
        "stages": stages_of(requests),
        "decisions": decisions_of((0.0, "small", 1, 2), (10.0, "large", 4, 3)),
        "replicas": replicas_of((1, 0.0, 15.0), (2, 0.0, np.nan)),
    }
    return Made(summary | figures, tables)


def page_of(*runs: Any) -> Page:
    """The page of runs."""
    return comparison.page(Comparison(runs))


def drawn(*runs: Any) -> dict[str, Plot]:
    """The figures of the page of runs, by name."""
    return {plot.name: plot for plot in page_of(*runs).plots}
