"""A run over time as plain arrays for plots: counted in bins, merged and thinned, so that they stay small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ipa.sim import FloatArray, bin_edges, bin_numbers, counted_quantiles, interval_s, round_up

if TYPE_CHECKING:
    import pandas as pd

MOST_STEPS = 1500
MOST_SEGMENTS = 500
MOST_CURVE_POINTS = 400

VIOLATIONS = ("late", "dropped", "failed", "unfinished")
"""The kinds of SLA violations; a request has at most one."""


def bin_s(duration_s: float) -> float:
    """The width of the bins of statistics [s]: 10 s, more for a run above 20 minutes, less below 100 s."""
    return round_up(max(duration_s / 120.0, min(10.0, duration_s / 10.0)))


# ---- counted in bins ----
#
# A run that records only a sample is drawn from its counts in intervals; each of these bins holds whole intervals.

Tables = Mapping[str, "pd.DataFrame"]


def load_rps(tables: Tables, duration_s: float, *, thin: bool = True) -> StepLine:
    """Arrivals per second, counted by the second (`thin`: in longer bins if the run is long).

    From counts in intervals above 1 s: the intervals' means, each with its quietest and busiest second.
    """
    if "intervals" in tables:
        counted = tables["intervals"]
        edges_s = bin_edges(duration_s, interval_s(duration_s))
        value = counted["requests"].to_numpy(dtype=np.float64) / np.diff(edges_s)
        if thin or interval_s(duration_s) == 1.0:
            return StepLine(edges_s, value)
        low, high = (counted[name].to_numpy(dtype=np.float64) for name in ("quietest_rps", "busiest_rps"))
        return StepLine(edges_s, value, low, high)
    edges_s = bin_edges(duration_s, interval_s(duration_s) if thin else 1.0)
    arrival_s = tables["requests"]["arrival_s"].to_numpy(dtype=np.float64)
    counts = np.bincount(bin_numbers(arrival_s, edges_s), minlength=len(edges_s) - 1)
    return StepLine(edges_s, counts / np.diff(edges_s))


def latency_quantiles_s(tables: Tables, duration_s: float, quantiles: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """The middles of the bins, and the latency quantiles (shape: quantiles, bins) of the requests that arrived in each.

    Only completed requests count; NaN in a bin without one. From counts, within `LATENCY_ERROR` (1 %) of the exact
    ones.
    """
    edges_s = edges_of(tables, duration_s)
    result = np.full((len(quantiles), len(edges_s) - 1), np.nan)
    if "latencies" in tables:
        counted = tables["latencies"]
        number = bin_numbers(counted["time_s"].to_numpy(dtype=np.float64), edges_s)
        for bin_number in np.unique(number):
            of_bin = counted[number == bin_number].groupby("latency_s")["requests"].sum()
            result[:, bin_number] = counted_quantiles(of_bin.index.to_numpy(), of_bin.to_numpy(), quantiles)
    else:
        requests = tables["requests"]
        completed = requests[requests["outcome"] == "completed"]
        latency_s = completed["latency_s"].to_numpy(dtype=np.float64)
        number = bin_numbers(completed["arrival_s"].to_numpy(dtype=np.float64), edges_s)
        for bin_number in np.unique(number):
            result[:, bin_number] = np.quantile(latency_s[number == bin_number], quantiles)
    return (edges_s[:-1] + edges_s[1:]) / 2.0, result


def latencies_of(tables: Tables) -> FloatArray:
    """The latencies [s] of a run's completed requests and how many had each, shape (2, N); N is 0 without records."""
    if "latencies" in tables:
        return tables["latencies"][["latency_s", "requests"]].to_numpy(dtype=np.float64).T
    if "requests" not in tables:
        return np.empty((2, 0))
    latency_s = tables["requests"]["latency_s"].dropna().to_numpy(dtype=np.float64)
    return np.array([latency_s, np.ones(len(latency_s))])


def merged_latency_quantiles_s(latencies: Sequence[FloatArray], quantiles: Sequence[float]) -> FloatArray | None:
    """The latency quantiles of several runs pooled, each as `latencies_of` has it; None without any request."""
    latency_s, count = np.concatenate(latencies, axis=1)
    order = np.argsort(latency_s)
    return counted_quantiles(latency_s[order], count[order].astype(np.int64), quantiles) if len(order) else None


