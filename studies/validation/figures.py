"""The compared figures of runs within chosen windows, with errors, spreads and verdicts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from math import isfinite, isnan, nan
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ipa.studies.formatting import NONE, plus
from ipa.studies.runs import ITEMS

if TYPE_CHECKING:
    import pandas as pd

Tables = Mapping[str, "pd.DataFrame"]

INPUT_TOKENS = "input_tokens"
"""The column of visits that says at which stages the requests have tokens."""


def visits_of(tables: Tables) -> pd.DataFrame:
    """A run's visits to stages: those of requests, or in a graph those of items."""
    return tables[ITEMS] if ITEMS in tables else tables["stages"]


FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# ---- windows ----

JUDGED_UP_TO = 0.85
"""The highest utilisation with a verdict: nearer to saturation, small differences grow without bound."""


@dataclass(frozen=True)
class Windows:
    """Some of the windows between `edges_s` (shape (W + 1,)): those `chosen` (shape (W,))."""

    edges_s: FloatArray
    chosen: BoolArray

    @classmethod
    def all_of(cls, duration_s: float, width_s: float) -> Windows:
        """All windows of a duration; the last may be shorter."""
        inner = np.arange(0.0, duration_s - 1e-9, width_s)
        return cls(np.append(inner, duration_s), np.ones(len(inner), dtype=bool))

    def only(self, chosen: BoolArray) -> Windows:
        """The same windows with others chosen."""
        return Windows(self.edges_s, chosen)

    @property
    def counted(self) -> dict[str, int]:
        """How many are chosen, and how many there are."""
        return {"windows": int(self.chosen.sum()), "of_windows": len(self.chosen)}

    @property
    def total_s(self) -> float:
        """The total length of the chosen windows."""
        return float(np.diff(self.edges_s)[self.chosen].sum())

    def holds(self, time_s: FloatArray) -> BoolArray:
        """Which moments are in a chosen window; shape of `time_s`. NaN never is."""
        place = np.searchsorted(self.edges_s, time_s, side="right") - 1
        inside = (place >= 0) & (place < len(self.chosen)) & np.isfinite(time_s)
        return inside & self.chosen[np.clip(place, 0, len(self.chosen) - 1)]

    def overlap_s(self, since_s: FloatArray, until_s: FloatArray) -> FloatArray:
        """The overlap [s] of each span [since, until) with each window, chosen or not; shape (spans, W)."""
        starts, ends = self.edges_s[:-1], self.edges_s[1:]
        shared = np.minimum(until_s[:, None], ends[None, :]) - np.maximum(since_s[:, None], starts[None, :])
        return np.asarray(np.maximum(np.nan_to_num(shared, nan=0.0), 0.0), dtype=np.float64)


def language_stages(tables: Tables) -> frozenset[str]:
    """The stages whose requests have tokens."""
    visits = visits_of(tables)
    if INPUT_TOKENS not in visits:
        return frozenset()
    return frozenset(map(str, visits["stage"][visits[INPUT_TOKENS] >= 0].unique()))


def utilisation(tables: Tables, windows: Windows) -> Mapping[str, FloatArray]:
    """Stage -> busy over ready replica-seconds in each window, shape (W,); 0 where none was ready.

    A removed replica counts as ready until its last batch is done. One of a language model counts for each request that
    it has, and is ready for as many as the batch in force.
    """
    stages, replicas, languages = visits_of(tables), tables["replicas"], language_stages(tables)
    served = stages[stages["batch"] >= 0].drop_duplicates(["stage", "batch"])
    shares: dict[str, FloatArray] = {}
    for name in replicas["stage"].cat.categories:
        batches, own = served[served["stage"] == name], replicas[replicas["stage"] == name]
        finish_s = np.nan_to_num(batches["finish_s"].to_numpy(), nan=np.inf)
        busy_s = windows.overlap_s(batches["start_s"].to_numpy(), finish_s).sum(axis=0)
        last_s = batches.groupby("replica")["finish_s"].max().reindex(own["replica"]).to_numpy()
        until_s = np.fmax(np.nan_to_num(own["removed_s"].to_numpy(), nan=np.inf), last_s)
        ready_s = windows.overlap_s(own["ready_s"].to_numpy(), until_s).sum(axis=0)
        if name in languages:
            ready_s = ready_s * _batch_in_force(tables["decisions"], str(name), windows)
        shares[str(name)] = np.divide(busy_s, ready_s, out=np.zeros_like(busy_s), where=ready_s > 0.0)
    return shares


