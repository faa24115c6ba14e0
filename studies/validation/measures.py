"""The figures that are compared, from the tables of runs within chosen windows; several runs are pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from ipa.studies.validation.windows import FloatArray, Windows

if TYPE_CHECKING:
    import pandas as pd

Tables = Mapping[str, "pd.DataFrame"]

RELATIVE: Literal["relative"] = "relative"
POINTS: Literal["points"] = "points"


@dataclass(frozen=True)
class Metric:
    """A figure: `error` says whether differences are relative or, of figures in percent or PAS, in points.

    `tolerance` is the largest error allowed (a fraction, or points); None: the figure is shown and not judged.
    """

    key: str
    title: str
    unit: str
    error: Literal["relative", "points"] = RELATIVE
    tolerance: float | None = None
    stage: str | None = None


PIPELINE_METRICS = (
    Metric("latency_mean_s", "latency, mean", "s"),
    Metric("latency_p50_s", "latency, p50", "s"),
    Metric("latency_p90_s", "latency, p90", "s"),
    Metric("latency_p99_s", "latency, p99", "s"),
    Metric("sla_violations_percent", "SLA violations", "% of requests", POINTS),
    Metric("drops_percent", "drops", "% of requests", POINTS),
    Metric("throughput_rps", "throughput", "requests/s"),
    Metric("cost_mean_cores", "cost", "cores"),
    Metric("pas_mean", "PAS", "x 100", POINTS),
)

LIMITS: Mapping[str, Mapping[str, float]] = {
    "loopback": {
        "latency_mean_s": 0.05,
        "latency_p99_s": 0.10,
        "sla_violations_percent": 2.0,
        "cost_mean_cores": 0.02,
        "pas_mean": 0.5,
    },
    "kubernetes": {
        "latency_mean_s": 0.10,
        "latency_p99_s": 0.15,
        "sla_violations_percent": 2.0,
        "cost_mean_cores": 0.03,
        "pas_mean": 0.5,
    },
}
"""By backend, the errors allowed (a fraction, or points); figures that are not here are shown and not judged."""

_STAGE_METRICS = (
    ("latency_mean_s", "latency, mean", "s"),
    ("latency_p50_s", "latency, p50", "s"),
    ("latency_p90_s", "latency, p90", "s"),
    ("latency_p99_s", "latency, p99", "s"),
    ("wait_mean_s", "wait, mean", "s"),
    ("service_mean_s", "service, mean", "s"),
    ("batch_size_mean", "batch size, mean", "requests"),
    ("replicas_mean", "replicas ready, mean", ""),
)

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def metrics(stages: Sequence[str], limits: Mapping[str, float]) -> tuple[Metric, ...]:
    """All figures of a pipeline with these stages; `limits`: by key, the errors allowed."""
    of_pipeline = (replace(metric, tolerance=limits.get(metric.key)) for metric in PIPELINE_METRICS)
    of_stages = (
        Metric(f"{stage}.{key}", title, unit, stage=stage) for stage in stages for key, title, unit in _STAGE_METRICS
    )
    return (*of_pipeline, *of_stages)


def measure(runs: Sequence[Tables], windows: Windows, sla_s: float, price_per_core: float = 1.0) -> dict[str, float]:
    """Every metric's value by key, of the requests that arrived in the chosen windows; NaN where there is none.

    Requests of several runs are pooled; figures over time (cost, replicas, throughput) are means over the runs.
    """
    requests = [run["requests"][windows.holds(run["requests"]["arrival_s"].to_numpy())] for run in runs]
    values = _of_requests(requests, sla_s)
    values["throughput_rps"] = _mean(
        [windows.holds(_completion_s(run["requests"])).sum() / windows.total_s for run in runs]
        if windows.total_s
        else []
    )
    values["cost_mean_cores"] = price_per_core * _mean([_mean_cores(run["replicas"], windows) for run in runs])
    for stage in runs[0]["replicas"]["stage"].cat.categories:
        visits = [_visits(run["stages"], str(stage), of_run) for run, of_run in zip(runs, requests, strict=True)]
        of_stage = _of_visits(visits)
        of_stage["replicas_mean"] = _mean([_mean_ready(run["replicas"], str(stage), windows) for run in runs])
        values |= {f"{stage}.{key}": value for key, value in of_stage.items()}
    return values


def _of_requests(requests: Sequence[pd.DataFrame], sla_s: float) -> dict[str, float]:
    latency_s = _joined(requests, "latency_s")
    completed = np.isfinite(latency_s)
    outcome = np.concatenate([table["outcome"].to_numpy(dtype=str) for table in requests])
    accuracy = _joined(requests, "accuracy")
    return {
        **_latencies(latency_s[completed]),
        "sla_violations_percent": 100.0 * _mean(~completed | (latency_s > sla_s)),
        "drops_percent": 100.0 * _mean(outcome == "dropped"),
        "pas_mean": 100.0 * _mean(accuracy[completed]),
    }


def _visits(stages: pd.DataFrame, stage: str, requests: pd.DataFrame) -> pd.DataFrame:
    """The visits of these requests to a stage, as far as they were served."""
    served = stages[(stages["stage"] == stage) & np.isfinite(stages["finish_s"].to_numpy())]
    visits: pd.DataFrame = served[served["request"].isin(requests["request"])]
    return visits


def _of_visits(visits: Sequence[pd.DataFrame]) -> dict[str, float]:
    enqueue_s, start_s, finish_s = (_joined(visits, name) for name in ("enqueue_s", "start_s", "finish_s"))
    return {
        **_latencies(finish_s - enqueue_s),
        "wait_mean_s": _mean(start_s - enqueue_s),
        "service_mean_s": _mean(finish_s - start_s),
        "batch_size_mean": _mean_of_batches(visits),
    }


def _mean_of_batches(visits: Sequence[pd.DataFrame]) -> float:
    return _mean(_joined([table.drop_duplicates("batch") for table in visits], "batch_size"))


def _latencies(latency_s: FloatArray) -> dict[str, float]:
    quantiles = [np.nan] * len(QUANTILES)
    if len(latency_s):
        # This definition of a quantile is the same for a run as for that run pooled with its equals.
        quantiles = np.quantile(latency_s, list(QUANTILES.values()), method="inverted_cdf").tolist()
    named = {f"latency_{name}_s": float(value) for name, value in zip(QUANTILES, quantiles, strict=True)}
    return {"latency_mean_s": _mean(latency_s), **named}


def _completion_s(requests: pd.DataFrame) -> FloatArray:
    completed = (requests["outcome"] == "completed").to_numpy()
    return np.where(completed, requests["end_s"].to_numpy(dtype=np.float64), np.nan)


def _mean_cores(replicas: pd.DataFrame, windows: Windows) -> float:
    """Cores of all that existed, averaged over the chosen windows."""
    return _time_mean(replicas, "created_s", "gone_s", replicas["cores"].to_numpy(dtype=np.float64), windows)


def _mean_ready(replicas: pd.DataFrame, stage: str, windows: Windows) -> float:
    own = replicas[replicas["stage"] == stage]
    return _time_mean(own, "ready_s", "removed_s", np.ones(len(own)), windows)


def _time_mean(replicas: pd.DataFrame, since: str, until: str, weights: FloatArray, windows: Windows) -> float:
    if windows.total_s == 0.0:
        return float("nan")
    until_s = np.nan_to_num(replicas[until].to_numpy(dtype=np.float64), nan=np.inf)
    overlap_s = windows.overlap_s(replicas[since].to_numpy(dtype=np.float64), until_s)
    return float(weights @ overlap_s[:, windows.chosen].sum(axis=1)) / windows.total_s


def _joined(tables: Sequence[pd.DataFrame], column: str) -> FloatArray:
    return np.concatenate([table[column].to_numpy(dtype=np.float64) for table in tables])


def _mean(values: ArrayLike) -> float:
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()) if len(array) else float("nan")