def violation_counts(
    tables: Tables, duration_s: float, sla_s: float
) -> tuple[FloatArray, dict[str, NDArray[np.int64]]]:
    """The edges of the bins, and the numbers of requests arrived in each that violated the SLA, by kind."""
    edges_s = edges_of(tables, duration_s)
    if "intervals" in tables:
        counted = tables["intervals"]
        number = bin_numbers(counted["time_s"].to_numpy(dtype=np.float64), edges_s)
        first = np.searchsorted(number, np.arange(len(edges_s) - 1))
        return edges_s, {kind: np.add.reduceat(counted[kind].to_numpy(), first) for kind in VIOLATIONS}
    requests = tables["requests"]
    number = bin_numbers(requests["arrival_s"].to_numpy(dtype=np.float64), edges_s)
    outcome = requests["outcome"].to_numpy(dtype=str)
    outcome = np.where(requests["latency_s"].to_numpy(dtype=np.float64) > sla_s, "late", outcome)
    return edges_s, {kind: np.bincount(number[outcome == kind], minlength=len(edges_s) - 1) for kind in VIOLATIONS}


def edges_of(tables: Tables, duration_s: float) -> FloatArray:
    """The edges of the bins of statistics; below 10 s the bins may be narrower than intervals."""
    least_s = interval_s(duration_s) if "intervals" in tables else 0.0
    return bin_edges(duration_s, max(bin_s(duration_s), least_s))


# ---- steps ----


@dataclass(frozen=True)
class StepLine:
    """A figure that holds value[i] from edges_s[i] until edges_s[i + 1]; one edge more than values.

    If `value` is a mean, `low` and `high` are the minimum and maximum in its time.
    """

    edges_s: FloatArray
    value: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None

    @property
    def line(self) -> tuple[FloatArray, FloatArray]:
        """Times and values of a step line, which keeps each value until the next time."""
        return self.edges_s, np.append(self.value, self.value[-1:])

    def thinned(self) -> StepLine:
        """The same, or if there are too many steps, their means over time in bins."""
        if len(self.value) <= MOST_STEPS:
            return self
        integral = np.concatenate([[0.0], np.cumsum(np.diff(self.edges_s) * self.value)])
        edges_s = np.linspace(self.edges_s[0], self.edges_s[-1], MOST_STEPS + 1)
        at_edges = np.interp(edges_s, self.edges_s, integral)
        return StepLine(edges_s, np.diff(at_edges) / np.diff(edges_s))


def existing_cores(replicas: pd.DataFrame, duration_s: float, *, thin: bool = True) -> StepLine:
    """The cores of all replicas from creation until gone, within the duration; `thin`: as `StepLine.thinned`."""
    cores = replicas["cores"].to_numpy(dtype=np.float64)
    created_s = replicas["created_s"].to_numpy(dtype=np.float64)
    gone_s = replicas["gone_s"].to_numpy(dtype=np.float64)
    ever = np.isfinite(created_s) & (created_s < duration_s)
    moments_s = np.concatenate([created_s[ever], np.nan_to_num(gone_s[ever], nan=np.inf)])
    change = np.concatenate([cores[ever], -cores[ever]])
    within = moments_s < duration_s
    edges_s, place = np.unique(np.append(moments_s[within], 0.0), return_inverse=True)
    changes = np.bincount(place, weights=np.append(change[within], 0.0))
    steps = StepLine(np.append(edges_s, duration_s), np.cumsum(changes))
    return steps.thinned() if thin else steps


def decided(decisions: pd.DataFrame, column: str, duration_s: float, *, thin: bool = True) -> StepLine | None:
    """A figure of the decisions over time, from the first that has it; None if none has.

    `thin`: as `StepLine.thinned`.
    """
    steps = decisions.drop_duplicates("step")
    steps = steps[np.isfinite(steps[column].to_numpy(dtype=np.float64))]
    if steps.empty:
        return None
    edges_s = np.append(steps["time_s"].to_numpy(dtype=np.float64), duration_s)
    line = StepLine(edges_s, steps[column].to_numpy(dtype=np.float64))
    return line.thinned() if thin else line