def _batch_in_force(decisions: pd.DataFrame, stage: str, windows: Windows) -> FloatArray:
    """The mean batch that the accepted decisions for a stage set in each window, shape (W,)."""
    own = decisions[(decisions["stage"] == stage) & decisions["accepted"]]
    since_s = own["time_s"].to_numpy(dtype=np.float64)
    in_force_s = windows.overlap_s(since_s, np.append(since_s[1:], np.inf))
    mean: FloatArray = own["batch"].to_numpy(dtype=np.float64) @ in_force_s / np.diff(windows.edges_s)
    return mean


def busiest(runs: Sequence[Tables], windows: Windows) -> FloatArray:
    """The utilisation of the busiest stage in each window, the mean over runs; shape (W,)."""
    of_runs = [np.max(list(utilisation(tables, windows).values()), axis=0) for tables in runs]
    return np.asarray(np.mean(of_runs, axis=0), dtype=np.float64)


# ---- figures ----

ErrorKind = Literal["relative", "points"]
POINTS: ErrorKind = "points"


@dataclass(frozen=True)
class ComparedFigure:
    """A figure: `error` says whether differences are relative or, for figures in percent or PAS, in points.

    `tolerance` is the largest error allowed (a fraction, or points); None: the figure is shown and not judged.
    """

    key: str
    title: str
    unit: str
    error: ErrorKind = "relative"
    tolerance: float | None = None
    stage: str | None = None


_LATENCIES = tuple((f"latency_{name}_s", f"latency, {name}", "s") for name in ("mean", "p50", "p90", "p99"))

PIPELINE_METRICS = (
    *(ComparedFigure(*each) for each in _LATENCIES),
    ComparedFigure("sla_violations_percent", "SLA violations", "% of requests", POINTS),
    ComparedFigure("drops_percent", "drops", "% of requests", POINTS),
    ComparedFigure("throughput_rps", "throughput", "requests/s"),
    ComparedFigure("cost_mean_cores", "cost", "cores"),
    ComparedFigure("pas_mean", "PAS", "x 100", POINTS),
)

_STAGE_METRICS = (
    *_LATENCIES,
    ("wait_mean_s", "wait, mean", "s"),
    ("service_mean_s", "service, mean", "s"),
    ("batch_size_mean", "batch size, mean", "requests"),
    ("replicas_mean", "replicas ready, mean", ""),
)

_LANGUAGE_STAGE_METRICS = (
    *(metric for metric in _STAGE_METRICS if metric[0] != "batch_size_mean"),
    *((f"ttft_{name}_s", f"first token, {name}", "s") for name in ("mean", "p99")),
    *((f"tpot_{name}_s", f"further tokens, {name}", "s") for name in ("mean", "p99")),
)
"""Of a stage of language models, at which each request is a batch."""

_JUDGED = ("latency_mean_s", "latency_p99_s", "sla_violations_percent", "cost_mean_cores", "pas_mean")

LIMITS: Mapping[str, Mapping[str, float]] = {
    "loopback": dict(zip(_JUDGED, (0.05, 0.10, 2.0, 0.02, 0.5), strict=True)),
    "kubernetes": dict(zip(_JUDGED, (0.10, 0.15, 2.0, 0.03, 0.5), strict=True)),
}
"""Backend -> figure -> the error allowed (a fraction, or points); figures not listed are shown and not judged."""

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def metrics(
    stages: Sequence[str], limits: Mapping[str, float], languages: Collection[str] = ()
) -> tuple[ComparedFigure, ...]:
    """All figures of a pipeline with these stages; `limits`: key -> the error allowed; `languages`: the stages of
    language models."""
    of_pipeline = (replace(metric, tolerance=limits.get(metric.key)) for metric in PIPELINE_METRICS)
    of_stages = (
        ComparedFigure(f"{stage}.{key}", title, unit, stage=stage)
        for stage in stages
        for key, title, unit in (_LANGUAGE_STAGE_METRICS if stage in languages else _STAGE_METRICS)
    )
    return (*of_pipeline, *of_stages)


def measure(runs: Sequence[Tables], windows: Windows, sla_s: float, price_per_core: float = 1.0) -> dict[str, float]:
    """Metric's key -> value, for the requests that arrived in the chosen windows; NaN if there is none.

    Requests of several runs are pooled; figures over time (cost, replicas, throughput) are means over the runs.
    """
    requests = [run["requests"][windows.holds(run["requests"]["arrival_s"].to_numpy())] for run in runs]
    completed = [run["requests"].loc[run["requests"]["outcome"] == "completed", "end_s"].to_numpy() for run in runs]
    rates_rps = [windows.holds(end_s).sum() / windows.total_s for end_s in completed] if windows.total_s else []
    values = _of_requests(requests, sla_s)
    values["throughput_rps"] = _mean(rates_rps)
    cores = (_time_mean(run["replicas"], ("created_s", "gone_s"), run["replicas"]["cores"], windows) for run in runs)
    values["cost_mean_cores"] = price_per_core * _mean(list(cores))
    for stage in map(str, runs[0]["replicas"]["stage"].cat.categories):
        of_stage = _of_visits([_visits(visits_of(run), stage, own) for run, own in zip(runs, requests, strict=True)])
        replicas = [run["replicas"][run["replicas"]["stage"] == stage] for run in runs]
        ready = [_time_mean(own, ("ready_s", "removed_s"), np.ones(len(own)), windows) for own in replicas]
        values |= {f"{stage}.{key}": value for key, value in {**of_stage, "replicas_mean": _mean(ready)}.items()}
    return values


def _of_requests(requests: Sequence[pd.DataFrame], sla_s: float) -> dict[str, float]:
    latency_s = _joined(requests, "latency_s")
    completed = np.isfinite(latency_s)
    outcome = np.concatenate([table["outcome"].to_numpy(dtype=str) for table in requests])
    return {
        **_spread_of("latency", latency_s[completed]),
        "sla_violations_percent": 100.0 * _mean(~completed | (latency_s > sla_s)),
        "drops_percent": 100.0 * _mean(outcome == "dropped"),
        "pas_mean": 100.0 * _mean(_joined(requests, "accuracy")[completed]),
    }


def _visits(stages: pd.DataFrame, stage: str, requests: pd.DataFrame) -> pd.DataFrame:
    """The visits of these requests to a stage that were served."""
    served = stages[(stages["stage"] == stage) & np.isfinite(stages["finish_s"].to_numpy())]
    visits: pd.DataFrame = served[served["request"].isin(requests["request"])]
    return visits


def _of_visits(visits: Sequence[pd.DataFrame]) -> dict[str, float]:
    enqueue_s, start_s, finish_s = (_joined(visits, name) for name in ("enqueue_s", "start_s", "finish_s"))
    return {
        **_spread_of("latency", finish_s - enqueue_s),
        "wait_mean_s": _mean(start_s - enqueue_s),
        "service_mean_s": _mean(finish_s - start_s),
        "batch_size_mean": _mean(_joined([table.drop_duplicates("batch") for table in visits], "batch_size")),
        **(_token_times(visits) if all(INPUT_TOKENS in table for table in visits) else {}),
    }


def _token_times(visits: Sequence[pd.DataFrame]) -> dict[str, float]:
    """The times to the first token, from coming to the stage, and for each further one of those with more."""
    enqueue_s, finish_s, first_s = (_joined(visits, name) for name in ("enqueue_s", "finish_s", "first_token_s"))
    further = _joined(visits, "output_tokens") - 1
    has_first = np.isfinite(first_s)
    has_further = has_first & (further > 0)
    return {
        **_spread_of("ttft", (first_s - enqueue_s)[has_first]),
        **_spread_of("tpot", (finish_s - first_s)[has_further] / further[has_further]),
    }


def _spread_of(name: str, values_s: FloatArray) -> dict[str, float]:
    """The mean and the quantiles of times, by key."""
    quantiles = [nan] * len(QUANTILES)
    if len(values_s):
        # By this definition, a run has the same quantiles as several equal runs pooled.
        quantiles = np.quantile(values_s, list(QUANTILES.values()), method="inverted_cdf").tolist()
    named = {f"{name}_{key}_s": float(value) for key, value in zip(QUANTILES, quantiles, strict=True)}
    return {f"{name}_mean_s": _mean(values_s), **named}


def _time_mean(replicas: pd.DataFrame, span: tuple[str, str], weights: ArrayLike, windows: Windows) -> float:
    """The mean over chosen windows of the summed weights of replicas; `span`: the columns between which each counts."""
    if windows.total_s == 0.0:
        return nan
    since_s, until_s = (replicas[name].to_numpy(dtype=np.float64) for name in span)
    overlap_s = windows.overlap_s(since_s, np.nan_to_num(until_s, nan=np.inf))
    return float(np.asarray(weights, np.float64) @ overlap_s[:, windows.chosen].sum(axis=1)) / windows.total_s


def _joined(tables: Sequence[pd.DataFrame], column: str) -> FloatArray:
    return np.concatenate([table[column].to_numpy(dtype=np.float64) for table in tables])