# ---- segments of a band ----


@dataclass(frozen=True)
class Segment:
    """A time with one decided configuration of a stage, first decided at `step`."""

    step: int
    start_s: float
    end_s: float
    variant: str
    batch: int
    replicas: int


def segments(decisions: pd.DataFrame, stage: str, duration_s: float) -> list[Segment]:
    """The segments of a stage, equal neighbours merged; of too many, those in force at evenly spaced moments; none if
    nothing was decided for it."""
    rows = decisions[decisions["stage"] == stage]
    time_s = rows["time_s"].to_numpy(dtype=np.float64)
    configurations = list(zip(*(rows[name].tolist() for name in ("variant", "batch", "replicas")), strict=True))
    step = rows["step"].to_numpy(dtype=np.int64)
    if len(configurations) > MOST_SEGMENTS:
        moments_s = np.linspace(time_s[0], duration_s, MOST_SEGMENTS, endpoint=False)
        in_force = np.searchsorted(time_s, moments_s, side="right") - 1
        time_s, configurations, step = moments_s, [configurations[row] for row in in_force], step[in_force]
    starts = [row for row, now in enumerate(configurations) if row == 0 or now != configurations[row - 1]]
    ends_s = [float(time_s[row]) for row in starts[1:]] + [duration_s] * bool(starts)
    return [
        Segment(int(step[row]), float(time_s[row]), end_s, *configurations[row])
        for row, end_s in zip(starts, ends_s, strict=True)
    ]


# ---- the distribution of latencies ----


def latency_curve(runs: Sequence[Tables], sla_s: float) -> tuple[FloatArray, FloatArray]:
    """Latencies in increasing order, and the percentage of *all* requests that took no longer.

    Requests that did not complete never count, so that the height at the SLA is the percentage without violation. The
    curve is thinned to evenly spaced ranks, closer at the slow end, and the one at the SLA. From counts, latencies are
    within `LATENCY_ERROR` (1 %) of the exact ones, and the height at the SLA is exact.
    """
    latencies = [_latencies(tables) for tables in runs]
    latency_s, size = (np.concatenate(columns) for columns in zip(*latencies, strict=True))
    total, in_time = (sum(counts) for counts in zip(*(_in_time(tables, sla_s) for tables in runs), strict=True))
    if not len(latency_s):
        return np.empty(0), np.empty(0)
    order = np.argsort(latency_s)
    latency_s, up_to = latency_s[order], np.cumsum(size[order])
    count = int(up_to[-1])
    rank = np.arange(min(count, MOST_CURVE_POINTS))
    if count > MOST_CURVE_POINTS:
        bulk = np.linspace(0, count - 1, MOST_CURVE_POINTS * 3 // 4)
        slow = count - np.geomspace(1, count / 20, MOST_CURVE_POINTS // 4 - 1)
        rank = np.unique(np.concatenate([bulk, slow, [max(in_time - 1, 0)]]).astype(np.int64))
    curve_s = latency_s[np.searchsorted(up_to, rank, side="right")]
    # The middle of a bucket of latencies may be across the SLA from some of them.
    curve_s = np.where(rank < in_time, np.minimum(curve_s, sla_s), np.maximum(curve_s, np.nextafter(sla_s, np.inf)))
    return curve_s, 100.0 * (rank + 1) / total


def _latencies(tables: Tables) -> tuple[FloatArray, NDArray[np.int64]]:
    """Latencies of completed requests, and the number of requests with each."""
    if "latencies" in tables:
        counted = tables["latencies"].groupby("latency_s")["requests"].sum()
        return counted.index.to_numpy(dtype=np.float64), counted.to_numpy(dtype=np.int64)
    latency_s = tables["requests"]["latency_s"].dropna().to_numpy(dtype=np.float64)
    return latency_s, np.ones(len(latency_s), dtype=np.int64)


def _in_time(tables: Tables, sla_s: float) -> tuple[int, int]:
    """The number of requests, and how many kept the SLA."""
    if "intervals" in tables:
        counts = tables["intervals"].sum()
        return int(counts["requests"]), int(counts["completed"] - counts["late"])
    requests = tables["requests"]
    return len(requests), int((requests["latency_s"] <= sla_s).sum())