def _mean(values: ArrayLike) -> float:
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()) if len(array) else nan


# ---- verdicts ----

SPREADS_ALLOWED = 2.0
"""An error within this many spreads of the live repeats is attributed to the live system's own variation."""


@dataclass(frozen=True)
class JudgedFigure:
    """One compared figure. Errors and spreads are fractions of the live value, or points, as the metric says; NaN:
    none.

    `spread` is the standard deviation over the live repeats (n - 1 in the denominator); NaN with one repeat.
    """

    metric: ComparedFigure
    live: float
    spread: float
    simulated: float
    open_loop: float

    @property
    def error(self) -> float:
        """The error of the simulation in closed loop against live; above 0 if the simulated value is larger."""
        return self._against_live(self.simulated)

    @property
    def open_loop_error(self) -> float:
        """The error of the simulations with the live decisions."""
        return self._against_live(self.open_loop)

    @property
    def allowed(self) -> float | None:
        """The largest error that passes: the tolerance, or twice the spread where that is larger."""
        return None if self.metric.tolerance is None else self.metric.tolerance + self.allowed_by_spread

    @property
    def allowed_by_spread(self) -> float:
        """The part of `allowed` above the tolerance, due to the spread of the live repeats."""
        spread = 0.0 if isnan(self.spread) else self.spread
        return max(0.0, SPREADS_ALLOWED * spread - (self.metric.tolerance or 0.0))

    @property
    def passed(self) -> bool | None:
        """The verdict; None if the figure is not judged, or has no value in either world."""
        allowed = self.allowed
        if allowed is None or (isnan(self.live) and isnan(self.simulated)):
            return None
        return bool(abs(self.error) <= allowed)

    @property
    def verdict(self) -> str:
        """In a word: `ok`, `in spread` (above the tolerance, but within twice the spread), `OFF`, or empty."""
        if self.passed is None or self.metric.tolerance is None:
            return ""
        if not self.passed:
            return "OFF"
        return "ok" if abs(self.error) <= self.metric.tolerance else "in spread"

    def _against_live(self, value: float) -> float:
        if self.metric.error == POINTS:
            return value - self.live
        if value == self.live:
            return 0.0
        return value / self.live - 1.0 if self.live else nan

    def shown(self, error: float | None) -> str:
        """An error or a spread of this figure as text, in percent or points."""
        if error is None or not isfinite(error):
            return NONE
        return plus(error, 2) if self.metric.error == POINTS else f"{plus(100.0 * error, 1)} %"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; NaN is null."""
        metric = self.metric
        names = ("live", "spread", "simulated", "error", "open_loop", "open_loop_error", "allowed")
        return {
            "metric": metric.key,
            "stage": metric.stage,
            "unit": metric.unit,
            "error_is": metric.error,
            **{name: plain(getattr(self, name)) for name in names},
            "allowed_by_spread": None if self.allowed is None else plain(self.allowed_by_spread),
            "passed": self.passed,
            "verdict": self.verdict or None,
        }


def plain(value: Any) -> Any:
    """A JSON-able value: dataclasses as dicts; None for numbers that are not finite."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


@dataclass(frozen=True)
class Worlds:
    """The compared tables: live repeats, the simulation in closed loop, simulations with each repeat's decisions."""

    live: Sequence[Tables]
    simulated: Tables
    open_loop: Sequence[Tables]


def compare_worlds(
    worlds: Worlds, windows: Windows, judged: Sequence[ComparedFigure], sla_s: float, price_per_core: float
) -> list[JudgedFigure]:
    """One row per metric, over the requests that arrived in the chosen windows and the windows' time."""

    def measured(runs: Sequence[Tables]) -> Mapping[str, float]:
        return measure(runs, windows, sla_s, price_per_core)

    live, simulated, open_loop = measured(worlds.live), measured([worlds.simulated]), measured(worlds.open_loop)
    repeats = [measured([run]) for run in worlds.live]

    def row(metric: ComparedFigure) -> JudgedFigure:
        key = metric.key
        spread = _spread(metric, [figures[key] for figures in repeats], live[key])
        return JudgedFigure(metric, live[key], spread, simulated[key], open_loop[key])

    return [row(metric) for metric in judged]


def _spread(metric: ComparedFigure, values: Sequence[float], live: float) -> float:
    if len(values) < 2 or not np.isfinite(values).all():
        return nan
    deviation = float(np.std(values, ddof=1))
    if metric.error == POINTS or deviation == 0.0:
        return deviation
    return deviation / abs(live) if live else nan
